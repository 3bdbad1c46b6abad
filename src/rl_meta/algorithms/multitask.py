"""One memoryless policy for all tasks, and no adaptation: what meta-learning has to beat.

PPO on the pooled experience of many tasks. Its return on held-out tasks is what a robust policy reaches that
knows the family but never learns which task it is in.
"""

import math
from dataclasses import dataclass

from rl_meta.algorithms.base import Adapter, MetaAlgorithm, Shape, keep_adapted
from rl_meta.algorithms.feed_forward_ppo import FeedForwardPPO, feed_forward_ppo
from rl_meta.algorithms.ppo import PolicyParams, PolicyState
from rl_meta.axes import as_sequences
from rl_meta.settings import Count
from rl_meta.tasks.base import Family
from rl_meta.types import Array, Info, Inputs, Key, Lifetimes, PyTree


@dataclass(frozen=True)
class MultiTask(FeedForwardPPO):
    """One policy for all tasks, which does not adapt; a baseline."""

    meta_batch_size: Count | None = None
    """Tasks lived in at the same time; None: 16 to 64, the fewer the longer they are lived in."""
    rollout_steps: Count | None = None
    """Steps in each task between two updates; None: the whole lifetime."""

    def view(self, family: Family) -> Family:
        """Nothing is revealed."""
        return family

    def shape(self, family: Family) -> Shape:
        """As for methods that adapt, so that curves compare; episodes run on across stages."""
        steps = self.rollout_steps or family.horizon
        stages = math.ceil(family.episodes * family.horizon / steps)
        return Shape(stages, 1, steps, segment=1 if self.rollout_steps else None, restart=False)

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """See `Method`."""
        learner = feed_forward_ppo(self, family, iterations)

        def begin(key: Key, params: PolicyParams) -> tuple[PyTree, PyTree]:
            return (), ()

        def act(
            key: Key | None, params: PolicyParams, adapted: PyTree, memory: PyTree, inputs: Inputs
        ) -> tuple[PyTree, PyTree, Array]:
            return memory, *learner.act(key, params, inputs)

        def update(key: Key, state: PolicyState, lifetimes: Lifetimes) -> tuple[PolicyState, Info]:
            return learner.improve(key, state, as_sequences(lifetimes.steps))

        return MetaAlgorithm(Adapter(begin, act, keep_adapted), learner.init, update, segments=True)
