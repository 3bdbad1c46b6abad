"""In-context reinforcement learning: RL² with a transformer, or with linear recurrences, for the memory.

As in `rl2`, a network that sees its own past actions and rewards is trained by PPO over whole lifetimes, and adapts
without changing a weight. Here it remembers by causal attention over the lifetime so far (Mishra et al. 2018, SNAIL;
Melo 2022, "Transformers are meta-reinforcement learners"; Grigsby et al. 2024, AMAGO), or by a diagonal linear
recurrence (Lu et al. 2023, "Structured state space models for in-context reinforcement learning"), whose state is as
cheap to carry as a GRU's. What keeps PPO stable with either is in `policies.transformer`: norms before the layers, and
blocks that add nothing at first.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from rl_meta.algorithms.base import MetaAlgorithm, Shape
from rl_meta.algorithms.recurrent_ppo import LifetimePPO, network_with, recurrent_ppo, remembering
from rl_meta.errors import unknown
from rl_meta.policies.attention import Attention
from rl_meta.policies.linear_recurrence import LinearRecurrence
from rl_meta.policies.transformer import MemoryLayer, ResidualMemory
from rl_meta.settings import Count, LearningRate
from rl_meta.tasks.base import Family
from rl_meta.types import Key

Layer = Literal["attention", "linear-recurrence"]


@dataclass(frozen=True)
class Transformer(LifetimePPO):
    """RL² with attention, or linear recurrences, for a memory."""

    learning_rate: LearningRate = 1e-3
    """Of Adam."""
    layer: Layer = "attention"
    """What remembers in a block: attention looks at all past steps, a linear recurrence keeps a sum of them."""
    width: Count = 64
    """Of the blocks' inputs and outputs, and of a linear recurrence's state."""
    blocks: Count = 2
    """How many, one after the other."""
    attention_heads: Count = 4
    """Per block; the width must be a multiple of twice as many."""
    context: Count | None = None
    """Steps that attention looks back, itself included; None: the whole lifetime."""
    encoder: tuple[Count, ...] = (64,)
    """Widths of tanh layers before the blocks."""
    heads: tuple[Count, ...] = ()
    """Widths of tanh layers between the blocks and each output."""

    def shape(self, family: Family) -> Shape:
        """As of every `LifetimePPO`."""
        if self.layer not in get_args(Layer):
            raise unknown("layer", self.layer, get_args(Layer))
        if self.layer == "attention":
            self.learn_from_whole_lifetimes("attention", "leave it out, or use layer 'linear-recurrence'")
        return super().shape(family)

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """See `Method`."""
        shape = self.shape(family)
        lifetime_steps = shape.stages * shape.steps

        def make_layer(key: Key) -> MemoryLayer:
            if self.layer == "linear-recurrence":
                return LinearRecurrence(self.width, self.width, float(lifetime_steps), key=key)
            context = min(self.context or lifetime_steps, lifetime_steps)
            return Attention(self.width, self.attention_heads, context, key=key)

        def make_core(size_in: int, key: Key) -> ResidualMemory:
            return ResidualMemory(size_in, self.width, make_layer, blocks=self.blocks, hidden=2 * self.width, key=key)

        make_memory = remembering(self, family, make_core, self.encoder)
        return recurrent_ppo(self, family, iterations, network_with(make_memory, family, self.heads))
