"""`bandit`: a row of slot machines, each paying 0 or 1 with a hidden probability of its own.

The Bernoulli bandit of Duan et al. (2016), "RL²: Fast Reinforcement Learning via Slow Reinforcement
Learning", section 3.1. Its Bayes-optimal value is known exactly: with 5 arms and 10 pulls 6.6600, where
random pulls earn 5 and one who knew the probabilities 8.3333.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnasium import spaces

from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS, Transition, split_key
from rl_meta.types import Array, Key


class BanditTask(NamedTuple):
    """Hidden parameters."""

    probabilities: Array
    """[arms] How often each arm pays."""


class BanditState(NamedTuple):
    """Pulls since the episode began."""

    time: Array


@dataclass(frozen=True)
class Bandit:
    """Probabilities are independent and uniform in [0, 1]; an episode is `pulls` pulls."""

    arms: Count = 5
    """Arms to choose from."""
    pulls: Count = 10
    """Pulls after which an episode is truncated."""

    splits = SPLITS[:3]
    episodes = 1

    @property
    def horizon(self) -> int:
        """The number of pulls."""
        return self.pulls

    @property
    def observation_space(self) -> spaces.Discrete:
        """Always 0: only rewards tell the tasks apart."""
        return spaces.Discrete(1)

    @property
    def action_space(self) -> spaces.Discrete:
        """Which arm to pull."""
        return spaces.Discrete(self.arms)

    @property
    def task_space(self) -> spaces.Dict:
        """See `BanditTask`."""
        return spaces.Dict([("probabilities", spaces.Box(0.0, 1.0, (self.arms,)))])

    def sample(self, key: Key, split: str = "train") -> BanditTask:
        """One distribution in every split, by different seeds."""
        return BanditTask(jax.random.uniform(split_key(key, split), (self.arms,)))

    def reset(self, key: Key, task: BanditTask) -> tuple[BanditState, Array]:
        """Nothing to set up."""
        return BanditState(jnp.array(0)), jnp.array(0)

    def step(self, key: Key, state: BanditState, action: Array, task: BanditTask) -> Transition:
        """Pull an arm."""
        time = state.time + 1
        reward = jax.random.bernoulli(key, task.probabilities[action]).astype(float)
        return Transition(BanditState(time), jnp.array(0), reward, jnp.zeros((), bool), time >= self.pulls)
