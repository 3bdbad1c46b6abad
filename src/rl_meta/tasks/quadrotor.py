"""`quadrotor`: a drone in a vertical plane, with hidden mass, inertia, motors and wind, flies to a point and hovers.

The planar model of Mellinger & Kumar (2011), "Minimum Snap Trajectory Generation and Control for Quadrotors", in the
plane, with drag linear in the speed relative to the air. The two motors differ in strength and so pull the drone to one
side; by how much, how heavy it is, and which way the wind blows has to be found out in flight.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.numerics.integration import runge_kutta_4
from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS, Transition
from rl_meta.tasks.drawing import Disc, Line, Mark, Polygon, box
from rl_meta.tasks.regions import named_box, sample_box
from rl_meta.types import Array, Key

GRAVITY_M_PER_S2 = 9.81
ARM_M = 0.2
"""From the centre of mass to each motor."""
DRAG_N_S_PER_M = 0.25
SECONDS_PER_STEP = 0.05
LIMIT_M = 2.0
"""The walls, the floor and the ceiling are this far from the goal."""
TILT_LIMIT_RAD = np.pi / 2
START_M = 1.0
LENGTH_SCALE_M = 0.5
LOW = (0.5, 0.01, 8.0, 8.0, -5.0)
HIGH = (1.0, 0.03, 16.0, 16.0, 5.0)


class QuadrotorTask(NamedTuple):
    """Hidden parameters."""

    mass: Array
    """kg"""
    inertia: Array
    """kg m²"""
    left_thrust: Array
    """The most that the left motor pulls, N."""
    right_thrust: Array
    """The most that the right motor pulls, N."""
    wind: Array
    """Horizontal speed of the air, m/s."""


class QuadrotorState(NamedTuple):
    """x, height, tilt (rad, counter-clockwise) from the goal [3], their rates [3], steps since the episode began."""

    pose: Array
    rates: Array
    time: Array


def accelerations(pose: Array, rates: Array, throttle: Array, task: QuadrotorTask) -> Array:
    """Of x, height and tilt [3]; throttle is [left, right] in [0, 1].

    m ẍ = -(F_l + F_r) sin θ - d (ẋ - w),  m z̈ = (F_l + F_r) cos θ - m g - d ż,  I θ̈ = a (F_r - F_l)
    """
    left, right = throttle[0] * task.left_thrust, throttle[1] * task.right_thrust
    thrust, tilt = left + right, pose[2]
    sideways = -thrust * jnp.sin(tilt) - DRAG_N_S_PER_M * (rates[0] - task.wind)
    upwards = thrust * jnp.cos(tilt) - DRAG_N_S_PER_M * rates[1]
    turn = ARM_M * (right - left) / task.inertia
    return jnp.stack([sideways / task.mass, upwards / task.mass - GRAVITY_M_PER_S2, turn])


def _observe(pose: Array, rates: Array) -> Array:
    return jnp.concatenate([pose[:2], jnp.sin(pose[2:]), jnp.cos(pose[2:]), rates])


@dataclass(frozen=True)
class Quadrotor:
    """Reward from 0 far away to 1 at the goal, in every step until the drone crashes, tips over, or time is up."""

    horizon: Count = 100
    """Steps after which an episode is truncated."""

    splits = SPLITS
    episodes = 3
    window = (-LIMIT_M, LIMIT_M, -LIMIT_M, LIMIT_M)

    @property
    def observation_space(self) -> spaces.Box:
        """Position relative to the goal (m) [2], sine and cosine of the tilt, velocity (m/s) [2], turn (rad/s)."""
        return spaces.Box(-np.inf, np.inf, (7,))

    @property
    def action_space(self) -> spaces.Box:
        """Throttles of the left and of the right motor."""
        return spaces.Box(0.0, 1.0, (2,))

    @property
    def task_space(self) -> spaces.Dict:
        """See `QuadrotorTask`."""
        return named_box(QuadrotorTask._fields, LOW, HIGH)

    def sample(self, key: Key, split: str = "train") -> QuadrotorTask:
        """Physics from the split's region. In every split the motors can lift the drone."""
        return QuadrotorTask(*sample_box(key, LOW, HIGH, split))

    def reset(self, key: Key, task: QuadrotorTask) -> tuple[QuadrotorState, Array]:
        """At rest and upright, anywhere in a square around the goal."""
        position = jax.random.uniform(key, (2,), minval=-START_M, maxval=START_M)
        state = QuadrotorState(jnp.append(position, 0.0), jnp.zeros(3), jnp.array(0))
        return state, _observe(state.pose, state.rates)

    def step(self, key: Key, state: QuadrotorState, action: Array, task: QuadrotorTask) -> Transition:
        """A Runge-Kutta step with the throttles held; the reward 1 / (1 + (distance / 0.5 m)²) is for where it ends."""

        def slopes(motion: tuple[Array, Array]) -> tuple[Array, Array]:
            pose, rates = motion
            return rates, accelerations(pose, rates, action, task)

        pose, rates = runge_kutta_4(slopes, (state.pose, state.rates), SECONDS_PER_STEP)
        time = state.time + 1
        crashed = (jnp.abs(pose[:2]) > LIMIT_M).any() | (jnp.abs(pose[2]) > TILT_LIMIT_RAD)
        reward = jnp.where(crashed, 0.0, 1 / (1 + (pose[:2] ** 2).sum() / LENGTH_SCALE_M**2))
        late = (time >= self.horizon) & ~crashed
        return Transition(QuadrotorState(pose, rates, time), _observe(pose, rates), reward, crashed, late)

    def draw(self, state: QuadrotorState, task: QuadrotorTask) -> list[Mark]:
        """The drone at twice its size, and the goal; the line from there is how far the wind blows in 0.2 s."""
        x, height, tilt = (float(part) for part in state.pose)
        along, up = np.array([np.cos(tilt), np.sin(tilt)]), np.array([-np.sin(tilt), np.cos(tilt)])
        rotors = [np.array([x, height]) + side * 2 * ARM_M * along + 0.12 * up for side in (-1, 1)]
        blades = [Polygon(box(rotor, 0.36, 0.06, tilt)) for rotor in rotors]
        wind = Line([(0.0, 0.0), (0.2 * float(task.wind), 0.0)], "scene")
        return [wind, Disc((0.0, 0.0), 0.12, "goal"), Polygon(box((x, height), 4 * ARM_M, 0.12, tilt)), *blades]
