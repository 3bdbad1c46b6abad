"""Causal self-attention over the last steps of a lifetime (Vaswani et al. 2017), with a cache for acting.

    w_ts ∝ exp(q_t · k_s / √d),  t − context < s ≤ t;      Σ_s w_ts + w_t∅ = 1,  w_t∅ ∝ exp(sink)
    y_t = Σ_s w_ts v_s,  all heads side by side, times W_o

Queries and keys are rotated by their step of the lifetime (Su et al. 2021, RoPE), so that a score depends on how long
ago a step was, and a sliding window needs no table of positions. Each head has a sink, a learned score of attending
to nothing: without it a mean over one step and over a hundred equal ones are the same, and nothing can be counted.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.errors import UserError
from rl_meta.policies.layers import Linear
from rl_meta.types import Array, Key

LONGEST_WAVE = 10_000.0
"""Steps in which the slowest pair of a head turns by one radian."""


class Cache(NamedTuple):
    """Keys (rotated) and values of the last steps: step t is in slot t mod context."""

    keys: Array
    """[..., context, width]"""
    values: Array
    """[..., context, width]"""
    time: Array
    """[...] int32: steps lived so far."""


class Attention(eqx.Module):
    """A layer for `transformer.ResidualMemory`; its memory is a `Cache`."""

    queries_keys_values: Linear
    out: Linear
    sink: Array
    """[heads]"""
    context: int = eqx.field(static=True)

    def __init__(self, width: int, heads: int, context: int, *, key: Key) -> None:
        """context: steps that it looks back, the present one included."""
        if width % (2 * heads):
            raise UserError(f"width must be a multiple of twice the {heads} attention heads, got {width}")
        self.queries_keys_values = Linear(width, 3 * width, key=key)
        self.out = Linear(width, width, gain=0.0, key=key)
        self.sink = jnp.zeros(heads)
        self.context = context

    def start(self) -> Cache:
        """Empty."""
        slots = jnp.zeros((self.context, self.out.bias.size))
        return Cache(slots, slots, jnp.array(0))

    def step(self, memory: Cache, x: Array) -> tuple[Cache, Array]:
        """One step: cache, [..., width] -> cache, output [..., width]."""
        time = memory.time
        query, key, value = self._project(x, time)
        here = (jnp.arange(self.context) == (time % self.context)[..., None])[..., None]
        keys = jnp.where(here, key[..., None, :], memory.keys)
        values = jnp.where(here, value[..., None, :], memory.values)
        seen = jnp.arange(self.context) <= time[..., None]
        y = self._attend(query[..., None, :], keys, values, seen[..., None, :])[..., 0, :]
        return Cache(keys, values, time + 1), self.out(y)

    def unroll(self, memory: Cache, xs: Array) -> Array:  # noqa: ARG002 (the protocol has it)
        """[T, ..., width] from birth, where the cache is empty (it is not looked at) -> outputs [T, ..., width]."""
        xs = jnp.moveaxis(xs, 0, -2)
        times = jnp.arange(xs.shape[-2])
        ago = times[:, None] - times
        seen = (ago >= 0) & (ago < self.context)
        return jnp.moveaxis(self.out(self._attend(*self._project(xs, times), seen)), -2, 0)

    def _project(self, x: Array, time: Array) -> tuple[Array, Array, Array]:
        """Rotated queries and keys, and values [..., width] each, of x [..., width] at times [...]."""
        query, key, value = jnp.split(self.queries_keys_values(x), 3, -1)
        rotate = lambda x: _joined(rotated(_by_head(x, len(self.sink)), time[..., None]))
        return rotate(query), rotate(key), value

    def _attend(self, query: Array, keys: Array, values: Array, seen: Array) -> Array:
        """[..., T, width], [..., L, width] twice, bool [..., T, L] -> [..., T, width]."""
        query, keys, values = (_by_head(x, len(self.sink)) for x in (query, keys, values))
        scores = jnp.einsum("...thd,...shd->...hts", query, keys) / query.shape[-1] ** 0.5
        scores = jnp.where(seen[..., None, :, :], scores, -jnp.inf)
        sink = self.sink[:, None, None]
        top = jax.lax.stop_gradient(jnp.maximum(scores.max(-1, keepdims=True), sink))
        weights = jnp.exp(scores - top)
        weights = weights / (weights.sum(-1, keepdims=True) + jnp.exp(sink - top))
        return _joined(jnp.einsum("...hts,...shd->...thd", weights, values))


def rotated(x: Array, time: Array) -> Array:
    """Pairs (x_i, x_{i + d/2}) of [..., d] turned by the angle time [...] / LONGEST_WAVE^(2 i / d)."""
    half = x.shape[-1] // 2
    angle = time[..., None] * LONGEST_WAVE ** (-jnp.arange(half) / half)
    first, second = jnp.split(x, 2, -1)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def _by_head(x: Array, heads: int) -> Array:
    return x.reshape(*x.shape[:-1], heads, -1)


def _joined(x: Array) -> Array:
    return x.reshape(*x.shape[:-2], -1)
