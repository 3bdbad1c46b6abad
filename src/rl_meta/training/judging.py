"""Choosing among models by what they do in held-out tasks: the judge, and greedy soups.

All models that are compared live in the same tasks with the same luck.
"""

from collections.abc import Callable, Sequence

import jax

from rl_meta.errors import UserError
from rl_meta.evaluation.lifetimes import Lived, live_through
from rl_meta.tasks.base import draw_tasks
from rl_meta.training.config import RunConfig
from rl_meta.types import PyTree


class Judge:
    """Lets models of a run's kind live in held-out tasks."""

    def __init__(self, config: RunConfig, *, split: str, tasks: int, seed: int) -> None:
        if tasks < 1:
            raise UserError(f"tasks must be at least 1, got {tasks}")
        self.family, self.shape = config.method.view(config.family), config.shape
        self.adapter = config.method.build(self.family, config.iterations).adapter
        self.tasks = draw_tasks(config.family, jax.random.key(seed), tasks, split)
        self.key = jax.random.key(seed)

    def live(self, params: PyTree, index: int = 0) -> Lived:
        """A model, of the seed with this index."""
        key = jax.random.fold_in(self.key, index)
        return live_through(self.adapter, params, self.family, self.shape, self.tasks, key)

    def score(self, params: PyTree, index: int = 0) -> float:
        """Mean return over tasks and over the lifetime's stages: to learn fast counts, and to get far."""
        return float(self.live(params, index).stages.mean())


def greedy_soup(scores: Sequence[float], score_of_mean: Callable[[Sequence[float]], float]) -> list[float]:
    """Weights of a greedy soup (Wortsman et al. 2022, algorithm 1): equal ones for the models that are kept.

    From the best model to the worst, one is kept if the mean of those kept so far and it is not worse than without.

    Args:
        scores: of every model alone; more is better.
        score_of_mean: (weights) -> the score of the weighted mean of the models.
    """
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    kept, best = order[:1], scores[order[0]]
    for index in order[1:]:
        reached = score_of_mean(_equal_weights([*kept, index], len(scores)))
        if reached >= best:
            kept, best = [*kept, index], reached
    return _equal_weights(kept, len(scores))


def _equal_weights(kept: Sequence[int], count: int) -> list[float]:
    return [1 / len(kept) if index in kept else 0.0 for index in range(count)]
