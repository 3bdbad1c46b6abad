"""A gated recurrent unit (Cho et al. 2014, in the form of cuDNN, PyTorch and Flax).

    r = σ(x W_r + h U_r + b_r)
    z = σ(x W_z + h U_z + b_z)
    n = tanh(x W_n + b_n + r ⊙ (h U_n + c))
    h' = (1 − z) ⊙ n + z ⊙ h

Over a sequence, the products with W are one large product before the scan, and the gradients of U and W one
large product after it: the scan itself holds only what is truly sequential.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from rl_meta.numerics.orthogonal import orthogonal
from rl_meta.types import Array, Key


class GRU(eqx.Module):
    """See `memory.SequenceMemory`."""

    weight_input: Array
    """[in, 3 H], in the order r, z, n."""
    weight_memory: Array
    """[H, 3 H]"""
    bias: Array
    """[3 H]"""
    bias_new: Array
    """[H] c in the formula."""

    def __init__(self, size_in: int, size: int, *, span: float = 1.0, key: Key) -> None:
        """`span`: up to how many steps a unit remembers at first (Tallec & Ollivier 2018, chrono initialisation).

        b_z = log u with u uniform in [1, span]: a unit then forgets about one part in u + 1 per step. 1: b_z = 0.
        """
        key_input, key_memory, key_span = jax.random.split(key, 3)
        blocks = jax.vmap(lambda k: orthogonal(k, (size, size)))(jax.random.split(key_memory, 3))
        self.weight_input = jax.nn.initializers.lecun_normal()(key_input, (size_in, 3 * size))
        self.weight_memory = jnp.concatenate(list(blocks), -1)
        keep = jnp.log(jax.random.uniform(key_span, (size,), minval=1.0, maxval=span))
        self.bias = jnp.zeros(3 * size).at[size : 2 * size].set(keep)
        self.bias_new = jnp.zeros(size)

    @property
    def size(self) -> int:
        """H."""
        return len(self.bias_new)

    def start(self) -> Array:
        """The memory at the start of a lifetime, [H]."""
        return jnp.zeros_like(self.bias_new)

    @property
    def size_in(self) -> int:
        """Length of what it reads."""
        return self.weight_input.shape[0]

    def rereading(self, scale: Array, shift: Array) -> "GRU":
        """The memory that makes of x what this one makes of scale ⊙ x + shift; scale, shift [in]."""
        parts = self.weight_input * scale[:, None], self.bias + shift @ self.weight_input
        return eqx.tree_at(lambda gru: (gru.weight_input, gru.bias), self, parts)

    def step(self, memory: Array, x: Array) -> tuple[Array, Array]:
        """One step: [..., H], [..., in] -> memory and output (which are the same here), each [..., H]."""
        memory = _cell(self.weight_memory, self.bias_new, memory, self._gates(x))[0]
        return memory, memory

    def unroll(self, memory: Array, xs: Array) -> Array:
        """[..., H], [T, ..., in] -> outputs [T, ..., H]; the same numbers as T calls of `step`."""
        return _scan(self.weight_memory, self.bias_new, memory, self._gates(xs))

    def _gates(self, x: Array) -> "Gates":
        """[..., in] -> three times [..., H]."""
        return Gates(*jnp.split(x @ self.weight_input + self.bias, 3, -1))


class Gates(NamedTuple):
    """x W + b, each [..., H]. Apart, for slices of what a scan reads keep XLA from vectorising: 2.4 times slower."""

    r: Array
    z: Array
    n: Array


def _cell(weight: Array, bias_new: Array, h: Array, gates: Gates) -> tuple[Array, tuple]:
    """One step from x W + b; also what its derivative needs."""
    r_h, z_h, n_h = jnp.split(h @ weight, 3, -1)
    r, z = jax.nn.sigmoid(gates.r + r_h), jax.nn.sigmoid(gates.z + z_h)
    m = n_h + bias_new
    n = jnp.tanh(gates.n + r * m)
    return (1 - z) * n + z * h, (r, z, n, m)


@jax.custom_vjp
def _scan(weight: Array, bias_new: Array, h: Array, gates: Gates) -> Array:
    """All hidden states [T, ..., H] from gates [T, ..., H]."""
    return _scan_forward(weight, bias_new, h, gates)[0]


def _scan_forward(weight: Array, bias_new: Array, h: Array, gates: Gates) -> tuple[Array, tuple]:
    def step(h: Array, gates: Gates) -> tuple[Array, tuple]:
        after, saved = _cell(weight, bias_new, h, gates)
        return after, (after, saved)

    _, (hs, saved) = jax.lax.scan(step, h, gates)
    return hs, (weight, h, hs, saved)


def _scan_backward(residuals: tuple, grad_hs: Array) -> tuple[Array, Array, Array, Gates]:
    weight, h, hs, saved = residuals
    before = jnp.concatenate([h[None], hs[:-1]])

    def step(grad_h: Array, moment: tuple) -> tuple[Array, tuple]:
        grad_out, h, (r, z, n, m) = moment
        grad_h = grad_h + grad_out
        grad_n = grad_h * (1 - z) * (1 - n**2)
        grad_z = grad_h * (h - n) * z * (1 - z)
        grad_m = grad_n * r
        grad_r = grad_n * m * r * (1 - r)
        grad_recurrent = jnp.concatenate([grad_r, grad_z, grad_m], -1)
        return grad_h * z + grad_recurrent @ weight.T, (grad_recurrent, grad_n)

    grad_h, (grad_recurrent, grad_n) = jax.lax.scan(step, jnp.zeros_like(h), (grad_hs, before, saved), reverse=True)
    flat = lambda x: x.reshape(-1, x.shape[-1])
    grad_weight = flat(before).T @ flat(grad_recurrent)
    grad_r, grad_z, grad_m = jnp.split(grad_recurrent, 3, -1)
    return grad_weight, flat(grad_m).sum(0), grad_h, Gates(grad_r, grad_z, grad_n)


_scan.defvjp(_scan_forward, _scan_backward)
