"""`two-link-arm`: a planar arm with hidden masses, load and friction reaches for a hidden goal.

The equations of motion are the textbook's, M(q) q̈ + c(q, q̇) + g(q) + f q̇ = τ, of Spong, Hutchinson & Vidyasagar
(2006), "Robot Modeling and Control", section 7.4 (planar elbow manipulator), with uniform rods as links and the load a
point at the tip. Where the goal is has to be found out from the reward; how the arm answers to torques from its motion.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.numerics.integration import runge_kutta_4
from rl_meta.settings import Count, NotNegative
from rl_meta.tasks.base import SPLITS, Transition
from rl_meta.tasks.drawing import Disc, Line, Mark
from rl_meta.tasks.regions import named_box, sample_box
from rl_meta.types import Array, Key

LINK_M = 0.5
"""Length of each link; its centre of mass is in the middle."""
SECONDS_PER_STEP = 0.05
SUBSTEPS = 2
MAX_TORQUE_NM = 2.0
MAX_SPEED_RAD_PER_S = 15.0
START_RAD = (np.pi / 4, np.pi / 2)
"""Bent, with the tip above the base; every goal is as far to the left as to the right."""
LOW = (0.5, 0.5, 0.25, 0.1, 0.35, 0.0)
HIGH = (1.5, 1.5, 1.25, 0.5, 0.9, np.pi)


class TwoLinkArmTask(NamedTuple):
    """Hidden parameters."""

    upper_mass: Array
    """Of the link at the base, kg."""
    lower_mass: Array
    """Of the other link, kg."""
    payload: Array
    """At the tip, kg."""
    friction: Array
    """Viscous, in both joints, N m s/rad."""
    goal_distance: Array
    """From the base, m."""
    goal_angle: Array
    """Seen from the base, rad, counter-clockwise from the first axis."""


class TwoLinkArmState(NamedTuple):
    """Joint angles [2] (rad, unwrapped, the second relative to the first), their rates [2], steps in the episode."""

    angles: Array
    rates: Array
    time: Array


def joints_of(angles: Array) -> tuple[Array, Array]:
    """Positions [2] of the elbow and of the tip, m; the base is the origin."""
    upper, lower = angles[0], angles[0] + angles[1]
    elbow = LINK_M * jnp.stack([jnp.cos(upper), jnp.sin(upper)])
    return elbow, elbow + LINK_M * jnp.stack([jnp.cos(lower), jnp.sin(lower)])


def goal_of(task: TwoLinkArmTask) -> Array:
    """Position [2] of the goal, m."""
    return task.goal_distance * jnp.stack([jnp.cos(task.goal_angle), jnp.sin(task.goal_angle)])


def accelerations(angles: Array, rates: Array, torque: Array, task: TwoLinkArmTask, gravity: float) -> Array:
    """Of the joints [2], rad/s²: M⁻¹ (τ - c - g - f q̇), with M = [[α + 2β cos q₂, δ + β cos q₂], [·, δ]]."""
    length, half = LINK_M, LINK_M / 2
    upper, lower, load = task.upper_mass, task.lower_mass, task.payload
    delta = lower * (length**2 / 12 + half**2) + load * length**2
    alpha = delta + upper * (length**2 / 12 + half**2) + (lower + load) * length**2
    beta = (lower * half + load * length) * length
    sin, cos = jnp.sin(angles[1]), jnp.cos(angles[1])
    coriolis = -beta * sin * jnp.stack([(2 * rates[0] + rates[1]) * rates[1], -(rates[0] ** 2)])
    fall_lower = (lower * half + load * length) * gravity * jnp.cos(angles[0] + angles[1])
    fall_upper = (upper * half + (lower + load) * length) * gravity * jnp.cos(angles[0])
    first, second = torque - coriolis - jnp.stack([fall_upper + fall_lower, fall_lower]) - task.friction * rates
    m11, m12, m22 = alpha + 2 * beta * cos, delta + beta * cos, delta
    return jnp.stack([m22 * first - m12 * second, m11 * second - m12 * first]) / (m11 * m22 - m12**2)


def _observe(angles: Array, rates: Array) -> Array:
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles), rates, joints_of(angles)[1]])


@dataclass(frozen=True)
class TwoLinkArm:
    """Reward minus the distance (m) of the tip from the hidden goal, and minus a small cost of torque."""

    horizon: Count = 50
    """Steps after which an episode is truncated."""
    gravity: NotNegative = 0.0
    """m/s², against the second axis; 0 is an arm that moves on a table."""

    splits = SPLITS
    episodes = 3
    window = (-1.1, 1.1, -1.1, 1.1)

    @property
    def observation_space(self) -> spaces.Box:
        """Cosines of the joint angles [2], sines [2], rates (rad/s) [2], position of the tip (m) [2]."""
        high = np.array([1.0] * 4 + [MAX_SPEED_RAD_PER_S] * 2 + [2 * LINK_M] * 2, np.float32)
        return spaces.Box(-1.001 * high, 1.001 * high)

    @property
    def action_space(self) -> spaces.Box:
        """Torques of the two motors (N m)."""
        return spaces.Box(-MAX_TORQUE_NM, MAX_TORQUE_NM, (2,))

    @property
    def task_space(self) -> spaces.Dict:
        """See `TwoLinkArmTask`."""
        return named_box(TwoLinkArmTask._fields, LOW, HIGH)

    def sample(self, key: Key, split: str = "train") -> TwoLinkArmTask:
        """Physics and goal from the split's region; extrapolation goals may lie below the base or out of reach."""
        return TwoLinkArmTask(*sample_box(key, LOW, HIGH, split))

    def reset(self, key: Key, task: TwoLinkArmTask) -> tuple[TwoLinkArmState, Array]:
        """Near the one start, at rest."""
        angles = jnp.array(START_RAD) + jax.random.uniform(key, (2,), minval=-0.1, maxval=0.1)
        state = TwoLinkArmState(angles, jnp.zeros(2), jnp.array(0))
        return state, _observe(state.angles, state.rates)

    def step(self, key: Key, state: TwoLinkArmState, action: Array, task: TwoLinkArmTask) -> Transition:
        """Runge-Kutta steps with the torque held; the reward is for where the tip gets."""

        def slopes(motion: tuple[Array, Array]) -> tuple[Array, Array]:
            angles, rates = motion
            return rates, accelerations(angles, rates, action, task, self.gravity)

        def substep(_: Array, motion: tuple[Array, Array]) -> tuple[Array, Array]:
            return runge_kutta_4(slopes, motion, SECONDS_PER_STEP / SUBSTEPS)

        motion = jax.lax.fori_loop(0, SUBSTEPS, substep, (state.angles, state.rates))
        angles, rates = motion[0], jnp.clip(motion[1], -MAX_SPEED_RAD_PER_S, MAX_SPEED_RAD_PER_S)
        offset = joints_of(angles)[1] - goal_of(task)
        reward = -jnp.linalg.norm(offset) - 0.001 * (action**2).sum()
        time = state.time + 1
        obs = _observe(angles, rates)
        return Transition(TwoLinkArmState(angles, rates, time), obs, reward, jnp.zeros((), bool), time >= self.horizon)

    def draw(self, state: TwoLinkArmState, task: TwoLinkArmTask) -> list[Mark]:
        """The arm and the goal; the disc at the tip grows with the load."""
        elbow, tip = (np.asarray(joint) for joint in joints_of(jnp.asarray(state.angles)))
        load = 0.05 + 0.05 * float(np.sqrt(max(float(task.payload), 0.0)))
        arm = Line(np.stack([np.zeros(2), elbow, tip]))
        return [Disc(np.asarray(goal_of(task)), 0.12, "goal"), Disc((0.0, 0.0), 0.08, "scene"), arm, Disc(tip, load)]
