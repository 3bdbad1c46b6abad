"""One trial: an ordinary run that is scored, from time to time, in tasks of the validation split."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from rl_meta.training.config import RunConfig
from rl_meta.training.judging import Judge
from rl_meta.training.run import Looks, train_run
from rl_meta.types import PyTree

SPLIT = "validation"
SCORES = 9
"""How often a trial is scored, in equal distances: a trial may be stopped after one ninth and one third."""


@dataclass(frozen=True)
class Job:
    """What a trial needs to know."""

    config: RunConfig
    directory: Path
    tasks: int
    """To be scored in."""
    told: tuple[tuple[int, float], ...] = ()
    """Environment steps, and the score by then, of before an interruption."""


def run_trial(job: Job, tell: Callable[[int, float], None]) -> None:
    """Train, or go on; tell environment steps and score, again also what was told before an interruption."""
    for env_steps, score in job.told:
        tell(env_steps, score)
    judge = Judge(job.config, split=SPLIT, tasks=job.tasks, seed=job.config.seed)
    per_iteration = job.config.steps_per_iteration

    def look(iteration: int, params: PyTree) -> None:
        tell(iteration * per_iteration, score_of(judge, params, job.config.seeds))

    known = max((env_steps for env_steps, _ in job.told), default=0)
    to_come = [iteration for iteration in scored_iterations(job.config) if iteration * per_iteration > known]
    train_run(job.config, job.directory, looks=Looks(to_come, look))


def scored_iterations(config: RunConfig) -> list[int]:
    """After how many iterations a run is scored: as soon as so many ninths of its steps are taken."""
    return sorted(
        {math.ceil(config.steps * part / SCORES / config.steps_per_iteration) for part in range(1, SCORES + 1)}
    )


def score_of(judge: Judge, params: PyTree, seeds: int) -> float:
    """Mean return over seeds, tasks and the lifetime's stages."""
    return float(np.mean([judge.score(jax.tree.map(lambda x, i=i: x[i], params), i) for i in range(seeds)]))
