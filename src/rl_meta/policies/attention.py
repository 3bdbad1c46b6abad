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
PARTS = 8
"""That a long sequence is cut into, so that few scores are computed which causality forbids."""
SHORTEST_PART = 64
"""Steps; shorter parts cost more than they save."""
SCORES_AT_ONCE = 2**18
"""On a CPU: about what its caches hold. Sequences with more scores are gone through a few at a time, and their
scores computed again for the gradients, both of which is faster than to fetch them from memory."""


class Cache(NamedTuple):
    """Keys (rotated) and values of the last steps: step t is in slot t mod context.

    The steps of a head lie side by side: where its heads do, looking back is much slower on a CPU.
    """

    keys: Array
    """[..., heads, context, width / heads]"""
    values: Array
    """[..., heads, context, width / heads]"""
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
        heads = len(self.sink)
        slots = jnp.zeros((heads, self.context, self.out.bias.size // heads))
        return Cache(slots, slots, jnp.array(0))

    def step(self, memory: Cache, x: Array) -> tuple[Cache, Array]:
        """One step: cache, [..., width] -> cache, output [..., width]."""
        time = memory.time[..., None]
        query, key, value = self._project(x[..., None, :], time)
        here = (jnp.arange(self.context) == time % self.context)[..., None, :, None]
        keys = jnp.where(here, key, memory.keys)
        values = jnp.where(here, value, memory.values)
        seen = (jnp.arange(self.context) <= time)[..., None, None, :]
        y = self._attend(query, keys, values, seen)
        return Cache(keys, values, memory.time + 1), self.out(_joined(y))[..., 0, :]

    def unroll(self, memory: Cache, xs: Array) -> Array:  # noqa: ARG002 (the protocol has it)
        """[T, ..., width] from birth, where the cache is empty (it is not looked at) -> outputs [T, ..., width]."""
        xs = jnp.moveaxis(xs, 0, -2)
        *batch, steps, width = xs.shape
        looked = self._project(xs.reshape(-1, steps, width), jnp.arange(steps))
        at_once = max(1, SCORES_AT_ONCE // (len(self.sink) * steps**2))
        if jax.default_backend() == "cpu" and at_once < len(looked[0]):
            one = jax.checkpoint(lambda looked: self._look_back(*looked))
            ys = jax.lax.map(one, looked, batch_size=at_once)
        else:
            ys = self._look_back(*looked)
        return jnp.moveaxis(self.out(_joined(ys)).reshape(*batch, steps, width), -2, 0)

    def _project(self, x: Array, time: Array) -> tuple[Array, Array, Array]:
        """Rotated queries and keys, and values [..., heads, T, d] each, of x [..., T, width] at times [..., T]."""
        heads = len(self.sink)
        query, key, value = (_by_head(x, heads) for x in jnp.split(self.queries_keys_values(x), 3, -1))
        time = time[..., None, :]
        return rotated(query, time), rotated(key, time), value

    def _look_back(self, query: Array, keys: Array, values: Array) -> Array:
        """[..., heads, T, d] of a sequence from its start -> [..., heads, T, d]."""
        steps = query.shape[-2]
        length, parts = max(SHORTEST_PART, -(-steps // PARTS)), []
        for start in range(0, steps, length):
            now = slice(start, min(start + length, steps))
            then = slice(max(0, start + 1 - self.context), now.stop)
            ago = jnp.arange(steps)[now, None] - jnp.arange(steps)[then]
            seen = (ago >= 0) & (ago < self.context)
            parts.append(self._attend(query[..., now, :], keys[..., then, :], values[..., then, :], seen))
        return jnp.concatenate(parts, -2)

    def _attend(self, query: Array, keys: Array, values: Array, seen: Array) -> Array:
        """[..., heads, T, d], [..., heads, L, d] twice, bool [..., T, L] that goes with them -> [..., heads, T, d]."""
        scores = jnp.einsum("...td,...sd->...ts", query, keys) / query.shape[-1] ** 0.5
        scores = jnp.where(seen, scores, -jnp.inf)
        sink = self.sink[:, None, None]
        top = jax.lax.stop_gradient(jnp.maximum(scores.max(-1, keepdims=True), sink))
        weights = jnp.exp(scores - top)
        weights = weights / (weights.sum(-1, keepdims=True) + jnp.exp(sink - top))
        return jnp.einsum("...ts,...sd->...td", weights, values)


def rotated(x: Array, time: Array) -> Array:
    """Pairs (x_i, x_{i + d/2}) of [..., T, d] turned by the angles time [..., T] / LONGEST_WAVE^(2 i / d).

    By a matrix, though most of it is zeros: a compiler may merge what is computed element by element with the storing
    of a key, and compute sines for each slot of the cache at every step.
    """
    half = x.shape[-1] // 2
    angle = time[..., None] * LONGEST_WAVE ** (-jnp.arange(half) / half)
    cos, sin = jnp.cos(angle)[..., None] * jnp.eye(half), jnp.sin(angle)[..., None] * jnp.eye(half)
    turn = jnp.concatenate([jnp.concatenate([cos, sin], -1), jnp.concatenate([-sin, cos], -1)], -2)
    return jnp.einsum("...td,...tde->...te", x, turn)


def _by_head(x: Array, heads: int) -> Array:
    """[..., T, width] -> [..., heads, T, width / heads]."""
    return jnp.moveaxis(x.reshape(*x.shape[:-1], heads, -1), -2, -3)


def _joined(x: Array) -> Array:
    """[..., heads, T, d] -> [..., T, heads d]."""
    x = jnp.moveaxis(x, -3, -2)
    return x.reshape(*x.shape[:-2], -1)
