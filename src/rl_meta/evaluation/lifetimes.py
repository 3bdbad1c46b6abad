"""Living through held-out tasks, and what came of every episode.

The return of a stage is the mean return of the episodes that *began* in it; the reward collected in a stage would
hide a policy that falls all the time where episodes restart at once. Where the end of a stage cuts episodes, as in
gradient-based methods, it is of those that began with the stage.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.algorithms.base import Adapter, Shape
from rl_meta.collection.device import device_collector
from rl_meta.collection.host import HostLives
from rl_meta.tasks.base import Family
from rl_meta.tasks.envs import HostFamily, on_device, on_host
from rl_meta.tasks.measures import measures_of
from rl_meta.types import Key, PyTree, Step

STEPS_AT_ONCE = 500_000
"""Environment steps of one stage that are held in memory at the same time."""
ENVS_AT_ONCE = 256
"""Environments on the host that exist at the same time."""
MOST_EPISODES = 100


class Measured(NamedTuple):
    """A measure of the family, of episodes summed up as the family says."""

    stages: np.ndarray
    """[N, G] Mean over the episodes that began in each stage."""
    episodes: np.ndarray
    """[N, K] Of the first, second, ... episode."""


@dataclass(frozen=True)
class Lived:
    """What N lifetimes came to. All arrays are NumPy's."""

    stages: np.ndarray
    """[N, G] Mean return of the episodes that began in each stage."""
    stage_env_steps: np.ndarray
    """[G] Environment steps spent in the task by the end of the stage, all copies together."""
    episodes: np.ndarray
    """[N, K] Return of the first, second, ... episode: as many as all tasks completed."""
    episode_env_steps: np.ndarray
    """[K] Environment steps spent by the end of that episode, in the mean."""
    lifetime: np.ndarray
    """[N] Sum of the rewards of the whole lifetime, mean over copies."""
    measures: Mapping[str, Measured] = field(default_factory=dict)
    """By name."""


def live_through(
    adapter: Adapter,
    params: PyTree,
    family: Family,
    shape: Shape,
    tasks: PyTree,
    key: Key,
    *,
    report: Callable[[int], None] = lambda tasks_done: None,
) -> Lived:
    """Whole lifetimes in each of the tasks [N].

    Where episodes run on across stages, every episode that began in the lifetime is lived to its end, in overtime
    that counts for nothing else. The numbers do not depend on how many tasks are given, but for their order.
    """
    shape = replace(shape, segment=None)
    overtime = math.ceil(family.horizon / shape.steps)
    reward, first, done, measured = _rollouts(adapter, params, family, shape, tasks, key, report)
    if not shape.restart and not _all_complete(first, done):
        longer = replace(shape, stages=shape.stages + overtime)
        reward, first, done, measured = _rollouts(adapter, params, family, longer, tasks, key, report)
    told = {name: (how, measured[name]) for name, how in measures_of(family).items() if name in measured}
    return summarise_episodes(reward, first, done, shape, horizon=family.horizon, measured=told)


def _all_complete(first: np.ndarray, done: np.ndarray) -> bool:
    """Has every episode ended by the last step?"""
    return bool(done[..., -1].all()) or not first.size


