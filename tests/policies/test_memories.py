"""What holds for every memory that sequence policies are built on."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.axes import tile
from rl_meta.errors import UserError
from rl_meta.policies import attention as attention_module
from rl_meta.policies import linear_recurrence as recurrence
from rl_meta.policies.attention import Attention, rotated
from rl_meta.policies.gru import GRU
from rl_meta.policies.linear_recurrence import LinearRecurrence
from rl_meta.policies.splagger import SplAgger
from rl_meta.policies.transformer import ResidualMemory

ROUNDING = 1e-5
"""Single-precision sums of a dozen products in another order, through two blocks."""
SIZE_IN, SIZE, LENGTH, BATCH = 3, 8, 9, 4
WINDOW = 4
LONG = 150
"""Steps that attention looks back on in three parts."""


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def residual(make_layer):
    return ResidualMemory(SIZE_IN, SIZE, make_layer, blocks=2, hidden=2 * SIZE, key=jax.random.key(0))


def attention(context=LENGTH):
    return residual(lambda key: Attention(SIZE, 2, context, key=key))


MEMORIES = {
    "gru": lambda: GRU(SIZE_IN, SIZE, key=jax.random.key(0)),
    "splagger": lambda: SplAgger(SIZE_IN, SIZE, key=jax.random.key(0)),
    "linear recurrence": lambda: residual(lambda key: LinearRecurrence(SIZE, SIZE, 50.0, key=key)),
    "attention": attention,
    "attention in a window": lambda: attention(WINDOW),
}
IN_PARTS = ["gru", "splagger", "linear recurrence"]


@cache
def new(name):
    return eqx.filter_jit(MEMORIES[name])()


@cache
def trained(name):
    """With weights as after training: none of them is zero."""
    leaves, structure = jax.tree.flatten(new(name))
    noisy = jax.jit(lambda leaves: [x + 0.3 * normal(i, *x.shape) for i, x in enumerate(leaves)])(leaves)
    return jax.tree.unflatten(structure, noisy)


@eqx.filter_jit
def stepped(memory, xs):
    """The memory before every step [T, ...], and the outputs [T, ...]."""

    def step(state, x):
        after, y = memory.step(state, x)
        return after, (state, y)

    return jax.lax.scan(step, tile(memory.start(), BATCH), xs)[1]


@eqx.filter_jit
def unrolled(memory, xs):
    return memory.unroll(tile(memory.start(), BATCH), xs)


def inputs():
    return normal(100, LENGTH, BATCH, SIZE_IN)


@pytest.mark.parametrize("name", MEMORIES)
def test_unrolling_is_repeated_stepping(name):
    memory = trained(name)
    np.testing.assert_allclose(unrolled(memory, inputs()), stepped(memory, inputs())[1], atol=ROUNDING)


@pytest.mark.parametrize("name", IN_PARTS)
@pytest.mark.parametrize("cut", [1, 3, 7])
def test_a_sequence_may_be_unrolled_from_any_step(name, cut):
    memory, xs = trained(name), inputs()
    states, expected = stepped(memory, xs)
    states = jax.tree.map(lambda x: np.asarray(x)[cut], states)
    rest = eqx.filter_jit(type(memory).unroll)(memory, states, xs[cut:])
    np.testing.assert_allclose(rest, expected[cut:], atol=ROUNDING)


@pytest.mark.parametrize("name", MEMORIES)
def test_a_later_input_never_changes_an_earlier_output(name):
    memory, xs = trained(name), inputs()
    before, after = unrolled(memory, xs), unrolled(memory, xs.at[5:].add(7.0))
    np.testing.assert_array_equal(before[:5], after[:5])
    assert np.abs(np.asarray(before[5:] - after[5:])).max() > 0.1


@pytest.mark.parametrize("name", MEMORIES)
def test_an_early_input_changes_later_outputs(name):
    memory, xs = trained(name), inputs()
    apart = np.abs(np.asarray(unrolled(memory, xs) - unrolled(memory, xs.at[0].add(3.0))))
    assert apart[WINDOW - 1].max() > 100 * ROUNDING


@pytest.mark.parametrize("name", MEMORIES)
def test_outputs_are_as_wide_as_the_memory_says(name):
    memory = new(name)
    assert unrolled(memory, inputs()).shape == (LENGTH, BATCH, memory.size)


@pytest.mark.parametrize("name", ["attention", "linear recurrence"])
def test_new_blocks_look_at_the_present_alone(name):
    memory, xs = new(name), inputs()
    np.testing.assert_array_equal(unrolled(memory, xs)[-1], unrolled(memory, xs.at[:-1].add(3.0))[-1])


def test_one_block_sees_no_further_than_its_window():
    two, xs = trained("attention in a window"), inputs()
    memory = eqx.tree_at(lambda m: m.blocks, two, two.blocks[:1])
    apart = np.abs(np.asarray(unrolled(memory, xs) - unrolled(memory, xs.at[0].add(3.0)))).max((1, 2))
    np.testing.assert_array_equal(apart[WINDOW:], 0.0)
    assert apart[WINDOW - 1] > 100 * ROUNDING


def test_attention_can_count_equal_steps():
    """Without a sink, a mean over one step and over many equal ones would be the same."""
    layer = Attention(SIZE, 2, LENGTH, key=jax.random.key(0))
    blind = layer.queries_keys_values.weight.at[:, : 2 * SIZE].set(0.0)
    layer = eqx.tree_at(lambda a: (a.queries_keys_values.weight, a.out.weight), layer, (blind, jnp.eye(SIZE)))
    outputs = np.asarray(eqx.filter_jit(layer.unroll)(layer.start(), jnp.ones((LENGTH, SIZE))))
    count = np.arange(1, LENGTH + 1)
    np.testing.assert_allclose(outputs[:, 0] / outputs[0, 0], 2 * count / (count + 1), rtol=ROUNDING)


@pytest.mark.parametrize("context", [LONG, 100])
@pytest.mark.parametrize("at_once", [1, 10**9])
def test_a_long_lifetime_is_looked_back_on_as_it_was_lived(monkeypatch, context, at_once):
    """In three parts, one sequence after the other or all at once: outputs as of steps, gradients of either alike."""
    layer = Attention(SIZE, 2, context, key=jax.random.key(0))
    layer = eqx.tree_at(lambda a: (a.out.weight, a.sink), layer, (jnp.eye(SIZE), normal(1, 2)))
    xs = normal(0, LONG, BATCH, SIZE)

    def lived(layer, xs):
        start = tile(layer.start(), BATCH)
        return jax.lax.scan(lambda memory, x: layer.step(memory, x), start, xs)[1]

    def looked(layer, xs):
        return layer.unroll(layer.start(), xs)

    def outputs_and_gradients(see):
        loss = lambda layer: (see(layer, xs) ** 2).sum() / LONG
        return eqx.filter_jit(lambda layer: (see(layer, xs), eqx.filter_grad(loss)(layer)))(layer)

    monkeypatch.setattr(attention_module, "SCORES_AT_ONCE", at_once)
    for got, expected in zip(*map(jax.tree.leaves, map(outputs_and_gradients, (looked, lived))), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=10 * ROUNDING)


def test_a_rotated_product_depends_on_the_distance_alone():
    query, key = normal(0, SIZE), normal(1, SIZE)
    at = lambda x, time: rotated(x[None], jnp.array([time]))[0]
    score = lambda s, t: float(at(query, s) @ at(key, t))
    np.testing.assert_allclose(score(3, 10), score(403, 410), rtol=1e-3)
    assert abs(score(3, 10) - score(3, 4)) > 0.1


def test_the_recurrence_is_its_formula_in_sequence_and_in_parallel():
    decay, start, writes = jnp.array([0.5, 0.99]), normal(0, 3, 2), normal(1, 40, 3, 2)
    expected, h = [], np.asarray(start, float)
    for write in np.asarray(writes, float):
        h = np.asarray(decay, float) * h + write
        expected.append(h)
    for way in (recurrence._in_sequence, recurrence._in_parallel):
        np.testing.assert_allclose(way(decay, start, writes), expected, atol=ROUNDING)


def test_a_new_recurrence_remembers_from_one_to_as_many_steps_as_its_span():
    layer = LinearRecurrence(SIZE, 5, 100.0, key=jax.random.key(0))
    spans = 1 / np.exp(np.asarray(layer.log_rate))
    np.testing.assert_allclose(spans[[0, 2, 4]], [1, 10, 100], rtol=1e-4)


def test_the_state_of_a_new_recurrence_keeps_the_scale_of_its_writes():
    layer = LinearRecurrence(SIZE, 6, 30.0, key=jax.random.key(0))
    decay, writes = layer._decay_and_write(normal(0, 2000, 64, SIZE))
    states = recurrence.linear_recurrence(decay, jnp.zeros((64, 6)), writes)[200:]
    np.testing.assert_allclose(np.std(np.asarray(states), (0, 1)), np.linalg.norm(layer.value.weight, axis=0), rtol=0.1)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UserError, match="width must be a multiple of twice the 3 attention heads, got 8"):
        Attention(8, 3, LENGTH, key=jax.random.key(0))
