from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_meta.numerics import aggregation
from rl_meta.numerics.moments import Moments

ROUNDING = 1e-5
"""Relative to numbers of the order of ten: sums of a few products in single precision."""
ROUNDING_OF_MOMENTS = 1e-4
"""Means and variances of batches whose means are ten times their deviations."""

few = settings(max_examples=40, deadline=None)
interpolate = jax.jit(aggregation.interpolate)
spherical = jax.jit(aggregation.spherical)
weighted_mean = jax.jit(aggregation.weighted_mean)
arithmetic = jax.jit(aggregation.arithmetic)
towards = jax.jit(aggregation.towards)
seeds = st.integers(0, 2**32 - 1)
shares = st.floats(0, 1, width=32)


def tree(seed, *first):
    rng = np.random.default_rng(seed)
    number = lambda *shape: jnp.float32(10 * rng.normal(size=(*first, *shape)))
    return {"weight": number(3, 2), "bias": (number(2), number())}


def assert_same(a, b):
    """Bit for bit."""
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def assert_close(a, b, tolerance=ROUNDING):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=10 * tolerance)


def nth(trees, index):
    return jax.tree.map(lambda x: x[index], trees)


# ------------------------------------------------------------------------------------------- lines and arcs


@pytest.mark.parametrize("mix", [interpolate, spherical])
@few
@given(seeds)
def test_the_ends_are_the_models_bit_for_bit(mix, seed):
    a, b = tree(seed), tree(seed + 1)
    assert_same(mix(a, b, 1.0), a)
    assert_same(mix(a, b, 0.0), b)


@pytest.mark.parametrize("mix", [interpolate, spherical])
def test_the_ends_are_the_models_whatever_is_in_them(mix):
    odd, plain = jnp.array([jnp.inf, jnp.nan, -0.0, 3e38]), jnp.array([1.0, 2.0, 3.0, -3e38])
    assert_same(mix(odd, plain, 1.0), odd)
    assert_same(mix(odd, plain, 0.0), plain)
    assert_same(mix(plain, odd, 1.0), plain)


@few
@given(seeds, shares)
def test_a_line_is_that_of_its_formula(seed, alpha):
    a, b = tree(seed), tree(seed + 1)
    assert_close(interpolate(a, b, alpha), jax.tree.map(lambda x, y: alpha * x + (1 - alpha) * y, a, b))


@few
@given(seeds, shares)
def test_on_the_line_from_a_model_to_itself_there_is_nothing_else(seed, alpha):
    assert_same(interpolate(tree(seed), tree(seed), alpha), tree(seed))


@few
@given(seeds, shares)
def test_a_line_backwards_is_the_same_line(seed, alpha):
    a, b = tree(seed), tree(seed + 1)
    assert_close(interpolate(a, b, alpha), interpolate(b, a, 1 - alpha))


def test_beyond_its_ends_a_line_goes_on():
    np.testing.assert_allclose(interpolate(jnp.array(3.0), jnp.array(1.0), 2.0), 5.0)


def test_a_quarter_circle_is_halved_at_its_middle():
    half = spherical(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), 0.5)
    np.testing.assert_allclose(half, [np.sqrt(0.5)] * 2, rtol=ROUNDING)


@few
@given(seeds, shares)
def test_an_arc_keeps_the_norm_of_unit_vectors_and_its_angle_is_the_share(seed, alpha):
    rng = np.random.default_rng(seed)
    a, b = (x / np.linalg.norm(x) for x in rng.normal(size=(2, 5)).astype(np.float32))
    c = np.asarray(spherical(jnp.array(a), jnp.array(b), alpha))
    angle = lambda x, y: np.arccos(np.clip(x @ y, -1, 1))
    np.testing.assert_allclose(np.linalg.norm(c), 1, atol=1e-4)
    np.testing.assert_allclose(angle(b, c), alpha * angle(a, b), atol=2e-3)  # arccos near 1 has half the digits


@pytest.mark.parametrize(
    ("a", "b"), [([2.0, 0.0], [4.0, 0.0]), ([1.0, 2.0], [-2.0, -4.0]), ([0.0, 0.0], [1.0, 3.0]), ([0.0, 0.0],) * 2]
)
def test_where_there_is_no_arc_the_line_is_taken(a, b):
    a, b = jnp.array(a), jnp.array(b)
    np.testing.assert_allclose(spherical(a, b, 0.25), 0.25 * a + 0.75 * b, rtol=ROUNDING)


