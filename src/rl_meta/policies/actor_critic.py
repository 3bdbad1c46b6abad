"""Networks that choose actions and estimate values, from vectors."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax

from rl_meta.policies.layers import MLP, PolicyHead, ValueHead, before_memory
from rl_meta.policies.layout import Layout, as_layout
from rl_meta.policies.vision import Eyes
from rl_meta.types import Array, Key, PyTree


@runtime_checkable
class SequenceMemory(Protocol):
    """What sequence policies remember with: a GRU, a transformer, ... Leading axes of the arrays are a batch."""

    @property
    def size(self) -> int:
        """Width of the outputs."""

    def start(self) -> PyTree:
        """The memory at the start of a lifetime."""

    def step(self, memory: PyTree, x: Array) -> tuple[PyTree, Array]:
        """One step: memory, [..., in] -> memory, output [..., size]."""

    def unroll(self, memory: PyTree, xs: Array) -> Array:
        """From the memory before a sequence [T, ..., in], the outputs [T, ..., size] of T calls of `step`."""


MakeMemory = Callable[[int, Key], SequenceMemory]
"""(width of the inputs, key) -> memory."""
MakeNetwork = Callable[[Layout, Key], Any]
"""(the inputs, key) -> a network with a memory, such as `RecurrentActorCritic`."""


class FeedForwardActorCritic(eqx.Module):
    """Separate policy and value networks; no memory."""

    policy: PolicyHead
    value: ValueHead

    def __init__(
        self,
        size_in: int | Layout,
        widths: Sequence[int],
        sizes: tuple[int, int],
        *,
        activation: str = "tanh",
        key: Key,
    ) -> None:
        """sizes: see `spaces.head_sizes`. activation: of `layers.ACTIVATIONS`."""
        key_policy, key_value = jax.random.split(key)
        self.policy = PolicyHead(size_in, widths, sizes, activation=activation, key=key_policy)
        self.value = ValueHead(size_in, widths, activation=activation, key=key_value)

    @property
    def size_in(self) -> int:
        """Length of what it reads."""
        return self.policy.mlp.size_in

    def rereading(self, scale: Array, shift: Array) -> "FeedForwardActorCritic":
        """The networks that make of x what these make of scale ⊙ x + shift; scale, shift [in]."""
        where = lambda network: (network.policy.mlp, network.value.mlp)
        return eqx.tree_at(where, self, tuple(mlp.rereading(scale, shift) for mlp in where(self)))


class RecurrentActorCritic(eqx.Module):
    """Encoder, memory, and the two heads that read it."""

    encoder: MLP | Eyes | None
    memory: SequenceMemory
    policy: PolicyHead
    value: ValueHead
    size_in: int = eqx.field(static=True)
    """Length of what it reads."""

    def __init__(
        self,
        size_in: int | Layout,
        make_memory: MakeMemory,
        sizes: tuple[int, int],
        *,
        encoder: Sequence[int] = (),
        heads: Sequence[int] = (),
        key: Key,
    ) -> None:
        """encoder, heads: widths of hidden layers before and after the memory."""
        key_encoder, key_memory, key_policy, key_value = jax.random.split(key, 4)
        self.size_in = as_layout(size_in).size
        self.encoder, size_read = before_memory(size_in, encoder, key_encoder)
        self.memory = make_memory(size_read, key_memory)
        self.policy = PolicyHead(self.memory.size, heads, sizes, key=key_policy)
        self.value = ValueHead(self.memory.size, heads, key=key_value)

    def rereading(self, scale: Array, shift: Array) -> "RecurrentActorCritic":
        """The network that makes of x what this one makes of scale ⊙ x + shift; scale, shift [in].

        Itself where what reads x cannot do that.
        """
        where = lambda network: network.memory if network.encoder is None else network.encoder
        first = where(self)
        return eqx.tree_at(where, self, first.rereading(scale, shift)) if hasattr(first, "rereading") else self

    def start(self) -> PyTree:
        """The memory at the start of a lifetime."""
        return self.memory.start()

    def encode(self, x: Array) -> Array:
        """[..., in] -> what the memory reads."""
        return x if self.encoder is None else self.encoder(x)

    def step(self, memory: PyTree, x: Array) -> tuple[PyTree, Array, Array]:
        """memory, [..., in] -> memory, parameters of the policy, value."""
        memory, y = self.memory.step(memory, self.encode(x))
        return memory, self.policy(y), self.value(y)

    def unroll(self, memory: PyTree, xs: Array) -> tuple[Array, Array]:
        """memory, [T, ..., in] -> parameters of the policy [T, ...] and values [T, ...]."""
        ys = self.memory.unroll(memory, self.encode(xs))
        return self.policy(ys), self.value(ys)
