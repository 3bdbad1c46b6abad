"""What the package offers in Python: train, evaluate, load, report. The command line is made of the same four."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from rl_meta.algorithms.base import Method, deterministic
from rl_meta.collection.agent import Agent
from rl_meta.errors import UserError, unknown
from rl_meta.evaluation.curve import Scores, adaptation, speedup, summary
from rl_meta.evaluation.lifetimes import live_through
from rl_meta.tasks.base import Family, draw_tasks
from rl_meta.training.catalogue import families, methods
from rl_meta.training.checkpoints import write_whole
from rl_meta.training.config import RunConfig, read_config
from rl_meta.training.run import Report, load_params, train_run
from rl_meta.types import PyTree

ACTING = ("sampled", "deterministic")
EVALUATION_FORMAT = 1

Progress = Callable[[str, int, int], None]
"""(what, tasks done, tasks in all)"""


def train(
    family: str | Family,
    method: str | Method = "rl2",
    *,
    out: str | Path,
    steps: int = RunConfig.steps,
    seed: int = RunConfig.seed,
    seeds: int = RunConfig.seeds,
    report: Report = lambda line: None,
) -> Path:
    """Meta-train a method on a family.

    Args:
        family: a name (see `rl-meta list`), or settings such as `Bandit(arms=10)`, or a family of your own.
        method: a name, or settings such as `RL2(learning_rate=1e-3)`, or a method of your own.
        out: the run directory. If it holds an unfinished run with the same settings, that is continued.
        steps: environment steps over all lifetimes, per seed.
        seed: the first seed.
        seeds: how many seeds to train at once.
        report: called with every line of metrics.

    Returns:
        The run directory.

    Raises:
        UserError: unknown names, settings out of range, a directory with another run, divergence.
    """
    config = RunConfig(families.make(family), methods.make(method), steps=steps, seed=seed, seeds=seeds)
    train_run(config, Path(out), report=report)
    return Path(out)


def resume(
    run: str | Path,
    *,
    report: Report = lambda line: None,
    family: Family | None = None,
    method: Method | None = None,
) -> Path:
    """Continue a run that was stopped, to the same numbers as if it had not been.

    A family or method of your own has to be given again: nothing is imported because a file says so.
    """
    config = read_config(Path(run) / "config.json", family=family, method=method)
    train_run(config, Path(run), report=report)
    return Path(run)


def evaluate(  # noqa: PLR0913
    run: str | Path,
    *,
    tasks: int = 200,
    split: str = "test",
    acting: str = "sampled",
    baselines: Sequence[str] = ("scratch",),
    baseline_tasks: int = 16,
    against: Sequence[str | Path] = (),
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
        acting: `sampled`, as in training, or `deterministic`: always the best action.
        baselines: methods that need no meta-training, by name, with their default settings.
        baseline_tasks: how many of the tasks they are tried on (they take many more steps in each).
        against: directories of other runs on the same family (such as `multitask`, `oracle`) to set beside it.
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
    if tasks < 1 or baseline_tasks < 1:
        raise UserError(f"tasks must be at least 1, got {min(tasks, baseline_tasks)}")
    others = [(Path(other), _rival(Path(other), config, family)) for other in against]
    base = methods_needing_no_training(baselines)
    params = load_params(config, directory)
    drawn = draw_tasks(config.family, jax.random.key(seed), tasks, split)

    scores = _live(config, params, drawn, seed, acting, progress)
    curve = summary(scores)
    beside: dict[str, Any] = {}
    for other, its_config in others:
        its_scores = _live(its_config, load_params(its_config, other), drawn, seed, acting, progress)
        name = _name(methods.name_of(its_config.method), other, {*beside, *base})
        beside[name] = {"tasks": tasks, **summary(its_scores)}
    for name, settings in base.items():
        few = jax.tree.map(lambda x: x[:baseline_tasks], drawn)
        alone = RunConfig(config.family, settings, seeds=1)
        its_scores = _live(alone, None, few, seed, "sampled", progress)
        beside[name] = {"tasks": min(tasks, baseline_tasks), **summary(its_scores)}

    evaluation = {
        "format": EVALUATION_FORMAT,
        "family": families.name_of(config.family) or type(config.family).__name__,
        "method": methods.name_of(config.method) or type(config.method).__name__,
        "split": split,
        "tasks": tasks,
        "seeds": config.seeds,
        "acting": acting,
        **curve,
        **adaptation(scores),
        "baselines": beside,
        "speedup": {name: speedup(curve["stages"], beside[name]["stages"]) for name in base},
    }
    write_whole(directory / "evaluation.json", (json.dumps(evaluation, indent=1) + "\n").encode())
    return evaluation


def methods_needing_no_training(names: Sequence[str]) -> dict[str, Method]:
    """Baselines by name; those that must be meta-trained are refused with the way to do it."""
    found = {name: methods.load(name)() for name in names}
    for name, settings in found.items():
        if not getattr(settings, "learns_in_lifetime_only", False):
            raise UserError(
                f"{name!r} has to be trained first: `rl-meta train FAMILY {name} --out DIR`, then `--against DIR`"
            )
    return found


def _rival(other: Path, config: RunConfig, family: Family | None) -> RunConfig:
    theirs = read_config(other / "config.json", family=family)
    if theirs.family != config.family:
        raise UserError(f"{other} was trained on another family, {theirs.family}; expected {config.family}")
    return theirs


def _name(method: str | None, directory: Path, taken: set[str]) -> str:
    """The method's name; with the directory's, or all of it, where that name is taken."""
    names = (method or directory.name, f"{method} ({directory.name})", f"{method} ({directory})")
    return next((name for name in names if name not in taken), names[-1])


def _live(config: RunConfig, params: PyTree, tasks: PyTree, seed: int, acting: str, progress: Progress) -> Scores:
    """Every seed's agent in every task; `params` None: there are none."""
    family = config.method.view(config.family)
    algorithm = config.method.build(family, config.iterations)
    adapter = deterministic(algorithm) if acting == "deterministic" else algorithm.adapter
    name = methods.name_of(config.method) or type(config.method).__name__
    count = len(jax.tree.leaves(tasks)[0])
    lived = []
    for index in range(config.seeds):
        own = () if params is None else jax.tree.map(lambda x, i=index: x[i], params)
        said = lambda done, i=index: progress(name, i * count + done, config.seeds * count)
        key = jax.random.fold_in(jax.random.key(seed), index)
        lived.append(live_through(adapter, own, family, config.shape, tasks, key, report=said))
    return Scores(lived)


def load(run: str | Path, *, seed_index: int = 0, family: Family | None = None, method: Method | None = None) -> Agent:
    """The trained agent of a run, ready to adapt in an environment of your own.

    Args:
        run: the run directory.
        seed_index: which of the run's seeds.
        family: the family, where it is one of your own.
        method: the method, where it is one of your own.
    """
    directory = Path(run)
    config = read_config(directory / "config.json", family=family, method=method)
    if not 0 <= seed_index < config.seeds:
        raise UserError(f"seed_index must be from 0 to {config.seeds - 1}, got {seed_index}")
    view = config.method.view(config.family)
    algorithm = config.method.build(view, config.iterations)
    params = jax.tree.map(lambda x: x[seed_index], load_params(config, directory))
    seen = view.observation_space, view.action_space
    return Agent(algorithm.adapter, params, config.shape, *seen, best=deterministic(algorithm))


def report(run: str | Path) -> Path:
    """Write DIR/report.html, a page that needs no network."""
    from rl_meta.analysis.report import write_report  # noqa: PLC0415 (plots are slow to import)

    return write_report(Path(run))
