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

from typing import NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.policies.layers import MLP
from rl_meta.policies.layout import Layout
from rl_meta.policies.memory import MakeMemory, SequenceMemory
from rl_meta.types import Array, Key, PyTree

SHARPNESS = 8.0
"""β at first: another state of a finite world, whose one-hot vector is √2 away, weighs e⁻⁸ as much as the same one."""

WORTH_TALLYING = 5
"""Steps in a lifetime per state from which on sums are kept: as fast to learn from as all steps are to search, in long
lifetimes several times as fast, and so to live with in all (benchmarks/throughput/recall.py)."""
LEAST_SINK = -30.0
"""Below it, dividing by what nothing counts would overflow."""
PART = 32
"""Most steps that a tally looks back on at once."""


@runtime_checkable
class Outcomes(Protocol):
    """What is kept of the outcome of a step, and what is made of the sum of it over steps."""

    @property
    def size_in(self) -> int:
        """Length of an outcome."""

    @property
    def size(self) -> int:
        """Width of what is recalled: its last axis."""

    @property
    def size_kept(self) -> int:
        """Width of what is kept."""

    def keep(self, outcome: Array) -> Array:
        """[..., outcome] -> [..., kept]."""

    def read(self, sums: Array) -> Array:
        """Weighted sums of what was kept [..., kept] -> what is recalled."""


class MeanOutcome(eqx.Module):
    """v = f(outcome) is kept, its mean recalled."""

    value: MLP
    sink: Array
    """Score of recalling nothing. That of a memory of the very same observation is 0."""

    def __init__(self, outcome: int | Layout, width: int, *, key: Key) -> None:
        """width: of what is recalled."""
        self.value = MLP(outcome, (width, width), key=key)
        self.sink = jnp.zeros(())

    @property
    def size_in(self) -> int:
        """See `Outcomes`."""
        return self.value.size_in

    @property
    def size(self) -> int:
        """See `Outcomes`."""
        return self.value.size_out

    @property
    def size_kept(self) -> int:
        """See `Outcomes`."""
        return self.size + 1

    def keep(self, outcome: Array) -> Array:
        """[..., outcome] -> [..., width + 1]: v, 1."""
        return with_one(self.value(outcome))

    def read(self, sums: Array) -> Array:
        """[..., width + 1] -> [..., width]."""
        return mean_of(sums, self.sink)


def mean_of(sums: Array, sink: Array) -> Array:
    """Sums that end with their count [..., n + 1] -> means [..., n], with as much of nothing as e^sink counts."""
    return sums[..., :-1] / (sums[..., -1:] + jnp.exp(jnp.maximum(sink, LEAST_SINK)))


def with_one(x: Array) -> Array:
    """[..., n] -> [..., n + 1]: sums of it end with the number of summands."""
    return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1))], -1)


class Lookup(eqx.Module):
    """How memories are compared, W_k, b_k and β, and what they are of."""

    key: MLP
    """One layer; before it, eyes for pictures."""
    log_sharpness: Array
    """log β"""
    outcomes: Outcomes

    def __init__(self, obs: int | Layout, outcomes: Outcomes, width: int, *, key: Key) -> None:
        """obs: that inputs begin with. width: of the keys."""
        self.key = MLP(obs, (), width, key=key)
        self.log_sharpness = jnp.log(SHARPNESS)
        self.outcomes = outcomes

    def split(self, x: Array) -> tuple[Array, Array]:
        """[..., in] -> observation, outcome; what comes after them is not read."""
        size_obs = self.key.size_in
        return x[..., :size_obs], x[..., size_obs : size_obs + self.outcomes.size_in]


class Recollections(NamedTuple):
    """All steps of a lifetime so far, or its last L; slot s holds what step s, s + L, ... saw of the step before."""

    keys: Array
    """[..., L, width]"""
    kept: Array
    """[..., L, kept]"""
    before: Array
    """[..., observation] Of the last step, whose outcome comes next."""
    time: Array
    """[...] int32: steps lived so far."""