def _rollouts(
    adapter: Adapter,
    params: PyTree,
    family: Family,
    shape: Shape,
    tasks: PyTree,
    key: Key,
    report: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Reward, first-step flag, end-of-episode flag and what was measured by name, [N, C, L]."""
    count = len(jax.tree.leaves(tasks)[0])
    hosted = on_host(family)
    most = ENVS_AT_ONCE // shape.copies if hosted else STEPS_AT_ONCE // (shape.copies * shape.steps)
    chunks = math.ceil(count / max(1, min(count, most)))
    at_once = math.ceil(count / chunks)
    keys, parts = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(count)), []
    with _on_host(adapter, hosted, shape) if hosted else nullcontext(_compiled(adapter, family, shape)) as live:
        for start in range(0, count, at_once):
            index = np.minimum(np.arange(start, start + at_once), count - 1)
            part = live(params, keys[index], jax.tree.map(lambda x, i=index: x[i], tasks))
            parts.append(jax.tree.map(np.asarray, part))
            report(min(start + at_once, count))
    return jax.tree.map(lambda *x: np.concatenate(x)[:count], *parts)


@contextmanager
def _on_host(adapter: Adapter, family: HostFamily, shape: Shape) -> Iterator[Callable]:
    """What `_live` does, where environments are on the host."""
    with closing(HostLives(adapter, family, shape)) as lives:

        def live(params: PyTree, keys: Key, tasks: PyTree) -> tuple:
            first_of_each = jax.vmap(lambda key: jax.random.split(key, 1)[0])(keys)  # as `begin` does for one task
            return _told(lives.live_whole(first_of_each, params, tasks))

        yield live


def _compiled(adapter: Adapter, family: Family, shape: Shape) -> Callable:
    """`_live`, compiled once for all models of an agent: the seeds of a run, or the points on a line between two."""
    try:
        return _compiled_before(adapter, family, shape)  # type: ignore[arg-type]
    except TypeError:  # a family of the user's own that has no hash
        return jax.jit(partial(_live, adapter, family, shape))


@lru_cache(maxsize=4)
def _compiled_before(adapter: Adapter, family: Family, shape: Shape) -> Callable:
    return jax.jit(partial(_live, adapter, family, shape))


def _live(adapter: Adapter, family: Family, shape: Shape, params: PyTree, keys: Key, tasks: PyTree) -> tuple:
    collector = device_collector(adapter, on_device(family), shape)

    def one(key: Key, task: PyTree) -> Step:
        alone = jax.tree.map(lambda x: x[None], task)
        live = collector.begin(key, params, alone)
        steps = collector.collect(key, params, live, alone)[1].steps
        return jax.tree.map(lambda x: x[0], steps)

    return _told(jax.vmap(one)(keys, tasks))


def _told(steps: Step) -> tuple[jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
    """[N, S, C, T] -> reward, first-step flag, end-of-episode flag and what was measured by name, [N, C, S T]."""
    done = _joined(steps.terminated | steps.truncated)
    return _joined(steps.reward), _joined(steps.inputs.first), done, jax.tree.map(_joined, dict(steps.measured))


def _joined(x: jax.Array | np.ndarray) -> jax.Array:
    """[N, S, C, T] -> [N, C, S T]."""
    return jnp.moveaxis(x, 1, 2).reshape(x.shape[0], x.shape[2], -1)


def summarise_episodes(
    reward: np.ndarray,
    first: np.ndarray,
    done: np.ndarray,
    shape: Shape,
    *,
    horizon: int,
    measured: Mapping[str, tuple[str, np.ndarray]] | None = None,
) -> Lived:
    """From steps [N, C, L] to stages and episodes; steps after the lifetime are overtime.

    Stages shorter than an episode's horizon are joined until one episode at least must have begun in each.

    Args:
        reward: of every step.
        first: is it the first step of an episode?
        done: is it the last one?
        shape: of the lifetime.
        horizon: steps of the longest episode.
        measured: by name, how an episode sums it up, and its numbers [N, C, L].
    """
    episodes = _Episodes(first, done, shape, horizon)
    measured = measured or {}
    returns = episodes.summed("sum", reward)
    parts = {name: episodes.summed(how, numbers) for name, (how, numbers) in measured.items()}
    return Lived(
        stages=episodes.by_stage(returns),
        stage_env_steps=episodes.stage_env_steps,
        episodes=episodes.by_number(returns),
        episode_env_steps=episodes.env_steps,
        lifetime=reward[..., : episodes.length].sum(-1).mean(1),
        measures={name: Measured(episodes.by_stage(x), episodes.by_number(x)) for name, x in parts.items()},
    )


class _Episodes:
    """All episodes of N lifetimes in a row, by task, copy and time. E of them, some of which are not counted.

    Where every stage begins anew, only those count that begin with it: its end may cut later ones, and to count only
    those that it does not cut would favour short ones.
    """

    def __init__(self, first: np.ndarray, done: np.ndarray, shape: Shape, horizon: int) -> None:
        """first, done: flags of the steps [N, C, L]."""
        self.tasks, self.copies, steps = first.shape
        self.length = shape.stages * shape.steps
        rows = self.tasks * self.copies
        window = shape.steps * (1 if shape.restart else math.ceil(horizon / shape.steps))
        self.row, start = np.nonzero(first.reshape(rows, -1))
        self.start = self.row * steps + start
        self.last = np.append(self.start[1:], first.size) - 1
        self.counted = done.reshape(-1)[self.last] & (start < self.length)
        if shape.restart:
            self.counted &= start % shape.steps == 0

        self.groups = max(1, math.ceil(self.length / window))
        self.cell = (self.row // self.copies) * self.groups + np.minimum(start // window, self.groups - 1)
        self.number = np.bincount(self.cell[self.counted], minlength=self.tasks * self.groups)
        self.lived = self.number.reshape(self.tasks, self.groups).all(0)
        ends = np.minimum((np.arange(self.groups) + 1) * window, self.length) * self.copies
        self.stage_env_steps = ends[self.lived]

        so_far = np.cumsum(self.counted) - self.counted
        self.index = so_far - so_far[np.searchsorted(self.row, self.row)]
        self.most = min(np.bincount(self.row[self.counted], minlength=rows).min(initial=MOST_EPISODES), MOST_EPISODES)
        self.kept = self.counted & (self.index < self.most)
        self.env_steps = self.by_number((self.last % steps + 1) * self.copies).mean(0)

    def summed(self, how: str, numbers: np.ndarray) -> np.ndarray:
        """Numbers of steps [N, C, L] as one of every episode [E]."""
        flat = numbers.reshape(-1).astype(np.float64)
        if how == "last":
            return flat[self.last]
        if how == "max":
            return np.maximum.reduceat(flat, self.start)
        total = np.add.reduceat(flat, self.start)
        return total / (self.last - self.start + 1) if how == "mean" else total

    def by_stage(self, numbers: np.ndarray) -> np.ndarray:
        """[E] -> [N, G], the mean over the episodes that began in a stage; without stages in which none began."""
        total = np.bincount(self.cell[self.counted], numbers[self.counted], minlength=self.tasks * self.groups)
        return (total / np.maximum(self.number, 1)).reshape(self.tasks, self.groups)[:, self.lived]

    def by_number(self, numbers: np.ndarray) -> np.ndarray:
        """[E] -> [N, K], the mean over copies of the first, the second, ... episode."""
        found = np.zeros((self.tasks * self.copies, self.most))
        found[self.row[self.kept], self.index[self.kept]] = numbers[self.kept]
        return found.reshape(self.tasks, self.copies, self.most).mean(1)
