"""A stack of residual blocks that remember: a transformer, or the same with linear recurrences for attention.

    per block:    x = x + remember(norm(x)),    x = x + mlp(norm(x));        at last: norm(x)

Norms stand before the layers (Xiong et al. 2020), and what a block adds is zero at first, so that a new network is a
function of the present step alone and learns to remember from there: Parisotto et al. (2020), "Stabilizing
transformers for reinforcement learning", name this identity map as what makes the difference.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.policies.layers import Linear
from rl_meta.types import Array, Key, PyTree


@runtime_checkable
class MemoryLayer(Protocol):
    """As `memory.SequenceMemory`, with outputs as wide as the inputs."""

    def start(self) -> PyTree:
        """The memory at the start of a lifetime."""

    def step(self, memory: PyTree, x: Array) -> tuple[PyTree, Array]:
        """One step."""

    def unroll(self, memory: PyTree, xs: Array) -> Array:
        """Outputs of a sequence [T, ..., width]."""


class Norm(eqx.Module):
    """x / √mean(x²) ⊙ scale (Zhang & Sennrich 2019, RMSNorm)."""

    scale: Array

    def __init__(self, width: int) -> None:
        self.scale = jnp.ones(width)

    def __call__(self, x: Array) -> Array:
        """[..., width] -> [..., width]."""
        return x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6) * self.scale


class Block(eqx.Module):
    """Remember, then think."""

    before_memory: Norm
    memory: MemoryLayer
    before_mlp: Norm
    widen: Linear
    narrow: Linear

    def __init__(self, width: int, hidden: int, make_layer: Callable[[Key], MemoryLayer], *, key: Key) -> None:
        key_memory, key_mlp = jax.random.split(key)
        self.before_memory, self.before_mlp = Norm(width), Norm(width)
        self.memory = make_layer(key_memory)
        self.widen = Linear(width, hidden, gain=2**0.5, key=key_mlp)
        self.narrow = Linear(hidden, width, gain=0.0, key=key_mlp)

    def step(self, memory: PyTree, x: Array) -> tuple[PyTree, Array]:
        """memory, [..., width] -> memory, output [..., width]."""
        memory, y = self.memory.step(memory, self.before_memory(x))
        return memory, self._think(x + y)

    def unroll(self, memory: PyTree, xs: Array) -> Array:
        """[T, ..., width] -> [T, ..., width]."""
        return self._think(xs + self.memory.unroll(memory, self.before_memory(xs)))

    def _think(self, x: Array) -> Array:
        return x + self.narrow(jax.nn.gelu(self.widen(self.before_mlp(x))))


class ResidualMemory(eqx.Module):
    """See `memory.SequenceMemory`; its memory is one per block."""

    embed: Linear | None
    """Where the inputs have another width."""
    blocks: tuple[Block, ...]
    norm: Norm

    def __init__(
        self,
        size_in: int,
        width: int,
        make_layer: Callable[[Key], MemoryLayer],
        *,
        blocks: int,
        hidden: int,
        key: Key,
    ) -> None:
        """hidden: width inside the MLPs."""
        key_embed, key_blocks = jax.random.split(key)
        self.embed = Linear(size_in, width, key=key_embed) if size_in != width else None
        keys = jax.random.split(key_blocks, blocks)
        self.blocks = tuple(Block(width, hidden, make_layer, key=key) for key in keys)
        self.norm = Norm(width)

    @property
    def size(self) -> int:
        """Width of the outputs."""
        return len(self.norm.scale)

    def start(self) -> tuple[Any, ...]:
        """The memory at the start of a lifetime."""
        return tuple(block.memory.start() for block in self.blocks)

    def step(self, memory: tuple[Any, ...], x: Array) -> tuple[tuple[Any, ...], Array]:
        """memory, [..., in] -> memory, output [..., size]."""
        x, after = self._embedded(x), []
        for block, before in zip(self.blocks, memory, strict=True):
            before, x = block.step(before, x)
            after.append(before)
        return tuple(after), self.norm(x)

    def unroll(self, memory: tuple[Any, ...], xs: Array) -> Array:
        """memory, [T, ..., in] -> outputs [T, ..., size]."""
        xs = self._embedded(xs)
        for block, before in zip(self.blocks, memory, strict=True):
            xs = block.unroll(before, xs)
        return self.norm(xs)

    def _embedded(self, x: Array) -> Array:
        return x if self.embed is None else self.embed(x)