# ------------------------------------------------------------------------------------------- means and differences


@few
@given(seeds, st.lists(st.floats(0.125, 5, width=32), min_size=3, max_size=3))
def test_the_weighted_mean_is_that_of_numpy(seed, weights):
    trees = tree(seed, 3)
    expected = jax.tree.map(lambda x: np.average(np.asarray(x, float), axis=0, weights=weights), trees)
    assert_close(weighted_mean(trees, jnp.array(weights)), expected)


@few
@given(seeds, st.integers(0, 2))
def test_all_weight_on_one_model_is_that_model(seed, index):
    trees = tree(seed, 3)
    assert_close(weighted_mean(trees, 7 * jnp.eye(3)[index]), nth(trees, index), tolerance=0)


@few
@given(seeds, shares)
def test_the_mean_of_two_models_is_on_the_line_between_them(seed, alpha):
    trees = tree(seed, 2)
    mean = weighted_mean(trees, jnp.array([alpha, 1 - alpha]))
    assert_close(mean, interpolate(nth(trees, 0), nth(trees, 1), alpha))


@few
@given(seeds)
def test_the_rate_towards_a_mean_says_how_much_of_it(seed):
    theta, others, weights = tree(seed), tree(seed + 1, 4), jnp.array([1.0, 2.0, 3.0, 4.0])
    mean = weighted_mean(others, weights)
    assert_same(towards(theta, others, weights, 0.0), theta)
    assert_same(towards(theta, others, weights, 1.0), mean)
    assert_close(towards(theta, others, weights, 0.3), jax.tree.map(lambda t, m: t + 0.3 * (m - t), theta, mean))


def test_arithmetic_adds_scales_and_negates_what_was_learned():
    base, trees = jnp.array([1.0, 1.0]), jnp.array([[3.0, 1.0], [1.0, 5.0]])
    np.testing.assert_allclose(arithmetic(base, trees, jnp.array([1.0, 1.0])), [3.0, 5.0])
    np.testing.assert_allclose(arithmetic(base, trees, jnp.array([-1.0, 0.5])), [-1.0, 3.0])
    np.testing.assert_array_equal(arithmetic(base, trees, jnp.zeros(2)), base)


@few
@given(seeds)
def test_equal_amounts_of_one_in_all_are_the_mean(seed):
    trees = tree(seed, 4)
    assert_close(arithmetic(tree(seed + 1), trees, jnp.full(4, 0.25)), weighted_mean(trees, jnp.ones(4)))


def test_counters_are_those_of_the_model_that_counts_most():
    a, b = {"n": jnp.array(3)}, {"n": jnp.array(8)}
    both = jax.tree.map(lambda *x: jnp.stack(x), a, b)
    assert int(interpolate(a, b, 0.7)["n"]) == int(spherical(a, b, 0.7)["n"]) == 3
    assert int(interpolate(a, b, 0.2)["n"]) == int(spherical(a, b, 0.2)["n"]) == 8
    assert int(weighted_mean(both, jnp.array([0.2, 0.8]))["n"]) == 8
    assert int(arithmetic(a, both, jnp.array([0.2, 0.8]))["n"]) == 3


def test_half_precision_stays_half():
    a = jnp.array([1.0, 2.0], jnp.bfloat16)
    assert interpolate(a, -a, 0.5).dtype == spherical(a, a[::-1], 0.5).dtype == jnp.bfloat16
    assert weighted_mean(jnp.stack([a, a]), jnp.ones(2)).dtype == jnp.bfloat16


# ------------------------------------------------------------------------------------------- weights


@few
@given(seeds, st.floats(0.5, 5, width=32), st.floats(-10, 10, width=32))
def test_weights_from_returns_do_not_depend_on_the_unit_of_rewards(seed, scale, shift):
    returns = jnp.float32(np.random.default_rng(seed).normal(size=6))
    weigh = lambda x: aggregation.return_weights(x, temperature=0.7)
    np.testing.assert_allclose(weigh(scale * returns + shift), weigh(returns), atol=1e-4)


def test_weights_from_returns_are_the_softmax_of_their_standard_scores():
    weights = aggregation.return_weights(jnp.array([1.0, 3.0]), temperature=0.5)  # standard scores -1 and 1
    np.testing.assert_allclose(weights, np.exp([-2, 2]) / np.exp([-2, 2]).sum(), rtol=1e-4)


