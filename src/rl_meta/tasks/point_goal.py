"""`point-goal` and `point-goal-sparse`: a point walks in the plane to a hidden goal.

The dense family is the 2D navigation of Finn, Abbeel & Levine (2017), "Model-Agnostic Meta-Learning for Fast
Adaptation of Deep Networks", section 5.3: walking straight to the goal earns -0.505 on average, staying at
the start -38.26. The sparse one is the point robot of Rakelly et al. (2019), "Efficient Off-Policy
Meta-Reinforcement Learning via Probabilistic Context Variables", with the reward on which PEARL
is tested (it is meta-trained on the dense one).
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS, Transition
from rl_meta.tasks.drawing import Disc, Line, Mark
from rl_meta.tasks.regions import sample_box
from rl_meta.types import Array, Key

MAX_STEP = 0.1
"""How far the point gets in one step along each axis."""
GOAL_LIMIT = 0.5
ARRIVED = 0.01
"""Dense: an episode ends this close to the goal along both axes."""
GOAL_RADIUS = 0.2
"""Sparse: the reward is 0 farther away."""


class PointState(NamedTuple):
    """Position [2], and the steps since the episode began."""

    position: Array
    time: Array


def _start() -> tuple[PointState, Array]:
    """At the origin."""
    return PointState(jnp.zeros(2), jnp.array(0)), jnp.zeros(2)


def _point(state: PointState, radius: float) -> list[Mark]:
    """The point, and a line to it from the start."""
    position = np.asarray(state.position)
    return [Line([(0.0, 0.0), position], "scene"), Disc(position, radius)]


class PointGoalTask(NamedTuple):
    """Hidden parameters."""

    goal: Array
    """[2]"""


@dataclass(frozen=True)
class PointGoal:
    """Walk to a hidden point of the square [-0.5, 0.5]²; the reward is minus the distance to it."""

    horizon: Count = 100
    """Steps after which an episode is truncated."""

    splits = SPLITS
    episodes = 3
    window = (-0.7, 0.7, -0.7, 0.7)

    @property
    def observation_space(self) -> spaces.Box:
        """The position."""
        return spaces.Box(-np.inf, np.inf, (2,))

    @property
    def action_space(self) -> spaces.Box:
        """The displacement."""
        return spaces.Box(-MAX_STEP, MAX_STEP, (2,))

    @property
    def task_space(self) -> spaces.Dict:
        """See `PointGoalTask`."""
        return spaces.Dict([("goal", spaces.Box(-GOAL_LIMIT, GOAL_LIMIT, (2,)))])

    def sample(self, key: Key, split: str = "train") -> PointGoalTask:
        """A goal in the split's region."""
        return PointGoalTask(sample_box(key, (-GOAL_LIMIT,) * 2, (GOAL_LIMIT,) * 2, split))

    def reset(self, key: Key, task: PointGoalTask) -> tuple[PointState, Array]:
        """At the origin."""
        return _start()

    def step(self, key: Key, state: PointState, action: Array, task: PointGoalTask) -> Transition:
        """Move; the reward is for where the point gets."""
        position, time = state.position + action, state.time + 1
        offset = position - task.goal
        arrived = (jnp.abs(offset) < ARRIVED).all()
        late = (time >= self.horizon) & ~arrived
        return Transition(PointState(position, time), position, -jnp.linalg.norm(offset), arrived, late)

    def draw(self, state: PointState, task: PointGoalTask) -> list[Mark]:
        """The way from the start to the point, and the goal."""
        return [Disc(np.asarray(task.goal), 0.06, "goal"), *_point(state, 0.04)]


class SparsePointGoalTask(NamedTuple):
    """Hidden parameters."""

    angle: Array
    """Direction of the goal seen from the start, rad, counter-clockwise from the first axis."""


@dataclass(frozen=True)
class SparsePointGoal:
    """Walk to a hidden point of the upper half circle; rewarded within 0.2 of it only, with 1 - distance."""

    horizon: Count = 20
    """Steps after which an episode is truncated."""

    splits = SPLITS
    episodes = 3
    window = (-1.3, 1.3, -0.9, 1.3)

    @property
    def observation_space(self) -> spaces.Box:
        """The position."""
        return spaces.Box(-np.inf, np.inf, (2,))

    @property
    def action_space(self) -> spaces.Box:
        """The displacement."""
        return spaces.Box(-MAX_STEP, MAX_STEP, (2,))

    @property
    def task_space(self) -> spaces.Dict:
        """See `SparsePointGoalTask`."""
        return spaces.Dict([("angle", spaces.Box(0.0, np.pi, ()))])

    def sample(self, key: Key, split: str = "train") -> SparsePointGoalTask:
        """An arc of the half circle; extrapolation goes up to 45° below its ends."""
        return SparsePointGoalTask(sample_box(key, (0.0,), (np.pi,), split)[0])

    def reset(self, key: Key, task: SparsePointGoalTask) -> tuple[PointState, Array]:
        """At the origin."""
        return _start()

    def step(self, key: Key, state: PointState, action: Array, task: SparsePointGoalTask) -> Transition:
        """Move; being at the goal ends nothing."""
        position, time = state.position + action, state.time + 1
        goal = jnp.stack([jnp.cos(task.angle), jnp.sin(task.angle)])
        distance = jnp.linalg.norm(position - goal)
        reward = jnp.where(distance <= GOAL_RADIUS, 1.0 - distance, 0.0)
        return Transition(PointState(position, time), position, reward, jnp.zeros((), bool), time >= self.horizon)

    def draw(self, state: PointState, task: SparsePointGoalTask) -> list[Mark]:
        """The way from the start to the point, and where it is rewarded."""
        goal = (float(np.cos(task.angle)), float(np.sin(task.angle)))
        return [Disc(goal, GOAL_RADIUS, "goal"), *_point(state, 0.08)]
