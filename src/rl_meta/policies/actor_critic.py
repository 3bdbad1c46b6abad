"""Networks that choose actions and estimate values, from vectors."""

from collections.abc import Sequence

import equinox as eqx
import jax

from rl_meta.policies.gru import GRU
from rl_meta.policies.layers import MLP, PolicyHead, ValueHead
from rl_meta.types import Array, Key


class FeedForwardActorCritic(eqx.Module):
    """Separate policy and value networks; no memory."""

    policy: PolicyHead
    value: ValueHead

    def __init__(self, size_in: int, widths: Sequence[int], sizes: tuple[int, int], *, key: Key) -> None:
        """sizes: see `spaces.head_sizes`."""
        key_policy, key_value = jax.random.split(key)
        self.policy = PolicyHead(size_in, widths, sizes, key=key_policy)
        self.value = ValueHead(size_in, widths, key=key_value)

    @property
    def size_in(self) -> int:
        """Length of what it reads."""
        return self.policy.mlp.size_in

    def rereading(self, scale: Array, shift: Array) -> "FeedForwardActorCritic":
        """The networks that make of x what these make of scale ⊙ x + shift; scale, shift [in]."""
        where = lambda network: (network.policy.mlp, network.value.mlp)
        return eqx.tree_at(where, self, tuple(mlp.rereading(scale, shift) for mlp in where(self)))


class RecurrentActorCritic(eqx.Module):
    """Encoder, memory, and the two heads that read it.

    `memory` may be any module with `start`, `step` and `unroll` as `GRU` has them.
    """

    encoder: MLP | None
    memory: GRU
    policy: PolicyHead
    value: ValueHead

    def __init__(
        self,
        size_in: int,
        size: int,
        sizes: tuple[int, int],
        *,
        encoder: Sequence[int] = (),
        heads: Sequence[int] = (),
        span: float = 1.0,
        key: Key,
    ) -> None:
        """size: of the memory. encoder, heads: widths of hidden layers before and after it. span: see `GRU`."""
        key_encoder, key_memory, key_policy, key_value = jax.random.split(key, 4)
        self.encoder = MLP(size_in, encoder, key=key_encoder) if encoder else None
        self.memory = GRU(encoder[-1] if encoder else size_in, size, span=span, key=key_memory)
        self.policy = PolicyHead(size, heads, sizes, key=key_policy)
        self.value = ValueHead(size, heads, key=key_value)

    @property
    def size_in(self) -> int:
        """Length of what it reads."""
        return (self.memory if self.encoder is None else self.encoder).size_in

    def rereading(self, scale: Array, shift: Array) -> "RecurrentActorCritic":
        """The network that makes of x what this one makes of scale ⊙ x + shift; scale, shift [in]."""
        where = lambda network: network.memory if network.encoder is None else network.encoder
        return eqx.tree_at(where, self, where(self).rereading(scale, shift))

    def start(self) -> Array:
        """The memory at the start of a lifetime."""
        return self.memory.start()

    def encode(self, x: Array) -> Array:
        """[..., in] -> what the memory reads."""
        return x if self.encoder is None else self.encoder(x)

    def step(self, memory: Array, x: Array) -> tuple[Array, Array, Array]:
        """[..., H], [..., in] -> memory, parameters of the policy, value."""
        memory, y = self.memory.step(memory, self.encode(x))
        return memory, self.policy(y), self.value(y)

    def unroll(self, memory: Array, xs: Array) -> tuple[Array, Array]:
        """[..., H], [T, ..., in] -> parameters of the policy [T, ...] and values [T, ...]."""
        ys = self.memory.unroll(memory, self.encode(xs))
        return self.policy(ys), self.value(ys)