class Recall(eqx.Module):
    """Reads inputs [..., in] of an observation and the last step's outcome, and searches all there were before."""

    lookup: Lookup
    steps: int = eqx.field(static=True)
    """Of which the last are recalled: as many as lifetimes have in training."""

    def start(self) -> Recollections:
        """Nothing to recall."""
        slots = lambda width: jnp.zeros((self.steps, width))
        key, outcomes = self.lookup.key, self.lookup.outcomes
        return Recollections(slots(key.size_out), slots(outcomes.size_kept), jnp.zeros(key.size_in), jnp.array(0))

    def step(self, memory: Recollections, x: Array) -> tuple[Recollections, Array]:
        """One step: memory, [..., in] -> memory, recalled."""
        key, outcomes = self.lookup.key, self.lookup.outcomes
        obs, outcome = self.lookup.split(x)
        time = memory.time[..., None]
        slots = jnp.arange(self.steps)
        put = lambda new, old: jnp.where((slots == time % self.steps)[..., None], new[..., None, :], old)
        keys, kept = put(key(memory.before), memory.keys), put(outcomes.keep(outcome), memory.kept)
        seen = ((slots > 0) & (slots <= time)) | (time >= self.steps)  # step 0 saw nothing
        sums = self._search(key(obs)[..., None, :], keys, kept, seen[..., None, :])[..., 0, :]
        return Recollections(keys, kept, obs, memory.time + 1), outcomes.read(sums)

    def unroll(self, xs: Array) -> Array:
        """A lifetime from its first step on: [T, ..., in] -> recalled [T, ...]."""
        outcomes = self.lookup.outcomes
        obs, outcome = self.lookup.split(jnp.moveaxis(xs, 0, -2))
        places, kept = self.lookup.key(obs), outcomes.keep(outcome)
        times = jnp.arange(xs.shape[0])
        seen = (times > 0) & (times <= times[:, None])
        return outcomes.read(jnp.moveaxis(self._search(places, jnp.roll(places, 1, -2), kept, seen), -2, 0))

    def _search(self, queries: Array, keys: Array, kept: Array, seen: Array) -> Array:
        """[..., T, width], [..., L, width], [..., L, kept], bool [..., T, L] -> sums [..., T, kept]."""
        half = lambda x: (x**2).sum(-1) / 2
        near = queries @ jnp.swapaxes(keys, -1, -2) - half(queries)[..., None] - half(keys)[..., None, :]
        likeness = jnp.exp(jnp.exp(self.lookup.log_sharpness) * jnp.minimum(near, 0.0))
        return jnp.where(seen, likeness, 0.0) @ kept


class Totals(NamedTuple):
    """What followed each of n observations in a lifetime so far."""

    kept: Array
    """[..., n, kept] Summed."""
    before: Array
    """[..., n] The last step's observation, whose outcome comes next; zeros before the first step."""


class Tally(eqx.Module):
    """The same memory of observations that are one-hot: what is found is equal up to rounding, for any length.

    A lifetime that is looked back on is gone through in parts: the sums up to a part, and a search within it.
    """

    lookup: Lookup

    def start(self) -> Totals:
        """Nothing to recall."""
        count = self.lookup.key.size_in
        return Totals(jnp.zeros((count, self.lookup.outcomes.size_kept)), jnp.zeros(count))

    def step(self, memory: Totals, x: Array) -> tuple[Totals, Array]:
        """One step: memory, [..., in] -> memory, recalled."""
        obs, weights, kept = self._read(x)
        totals = memory.kept + memory.before[..., None] * kept[..., None, :]
        return Totals(totals, obs), self.lookup.outcomes.read((weights[..., None] * totals).sum(-2))

    def unroll(self, xs: Array) -> Array:
        """A lifetime from its first step on: [T, ..., in] -> recalled [T, ...]."""
        obs, weights, kept = self._read(xs)
        before = jnp.concatenate([jnp.zeros_like(obs[:1]), obs[:-1]])

        def go_on(totals: Array, part: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            before, weights, kept = part
            near = jnp.tri(weights.shape[-2]) * (weights @ jnp.swapaxes(before, -1, -2))
            return totals + jnp.swapaxes(before, -1, -2) @ kept, near @ kept + weights @ totals

        none = jnp.broadcast_to(self.start().kept, (*xs.shape[1:-1], before.shape[-1], kept.shape[-1]))
        _, sums = jax.lax.scan(go_on, none, (in_parts(before), in_parts(weights), in_parts(kept)))
        return self.lookup.outcomes.read(jnp.moveaxis(sums, -2, 1).reshape(-1, *kept.shape[1:])[: len(xs)])

    def _read(self, x: Array) -> tuple[Array, Array, Array]:
        """Observation [..., n], likeness to what followed each [..., n], what is kept of the last step [..., kept]."""
        obs, outcome = self.lookup.split(x)
        keys = self.lookup.key(jnp.eye(self.lookup.key.size_in))
        distances = jnp.square(keys[:, None] - keys).sum(-1)
        likeness = jnp.exp(-jnp.exp(self.lookup.log_sharpness) * distances / 2)
        return obs, obs @ likeness, self.lookup.outcomes.keep(outcome)


def in_parts(x: Array) -> Array:
    """[T, ..., n] -> [parts, ..., steps, n], zeros after the end."""
    parts = -(-len(x) // PART)
    x = jnp.concatenate([x, jnp.zeros((-len(x) % parts, *x.shape[1:]))])
    return jnp.moveaxis(x.reshape(parts, -1, *x.shape[1:]), 1, -2)


class Recalling(eqx.Module):
    """A memory that reads its input and what `Recall` finds for it, and gives the latter on beside its own output."""

    recall: Recall | Tally
    memory: SequenceMemory

    def __init__(self, recall: Recall | Tally, layout: Layout, make: MakeMemory, *, key: Key) -> None:
        """recall: of a `MeanOutcome`. layout: of the inputs."""
        self.recall, self.memory = recall, make(layout + recall.lookup.outcomes.size, key)

    @property
    def size(self) -> int:
        """Width of the outputs."""
        return self.memory.size + self.recall.lookup.outcomes.size

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
