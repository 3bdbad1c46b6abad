"""Any family as a batch of environments in NumPy: those on the device are stepped together, as one compiled program."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.axes import select
from rl_meta.tasks.base import DeviceFamily, Family, draw_tasks
from rl_meta.tasks.envs import Envs, Outcome, on_device, on_host
from rl_meta.types import Array, Key, PyTree


def envs_of(family: Family, count: int) -> Envs:
    """So many environments of a family, behind the protocol of those on the host."""
    hosted = on_host(family)
    return hosted.make_envs(count) if hosted else DeviceEnvs(on_device(family))


class Copies:
    """B environments of a family that other libraries step, with tasks and seeds of its own."""

    def __init__(self, family: Family, count: int, *, split: str, seed: int) -> None:
        """split: of the tasks that are drawn. seed: decides all randomness."""
        self.count, self.random = count, np.random.default_rng(seed)
        self.envs = envs_of(family, count)
        self._draw = jax.jit(lambda key: draw_tasks(family, key, count, split))
        self._start = int(getattr(family.action_space, "start", 0))
        self._shown: PyTree = None
        """[B, ...] By the last `begin` or `step`."""

    def drawn(self) -> PyTree:
        """Tasks [B, ...], one for each of the environments."""
        return self._draw(self.key())

    def repeated(self, task: PyTree) -> PyTree:
        """The same task [B, ...] for all of them."""
        return jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], self.count, 0), task)

    def begin(self, tasks: PyTree, where: np.ndarray | None = None) -> PyTree:
        """New episodes in tasks [B, ...]; what all show. where: [B] in which environments; None: in all."""
        born = np.ones(self.count, bool) if where is None else where
        seeds = self.random.integers(0, 2**31, self.count, np.uint32)
        obs = self.envs.begin(born, jax.tree.map(np.asarray, tasks), seeds, self._keys(self.count))
        self._shown = jax.tree.map(np.array, obs)
        return jax.tree.map(np.copy, self._shown)

    def step(self, action: np.ndarray) -> Outcome:
        """What actions [B, ...], Discrete ones counted from 0, lead to; arrays that may be written to.

        Where an environment died, the episode is cut before the step, which brings nothing.
        """
        action = action + self._start if self._start else action
        self.envs.send(action, self._keys(self.count, 2), cut=False)
        outcome: Outcome = jax.tree.map(np.array, self.envs.receive())
        if outcome.lost is not None:
            where = lambda old, new: np.where(outcome.lost.reshape(-1, *[1] * (new.ndim - 1)), old, new)
            cut = outcome.truncated | outcome.lost
            outcome = outcome._replace(next_obs=jax.tree.map(where, self._shown, outcome.next_obs), truncated=cut)
        self._shown = jax.tree.map(np.copy, outcome.obs)
        return outcome

    def key(self) -> Key:
        """A new one."""
        return jax.random.key(int(self.random.integers(2**31)))

    def _keys(self, *shape: int) -> Key | None:
        """Keys, where the environments want them."""
        return jax.random.split(self.key(), shape) if self.envs.wants_keys else None

    def close(self) -> None:
        """Let go of the environments."""
        self.envs.close()


def counted_from_0(space: spaces.Space) -> spaces.Space:
    """A Discrete space as other libraries have it."""
    return spaces.Discrete(int(space.n)) if isinstance(space, spaces.Discrete) else space


class Batch(NamedTuple):
    """B environments on the device."""

    keys: Key
    """[B] Of what is drawn in each of them from now on."""
    tasks: PyTree
    env: PyTree
    obs: PyTree


class DeviceEnvs:
    """See `tasks.envs.Envs`. What an environment draws follows from its seed at birth."""

    wants_keys = False

    def __init__(self, family: DeviceFamily) -> None:
        self._begin = jax.jit(partial(_begin, family))
        self._step = jax.jit(partial(_step, family), static_argnames="cut")
        self._batch: Batch | None = None
        self._outcome: Outcome | None = None

    def begin(self, born: np.ndarray, tasks: PyTree, seeds: np.ndarray, keys: Key | None) -> PyTree:  # noqa: ARG002
        """See `Envs`."""
        fresh = self._begin(jnp.asarray(seeds), jax.tree.map(jnp.asarray, tasks))
        self._batch = fresh if self._batch is None else select(jnp.asarray(born), fresh, self._batch)
        return jax.tree.map(np.asarray, self._batch.obs)

    def send(self, action: np.ndarray, keys: Key | None, *, cut: bool, final: np.ndarray | None = None) -> None:  # noqa: ARG002
        """See `Envs`."""
        self._batch, outcome = self._step(self._batch, jnp.asarray(action), cut=cut)
        self._outcome = outcome

    def receive(self) -> Outcome:
        """See `Envs`."""
        return jax.tree.map(np.asarray, self._outcome)

    def close(self) -> None:
        """Nothing is held but memory."""


def _begin(family: DeviceFamily, seeds: Array, tasks: PyTree) -> Batch:
    keys = jax.vmap(jax.random.key)(seeds)
    env, obs = jax.vmap(family.reset)(jax.vmap(lambda key: jax.random.fold_in(key, 0))(keys), tasks)
    return Batch(keys, tasks, env, obs)


def _step(family: DeviceFamily, batch: Batch, action: Array, *, cut: bool) -> tuple[Batch, Outcome]:
    """One step of each, and a reset of those whose episode it ended."""

    def one(key: Key, env: PyTree, task: PyTree, action: Array) -> tuple[Key, PyTree, Outcome]:
        key, key_step, key_reset = jax.random.split(key, 3)
        env, next_obs, reward, terminated, truncated, _ = family.step(key_step, env, action, task)
        truncated = (truncated | cut) & ~terminated
        env, obs = select(terminated | truncated, family.reset(key_reset, task), (env, next_obs))
        told: Any = (obs, next_obs, reward, terminated, truncated)
        return key, env, Outcome(*told)

    keys, env, outcome = jax.vmap(one)(batch.keys, batch.env, batch.tasks, action)
    return Batch(keys, batch.tasks, env, outcome.obs), outcome
