"""The recurrent hypernetwork: a meta-network that generates the policy (Beck et al. 2022; Beck et al. 2023).

"Recurrent hypernetworks are surprisingly strong in meta-RL": RL² with one change. Where RL² feeds the memory's output
to a policy, here it becomes a task embedding, from which linear heads write all weights of a policy network and of a
value network, anew at every step. Trained by PPO end to end over whole lifetimes, as `rl2`; the gradient of the policy
flows through the generated weights into the memory. What makes it work is how the heads begin: see
`policies.hypernetwork`.
"""

from dataclasses import dataclass
from typing import Literal

from rl_meta.algorithms.base import MetaAlgorithm, Shape
from rl_meta.algorithms.recurrent_ppo import LifetimePPO, recurrent_ppo, remembering
from rl_meta.errors import UserError, unknown
from rl_meta.policies.gru import GRU
from rl_meta.policies.hypernetwork import GeneratedMLP, HypernetworkActorCritic, ModulatedMLP
from rl_meta.policies.layout import Layout
from rl_meta.policies.memory import SequenceMemory
from rl_meta.policies.spaces import head_sizes, layout
from rl_meta.policies.splagger import SplAgger
from rl_meta.settings import Count, LearningRate
from rl_meta.tasks.base import Family
from rl_meta.types import Key

GENERATED = {"weights": GeneratedMLP, "film": ModulatedMLP}
AGGREGATORS = {"recurrent": GRU, "splagger": SplAgger}


@dataclass(frozen=True)
class Hypernetwork(LifetimePPO):
    """A memory that writes the policy's weights anew at every step."""

    learning_rate: LearningRate = 1e-3
    """Of Adam."""
    generates: Literal["weights", "film"] = "weights"
    """All weights of the base networks, or scales and shifts of their hidden units, which is cheaper."""
    aggregator: Literal["recurrent", "splagger"] = "recurrent"
    """The memory: a GRU, or a GRU beside a maximum over all steps."""
    memory: Count = 64
    """Width of the GRU, and of the maximum."""
    encoder: tuple[Count, ...] = (64,)
    """Widths of tanh layers before the memory."""
    embedding: Count = 25
    """Width of the task embedding."""
    base: tuple[Count, ...] = (32,)
    """Widths of the tanh layers of the generated networks."""

    def shape(self, family: Family) -> Shape:
        """As of every `LifetimePPO`."""
        if self.generates not in GENERATED:
            raise unknown("kind of generation", self.generates, GENERATED)
        if self.aggregator not in AGGREGATORS:
            raise unknown("aggregator", self.aggregator, AGGREGATORS)
        if self.generates == "film" and not self.base:
            raise UserError("film modulates the hidden layers of the base networks, got base (); give it some")
        return super().shape(family)

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """See `Method`."""

        def make_core(size_in: int, key: Key) -> SequenceMemory:
            return AGGREGATORS[self.aggregator](size_in, self.memory, key=key)

        make_memory = remembering(self, family, make_core, self.encoder)

        def make(size_in: Layout, key: Key) -> HypernetworkActorCritic:
            return HypernetworkActorCritic(
                (size_in, layout(family.observation_space)),
                make_memory,
                head_sizes(family.action_space),
                embedding=self.embedding,
                base=self.base,
                generate=GENERATED[self.generates],
                key=key,
            )

        return recurrent_ppo(self, family, iterations, make)
