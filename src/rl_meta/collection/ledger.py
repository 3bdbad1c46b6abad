"""The books of one lifetime whose environment is stepped elsewhere: what the agent sees next, and what it learns from.

NumPy throughout, so that keeping them costs microseconds.
"""

from typing import Any

import jax
import numpy as np
from gymnasium import spaces

from rl_meta.algorithms.base import Shape
from rl_meta.errors import UserError
from rl_meta.policies.spaces import no_action
from rl_meta.types import Inputs, PyTree, Step


class Ledger:
    """Where a lifetime is, and its steps since the last stage ended."""

    def __init__(self, shape: Shape, action_space: spaces.Space, *, learns: bool) -> None:
        """learns: whether steps have to be kept for the agent's `learn`."""
        self.inputs: Inputs | None = None
        """What the agent sees next; None: nothing so far."""
        self.stage = self.copy = self.time = 0
        self.action: PyTree = np.asarray(no_action(action_space))
        """As drawn last."""
        self.extras: PyTree = ()
        self._shape, self._learns = shape, learns
        self._steps: list[Step] = []

    def observe(self, obs: PyTree) -> None:
        """See this next: the first observation of the lifetime, or of a new episode."""
        if self.inputs is None:
            no: Any = np.float32(0)
            self.inputs = Inputs(obs, _flag(value=True), self.action, no, jax.tree.map(np.zeros_like, obs))
        else:
            self.inputs = self.inputs._replace(obs=obs, first=_flag(value=True))

    def acted(self, action: PyTree, extras: PyTree) -> None:
        """What the agent did at `inputs`."""
        self.action, self.extras = action, extras

    def follow(self, obs: PyTree, final: PyTree, reward: float, *, ended: tuple[bool, bool]) -> bool:
        """Record what the last action led to. True where this ended the stage: see `end_stage`.

        Args:
            obs: what the environment shows now.
            final: the last observation of the episode, where it ended.
            reward: what the last action brought.
            ended: terminated, truncated.
        """
        assert self.inputs is not None
        terminated, truncated = ended
        ends = self.time == self._shape.steps - 1
        cut = (truncated or (ends and self._shape.restart)) and not terminated
        result = final if terminated or truncated else obs
        paid: Any = np.float32(reward)
        if self._learns:
            told = paid, result, _flag(value=terminated), _flag(value=cut)
            self._steps.append(Step(self.inputs, self.action, self.extras, *told))
        self.inputs = Inputs(obs, _flag(value=terminated or cut), self.action, paid, result)
        self.time += 1
        if ends:
            self.time, self.copy = 0, self.copy + 1
        return self.copy == self._shape.copies

    def end_stage(self) -> Step | None:
        """The steps [C, T, ...] of the stage that has ended, where the agent learns from them; the next one begins."""
        self.stage, self.copy = self.stage + 1, 0
        steps, self._steps = self._steps, []
        if not self._learns:
            return None
        size = self._shape.copies, self._shape.steps
        stack = lambda *x: np.stack([np.asarray(part) for part in x]).reshape(*size, *np.shape(x[0]))
        return jax.tree.map(stack, *steps)


def observed(space: spaces.Space, observation: Any) -> PyTree:
    """The observation as NumPy arrays of the space's shape and type.

    Raises:
        UserError: it is not of this space.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(observation, dict):
            raise UserError(f"an observation must have entries {', '.join(space.keys())}, got {observation!r}")
        missing = set(space.keys()) - set(observation)
        if missing:
            raise UserError(f"the observation lacks {', '.join(sorted(missing))}")
        return {name: observed(part, observation[name]) for name, part in space.items()}
    try:
        given = np.asarray(observation)
        array = given.astype(jax.dtypes.canonicalize_dtype(space.dtype))  # a copy
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"an observation must be numbers of {space}, got {observation!r}") from None
    if array.dtype.kind in "iu" and not np.array_equal(array, given):
        raise UserError(f"an observation must be whole numbers of {space}, got {observation!r}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError(f"an observation must be finite numbers, got {observation!r}")
    if array.shape != (space.shape or ()):
        raise UserError(f"an observation must have the shape {space.shape} of {space}, got {array.shape}")
    return array


def _flag(*, value: bool) -> Any:
    return np.bool_(value)
