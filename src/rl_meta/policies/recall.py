"""An episodic memory before another memory: what came of acting where one is now, whenever in the lifetime that was.

    k_s = o_{s−1} W_k + b_k,    v_s = f(action_{s−1}, reward_s, what it led to),    s = 1 … t
    q_t = o_t W_k + b_k,        w_ts ∝ exp(−β |q_t − k_s|² / 2),    Σ_s w_ts + w_t∅ = 1,  w_t∅ ∝ exp(sink)
    y_t = Σ_s w_ts v_s          and the memory behind it reads (x_t, y_t), the heads its output and y_t

Observation and outcome of a step are one memory, found again by the likeness of observations: the differentiable neural
dictionary of Pritzel et al. (2017), which Ritter et al. (2018, "Been there, done that: meta-learning with episodic
recall") gave to recurrent meta-learners; here the whole lifetime is searched, and gradients run through the search.
A recurrent state has to learn to file what it sees under where it saw it; this is built so. f is a network that reads
action and reward together, for the mean of their products tells good actions from bad ones, and means of each do not.

Where observations are a few numbered states, all that followed the same one weighs the same: its sum is all that has to
be kept, which makes a step's cost independent of the lifetime's length, and a lifetime's proportional to it (`Tally`).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.policies.layers import MLP
from rl_meta.policies.layout import Layout, as_layout
from rl_meta.policies.memory import MakeMemory, SequenceMemory
from rl_meta.types import Array, Key, PyTree

SHARPNESS = 8.0
"""β at first: another state of a finite world, whose one-hot vector is √2 away, weighs e⁻⁸ as much as the same one."""

WORTH_TALLYING = 10
"""Steps in a lifetime per state from which on `Tally` is learned from as fast as all steps are searched, and lived with
several times as fast (benchmarks/throughput/recall.py)."""


class Lookup(eqx.Module):
    """What memories are made of, and how they are compared: W_k, b_k, f, sink and β."""

    key: MLP
    """One layer; before it, eyes for pictures."""
    value: MLP
    sink: Array
    """Score of recalling nothing. That of a memory of the very same observation is 0."""
    log_sharpness: Array
    """log β"""
    layout: Layout = eqx.field(static=True)
    """Of the inputs."""

    def __init__(self, obs: int | Layout, outcome: int | Layout, width: int, *, key: Key) -> None:
        """obs, outcome: what the inputs are joined of. width: of keys and of what is recalled."""
        key_key, key_value = jax.random.split(key)
        self.key = MLP(obs, (), width, key=key_key)
        self.value = MLP(outcome, (width, width), key=key_value)
        self.layout = as_layout(obs) + as_layout(outcome)
        self.sink, self.log_sharpness = jnp.zeros(()), jnp.log(SHARPNESS)

    @property
    def size(self) -> int:
        """Width of what is recalled."""
        return self.value.size_out

    def split(self, x: Array) -> tuple[Array, Array]:
        """[..., in] -> observation, outcome."""
        size_obs = self.key.size_in
        return x[..., :size_obs], x[..., size_obs:]


class Recollections(NamedTuple):
    """All steps of a lifetime so far; slot s holds what step s saw of step s − 1."""

    keys: Array
    """[..., L, width]"""
    values: Array
    """[..., L, width]"""
    before: Array
    """[..., observation] Of the last step, whose outcome comes next."""
    time: Array
    """[...] int32: steps lived so far."""


class Recall(eqx.Module):
    """Reads inputs [..., in] of an observation and the last step's outcome, and searches all there were before."""

    lookup: Lookup
    steps: int = eqx.field(static=True)
    """That lifetimes have at most."""

    @property
    def size(self) -> int:
        """Width of what is recalled."""
        return self.lookup.size

    def start(self) -> Recollections:
        """Nothing to recall."""
        slots = jnp.zeros((self.steps, self.size))
        return Recollections(slots, slots, jnp.zeros(self.lookup.key.size_in), jnp.array(0))

    def step(self, memory: Recollections, x: Array) -> tuple[Recollections, Array]:
        """One step: memory, [..., in] -> memory, recalled [..., width]."""
        key, value = self.lookup.key, self.lookup.value
        obs, outcome = self.lookup.split(x)
        time = memory.time[..., None]
        slots = jnp.arange(self.steps)
        put = lambda new, old: jnp.where((slots == time)[..., None], new[..., None, :], old)
        keys, values = put(key(memory.before), memory.keys), put(value(outcome), memory.values)
        seen = (slots > 0) & (slots <= time)
        recalled = self._search(key(obs)[..., None, :], keys, values, seen[..., None, :])[..., 0, :]
        return Recollections(keys, values, obs, memory.time + 1), recalled

    def unroll(self, xs: Array) -> Array:
        """A lifetime from its first step on: [T, ..., in] -> recalled [T, ..., width]."""
        obs, outcome = self.lookup.split(jnp.moveaxis(xs, 0, -2))
        places, values = self.lookup.key(obs), self.lookup.value(outcome)
        times = jnp.arange(xs.shape[0])
        seen = (times > 0) & (times <= times[:, None])
        return jnp.moveaxis(self._search(places, jnp.roll(places, 1, -2), values, seen), -2, 0)

    def _search(self, queries: Array, keys: Array, values: Array, seen: Array) -> Array:
        """[..., T, width], [..., L, width] twice, bool [..., T, L] -> [..., T, width]."""
        half, sink = lambda x: (x**2).sum(-1) / 2, self.lookup.sink
        near = queries @ jnp.swapaxes(keys, -1, -2) - half(queries)[..., None] - half(keys)[..., None, :]
        scores = jnp.where(seen, jnp.exp(self.lookup.log_sharpness) * jnp.minimum(near, 0.0), -jnp.inf)
        top = jax.lax.stop_gradient(jnp.maximum(scores.max(-1, keepdims=True), sink))
        weights = jnp.exp(scores - top)
        return (weights / (weights.sum(-1, keepdims=True) + jnp.exp(sink - top))) @ values


