"""RL²: fast reinforcement learning via slow reinforcement learning (Duan et al. 2016; Wang et al. 2016).

A recurrent network sees observation, last action, last reward and the ends of episodes; its hidden state
outlives episodes and ends with the lifetime. Trained by PPO to maximise the return of the whole lifetime, the
network becomes a learning algorithm whose state is its memory: no weight changes in a new task.

Advantages run over the lifetime: the end of an episode is no boundary, for what is found out in one episode pays
in the next; one that terminates early forfeits its time (see `numerics.returns.lifetime_discounts`). Long lifetimes
are cut into chunks for back-propagation; every chunk starts from the memory that the agent had there.
"""

from dataclasses import dataclass
from typing import Annotated

from rl_meta.algorithms.base import MetaAlgorithm
from rl_meta.algorithms.recurrent_ppo import LifetimePPO, network_with, recurrent_ppo, remembering
from rl_meta.policies.gru import GRU
from rl_meta.settings import Count, LearningRate, Range
from rl_meta.tasks.base import Family
from rl_meta.types import Key


@dataclass(frozen=True)
class RL2(LifetimePPO):
    """A recurrent network that adapts by its memory alone."""

    learning_rate: LearningRate = 2e-3
    """Of Adam."""
    memory: Count = 64
    """Width of the GRU."""
    memory_span: Annotated[float, Range(1)] = 1.0
    """Up to how many steps a unit of the GRU remembers before training; long ones help where evidence is counted."""
    encoder: tuple[Count, ...] = (64,)
    """Widths of tanh layers before the GRU."""
    heads: tuple[Count, ...] = ()
    """Widths of tanh layers between the GRU and each output."""

    def build(self, family: Family, iterations: int) -> MetaAlgorithm:
        """See `Method`."""

        def make_core(size_in: int, key: Key) -> GRU:
            return GRU(size_in, self.memory, span=self.memory_span, key=key)

        make_memory = remembering(self, family, make_core, self.encoder)
        return recurrent_ppo(self, family, iterations, network_with(make_memory, family, self.heads))
