"""`pendulum`: swing up and balance a pendulum whose physics, and even which way its motor turns, is hidden.

The dynamics and the reward of Gymnasium's `Pendulum-v1`; what is fixed there is the task here. Because `direction` is
hidden, which way to push has to be found out first.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS, Transition
from rl_meta.tasks.drawing import Disc, Line, Mark
from rl_meta.tasks.regions import named_box, sample_box
from rl_meta.types import Array, Key

SECONDS_PER_STEP = 0.05
MAX_SPEED_RAD_PER_S = 8.0
MAX_TORQUE_NM = 2.0
LOW = (5.0, 0.5, 0.5)
HIGH = (15.0, 1.5, 1.5)


class PendulumTask(NamedTuple):
    """Hidden parameters."""

    gravity: Array
    """m/s²"""
    mass: Array
    """kg"""
    length: Array
    """m"""
    direction: Array
    """+1 or -1: which way a positive torque turns."""


class PendulumState(NamedTuple):
    """Angle from upright (rad, unwrapped), angular velocity (rad/s), and steps since the episode began."""

    theta: Array
    theta_dot: Array
    time: Array


def _observe(theta: Array, theta_dot: Array) -> Array:
    return jnp.stack([jnp.cos(theta), jnp.sin(theta), theta_dot])


@dataclass(frozen=True)
class Pendulum:
    """Reward minus a cost of angle, speed and torque, for the state in which the torque is applied."""

    horizon: Count = 200
    """Steps after which an episode is truncated."""

    splits = SPLITS
    episodes = 3
    window = (-1.9, 1.9, -1.9, 1.9)

    @property
    def observation_space(self) -> spaces.Box:
        """Cosine and sine of the angle from upright, angular velocity (rad/s)."""
        high = np.array([1.0, 1.0, MAX_SPEED_RAD_PER_S], np.float32)
        return spaces.Box(-high, high)

    @property
    def action_space(self) -> spaces.Box:
        """Torque along the task's direction (N m)."""
        return spaces.Box(-MAX_TORQUE_NM, MAX_TORQUE_NM, (1,))

    @property
    def task_space(self) -> spaces.Dict:
        """See `PendulumTask`."""
        return named_box(PendulumTask._fields, (*LOW, -1.0), (*HIGH, 1.0))

    def sample(self, key: Key, split: str = "train") -> PendulumTask:
        """Physics from the split's region; both directions are in every split."""
        key_box, key_direction = jax.random.split(key)
        direction = jnp.where(jax.random.bernoulli(key_direction), 1.0, -1.0)
        gravity, mass, length = sample_box(key_box, LOW, HIGH, split)
        return PendulumTask(gravity, mass, length, direction)

    def reset(self, key: Key, task: PendulumTask) -> tuple[PendulumState, Array]:
        """At any angle, turning slowly."""
        limit = jnp.array([np.pi, 1.0])
        theta, theta_dot = jax.random.uniform(key, (2,), minval=-limit, maxval=limit)
        return PendulumState(theta, theta_dot, jnp.array(0)), _observe(theta, theta_dot)

    def step(self, key: Key, state: PendulumState, action: Array, task: PendulumTask) -> Transition:
        """Euler's method, speed first, as in Gymnasium."""
        torque = action[0] * task.direction
        angle = (state.theta + np.pi) % (2 * np.pi) - np.pi
        cost = angle**2 + 0.1 * state.theta_dot**2 + 0.001 * torque**2
        swing = 3 * task.gravity / (2 * task.length) * jnp.sin(state.theta)
        push = 3 * torque / (task.mass * task.length**2)
        theta_dot = state.theta_dot + SECONDS_PER_STEP * (swing + push)
        theta_dot = jnp.clip(theta_dot, -MAX_SPEED_RAD_PER_S, MAX_SPEED_RAD_PER_S)
        theta = state.theta + SECONDS_PER_STEP * theta_dot
        time = state.time + 1
        obs = _observe(theta, theta_dot)
        return Transition(PendulumState(theta, theta_dot, time), obs, -cost, jnp.zeros((), bool), time >= self.horizon)

    def draw(self, state: PendulumState, task: PendulumTask) -> list[Mark]:
        """The pendulum, and the place where its end should be."""
        length, theta = float(task.length), float(state.theta)
        end = length * np.array([-np.sin(theta), np.cos(theta)])
        return [
            Disc((0.0, length), 0.2, "goal"),
            Disc((0.0, 0.0), 0.08, "scene"),
            Line([(0.0, 0.0), end]),
            Disc(end, 0.13),
        ]
