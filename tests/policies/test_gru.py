from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from rl_meta.policies.gru import GRU

ROUNDING = 1e-5
"""Single-precision products of length 5 summed in another order, over 7 steps."""
SIZE_IN, SIZE, LENGTH = 3, 5, 7
BATCHES = {"one sequence": (), "a batch": (2,), "two batch axes": (2, 3)}
LEAVES = ("weight_input", "weight_memory", "bias", "bias_new", "memory", "xs")


def normal(seed, *shape):
    return jnp.float32(np.random.default_rng(seed).normal(size=shape))


def a_gru(seed=0):
    """With biases that are not zero."""
    gru = GRU(SIZE_IN, SIZE, key=jax.random.key(seed))
    return eqx.tree_at(lambda g: (g.bias, g.bias_new), gru, (normal(seed, 3 * SIZE), normal(seed + 1, SIZE)))


def inputs(batch, seed=10):
    return normal(seed, *batch, SIZE), normal(seed + 1, LENGTH, *batch, SIZE_IN)


def unroll(gru, memory, xs):
    return gru.unroll(memory, xs)


def repeated_step(gru, memory, xs):
    """A plain scan, which JAX differentiates by itself."""
    return jax.lax.scan(lambda memory, x: gru.step(memory, x), memory, xs)[1]


def torchs_formula(gru, memory, x):
    """As in the documentation of torch.nn.GRU, gate by gate."""
    w, u, b, c, h, x = (
        np.asarray(a, float) for a in (gru.weight_input, gru.weight_memory, gru.bias, gru.bias_new, memory, x)
    )
    w_ir, w_iz, w_in = w[:, :SIZE], w[:, SIZE : 2 * SIZE], w[:, 2 * SIZE :]
    w_hr, w_hz, w_hn = u[:, :SIZE], u[:, SIZE : 2 * SIZE], u[:, 2 * SIZE :]
    b_ir, b_iz, b_in = b[:SIZE], b[SIZE : 2 * SIZE], b[2 * SIZE :]
    r = expit(x @ w_ir + b_ir + h @ w_hr)
    z = expit(x @ w_iz + b_iz + h @ w_hz)
    n = np.tanh(x @ w_in + b_in + r * (h @ w_hn + c))
    return (1 - z) * n + z * h


step = jax.jit(GRU.step)
jit_unroll = jax.jit(GRU.unroll)


@cache
def gradients(way, batch):
    """Of a loss that weighs every output differently, by name of the argument."""
    weights = normal(20, LENGTH, *batch, SIZE)

    def loss(gru, memory, xs):
        return (weights * way(gru, memory, xs) ** 2).sum()

    gru, memory, xs = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(a_gru(), *inputs(batch))
    return {**{name: getattr(gru, name) for name in LEAVES[:4]}, "memory": memory, "xs": xs}


@cache
def gradients_by_vmap(way):
    """Of four networks, each with a sequence of its own."""
    grus = jax.tree.map(lambda *x: jnp.stack(x), *[a_gru(seed) for seed in range(4)])
    memory, xs = normal(30, 4, SIZE), normal(31, 4, LENGTH, SIZE_IN)
    loss = lambda gru, memory, xs: jnp.sin(way(gru, memory, xs)).sum()
    gru, memory, xs = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1, 2))))(grus, memory, xs)
    return {**{name: getattr(gru, name) for name in LEAVES[:4]}, "memory": memory, "xs": xs}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_a_step_is_torchs_formula(batch):
    gru, (memory, xs) = a_gru(), inputs(batch)
    np.testing.assert_allclose(step(gru, memory, xs[0])[0], torchs_formula(gru, memory, xs[0]), atol=ROUNDING)


def test_the_output_of_a_step_is_its_memory():
    memory, output = a_gru().step(normal(0, SIZE), normal(1, SIZE_IN))
    np.testing.assert_array_equal(memory, output)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_unrolling_is_repeated_stepping(batch):
    gru, (memory, xs) = a_gru(), inputs(batch)
    expected = []
    for x in xs:
        memory, output = step(gru, memory, x)
        expected.append(output)
    np.testing.assert_allclose(jit_unroll(gru, inputs(batch)[0], xs), expected, atol=ROUNDING)


def test_a_sequence_may_be_unrolled_in_parts():
    gru, (memory, xs) = a_gru(), inputs((2,))
    first = jit_unroll(gru, memory, xs[:4])
    rest = jit_unroll(gru, first[-1], xs[4:])
    np.testing.assert_allclose(jnp.concatenate([first, rest]), jit_unroll(gru, memory, xs), atol=ROUNDING)


@pytest.mark.parametrize("leaf", LEAVES)
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_the_gradient_is_that_of_a_plain_scan(batch, leaf):
    expected = gradients(repeated_step, batch)[leaf]
    np.testing.assert_allclose(gradients(unroll, batch)[leaf], expected, rtol=10 * ROUNDING, atol=10 * ROUNDING)


@pytest.mark.parametrize("leaf", LEAVES)
def test_through_vmap_the_gradient_is_that_of_a_plain_scan(leaf):
    expected = gradients_by_vmap(repeated_step)[leaf]
    np.testing.assert_allclose(gradients_by_vmap(unroll)[leaf], expected, rtol=10 * ROUNDING, atol=10 * ROUNDING)


def test_the_gradient_can_be_differentiated_again():
    gru, (memory, xs) = a_gru(), inputs(())

    def steepness(way):
        slope = jax.grad(lambda memory: (way(gru, memory, xs) ** 2).sum())
        return jax.jit(jax.grad(lambda memory: (slope(memory) ** 2).sum()))(memory)

    np.testing.assert_allclose(steepness(unroll), steepness(repeated_step), rtol=10 * ROUNDING, atol=10 * ROUNDING)


def test_the_memory_starts_at_zero():
    np.testing.assert_array_equal(a_gru().start(), np.zeros(SIZE))


def test_a_new_gru_keeps_the_norm_of_its_memory_through_every_gate():
    weight = np.asarray(GRU(SIZE_IN, SIZE, key=jax.random.key(0)).weight_memory)
    grams = [block.T @ block for block in np.split(weight, 3, -1)]
    np.testing.assert_allclose(grams, [np.eye(SIZE)] * 3, atol=ROUNDING)


def test_the_gates_of_a_new_gru_have_weights_of_their_own():
    r, z, n = np.split(np.asarray(GRU(SIZE_IN, SIZE, key=jax.random.key(0)).weight_memory), 3, -1)
    assert min(np.abs(a - b).max() for a, b in ((r, z), (z, n), (r, n))) > 0.1
