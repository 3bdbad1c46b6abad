"""Learning every task from nothing by PPO: what a user does without meta-learning.

All learning happens inside the lifetime: `begin` draws a new network, `learn` improves it after every stage. There
are no meta-parameters, so training changes nothing; the adaptation curve is the learning curve of PPO.
"""

from dataclasses import dataclass
from typing import NamedTuple

from rl_meta.algorithms.base import Adapter, MetaAlgorithm, Shape
from rl_meta.algorithms.feed_forward_ppo import FeedForwardPPO, feed_forward_ppo
from rl_meta.algorithms.ppo import PolicyState
from rl_meta.settings import Count
from rl_meta.tasks.base import Family
from rl_meta.types import Info, Key, Lifetimes, PyTree


class Nothing(NamedTuple):
    """The meta-state of a method that learns nothing across tasks."""

    params: PyTree = ()


@dataclass(frozen=True)
class Scratch(FeedForwardPPO):
    """PPO begun anew in each task, without meta-training; a baseline."""

    meta_batch_size: Count = 16
    """Tasks lived in at the same time."""
    copies: Count = 8
    """Parallel environments in the task."""
    rollout_steps: Count = 64
    """Steps of each of them between two improvements."""
    improvements: Count = 120
    """How often PPO improves the policy in a lifetime."""

    learns_in_lifetime_only = True

    def view(self, family: Family) -> Family:
        """Nothing is revealed."""
        return family

    def shape(self, family: Family) -> Shape:
        """One stage per improvement; episodes run on across stages."""
        return Shape(self.improvements, self.copies, self.rollout_steps, restart=False)

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """See `Method`."""
        learner = feed_forward_ppo(self, family, self.improvements)

        def begin(key: Key, params: PyTree) -> tuple[PolicyState, PyTree]:
            return learner.init(key), ()

        def init(key: Key) -> Nothing:
            return Nothing()

        def update(key: Key, state: Nothing, lifetimes: Lifetimes) -> tuple[Nothing, Info]:
            return state, {}

        adapter = Adapter(begin, learner.act_adapted, learner.learn)
        return MetaAlgorithm(adapter, init, update, best=adapter)  # it cannot learn without trying
