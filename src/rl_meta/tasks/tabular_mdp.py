"""`tabular-mdp`: a small Markov decision process with hidden random transitions and rewards.

Duan et al. (2016), "RL²: Fast Reinforcement Learning via Slow Reinforcement Learning", section 3.2, after
Osband, Russo & Van Roy (2013). One who knew the default task earns 21.8 per episode, random actions 10.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS, Transition, split_key
from rl_meta.types import Array, Key


class TabularMDPTask(NamedTuple):
    """Hidden parameters."""

    transitions: Array
    """[states, actions, states] Probability of each next state."""
    reward_means: Array
    """[states, actions]"""


class TabularMDPState(NamedTuple):
    """The state's number, and the steps since the episode began."""

    state: Array
    time: Array


@dataclass(frozen=True)
class TabularMDP:
    """Transitions are Dirichlet(1, ..., 1), rewards N(mean, 1), their means N(1, 1)."""

    states: Count = 10
    """Number of states."""
    actions: Count = 5
    """Number of actions."""
    horizon: Count = 10
    """Steps after which an episode is truncated."""

    splits = SPLITS[:3]
    episodes = 10

    @property
    def observation_space(self) -> spaces.Discrete:
        """The state."""
        return spaces.Discrete(self.states)

    @property
    def action_space(self) -> spaces.Discrete:
        """The action."""
        return spaces.Discrete(self.actions)

    @property
    def task_space(self) -> spaces.Dict:
        """See `TabularMDPTask`."""
        table = (self.states, self.actions)
        transitions = spaces.Box(0.0, 1.0, (*table, self.states))
        return spaces.Dict([("transitions", transitions), ("reward_means", spaces.Box(-np.inf, np.inf, table))])

    def sample(self, key: Key, split: str = "train") -> TabularMDPTask:
        """One distribution in every split, by different seeds."""
        key_transitions, key_rewards = jax.random.split(split_key(key, split))
        table = (self.states, self.actions)
        weights = jax.random.exponential(key_transitions, (*table, self.states))
        transitions = weights / weights.sum(-1, keepdims=True)  # Dirichlet(1, ..., 1)
        return TabularMDPTask(transitions, 1.0 + jax.random.normal(key_rewards, table))

    def reset(self, key: Key, task: TabularMDPTask) -> tuple[TabularMDPState, Array]:
        """In state 0."""
        return TabularMDPState(jnp.array(0), jnp.array(0)), jnp.array(0)

    def step(self, key: Key, state: TabularMDPState, action: Array, task: TabularMDPTask) -> Transition:
        """The reward is that of leaving the state by the action, wherever it leads."""
        key_reward, key_next = jax.random.split(key)
        reward = task.reward_means[state.state, action] + jax.random.normal(key_reward)
        following = jax.random.choice(key_next, self.states, p=task.transitions[state.state, action])
        time = state.time + 1
        late = time >= self.horizon
        return Transition(TabularMDPState(following, time), following, reward, jnp.zeros((), bool), late)
