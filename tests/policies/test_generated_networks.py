from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.axes import tile
from rl_meta.numerics.moments import Moments
from rl_meta.policies.gru import GRU
from rl_meta.policies.hypernetwork import (
    GeneratedMLP,
    HypernetworkActorCritic,
    ModulatedMLP,
    generated_product,
)
from rl_meta.policies.layers import MLP, PolicyHead, ValueHead
from rl_meta.policies.memory import Encoded
from rl_meta.policies.splagger import SplAgger

ROUNDING = 1e-5
"""Single-precision sums of some twenty products in another order."""
SIZE_IN, SIZE_OBS, SIZE, EMBEDDING, BASE, LENGTH, BATCH = 7, 3, 6, 4, (5,), 6, 2
KINDS = {"weights": GeneratedMLP, "film": ModulatedMLP}
MEMORIES = {"recurrent": GRU, "splagger": SplAgger}
SIZES = {"discrete": (4, 0), "continuous": (2, 2)}


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@cache
def network(kind="weights", memory="recurrent", sizes=(4, 0)):
    make = lambda key: HypernetworkActorCritic(
        (SIZE_IN, SIZE_OBS),
        lambda size_in, key: Encoded(size_in, (8,), lambda size, key: MEMORIES[memory](size, SIZE, key=key), key=key),
        sizes,
        embedding=EMBEDDING,
        base=BASE,
        generate=KINDS[kind],
        key=key,
    )
    return eqx.filter_jit(make)(jax.random.key(0))


@eqx.filter_jit
def unrolled(network, xs):
    return network.unroll(tile(network.start(), BATCH), xs)


@eqx.filter_jit
def remembered(network, xs):
    return network.memory.unroll(tile(network.start(), BATCH), xs)


@eqx.filter_jit
def trained(module):
    """With weights as after training: none of them is zero."""
    leaves, structure = jax.tree.flatten(module)
    return jax.tree.unflatten(structure, [x + 0.3 * normal(i, *x.shape) for i, x in enumerate(leaves)])


@cache
def a_generated_mlp(kind, widths=(5, 6), size_out=4):
    make = lambda key: KINDS[kind](MLP(SIZE_OBS, widths, size_out, key=key), EMBEDDING)
    return eqx.filter_jit(make)(jax.random.key(1))


@eqx.filter_jit
def outputs(mlp, z, x):
    return mlp(z, x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_new_policy_does_not_depend_on_the_task(kind, memory):
    new, xs = network(kind, memory), normal(0, LENGTH, BATCH, SIZE_IN)
    other = xs.at[..., SIZE_OBS:].add(5.0)
    assert np.abs(np.asarray(remembered(new, xs)) - np.asarray(remembered(new, other))).max() > 0.1
    for a, b in zip(unrolled(new, xs), unrolled(new, other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_a_new_policy_is_the_ordinary_network_of_the_same_draw(kind, sizes):
    @jax.jit
    def ordinary(key, obs):
        _, _, key_policy, key_value = jax.random.split(key, 4)
        policy = PolicyHead(SIZE_OBS, BASE, sizes, key=key_policy)
        return policy(obs), ValueHead(SIZE_OBS, BASE, key=key_value)(obs)

    x = normal(0, BATCH, SIZE_IN)
    new = network(kind, sizes=sizes)
    _, *decided = eqx.filter_jit(new.step)(jnp.zeros((BATCH, SIZE)), x)
    for got, expected in zip(decided, ordinary(jax.random.key(0), x[:, :SIZE_OBS]), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_policy_depends_on_the_task(kind):
    mlp, x = trained(a_generated_mlp(kind)), normal(0, SIZE_OBS)
    first, second = (np.asarray(outputs(mlp, normal(task, EMBEDDING), x)) for task in (1, 2))
    assert np.abs(first - second).max() > 0.01


def test_generated_weights_are_those_of_an_ordinary_network():
    mlp, z, x = trained(a_generated_mlp("weights")), normal(1, EMBEDDING), normal(0, BATCH, SIZE_OBS)
    written = [np.tensordot(np.asarray(z), np.asarray(slope), 1) for slope in mlp.slopes]
    weights = [layer.weight.T if layer.narrow else layer.weight for layer in mlp.ordinary.layers]
    y = np.asarray(x)
    for i, (layer, weight, extra) in enumerate(zip(mlp.ordinary.layers, weights, written, strict=True)):
        y = y @ (np.asarray(weight) + extra[:-1]) + np.asarray(layer.bias) + extra[-1]
        y = np.tanh(y) if i < len(written) - 1 else y
    np.testing.assert_allclose(outputs(mlp, tile(z, BATCH), x), y, atol=ROUNDING)


def test_film_scales_and_shifts_hidden_units():
    mlp, z, x = trained(a_generated_mlp("film", (5,))), normal(1, EMBEDDING), normal(0, SIZE_OBS)
    first, last = mlp.ordinary.layers
    scale, shift = np.split(np.asarray(z @ mlp.slopes[0]), 2)
    np.testing.assert_allclose(mlp(z, x), last(jnp.tanh((1 + scale) * first(x) + shift)), atol=ROUNDING)


@pytest.mark.parametrize(("size_in", "size_out"), [(2, 9), (9, 2), (5, 5)])
def test_the_product_is_that_with_the_written_weights(size_in, size_out):
    slope, z, x = normal(0, EMBEDDING, size_in + 1, size_out), normal(1, 3, EMBEDDING), normal(2, 3, size_in)
    weight = np.einsum("bk,kio->bio", z, slope)
    expected = np.einsum("bi,bio->bo", x, weight[:, :-1]) + weight[:, -1]
    np.testing.assert_allclose(jax.jit(generated_product)(slope, z, x), expected, atol=ROUNDING)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_unrolling_is_repeated_stepping(kind, memory):
    made, xs = trained(network(kind, memory)), normal(0, LENGTH, BATCH, SIZE_IN)
    together, step, state = unrolled(made, xs), eqx.filter_jit(made.step), tile(made.start(), BATCH)
    for t, x in enumerate(xs):
        state, *decided = step(state, x)
        for got, expected in zip(decided, together, strict=True):
            np.testing.assert_allclose(got, np.asarray(expected)[t], atol=ROUNDING)


@pytest.mark.parametrize("kind", KINDS)
def test_values_keep_their_meaning_in_new_units(kind):
    old = Moments(jnp.array(1.0), jnp.array(3.0), jnp.array(4.0))
    new = Moments(jnp.array(1.0), jnp.array(-1.0), jnp.array(25.0))
    head = trained(network(kind)).value

    @eqx.filter_jit
    def before_and_after(head, z, x):
        return old.mean + old.std * head(z, x), new.mean + new.std * head.rescaled(old, new)(z, x)

    before, after = before_and_after(head, normal(0, BATCH, EMBEDDING), normal(1, BATCH, SIZE_OBS))
    np.testing.assert_allclose(after, before, atol=10 * ROUNDING)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_network_can_learn_to_tell_tasks_apart(kind):
    """The heads' weights are zero, but not their gradient."""
    loss = lambda mlp: mlp(normal(0, EMBEDDING), normal(1, SIZE_OBS)).sum()
    slopes = eqx.filter_jit(eqx.filter_grad(loss))(a_generated_mlp(kind)).slopes
    assert min(np.abs(np.asarray(slope)).max() for slope in slopes) > 1e-3
