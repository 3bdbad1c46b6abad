"""An episodic memory before another memory: what came of acting where one is now, whenever in the lifetime that was.

    k_s = o_{s−1} W_k + b_k,    v_s = f(action_{s−1}, reward_s, what it led to),    s = 1 … t
    q_t = o_t W_k + b_k,        w_ts ∝ exp(−β |q_t − k_s|² / 2),    Σ_s w_ts + w_t∅ = 1,  w_t∅ ∝ exp(sink)
    y_t = Σ_s w_ts v_s          and the memory behind it reads (x_t, y_t), the heads its output and y_t

Observation and outcome of a step are one memory, found again by the likeness of observations: the differentiable neural
dictionary of Pritzel et al. (2017), which Ritter et al. (2018, "Been there, done that: meta-learning with episodic
recall") gave to recurrent meta-learners; here the whole lifetime is searched, and gradients run through the search.
A recurrent state has to learn to file what it sees under where it saw it; this is built so. f is a network that reads
action and reward together, for the mean of their products tells good actions from bad ones, and means of each do not.
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
    """Reads inputs [..., in] of an observation and the last step's outcome; lifetimes have at most `steps` steps."""

    key: MLP
    """One layer; before it, eyes for pictures."""
    value: MLP
    sink: Array
    """Score of recalling nothing. That of a memory of the very same observation is 0."""
    log_sharpness: Array
    """log β"""
    layout: Layout = eqx.field(static=True)
    """Of the inputs."""
    steps: int = eqx.field(static=True)

    def __init__(self, obs: int | Layout, outcome: int | Layout, width: int, steps: int, *, key: Key) -> None:
        key_key, key_value = jax.random.split(key)
        self.key = MLP(obs, (), width, key=key_key)
        self.value = MLP(outcome, (width, width), key=key_value)
        self.layout = as_layout(obs) + as_layout(outcome)
        self.sink, self.log_sharpness = jnp.zeros(()), jnp.log(SHARPNESS)
        self.steps = steps

    @property
    def size(self) -> int:
        """Width of what is recalled."""
        return self.key.layers[-1].bias.size

    def start(self) -> Recollections:
        """Nothing to recall."""
        slots = jnp.zeros((self.steps, self.size))
        return Recollections(slots, slots, jnp.zeros(self.key.size_in), jnp.array(0))

    def step(self, memory: Recollections, x: Array) -> tuple[Recollections, Array]:
        """One step: memory, [..., in] -> memory, recalled [..., width]."""
        obs, outcome = self._split(x)
        time = memory.time[..., None]
        slots = jnp.arange(self.steps)
        put = lambda new, old: jnp.where((slots == time)[..., None], new[..., None, :], old)
        keys, values = put(self.key(memory.before), memory.keys), put(self.value(outcome), memory.values)
        seen = (slots > 0) & (slots <= time)
        recalled = self._search(self.key(obs)[..., None, :], keys, values, seen[..., None, :])[..., 0, :]
        return Recollections(keys, values, obs, memory.time + 1), recalled

    def unroll(self, xs: Array) -> Array:
        """A lifetime from its first step on: [T, ..., in] -> recalled [T, ..., width]."""
        obs, outcome = self._split(jnp.moveaxis(xs, 0, -2))
        places, values = self.key(obs), self.value(outcome)
        times = jnp.arange(xs.shape[0])
        seen = (times > 0) & (times <= times[:, None])
        return jnp.moveaxis(self._search(places, jnp.roll(places, 1, -2), values, seen), -2, 0)

    def _split(self, x: Array) -> tuple[Array, Array]:
        size_obs = self.key.size_in
        return x[..., :size_obs], x[..., size_obs:]

    def _search(self, queries: Array, keys: Array, values: Array, seen: Array) -> Array:
        """[..., T, width], [..., L, width] twice, bool [..., T, L] -> [..., T, width]."""
        half = lambda x: (x**2).sum(-1) / 2
        near = queries @ jnp.swapaxes(keys, -1, -2) - half(queries)[..., None] - half(keys)[..., None, :]
        scores = jnp.where(seen, jnp.exp(self.log_sharpness) * jnp.minimum(near, 0.0), -jnp.inf)
        top = jax.lax.stop_gradient(jnp.maximum(scores.max(-1, keepdims=True), self.sink))
        weights = jnp.exp(scores - top)
        return (weights / (weights.sum(-1, keepdims=True) + jnp.exp(self.sink - top))) @ values


class Recalling(eqx.Module):
    """A memory that reads its input and what `Recall` finds for it, and gives the latter on beside its own output."""

    recall: Recall
    memory: SequenceMemory

    def __init__(self, recall: Recall, make: MakeMemory, *, key: Key) -> None:
        self.recall, self.memory = recall, make(recall.layout + recall.size, key)

    @property
    def size(self) -> int:
        """Width of the outputs."""
        return self.memory.size + self.recall.size

    def start(self) -> tuple[Recollections, PyTree]:
        """The memory at the start of a lifetime."""
        return self.recall.start(), self.memory.start()

    def step(self, memory: tuple[Recollections, PyTree], x: Array) -> tuple[tuple[Recollections, PyTree], Array]:
        """See `SequenceMemory`."""
        recollections, recalled = self.recall.step(memory[0], x)
        inner, y = self.memory.step(memory[1], jnp.concatenate([x, recalled], -1))
        return (recollections, inner), jnp.concatenate([y, recalled], -1)

    def unroll(self, memory: tuple[Recollections, PyTree], xs: Array) -> Array:
        """See `SequenceMemory`; from a lifetime's start."""
        recalled = self.recall.unroll(xs)
        y = self.memory.unroll(memory[1], jnp.concatenate([xs, recalled], -1))
        return jnp.concatenate([y, recalled], -1)
