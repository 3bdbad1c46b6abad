"""Split aggregation (Beck et al. 2024, "SplAgger: Split aggregation for meta-reinforcement learning").

What can be inferred of a task does not depend on the order in which its transitions were seen. Half of this memory is
a GRU, which depends on the order; the other half is not able to: the maximum, unit by unit, over embeddings of all
steps so far, from where no evidence is ever forgotten and gradients flow back in one step. Both are passed on.

In the authors' code the maximum is taken over half of the GRU's units. Here it is taken over embeddings of the steps
themselves, so that this half is invariant exactly.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.policies.gru import GRU
from rl_meta.policies.layers import MLP
from rl_meta.types import Array, Key


class SplitMemory(NamedTuple):
    """[..., H] each."""

    hidden: Array
    most: Array
    """Maximum of every unit so far."""


class SplAgger(eqx.Module):
    """See `memory.SequenceMemory`."""

    recurrent: GRU
    embed: MLP
    """One tanh layer."""

    def __init__(self, size_in: int, size: int, *, key: Key) -> None:
        """size: H."""
        key_recurrent, key_embed = jax.random.split(key)
        self.recurrent = GRU(size_in, size, key=key_recurrent)
        self.embed = MLP(size_in, (size,), key=key_embed)

    @property
    def size(self) -> int:
        """2 H."""
        return 2 * self.recurrent.size

    def start(self) -> SplitMemory:
        """The maximum of no embeddings is the least that tanh can give."""
        hidden = self.recurrent.start()
        return SplitMemory(hidden, -jnp.ones_like(hidden))

    def step(self, memory: SplitMemory, x: Array) -> tuple[SplitMemory, Array]:
        """One step: memory, [..., in] -> memory, output [..., 2 H]."""
        hidden, y = self.recurrent.step(memory.hidden, x)
        most = jnp.maximum(memory.most, self.embed(x))
        return SplitMemory(hidden, most), jnp.concatenate([y, most], -1)

    def unroll(self, memory: SplitMemory, xs: Array) -> Array:
        """memory, [T, ..., in] -> outputs [T, ..., 2 H]."""
        most = jnp.maximum(jax.lax.cummax(self.embed(xs), axis=0), memory.most)
        return jnp.concatenate([self.recurrent.unroll(memory.hidden, xs), most], -1)
