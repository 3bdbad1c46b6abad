"""Networks that choose actions and estimate values, from vectors."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax

from rl_meta.policies.layers import PolicyHead, ValueHead
from rl_meta.policies.layout import Layout, as_layout
from rl_meta.policies.memory import MakeMemory, SequenceMemory
from rl_meta.types import Array, Key, PyTree

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
    """A memory, and the two heads that read it."""

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
        heads: Sequence[int] = (),
        key: Key,
    ) -> None:
        """sizes: see `spaces.head_sizes`. heads: widths of hidden layers after the memory."""
        key_memory, key_policy, key_value = jax.random.split(key, 3)
        self.size_in = as_layout(size_in).size
        self.memory = make_memory(as_layout(size_in), key_memory)
        self.policy = PolicyHead(self.memory.size, heads, sizes, key=key_policy)
        self.value = ValueHead(self.memory.size, heads, key=key_value)

    def rereading(self, scale: Array, shift: Array) -> "RecurrentActorCritic":
        """The network that makes of x what this one makes of scale ⊙ x + shift; scale, shift [in].

        Itself where the memory cannot do that.
        """
        memory = self.memory
        if not hasattr(memory, "rereading"):
            return self
        return eqx.tree_at(lambda network: network.memory, self, memory.rereading(scale, shift))

    def start(self) -> PyTree:
        """The memory at the start of a lifetime."""
        return self.memory.start()

    def step(self, memory: PyTree, x: Array) -> tuple[PyTree, Array, Array]:
        """memory, [..., in] -> memory, parameters of the policy, value."""
        memory, y = self.memory.step(memory, x)
        return memory, self.policy(y), self.value(y)

    def unroll(self, memory: PyTree, xs: Array) -> tuple[Array, Array]:
        """memory, [T, ..., in] -> parameters of the policy [T, ...] and values [T, ...]."""
        ys = self.memory.unroll(memory, xs)
        return self.policy(ys), self.value(ys)
