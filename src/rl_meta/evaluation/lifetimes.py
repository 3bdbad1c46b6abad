"""Living through held-out tasks, and what came of every episode.

The return of a stage is the mean return of the episodes that *began* in it; the reward collected in a stage would
hide a policy that falls all the time where episodes restart at once.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.algorithms.base import Adapter, Shape
from rl_meta.collection.device import device_collector
from rl_meta.collection.host import HostLives
from rl_meta.tasks.base import Family
from rl_meta.tasks.envs import HostFamily, on_device, on_host
from rl_meta.types import Key, PyTree, Step

STEPS_AT_ONCE = 500_000
"""Environment steps of one stage that are held in memory at the same time."""
ENVS_AT_ONCE = 256
"""Environments on the host that exist at the same time."""
MOST_EPISODES = 100


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
    reward, first, done = _rollouts(adapter, params, family, shape, tasks, key, report)
    if not shape.restart and not _all_complete(first, done):
        longer = replace(shape, stages=shape.stages + overtime)
        reward, first, done = _rollouts(adapter, params, family, longer, tasks, key, report)
    return summarise_episodes(reward, first, done, shape, horizon=family.horizon)


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
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reward, first-step flag and end-of-episode flag, [N, C, L]."""
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
    reward, first, done = (np.concatenate(x)[:count] for x in zip(*parts, strict=True))
    return reward, first, done


@contextmanager
def _on_host(adapter: Adapter, family: HostFamily, shape: Shape) -> Iterator[Callable]:
    """What `_live` does, where environments are on the host."""
    with closing(HostLives(adapter, family, shape)) as lives:

        def live(params: PyTree, keys: Key, tasks: PyTree) -> tuple[PyTree, PyTree, PyTree]:
            first_of_each = jax.vmap(lambda key: jax.random.split(key, 1)[0])(keys)  # as `begin` does for one task
            return _flags(lives.live_whole(first_of_each, params, tasks))

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


def _live(
    adapter: Adapter, family: Family, shape: Shape, params: PyTree, keys: Key, tasks: PyTree
) -> tuple[jax.Array, jax.Array, jax.Array]:
    collector = device_collector(adapter, on_device(family), shape)

    def one(key: Key, task: PyTree) -> Step:
        alone = jax.tree.map(lambda x: x[None], task)
        live = collector.begin(key, params, alone)
        steps = collector.collect(key, params, live, alone)[1].steps
        return jax.tree.map(lambda x: x[0], steps)

    return _flags(jax.vmap(one)(keys, tasks))


def _flags(steps: Step) -> tuple[jax.Array, jax.Array, jax.Array]:
    """[N, S, C, T] -> reward, first-step flag and end-of-episode flag, [N, C, S T]."""
    join = lambda x: jnp.moveaxis(x, 1, 2).reshape(x.shape[0], x.shape[2], -1)
    return join(steps.reward), join(steps.inputs.first), join(steps.terminated | steps.truncated)


def summarise_episodes(reward: np.ndarray, first: np.ndarray, done: np.ndarray, shape: Shape, *, horizon: int) -> Lived:
    """From steps [N, C, L] to stages and episodes; steps after the lifetime are overtime.

    Stages shorter than an episode's horizon are joined until one episode at least must have begun in each.
    """
    tasks, copies, _ = reward.shape
    length = shape.stages * shape.steps
    window = shape.steps * (1 if shape.restart else math.ceil(horizon / shape.steps))
    row, start = np.nonzero(first.reshape(tasks * copies, -1))
    flat_start = row * reward.shape[2] + start
    total = np.add.reduceat(reward.reshape(-1).astype(np.float64), flat_start)
    last = np.append(flat_start[1:], reward.size) - 1
    complete = done.reshape(-1)[last]
    counted = complete & (start < length)

    groups = max(1, math.ceil(length / window))
    cell = (row // copies) * groups + np.minimum(start // window, groups - 1)
    number = np.bincount(cell[counted], minlength=tasks * groups)
    summed = np.bincount(cell[counted], total[counted], minlength=tasks * groups)
    stages = (summed / np.maximum(number, 1)).reshape(tasks, groups)
    lived = number.reshape(tasks, groups).all(0)
    ends = np.minimum((np.arange(groups) + 1) * window, length) * copies

    index = np.arange(len(row)) - np.searchsorted(row, row)
    most = min(np.bincount(row[counted], minlength=tasks * copies).min(initial=MOST_EPISODES), MOST_EPISODES)
    kept = counted & (index < most)
    episodes = np.zeros((tasks * copies, most))
    until = np.zeros((tasks * copies, most))
    episodes[row[kept], index[kept]] = total[kept]
    until[row[kept], index[kept]] = (last[kept] % reward.shape[2] + 1) * copies
    per_task = episodes.reshape(tasks, copies, most).mean(1)
    return Lived(
        stages=stages[:, lived],
        stage_env_steps=ends[lived],
        episodes=per_task,
        episode_env_steps=until.mean(0),
        lifetime=reward[..., :length].sum(-1).mean(1),
    )