class Totals(NamedTuple):
    """What followed each of n observations in a lifetime so far."""

    values: Array
    """[..., n, width] Summed."""
    counts: Array
    """[..., n]"""
    before: Array
    """[..., n] The last step's observation, whose outcome comes next; zeros before the first step."""


class Tally(eqx.Module):
    """The same memory of observations that are one-hot: what is found is equal up to rounding, for any length."""

    lookup: Lookup

    @property
    def size(self) -> int:
        """Width of what is recalled."""
        return self.lookup.size

    def start(self) -> Totals:
        """Nothing to recall."""
        count = self.lookup.key.size_in
        return Totals(jnp.zeros((count, self.size)), jnp.zeros(count), jnp.zeros(count))

    def step(self, memory: Totals, x: Array) -> tuple[Totals, Array]:
        """One step: memory, [..., in] -> memory, recalled [..., width]."""
        obs, outcome = self.lookup.split(x)
        return self._tally(memory, (obs, obs @ self._likeness(), self.lookup.value(outcome)))

    def unroll(self, xs: Array) -> Array:
        """A lifetime from its first step on: [T, ..., in] -> recalled [T, ..., width]."""
        obs, outcome = self.lookup.split(xs)
        start = jax.tree.map(lambda x: jnp.broadcast_to(x, (*xs.shape[1:-1], *x.shape)), self.start())
        steps = obs, obs @ self._likeness(), self.lookup.value(outcome)
        return jax.lax.scan(lambda totals, now: self._tally(totals, now), start, steps)[1]

    def _tally(self, totals: Totals, now: tuple[Array, Array, Array]) -> tuple[Totals, Array]:
        """now: observation [..., n], weights of what followed each [..., n], and what has come of the last step."""
        obs, weights, outcome = now
        values = totals.values + totals.before[..., None] * outcome[..., None, :]
        counts = totals.counts + totals.before
        total = (weights * counts).sum(-1, keepdims=True) + jnp.exp(self.lookup.sink)
        return Totals(values, counts, obs), (weights[..., None] * values).sum(-2) / total

    def _likeness(self) -> Array:
        """[n, n] of any two observations."""
        keys = self.lookup.key(jnp.eye(self.lookup.key.size_in))
        return jnp.exp(-jnp.exp(self.lookup.log_sharpness) * jnp.square(keys[:, None] - keys).sum(-1) / 2)


class Recalling(eqx.Module):
    """A memory that reads its input and what `Recall` finds for it, and gives the latter on beside its own output."""

    recall: Recall | Tally
    memory: SequenceMemory

    def __init__(self, recall: Recall | Tally, make: MakeMemory, *, key: Key) -> None:
        self.recall, self.memory = recall, make(recall.lookup.layout + recall.size, key)

    @property
    def size(self) -> int:
        """Width of the outputs."""
        return self.memory.size + self.recall.size

    def start(self) -> tuple[PyTree, PyTree]:
        """The memory at the start of a lifetime."""
        return self.recall.start(), self.memory.start()

    def step(self, memory: tuple[PyTree, PyTree], x: Array) -> tuple[tuple[PyTree, PyTree], Array]:
        """See `SequenceMemory`."""
        recollections, recalled = self.recall.step(memory[0], x)
        inner, y = self.memory.step(memory[1], jnp.concatenate([x, recalled], -1))
        return (recollections, inner), jnp.concatenate([y, recalled], -1)

    def unroll(self, memory: tuple[PyTree, PyTree], xs: Array) -> Array:
        """See `SequenceMemory`; from a lifetime's start."""
        recalled = self.recall.unroll(xs)
        y = self.memory.unroll(memory[1], jnp.concatenate([xs, recalled], -1))
        return jnp.concatenate([y, recalled], -1)
