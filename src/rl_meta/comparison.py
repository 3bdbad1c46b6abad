"""A run's agents in held-out tasks, beside other runs and baselines: what is in evaluation.json."""

import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rl_meta.algorithms.base import Method, Shape, deterministic
from rl_meta.errors import UserError, unknown
from rl_meta.evaluation.curve import Scores, adaptation, speedup, summary
from rl_meta.evaluation.lifetimes import live_through
from rl_meta.settings import LARGEST_SEED
from rl_meta.tasks.base import Family, draw_tasks
from rl_meta.training.catalogue import families, methods
from rl_meta.training.checkpoints import write_whole
from rl_meta.training.config import RunConfig, read_config
from rl_meta.training.run import load_params
from rl_meta.types import PyTree

ACTING = ("sampled", "deterministic")
EVALUATION_FORMAT = 1

Progress = Callable[[str, int, int], None]
"""(what, tasks done, tasks in all)"""

Rival = str | Path | tuple[str | Path, Method]
"""A run directory, with its method where that is one of your own."""


@dataclass(frozen=True)
class Contender:
    """Who adapts: the agents of a run, or a method that needs no meta-training."""

    config: RunConfig
    directory: Path | None = None
    """Of the run; None: there are no meta-parameters to load."""
    stages: int | None = None
    """How many stages to live in every task; None: as many as in training."""

    @property
    def name(self) -> str:
        """The method's."""
        return methods.title_of(self.config.method)

    @property
    def shape(self) -> Shape:
        """How long it lives in a task."""
        shape = replace(self.config.shape, segment=None)
        return replace(shape, stages=self.stages) if self.stages else shape

    def live(self, tasks: PyTree, seed: int, acting: str, progress: Progress) -> Scores:
        """The agents of all seeds, each in every one of the tasks [N]."""
        config, count = self.config, len(jax.tree.leaves(tasks)[0])
        family = config.method.view(config.family)
        algorithm = config.method.build(family, config.iterations)
        adapter = deterministic(algorithm) if acting == "deterministic" else algorithm.adapter
        params = load_params(config, self.directory) if self.directory else None
        lived = []
        for index in range(config.seeds):
            own = () if params is None else jax.tree.map(lambda x, i=index: x[i], params)
            said = lambda done, i=index: progress(self.name, i * count + done, config.seeds * count)
            key = jax.random.fold_in(jax.random.key(seed), index)
            lived.append(live_through(adapter, own, family, self.shape, tasks, key, report=said))
        return Scores(lived)


def evaluate(  # noqa: PLR0913 (all of them are the caller's to choose)
    run: str | Path,
    *,
    tasks: int = 200,
    split: str = "test",
    stages: int | None = None,
    acting: str = "sampled",
    baselines: Sequence[str | Method] = ("scratch",),
    baseline_tasks: int = 16,
    against: Sequence[Rival] = (),
    seed: int = 0,
    family: Family | None = None,
    method: Method | None = None,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Let the agents of a run adapt to held-out tasks; write DIR/evaluation.json and return what is in it.

    Args:
        run: the run directory.
        tasks: how many tasks of the split; the same ones for every seed of the run, and for every baseline.
        split: train, validation, test or extrapolation.
        stages: how many stages to live in every task; None: as many as in training.
        acting: `sampled`, as in training, or `deterministic`: always the best action.
        baselines: methods that need no meta-training, by name (with default settings) or as settings.
        baseline_tasks: how many of the tasks they are tried on (they take many more steps in each).
        against: directories of other runs on the same family (such as `multitask`, `oracle`) to set beside it; a pair
            (directory, method) where its method is one of your own.
        seed: decides which tasks are drawn, and all randomness in them.
        family: the family, where it is one of your own.
        method: the method, where it is one of your own.
        progress: called as tasks get done.

    Raises:
        UserError: no readable run, unknown split, or runs on different families.
    """
    directory = Path(run)
    config = read_config(directory / "config.json", family=family, method=method)
    if acting not in ACTING:
        raise unknown("way of acting", acting, ACTING)
    counts = {"tasks": tasks, "baseline_tasks": baseline_tasks, "stages": 1 if stages is None else stages}
    _check_numbers(counts, seed)
    if not os.access(directory, os.W_OK):
        raise UserError(f"the evaluation is to be written into {directory}, which must not be written to")
    baselines = (baselines,) if isinstance(baselines, str) else baselines
    against = (against,) if isinstance(against, str | Path) else against
    base = needing_no_training(baselines, config.family)
    rivals = _rivals(against, config, family, stages, taken=base)
    drawn = draw_tasks(config.family, jax.random.key(seed), tasks, split)

    agent = Contender(config, directory, stages)
    scores = agent.live(drawn, seed, acting, progress)
    beside, faster = {}, {}
    for name, rival in rivals.items():
        beside[name] = {"tasks": tasks, **summary(rival.live(drawn, seed, acting, progress))}
    few = min(tasks, baseline_tasks)
    for name, baseline in base.items():
        its_scores = baseline.live(jax.tree.map(lambda x: x[:few], drawn), seed, "sampled", progress)
        beside[name] = {"tasks": few, **summary(its_scores)}
        faster[name] = speedup(summary(scores.of_first(few))["stages"], beside[name]["stages"])

    evaluation = {
        "format": EVALUATION_FORMAT,
        "family": families.title_of(config.family),
        "method": agent.name,
        "split": split,
        "tasks": tasks,
        "seeds": config.seeds,
        "acting": acting,
        **summary(scores),
        **adaptation(scores),
        "baselines": beside,
        "speedup": faster,
    }
    try:
        write_whole(directory / "evaluation.json", (json.dumps(evaluation, indent=1) + "\n").encode())
    except OSError as error:  # what took so long is not lost
        warnings.warn(f"the evaluation could not be written into {directory}: {error}", stacklevel=2)
    return evaluation


def _check_numbers(counts: dict[str, int], seed: int) -> None:
    for name, value in counts.items():
        if not isinstance(value, int | np.integer):
            raise UserError(f"{name} must be a whole number, got {value!r}")
        if value < 1:
            raise UserError(f"{name} must be at least 1, got {value}")
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"seed must be from 0 to {LARGEST_SEED}, got {seed}")


def needing_no_training(baselines: Sequence[str | Method], family: Family) -> dict[str, Contender]:
    """Baselines by name; those that must be meta-trained are refused with the way to do it."""
    found = {}
    for settings in map(methods.make, baselines):
        contender = Contender(RunConfig(family, settings))
        if not getattr(settings, "learns_in_lifetime_only", False):
            raise UserError(
                f"{contender.name!r} has to be trained first: `rl-meta train FAMILY {contender.name} --out DIR`, "
                "then `--against DIR`"
            )
        found[contender.name] = contender
    return found


def _rivals(
    against: Sequence[Rival], config: RunConfig, family: Family | None, stages: int | None, *, taken: dict
) -> dict[str, Contender]:
    """Other runs on the same family: by method, and by directory as well where that name is taken.

    They live as many stages as the run that they stand beside, where that was asked for.
    """
    found: dict[str, Contender] = {}
    for rival in against:
        path, method = rival if isinstance(rival, tuple) else (rival, None)
        theirs = read_config(Path(path) / "config.json", family=family, method=method)
        if theirs.family != config.family:
            raise UserError(f"{path} was trained on another family, {theirs.family}; expected {config.family}")
        contender = Contender(theirs, Path(path), stages)
        names = (contender.name, f"{contender.name} ({Path(path).name})", f"{contender.name} ({path})")
        found[next((name for name in names if name not in {*found, *taken}), names[-1])] = contender
    return found
