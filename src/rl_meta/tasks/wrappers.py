"""Families made from families. `reveal_task` shows the agent what is hidden: for the oracle baseline."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.tasks.base import Family, Transition
from rl_meta.types import Array, Key, PyTree


@dataclass(frozen=True)
class RevealTask:
    """The same family, observed as a dictionary of the `observation` and the `task`.

    `task` is a float32 vector of all hidden parameters in the order of the task's fields: numbers scaled so
    that the bounds of `task_space` are -1 and 1 (extrapolation tasks exceed them), unscaled where there are
    no bounds, and one-hot where they are discrete.
    """

    family: Family
    """Whose tasks are revealed."""

    @property
    def observation_space(self) -> spaces.Dict:
        """What the family shows, and the task."""
        size = spaces.flatdim(self.family.task_space)
        task = spaces.Box(-np.inf, np.inf, (size,))
        return spaces.Dict([("observation", self.family.observation_space), ("task", task)])

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

    def reset(self, key: Key, task: PyTree) -> tuple[PyTree, dict[str, PyTree]]:
        """The family's, with the task revealed."""
        state, obs = self.family.reset(key, task)
        return state, self._reveal(obs, task)

    def step(self, key: Key, state: PyTree, action: PyTree, task: PyTree) -> Transition:
        """The family's, with the task revealed."""
        transition = self.family.step(key, state, action, task)
        return transition._replace(obs=self._reveal(transition.obs, task))

    def _reveal(self, obs: PyTree, task: PyTree) -> dict[str, PyTree]:
        parts = [_to_vector(value, self.task_space[name]) for name, value in task._asdict().items()]
        return {"observation": obs, "task": jnp.concatenate(parts)}


def reveal_task(family: Family) -> RevealTask:
    """`family` with its tasks shown in the observation."""
    return RevealTask(family)


def _to_vector(value: Array, space: spaces.Space) -> Array:
    """A parameter as a float32 vector [spaces.flatdim(space)]."""
    if isinstance(space, spaces.Discrete):
        return jax.nn.one_hot(value - int(space.start), int(space.n))
    if not isinstance(space, spaces.Box):
        raise UserError(f"reveal_task shows Box and Discrete parameters, got {space}")
    bounded = np.isfinite(space.low) & np.isfinite(space.high) & (space.low < space.high)
    low, high = np.where(bounded, space.low, -1.0), np.where(bounded, space.high, 1.0)
    return ((value - (low + high) / 2) / ((high - low) / 2)).astype(jnp.float32).ravel()