def test_equal_returns_and_high_temperatures_weigh_all_the_same():
    np.testing.assert_allclose(aggregation.return_weights(jnp.full(4, 7.0), temperature=0.1), 0.25)
    np.testing.assert_allclose(aggregation.return_weights(jnp.arange(4.0), temperature=1e6), 0.25, rtol=ROUNDING)


def test_weights_from_uncertainty_are_inverse_variances():
    weights = aggregation.precision_weights(jnp.array([1.0, 3.0]))
    precisions = 1 / (np.array([1.0, 3.0]) + 2 * aggregation.LEAST_VARIANCE)
    np.testing.assert_allclose(weights, precisions / precisions.sum(), rtol=ROUNDING)


@pytest.mark.parametrize("variances", [[0.0, 0.0], [2.0, 2.0], [1e-30, 1e-30], [1e30, 1e30]])
def test_equal_uncertainties_weigh_the_same_however_small_or_large(variances):
    np.testing.assert_allclose(aggregation.precision_weights(jnp.array(variances)), 0.5)


def test_one_model_that_seems_certain_does_not_outweigh_all():
    assert float(aggregation.precision_weights(jnp.array([0.0, 1.0, 1.0, 1.0]))[0]) < 0.9


# ------------------------------------------------------------------------------------------- running statistics

SIZES = (1, 2, 7, 39)
"""Of batches: each is compiled."""
moments_of = jax.jit(Moments.of)


def batches(seed, count):
    rng = np.random.default_rng(seed)
    return [np.float32(rng.uniform(-10, 10) + rng.normal(size=(rng.choice(SIZES), 2))) for _ in range(count)]


def stacked(moments):
    return jax.tree.map(lambda *x: jnp.stack(x), *moments)


@few
@given(seeds)
def test_pooled_moments_are_those_of_all_the_data(seed):
    parts = batches(seed, 4)
    everything = np.concatenate(parts).astype(float)
    seen = jax.jit(aggregation.pooled)(stacked([moments_of(p) for p in parts]), np.ones(4, np.float32))
    expected = Moments(np.float32(len(everything)), everything.mean(0), everything.var(0))
    assert_close(seen, expected, ROUNDING_OF_MOMENTS)


def test_a_share_of_a_models_data_counts_as_that_many_observations():
    a, b = np.float32([[0.0], [2.0]]), np.float32([[6.0], [10.0]])
    twice = np.concatenate([a, a, b])
    seen = aggregation.pooled(stacked([Moments.of(jnp.array(x)) for x in (a, b)]), jnp.array([2.0, 1.0]))
    assert_close(seen, Moments(np.float32(6), twice.mean(0), twice.var(0)))


@few
@given(seeds)
def test_what_all_have_seen_before_is_counted_once(seed):
    first, *parts = batches(seed, 4)
    before, merge = moments_of(first), jax.jit(Moments.merge)
    each = [merge(before, moments_of(part)) for part in parts]
    seen = jax.jit(aggregation.pooled_since)(before, stacked(each))
    everything = np.concatenate([first, *parts]).astype(float)
    expected = Moments(np.float32(len(everything)), everything.mean(0), everything.var(0))
    assert_close(seen, expected, ROUNDING_OF_MOMENTS)


def test_merging_goes_on_being_exact_long_after():
    rng = np.random.default_rng(0)
    batch = jnp.float32(rng.normal(2, 3, size=(8, 64, 1)))

    def iteration(before, _):
        each = jax.vmap(lambda part: before.merge(Moments.of(part)))(batch)
        return aggregation.pooled_since(before, each), None

    seen = jax.jit(lambda m: jax.lax.scan(iteration, m, length=3000)[0])(Moments.unit((1,)))
    everything = np.asarray(batch, float).reshape(-1, 1)
    assert float(seen.weight) == pytest.approx(3000 * 512, rel=1e-3)
    np.testing.assert_allclose([seen.mean, seen.variance], [everything.mean(0), everything.var(0)], rtol=1e-3)


def test_where_nothing_was_seen_since_nothing_changes():
    before = reduce(Moments.merge, [Moments.of(jnp.array(part)) for part in batches(0, 3)])
    assert_close(aggregation.pooled_since(before, stacked([before] * 3)), before)
