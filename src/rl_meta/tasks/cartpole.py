"""`cartpole`: a pole on a cart whose physics, and even the direction of whose pushes, is hidden.

The dynamics of Barto, Sutton & Anderson (1983) with the constants and limits of Gymnasium's `CartPole-v1`;
what is fixed there is the task here. Because `direction` is hidden, which action pushes left has to be found out first.
That needs no memory of the agent's own: the velocities tell what the last push did, and a memoryless policy can learn
to read it there.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS, Transition
from rl_meta.tasks.drawing import Disc, Line, Mark, Polygon, box
from rl_meta.tasks.regions import named_box, sample_box
from rl_meta.types import Array, Key

CART_MASS_KG = 1.0
SECONDS_PER_STEP = 0.02
X_LIMIT_M = 2.4
THETA_LIMIT_RAD = 12 * 2 * np.pi / 360
LOW = (5.0, 0.25, 0.1, 5.0)
HIGH = (15.0, 1.0, 0.4, 15.0)


class CartPoleTask(NamedTuple):
    """Hidden parameters."""

    gravity: Array
    """m/s²"""
    length: Array
    """Half the pole's length, m."""
    pole_mass: Array
    """kg"""
    force: Array
    """Strength of a push, N."""
    direction: Array
    """+1 or -1: which way action 1 pushes."""


class CartPoleState(NamedTuple):
    """Position, velocity, angle, angular velocity [4], and the steps since the episode began."""

    physics: Array
    time: Array


@dataclass(frozen=True)
class CartPole:
    """Reward 1 per step until the pole falls, the cart leaves the track, or `horizon` steps are over."""

    horizon: Count = 200
    """Steps after which an episode is truncated."""
    hide_direction: bool = True
    """Draw the direction of the push as well; with False, action 1 always pushes right."""

    splits = SPLITS
    episodes = 2
    window = (-2.7, 2.7, -0.6, 2.2)

    @property
    def observation_space(self) -> spaces.Box:
        """Position (m), velocity (m/s), angle (rad), angular velocity (rad/s)."""
        high = np.array([2 * X_LIMIT_M, np.inf, 2 * THETA_LIMIT_RAD, np.inf], np.float32)
        return spaces.Box(-high, high)

    @property
    def action_space(self) -> spaces.Discrete:
        """Push against (0) or along (1) the task's direction."""
        return spaces.Discrete(2)

    @property
    def task_space(self) -> spaces.Dict:
        """See `CartPoleTask`."""
        return named_box(CartPoleTask._fields, (*LOW, -1.0), (*HIGH, 1.0))

    def sample(self, key: Key, split: str = "train") -> CartPoleTask:
        """Physics from the split's region; both directions are in every split."""
        key_box, key_direction = jax.random.split(key)
        direction = jnp.where(jax.random.bernoulli(key_direction), 1.0, -1.0)
        direction = direction if self.hide_direction else jnp.ones(())
        gravity, length, pole_mass, force = sample_box(key_box, LOW, HIGH, split)
        return CartPoleTask(gravity, length, pole_mass, force, direction)

    def reset(self, key: Key, task: CartPoleTask) -> tuple[CartPoleState, Array]:
        """Near upright and at rest."""
        physics = jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)
        return CartPoleState(physics, jnp.array(0)), physics

    def step(self, key: Key, state: CartPoleState, action: Array, task: CartPoleTask) -> Transition:
        """Euler's method, as in Gymnasium."""
        _, x_dot, theta, theta_dot = state.physics
        force = jnp.where(action == 1, task.force, -task.force) * task.direction
        sin, cos = jnp.sin(theta), jnp.cos(theta)
        total_mass = CART_MASS_KG + task.pole_mass
        mass_length = task.pole_mass * task.length
        push = (force + mass_length * theta_dot**2 * sin) / total_mass
        theta_acc = (task.gravity * sin - cos * push) / (
            task.length * (4.0 / 3.0 - task.pole_mass * cos**2 / total_mass)
        )
        x_acc = push - mass_length * theta_acc * cos / total_mass
        rates = jnp.stack([x_dot, x_acc, theta_dot, theta_acc])
        physics = state.physics + SECONDS_PER_STEP * rates
        time = state.time + 1
        fallen = (jnp.abs(physics[0]) > X_LIMIT_M) | (jnp.abs(physics[2]) > THETA_LIMIT_RAD)
        late = (time >= self.horizon) & ~fallen
        return Transition(CartPoleState(physics, time), physics, jnp.ones(()), fallen, late)

    def draw(self, state: CartPoleState, task: CartPoleTask) -> list[Mark]:
        """Track, cart and pole."""
        x, _, theta, _ = (float(part) for part in state.physics)
        top = np.array([x, 0.0]) + 2 * float(task.length) * np.array([np.sin(theta), np.cos(theta)])
        track = Line([(-X_LIMIT_M, -0.2), (X_LIMIT_M, -0.2)], "scene")
        return [track, Polygon(box((x, 0.0), 0.7, 0.4)), Line([(x, 0.0), top], "other"), Disc(top, 0.1, "other")]
