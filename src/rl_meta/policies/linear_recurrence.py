"""A diagonal linear recurrent layer: gated, real, with decays from one step to a whole lifetime.

    v_t = x_t W_v + b_v
    h_t = a ⊙ h_{t−1} + √(1 − a²) ⊙ v_t,    a = exp(−exp(ν))
    y_t = (h_t ⊙ silu(x_t W_g + b_g)) W_o + b_o

The recurrence is that of the LRU (Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences",
eqs. 6 and 7) with real eigenvalues, which count and average but do not rotate; the gate is that of Griffin (De et
al. 2024, section 2.3). Lu et al. (2023), "Structured state space models for in-context reinforcement learning", train
such layers in meta-RL. The state sums evidence without forgetting it, up to 1 / (1 − a) steps long.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.policies.layers import Linear
from rl_meta.types import Array, Key


class LinearRecurrence(eqx.Module):
    """A layer for `transformer.ResidualMemory`; its memory is h [..., H]."""

    value: Linear
    gate: Linear
    out: Linear
    log_rate: Array
    """[H] ν in the formula."""

    def __init__(self, width: int, size: int, span: float, *, key: Key) -> None:
        """size: H. span: units remember from one up to so many steps at first, evenly spread in their logarithm."""
        key_value, key_gate = jax.random.split(key)
        self.value = Linear(width, size, key=key_value)
        self.gate = Linear(width, size, key=key_gate)
        self.out = Linear(size, width, gain=0.0, key=key)
        self.log_rate = -jnp.linspace(0.0, jnp.log(span), size)

    def start(self) -> Array:
        """Zeros [H]."""
        return jnp.zeros_like(self.log_rate)

    def step(self, memory: Array, x: Array) -> tuple[Array, Array]:
        """One step: [..., H], [..., width] -> memory, output [..., width]."""
        decay, write = self._decay_and_write(x)
        memory = decay * memory + write
        return memory, self._read(memory, x)

    def unroll(self, memory: Array, xs: Array) -> Array:
        """[..., H], [T, ..., width] -> outputs [T, ..., width]."""
        decay, writes = self._decay_and_write(xs)
        return self._read(linear_recurrence(decay, memory, writes), xs)

    def _decay_and_write(self, x: Array) -> tuple[Array, Array]:
        rate = jnp.exp(self.log_rate)
        # 1 − a² = −expm1(−2 rate), which float32 would round to 0 if it were computed from a
        return jnp.exp(-rate), jnp.sqrt(-jnp.expm1(-2 * rate)) * self.value(x)

    def _read(self, memory: Array, x: Array) -> Array:
        return self.out(memory * jax.nn.silu(self.gate(x)))


def linear_recurrence(decay: Array, start: Array, writes: Array) -> Array:
    """h_t = a ⊙ h_{t−1} + u_t for a [H], h_0 [..., H] and u [T, ..., H]: all h [T, ..., H].

    In sequence on a CPU, where that is two to four times as fast; else in parallel over time (Blelloch 1990).
    """
    return (_in_sequence if jax.default_backend() == "cpu" else _in_parallel)(decay, start, writes)


def _in_sequence(decay: Array, start: Array, writes: Array) -> Array:
    def step(h: Array, write: Array) -> tuple[Array, Array]:
        h = decay * h + write
        return h, h

    return jax.lax.scan(step, start, writes)[1]


def _in_parallel(decay: Array, start: Array, writes: Array) -> Array:
    def both(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        return first[0] * second[0], second[0] * first[1] + second[1]

    writes = writes.at[0].add(decay * start)
    return jax.lax.associative_scan(both, (jnp.broadcast_to(decay, writes.shape), writes))[1]
