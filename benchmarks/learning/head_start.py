"""Learners of other libraries begun from aggregated weights: how many environment steps until a new task is mastered?

Beside it, in the same held-out tasks: the same learner begun from a policy that was trained on pooled tasks for as many
steps, and from its own random start. Target: at most half of the steps from a random start, and fewer than from pooled
tasks. What `reptile_sb3.py` and `reptile_rllib.py` have in common.
"""

import argparse
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from experiment import RESULTS, RUNS, SEEDS

from rl_meta.integrations.foreign import ForeignLearner, ForeignReptile, meta_train
from rl_meta.numerics.statistics import summarise
from rl_meta.settings import to_plain
from rl_meta.tasks.base import Family, draw_tasks
from rl_meta.training.checkpoints import write_whole
from rl_meta.training.run import versions
from rl_meta.types import PyTree

TASKS = 50
"""Held-out, the same for all seeds and starts."""
STARTS = ("reptile", "pooled", "random")


@dataclass(frozen=True)
class Study:
    """Who learns what, and which return is to be reached in a new task."""

    name: str
    family: Family
    learner: dict[str, Any]
    """Of the learner, for the result."""
    make: Callable[[int], Any]
    """(seed) -> learner. `close()` is called if it has that."""
    learn_pooled: Callable[[Any, int], None]
    """(learner, environment steps): in a new task of the train split with every episode."""
    steps_to: Callable[[Any, PyTree, float, int], int | None]
    """(learner, task, return, at most so many steps) -> environment steps until that return; None: not reached.

    Tried, or seen, before each update: what was mastered without learning counts with the steps of the first one.
    """
    outer: ForeignReptile
    train_steps: int
    target: float
    longest: int
    """Steps in a new task, after which it is given up."""

    def kept(self, start: str, seed: int, steps: int, ending: str) -> Path:
        """The file of something that need not be done again, as long as the study is the same."""
        decides = [self.learner, to_plain(self.outer), to_plain(self.family), self.target, self.longest]
        of_settings = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:8]
        RUNS.mkdir(parents=True, exist_ok=True)
        return RUNS / f"{self.name}-{of_settings}-{start}-{seed}-{steps}{ending}"


def start_of(study: Study, start: str, learner: ForeignLearner, seed: int, steps: int) -> PyTree:
    """The weights to begin new tasks with; what was trained before is not trained again."""
    if start == "random":
        return learner.get_parameters()
    kept = study.kept(start, seed, steps, ".npz")
    if not kept.exists():
        if start == "reptile":
            out = study.kept(start, seed, steps, f"-{np.random.default_rng().integers(2**31)}")
            meta_train(learner, study.family, study.outer, out=out, steps=steps, seed=seed, model="model")
        else:
            study.learn_pooled(learner, steps)
        file = io.BytesIO()
        np.savez(file, **learner.get_parameters())
        write_whole(kept, file.getvalue())
    return dict(np.load(kept))


def needed(study: Study, start: str, seed: int, count: int, steps: int) -> list[int | None]:
    """Steps to the target in each of the tasks; what was tried before is not tried again.

    A learner that can be reseeded has the same numbers in whatever order tasks are tried; RLlib's cannot.
    """
    kept = study.kept(start, seed, steps, ".steps.json")
    found: list[int | None] = json.loads(kept.read_text())[:count] if kept.exists() else []
    if len(found) == count:
        return found
    tasks = draw_tasks(study.family, jax.random.key(1000), count, "test")
    learner = study.make(seed)
    theta = start_of(study, start, learner, seed, steps)
    for index in range(len(found), count):
        learner.set_parameters(theta)
        if hasattr(learner, "reseed"):
            learner.reseed(1000 * seed + index)
        task = jax.tree.map(lambda x, i=index: np.asarray(x[i]), tasks)
        found.append(study.steps_to(learner, task, study.target, study.longest))
        write_whole(kept, json.dumps(found).encode())
    if hasattr(learner, "close"):
        learner.close()
    return found


def mean_steps(steps: Sequence[int | None], longest: int) -> float:
    """Tasks that were given up count with all steps they had: a lower bound."""
    return float(np.mean([longest if one is None else one for one in steps]))


def run(study: Study, *, seeds: int, tasks: int, steps: int) -> None:
    """All seeds from all starts; the whole experiment is written to benchmarks/results."""
    found: dict[str, list[list[int | None]]] = {start: [] for start in STARTS}
    for seed in range(seeds):
        for start in STARTS:
            own = needed(study, start, seed, tasks, steps)
            found[start].append(own)
            mean = mean_steps(own, study.longest)
            print(f"  seed {seed}, {start}: {study.target:g} after {mean:,.0f} steps, by task {own}", flush=True)
    means = {start: [[mean_steps(own, study.longest)] for own in by_seed] for start, by_seed in found.items()}
    result = {
        "name": study.name,
        "family": {"class": type(study.family).__name__, **to_plain(study.family)},
        "learner": study.learner,
        "method": to_plain(study.outer),
        "env_steps": steps,
        "seeds": seeds,
        "tasks": tasks,
        "return": study.target,
        "longest": study.longest,
        "steps_to_return": {start: summarise(by_seed) for start, by_seed in means.items()},
        "never": {start: sum(one is None for own in by_seed for one in own) for start, by_seed in found.items()},
        "steps_by_seed_and_task": found,
        "versions": versions(),
    }
    print(f"{study.name}: {json.dumps(result['steps_to_return'])}")
    if (seeds, tasks, steps) == (SEEDS, TASKS, study.train_steps):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{study.name}.json").write_text(json.dumps(result, indent=1) + "\n")


def main(studies: Sequence[Study], about: str) -> None:
    """What the command line asks for. about: the script's docstring."""
    known = {study.name: study for study in studies}
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(known)}")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--steps", type=int, help="of training, per seed and start; as the study says, if not given")
    options = parser.parse_args()
    for name in options.names:
        if name not in known:
            parser.error(f"unknown study {name!r}; known: {', '.join(known)}")
    for study in [known[name] for name in options.names or known]:
        run(study, seeds=options.seeds, tasks=options.tasks, steps=options.steps or study.train_steps)
