"""Families so small that the answer is known: whoever learns must get it. For tests of everything else.

Their tasks are few, so that the splits differ by seed alone and share tasks.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.settings import Count, Rate
from rl_meta.tasks.base import SPLITS, Transition, split_key
from rl_meta.types import Array, Key

GOALS = tuple(np.linspace(-1, 1, 8).tolist())
"""Of `AimAt`."""


class ArmTask(NamedTuple):
    """Hidden parameters."""

    arm: Array
    """Which arm pays."""


class Clock(NamedTuple):
    """Steps since the episode began."""

    time: Array


@dataclass(frozen=True)
class OneArmPays:
    """Two arms, one of which pays 1. Every step may end the episode, one way or the other.

    Known answer: 0.5 for the first pull of a lifetime, 1 for every later one. For a method that learns only
    between stages: 0.5 per step in the first stage, 1 in every later one.
    """

    end: Rate = 0.3
    """Probability that a step terminates the episode, and, if it does not, that it truncates it."""
    horizon: Count = 6
    """Steps after which an episode is truncated at the latest."""

    splits = SPLITS[:3]
    episodes = 2

    @property
    def observation_space(self) -> spaces.Box:
        """Always 0."""
        return spaces.Box(0.0, 1.0, (1,))

    @property
    def action_space(self) -> spaces.Discrete:
        """Which arm to pull."""
        return spaces.Discrete(2)

    @property
    def task_space(self) -> spaces.Dict:
        """See `ArmTask`."""
        return spaces.Dict([("arm", spaces.Discrete(2))])

    def sample(self, key: Key, split: str = "train") -> ArmTask:
        """Either arm."""
        return ArmTask(jax.random.randint(split_key(key, split), (), 0, 2))

    def reset(self, key: Key, task: ArmTask) -> tuple[Clock, Array]:
        """Nothing to set up."""
        return Clock(jnp.array(0)), jnp.zeros(1)

    def step(self, key: Key, state: Clock, action: Array, task: ArmTask) -> Transition:
        """Pull an arm."""
        time = state.time + 1
        terminated, limit = jax.random.bernoulli(key, self.end, (2,))
        truncated = (limit | (time >= self.horizon)) & ~terminated
        reward = (action == task.arm).astype(float)
        return Transition(Clock(time), jnp.zeros(1), reward, terminated, truncated)


class CountdownTask(NamedTuple):
    """Hidden parameters."""

    mark: Array
    """Changes nothing; tells tasks apart."""


class CountdownState(NamedTuple):
    """Steps since the episode began, and the number drawn for this episode."""

    time: Array
    episode: Array


@dataclass(frozen=True)
class Countdown:
    """Shows which episode and which of its steps each observation is from; actions do nothing.

    Known answer: the reward is the time shown before the step, the next observation shows one more and still
    the number of the episode that the step was in.
    """

    death: Rate = 0.2
    """Probability that a step terminates the episode."""
    limit: Rate = 0.15
    """Probability that a step which does not terminate the episode truncates it."""
    horizon: Count = 20
    """Steps after which an episode is truncated at the latest."""

    splits = SPLITS[:3]
    episodes = 3

    @property
    def observation_space(self) -> spaces.Box:
        """Steps since the episode began, the episode's number in [0, 1]."""
        return spaces.Box(np.zeros(2, np.float32), np.array([self.horizon, 1], np.float32))

    @property
    def action_space(self) -> spaces.Discrete:
        """Without effect."""
        return spaces.Discrete(2)

    @property
    def task_space(self) -> spaces.Dict:
        """See `CountdownTask`."""
        return spaces.Dict([("mark", spaces.Box(0.0, 1.0, ()))])

    def sample(self, key: Key, split: str = "train") -> CountdownTask:
        """A mark in [0, 1]."""
        return CountdownTask(jax.random.uniform(split_key(key, split)))

    def reset(self, key: Key, task: CountdownTask) -> tuple[CountdownState, Array]:
        """A new number."""
        state = CountdownState(jnp.array(0), jax.random.uniform(key))
        return state, self._observe(state)

    def step(self, key: Key, state: CountdownState, action: Array, task: CountdownTask) -> Transition:
        """Count."""
        following = state._replace(time=state.time + 1)
        terminated, limit = jax.random.bernoulli(key, jnp.array([self.death, self.limit]))
        truncated = (limit | (following.time >= self.horizon)) & ~terminated
        reward = state.time.astype(float)
        return Transition(following, self._observe(following), reward, terminated, truncated)

    def _observe(self, state: CountdownState) -> Array:
        return jnp.stack([state.time.astype(float), state.episode])


