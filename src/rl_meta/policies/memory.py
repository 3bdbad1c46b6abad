"""What sequence policies remember with, and the layers before it."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax

from rl_meta.policies.layers import MLP, eyes_for
from rl_meta.policies.layout import Layout, as_layout
from rl_meta.policies.vision import Eyes
from rl_meta.types import Array, Key, PyTree


@runtime_checkable
class SequenceMemory(Protocol):
    """A GRU, a transformer, ... Leading axes of the arrays are a batch."""

    @property
    def size(self) -> int:
        """Width of the outputs."""

    def start(self) -> PyTree:
        """The memory at the start of a lifetime."""

    def step(self, memory: PyTree, x: Array) -> tuple[PyTree, Array]:
        """One step: memory, [..., in] -> memory, output [..., size]."""

    def unroll(self, memory: PyTree, xs: Array) -> Array:
        """From the memory before a sequence [T, ..., in], the outputs [T, ..., size] of T calls of `step`."""


MakeCore = Callable[[int, Key], SequenceMemory]
"""(width of the inputs, key) -> memory, for inputs without pictures."""
MakeMemory = Callable[[Layout, Key], SequenceMemory]
"""(the inputs, key) -> memory."""


class Encoded(eqx.Module):
    """A memory of what an encoder makes of the inputs: layers; else eyes, if there are pictures; else nothing."""

    encoder: MLP | Eyes | None
    memory: SequenceMemory

    def __init__(self, size_in: int | Layout, widths: Sequence[int], make: MakeCore, *, key: Key) -> None:
        """widths: of the encoder's layers."""
        key_encoder, key_memory = jax.random.split(key)
        self.encoder = MLP(size_in, widths, key=key_encoder) if widths else eyes_for(size_in, key_encoder)
        size_read = as_layout(size_in).size if self.encoder is None else self.encoder.size_out
        self.memory = make(size_read, key_memory)

    @property
    def size(self) -> int:
        """Width of the outputs."""
        return self.memory.size

    def start(self) -> PyTree:
        """The memory at the start of a lifetime."""
        return self.memory.start()

    def step(self, memory: PyTree, x: Array) -> tuple[PyTree, Array]:
        """See `SequenceMemory`."""
        return self.memory.step(memory, self._encode(x))

    def unroll(self, memory: PyTree, xs: Array) -> Array:
        """See `SequenceMemory`."""
        return self.memory.unroll(memory, self._encode(xs))

    def rereading(self, scale: Array, shift: Array) -> "Encoded":
        """The memory that makes of x what this one makes of scale ⊙ x + shift; scale, shift [in].

        Itself where what reads x cannot do that.
        """
        where = lambda this: this.memory if this.encoder is None else this.encoder
        first = where(self)
        return eqx.tree_at(where, self, first.rereading(scale, shift)) if hasattr(first, "rereading") else self

    def _encode(self, x: Array) -> Array:
        return x if self.encoder is None else self.encoder(x)
