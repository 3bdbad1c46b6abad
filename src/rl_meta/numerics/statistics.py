"""How scores over training runs and tasks are summed up: interquartile means and bootstrap intervals.

The definitions of rliable (Agarwal et al., "Deep RL at the edge of the statistical precipice", NeurIPS 2021)
on a score matrix [seeds, tasks]. One thing differs in meta-reinforcement learning: tasks are not a fixed
benchmark but drawn from a family, so they are a sample as well, and `bootstrap_interval` resamples both;
`rliable_interval` is rliable's own, for comparison with published numbers.

A statistic is any function called as `statistic(values, axis=-1)`: `np.mean`, `np.median` and those below.
"""

from collections.abc import Callable, Iterator
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from rl_meta.errors import UserError

Reduced = np.ndarray | np.floating
Statistic = Callable[..., Reduced]
Interval = tuple[float, float]

REPETITIONS = 2000
LEVEL = 0.95
CHUNK_SCORES = 1 << 20
"""Scores resampled at a time; bounds the memory of a bootstrap to some 30 MB."""


class Summary(TypedDict):
    """What is reported of a score matrix; `low` and `high` bound the interquartile mean."""

    mean: float
    iqm: float
    low: float
    high: float
    p20: float


class Difference(TypedDict):
    """What is reported of paired differences; `low` and `high` bound their interquartile mean."""

    mean: float
    iqm: float
    low: float
    high: float


def interquartile_mean(scores: ArrayLike, axis: int | None = None) -> Reduced:
    """Mean of the middle half of the scores along `axis`, of all of them by default.

    As `scipy.stats.trim_mean(scores, 0.25, axis)`: floor(n / 4) scores are cut at either end.
    """
    values = np.asarray(scores, float)
    values = values.reshape(-1) if axis is None else np.moveaxis(values, axis, -1)
    size = values.shape[-1]
    cut = size // 4
    middle = np.partition(values, (cut, size - cut - 1), axis=-1)[..., cut : size - cut]
    return middle.mean(-1)


def percentile20(scores: ArrayLike, axis: int | None = None) -> Reduced:
    """The score that a fifth of the tasks stays below: how the agent does where it does badly."""
    return np.quantile(np.asarray(scores, float), 0.2, axis=axis)


def bootstrap_interval(
    scores: ArrayLike,
    statistic: Statistic,
    *,
    repetitions: int = REPETITIONS,
    level: float = LEVEL,
    seed: int = 0,
    same_tasks: bool = False,
) -> Interval:
    """Percentile interval of a statistic when both training runs and tasks are samples.

    Seeds are drawn with replacement, and within every drawn seed tasks with replacement; with one seed this
    is the bootstrap over tasks.

    Args:
        scores: [seeds, tasks], or [tasks] of one seed.
        statistic: see the module's docstring; called on [repetitions, seeds * tasks] values.
        repetitions: resampled matrices to draw.
        level: probability that the interval covers the statistic of the population.
        seed: the interval is a function of the arguments alone.
        same_tasks: column j is the same task in every seed. Tasks are then drawn once per repetition for all
            seeds (Owen, "The pigeonhole bootstrap", 2007): otherwise the luck of the draw of tasks, which
            all seeds share, would seem to average out over the seeds, and the interval be too narrow.

    Raises:
        UserError: no scores, or scores that are not finite.
    """
    matrix = _matrix(scores)
    seeds, tasks = matrix.shape

    def draw(rng: np.random.Generator, count: int) -> np.ndarray:
        rows = rng.integers(seeds, size=(count, seeds, 1))
        columns = rng.integers(tasks, size=(count, 1 if same_tasks else seeds, tasks))
        return matrix[rows, columns]

    return _percentile_interval(draw, matrix.size, statistic, repetitions, level, seed)


def rliable_interval(
    scores: ArrayLike,
    statistic: Statistic,
    *,
    repetitions: int = REPETITIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The stratified bootstrap of rliable: tasks are fixed strata, runs are resampled within each.

    Arguments and errors as in `bootstrap_interval`. With one seed there is nothing to resample.
    """
    matrix = _matrix(scores)
    seeds, tasks = matrix.shape

    def draw(rng: np.random.Generator, count: int) -> np.ndarray:
        return matrix[rng.integers(seeds, size=(count, seeds, tasks)), np.arange(tasks)]

    return _percentile_interval(draw, matrix.size, statistic, repetitions, level, seed)


def summarise(scores: ArrayLike, *, same_tasks: bool = False) -> Summary:
    """Mean, interquartile mean with its 95 % interval, and 20th percentile of [seeds, tasks] scores."""
    matrix = _matrix(scores)
    return Summary(**_centre(matrix, same_tasks=same_tasks), p20=float(percentile20(matrix)))


def paired_difference(after: ArrayLike, before: ArrayLike, *, same_tasks: bool = False) -> Difference:
    """What adaptation brought: `after - before` [seeds, tasks], taken per task and then summed up."""
    later, earlier = _matrix(after), _matrix(before)
    if later.shape != earlier.shape:
        raise UserError(f"paired scores must have the same shape, got {later.shape} and {earlier.shape}")
    return _centre(later - earlier, same_tasks=same_tasks)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """P(X > Y) + P(X = Y) / 2 for runs of X [seeds_x, tasks] and Y [seeds_y, tasks], averaged over tasks.

    Per task this is the Mann-Whitney statistic U / (seeds_x * seeds_y); Agarwal et al., section 4.3.
    """
    ours, theirs = _matrix(x), _matrix(y)
    if ours.shape[1] != theirs.shape[1]:
        raise UserError(f"both must have the same tasks, got {ours.shape[1]} and {theirs.shape[1]}")
    gap = ours[:, None] - theirs[None]
    return float(((gap > 0) + 0.5 * (gap == 0)).mean())


def _matrix(scores: ArrayLike) -> np.ndarray:
    """[seeds, tasks] of finite numbers."""
    matrix = np.atleast_2d(np.asarray(scores, float))
    if matrix.ndim != 2 or not matrix.size:
        raise UserError(f"scores must be a matrix [seeds, tasks] with an entry, got shape {matrix.shape}")
    bad = int((~np.isfinite(matrix)).sum())
    if bad:
        raise UserError(
            f"scores must be finite, got {bad} of {matrix.size} that are not: "
            "a run has diverged; leave it out and say so"
        )
    return matrix


def _centre(matrix: np.ndarray, *, same_tasks: bool) -> Difference:
    low, high = bootstrap_interval(matrix, interquartile_mean, same_tasks=same_tasks)
    return Difference(mean=float(matrix.mean()), iqm=float(interquartile_mean(matrix)), low=low, high=high)


def _percentile_interval(
    draw: Callable[[np.random.Generator, int], np.ndarray],
    size: int,
    statistic: Statistic,
    repetitions: int,
    level: float,
    seed: int,
) -> Interval:
    """Quantiles of the statistic over resampled matrices; `draw(rng, count)` gives [count, ..., ...]."""
    rng = np.random.default_rng(seed)
    values = [
        statistic(draw(rng, count).reshape(count, -1), axis=-1)
        for count in _chunks(repetitions, max(1, CHUNK_SCORES // size))
    ]
    low, high = np.quantile(np.concatenate(values), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _chunks(total: int, most: int) -> Iterator[int]:
    """`total` in parts of at most `most`."""
    for start in range(0, total, most):
        yield min(most, total - start)