@dataclass(frozen=True)
class LookOrPull:
    """Four arms pay 1 or -1; the fifth action pays 0 and looks. Episodes are one step long.

    What looking shows is the last observation of the episode, which an auto-reset may swallow. Known answer:
    0, 1, 1, ... per episode for an agent that is shown what its last action led to. One that is not, as with
    `blind`, has to try the arms: -0.5 for the first pull.
    """

    blind: bool = False
    """Looking shows nothing."""

    splits = SPLITS[:3]
    horizon = 1
    episodes = 3

    @property
    def observation_space(self) -> spaces.Box:
        """One-hot of the arm that pays after looking, otherwise zeros."""
        return spaces.Box(0.0, 1.0, (4,))

    @property
    def action_space(self) -> spaces.Discrete:
        """Which arm to pull; 4 looks."""
        return spaces.Discrete(5)

    @property
    def task_space(self) -> spaces.Dict:
        """See `ArmTask`."""
        return spaces.Dict([("arm", spaces.Discrete(4))])

    def sample(self, key: Key, split: str = "train") -> ArmTask:
        """Any arm."""
        return ArmTask(jax.random.randint(split_key(key, split), (), 0, 4))

    def reset(self, key: Key, task: ArmTask) -> tuple[Clock, Array]:
        """Nothing to set up."""
        return Clock(jnp.array(0)), jnp.zeros(4)

    def step(self, key: Key, state: Clock, action: Array, task: ArmTask) -> Transition:
        """Look or pull, and the episode terminates."""
        looks = action == 4
        obs = jnp.where(looks & (not self.blind), jax.nn.one_hot(task.arm, 4), 0.0)
        reward = jnp.where(looks, 0.0, jnp.where(action == task.arm, 1.0, -1.0))
        return Transition(Clock(state.time + 1), obs, reward, jnp.ones((), bool), jnp.zeros((), bool))


class LightsTask(NamedTuple):
    """Hidden parameters."""

    quarter: Array
    """Of the picture, to be named: upper left, upper right, lower left, lower right."""


@dataclass(frozen=True)
class Lights:
    """Name a quarter of a dark picture; then a pixel lights up in the one that pays 1, and an episode is dark at first.

    Known answer: 0.25 for the first step of a lifetime, 1 for every later one; without memory 0.25 for the first step
    of every episode. Whoever does not see pictures stays at 0.25.
    """

    side: Count = 8
    """Of the picture, in pixels; even."""
    horizon: Count = 3
    """Steps after which an episode is truncated."""

    splits = SPLITS[:3]
    episodes = 2

    @property
    def observation_space(self) -> spaces.Box:
        """A grey picture."""
        return spaces.Box(0, 255, (self.side, self.side, 1), np.uint8)

    @property
    def action_space(self) -> spaces.Discrete:
        """A quarter."""
        return spaces.Discrete(4)

    @property
    def task_space(self) -> spaces.Dict:
        """See `LightsTask`."""
        return spaces.Dict([("quarter", spaces.Discrete(4))])

    def sample(self, key: Key, split: str = "train") -> LightsTask:
        """Any quarter."""
        return LightsTask(jax.random.randint(split_key(key, split), (), 0, 4))

    def reset(self, key: Key, task: LightsTask) -> tuple[Clock, Array]:
        """Darkness."""
        return Clock(jnp.array(0)), jnp.zeros((self.side, self.side, 1), jnp.uint8)

    def step(self, key: Key, state: Clock, action: Array, task: LightsTask) -> Transition:
        """Name a quarter, and see."""
        time, half = state.time + 1, self.side // 2
        row, column = jax.random.randint(key, (2,), 0, half)
        row, column = row + half * (task.quarter // 2), column + half * (task.quarter % 2)
        picture = jnp.zeros((self.side, self.side, 1), jnp.uint8).at[row, column].set(255)
        reward = (action == task.quarter).astype(float)
        return Transition(Clock(time), picture, reward, jnp.zeros((), bool), time >= self.horizon)


class AimAtTask(NamedTuple):
    """Hidden parameters."""

    goal: Array
    """One of `GOALS`."""


@dataclass(frozen=True)
class AimAt:
    """Reward -(action - goal)² with eight goals evenly spaced in [-1, 1].

    Known answer, per step: 0 when the goal is known, -3/7 = -0.43 at best when nothing is known (the action
    0), -6/7 = -0.86 for posterior sampling before any data (two independent goals).
    """

    horizon: Count = 5
    """Steps after which an episode is truncated."""

    splits = SPLITS[:3]
    episodes = 3

    @property
    def observation_space(self) -> spaces.Box:
        """Always 0."""
        return spaces.Box(0.0, 1.0, (1,))

    @property
    def action_space(self) -> spaces.Box:
        """Where to aim."""
        return spaces.Box(-1.0, 1.0, (1,))

    @property
    def task_space(self) -> spaces.Dict:
        """See `AimAtTask`."""
        return spaces.Dict([("goal", spaces.Box(-1.0, 1.0, ()))])

    def sample(self, key: Key, split: str = "train") -> AimAtTask:
        """Any goal."""
        return AimAtTask(jax.random.choice(split_key(key, split), jnp.array(GOALS)))

    def reset(self, key: Key, task: AimAtTask) -> tuple[Clock, Array]:
        """Nothing to set up."""
        return Clock(jnp.array(0)), jnp.zeros(1)

    def step(self, key: Key, state: Clock, action: Array, task: AimAtTask) -> Transition:
        """Aim."""
        time = state.time + 1
        reward = -((action[0] - task.goal) ** 2)
        return Transition(Clock(time), jnp.zeros(1), reward, jnp.zeros((), bool), time >= self.horizon)
