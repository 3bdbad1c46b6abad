"""Families made from families.

`reveal_task` shows the agent what is hidden: for the oracle baseline. `FiniteTasks` trains on a fixed number of tasks:
for methods that keep what they have lived through task by task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.settings import Count
from rl_meta.tasks.base import Family, Transition, draw_tasks
from rl_meta.tasks.envs import Envs, Outcome, on_device
from rl_meta.types import Array, Key, PyTree


@dataclass(frozen=True)
class Wrapped:
    """A family that is another one in all that it does not say itself."""

    family: Family
    """Which one."""

    @property
    def observation_space(self) -> spaces.Space:
        """The family's."""
        return self.family.observation_space

    @property
    def action_space(self) -> spaces.Space:
        """The family's."""
        return self.family.action_space

    @property
    def task_space(self) -> spaces.Dict:
        """The family's."""
        return self.family.task_space

    @property
    def splits(self) -> tuple[str, ...]:
        """The family's."""
        return self.family.splits

    @property
    def horizon(self) -> int:
        """The family's."""
        return self.family.horizon

    @property
    def episodes(self) -> int:
        """The family's."""
        return self.family.episodes

    def sample(self, key: Key, split: str = "train") -> PyTree:
        """The family's."""
        return self.family.sample(key, split)

    def reset(self, key: Key, task: PyTree) -> tuple[PyTree, PyTree]:
        """The family's."""
        return on_device(self.family).reset(key, task)

    def step(self, key: Key, state: PyTree, action: PyTree, task: PyTree) -> Transition:
        """The family's."""
        return on_device(self.family).step(key, state, action, task)

    @property
    def make_envs(self) -> Callable[[int], Envs]:
        """The family's, where it has its environments on the host; otherwise there is no such attribute."""
        return self.family.make_envs  # type: ignore[attr-defined]

    @property
    def measures(self) -> tuple[str, ...]:
        """The family's, where it measures anything."""
        return getattr(self.family, "measures", ())

    @property
    def overlaps(self) -> bool:
        """The family's, where it has its environments on the host."""
        return self.family.overlaps  # type: ignore[attr-defined]


@dataclass(frozen=True)
class RevealTask(Wrapped):
    """The same family, observed as a dictionary of the `observation` and the `task`.

    `task` is a float32 vector of all hidden parameters in the order of the task's fields: numbers scaled so
    that the bounds of `task_space` are -1 and 1 (extrapolation tasks exceed them), unscaled where there are
    no bounds, and one-hot where they are discrete.
    """

    @property
    def observation_space(self) -> spaces.Dict:
        """What the family shows, and the task."""
        size = spaces.flatdim(self.family.task_space)
        task = spaces.Box(-np.inf, np.inf, (size,))
        return spaces.Dict([("observation", self.family.observation_space), ("task", task)])

    def reset(self, key: Key, task: PyTree) -> tuple[PyTree, dict[str, PyTree]]:
        """The family's, with the task revealed."""
        state, obs = on_device(self.family).reset(key, task)
        return state, self._reveal(obs, task)

    def step(self, key: Key, state: PyTree, action: PyTree, task: PyTree) -> Transition:
        """The family's, with the task revealed."""
        transition = on_device(self.family).step(key, state, action, task)
        return transition._replace(obs=self._reveal(transition.obs, task))

    @property
    def make_envs(self) -> Callable[[int], Envs]:
        """The family's, with the task revealed; no such attribute where the family is on the device."""
        make = super().make_envs
        return lambda count: _RevealingEnvs(make(count), jax.jit(jax.vmap(self._reveal)))

    def _reveal(self, obs: PyTree, task: PyTree) -> dict[str, PyTree]:
        parts = [_to_vector(value, self.task_space[name]) for name, value in task._asdict().items()]
        return {"observation": obs, "task": jnp.concatenate(parts)}


class _RevealingEnvs:
    """Environments on the host that show their tasks; see `Envs`."""

    def __init__(self, envs: Envs, reveal: Callable[[PyTree, PyTree], PyTree]) -> None:
        """reveal: (observations [B], tasks [B]) -> observations [B]."""
        self._envs, self._reveal, self.wants_keys = envs, reveal, envs.wants_keys
        self._tasks: PyTree = None

    def begin(self, born: np.ndarray, tasks: PyTree, seeds: np.ndarray, keys: Key | None) -> PyTree:
        """See `Envs`."""
        chosen = lambda new, old: np.where(born.reshape(-1, *[1] * (new.ndim - 1)), new, old)
        self._tasks = tasks if self._tasks is None else jax.tree.map(chosen, tasks, self._tasks)
        return self._shown(self._envs.begin(born, tasks, seeds, keys))

    def send(self, action: np.ndarray, keys: Key | None, *, cut: bool, final: np.ndarray | None = None) -> None:
        """See `Envs`."""
        self._envs.send(action, keys, cut=cut, final=final)

    def receive(self) -> Outcome:
        """See `Envs`."""
        outcome = self._envs.receive()
        return outcome._replace(obs=self._shown(outcome.obs), next_obs=self._shown(outcome.next_obs))

    def close(self) -> None:
        """See `Envs`."""
        self._envs.close()

    def _shown(self, obs: PyTree) -> PyTree:
        return jax.tree.map(np.asarray, self._reveal(obs, self._tasks))


def reveal_task(family: Family) -> RevealTask:
    """`family` with its tasks shown in the observation."""
    return RevealTask(family)


@dataclass(frozen=True)
class FiniteTasks(Wrapped):
    """The same family with a fixed table of training tasks; the other splits are as they were."""

    count: Count = 100
    """Rows of the table."""
    seed: int = 0
    """Decides which tasks of the train split are in it."""

    @cached_property
    def table(self) -> PyTree:
        """All training tasks [count, ...], NumPy arrays also when asked for while JAX traces."""
        with jax.ensure_compile_time_eval():
            return jax.tree.map(np.asarray, draw_tasks(self.family, jax.random.key(self.seed), self.count))

    def sample(self, key: Key, split: str = "train") -> PyTree:
        """A row of the table; of another split, a task of the family."""
        if split != "train":
            return self.family.sample(key, split)
        row = jax.random.randint(key, (), 0, self.count)
        return jax.tree.map(lambda x: jnp.asarray(x)[row], self.table)

    def row_of(self, task: PyTree) -> Array:
        """Which row of the table a training task is (int32), by exact comparison; of equal rows the first."""
        equal = lambda rows, x: (rows == x).reshape(self.count, -1).all(1)
        return jnp.stack(jax.tree.leaves(jax.tree.map(equal, self.table, task))).all(0).argmax().astype(jnp.int32)


def _to_vector(value: Array, space: spaces.Space) -> Array:
    """A parameter as a float32 vector [spaces.flatdim(space)]."""
    if isinstance(space, spaces.Discrete):
        return jax.nn.one_hot(value - int(space.start), int(space.n))
    if not isinstance(space, spaces.Box):
        raise UserError(f"reveal_task shows Box and Discrete parameters, got {space}")
    bounded = np.isfinite(space.low) & np.isfinite(space.high) & (space.low < space.high)
    low, high = np.where(bounded, space.low, -1.0), np.where(bounded, space.high, 1.0)
    return ((value - (low + high) / 2) / ((high - low) / 2)).astype(jnp.float32).ravel()
