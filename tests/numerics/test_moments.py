from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_meta.numerics.moments import Moments

ROUNDING = 1e-4
"""Relative to the square of the largest number: means and variances in single precision."""
UNIT_WEIGHT = 1e-4
"""Observations that the mean 0 and variance 1 of `Moments.unit` count for."""

few = settings(max_examples=40, deadline=None)
merge = jax.jit(Moments.merge)
of = jax.jit(Moments.of)


@st.composite
def batches(draw):
    """Up to five batches [n, 3], each with a centre and spread of its own."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.sampled_from([1, 2, 5, 64]), min_size=1, max_size=5))
    return [(rng.uniform(-10, 10) + rng.uniform(0, 5) * rng.normal(size=(n, 3))).astype(np.float32) for n in sizes]


def merged(parts):
    return reduce(merge, [of(jnp.array(part)) for part in parts])


def assert_close(moments, other):
    for x, y in zip(moments, other, strict=True):
        np.testing.assert_allclose(x, y, rtol=ROUNDING, atol=100 * ROUNDING)


@few
@given(batches())
def test_merged_moments_are_those_of_the_concatenation(parts):
    everything = np.concatenate(parts).astype(float)
    assert_close(merged(parts), (len(everything), everything.mean(0), everything.var(0)))


@few
@given(batches(), st.randoms(use_true_random=False))
def test_moments_do_not_depend_on_the_order_of_batches(parts, random):
    assert_close(merged(random.sample(parts, len(parts))), merged(parts))


@few
@given(batches())
def test_moments_do_not_depend_on_how_batches_are_grouped(parts):
    from_the_right = reduce(lambda later, earlier: merge(earlier, later), [of(jnp.array(p)) for p in parts[::-1]])
    assert_close(merged(parts), from_the_right)


def test_a_large_mean_does_not_spoil_the_variance():
    rng = np.random.default_rng(0)
    parts = [(1e4 + rng.normal(size=(256, 1))).astype(np.float32) for _ in range(20)]
    exact = np.concatenate(parts).astype(float).var(0)
    np.testing.assert_allclose(merged(parts).variance, exact, rtol=1e-2)


def test_what_is_seen_first_outweighs_the_unit_moments():
    batch = jnp.float32(np.random.default_rng(0).normal(5, 2, size=(100, 3)))
    seen = Moments.unit((3,)).merge(Moments.of(batch))
    np.testing.assert_allclose(seen.mean, batch.mean(0), rtol=UNIT_WEIGHT)


def test_unit_moments_change_nothing_but_by_the_limit():
    x = jnp.array([-3.0, 0.5, 20.0])
    np.testing.assert_allclose(Moments.unit((3,)).standardise(x), [-3.0, 0.5, 10.0], rtol=ROUNDING)


def test_standardised_numbers_have_mean_zero_and_standard_deviation_one():
    batch = jnp.float32(np.random.default_rng(0).normal(5, 2, size=(1000, 3)))
    standard = np.asarray(Moments.of(batch).standardise(batch))
    np.testing.assert_allclose([standard.mean(0), standard.std(0)], [[0] * 3, [1] * 3], atol=ROUNDING)


@pytest.mark.parametrize("limit", [1.0, 5.0])
def test_standardised_numbers_stay_within_the_limit(limit):
    moments = Moments(jnp.array(10.0), jnp.array(1.0), jnp.array(4.0))
    np.testing.assert_allclose(moments.standardise(jnp.array([-1e9, 1e9]), limit), [-limit, limit])


@pytest.mark.parametrize("constant", [0.0, 0.1, -1000.1])
def test_a_constant_input_is_not_blown_up(constant):
    batch = jnp.full((100, 1), constant)
    moments = Moments.unit((1,))
    for _ in range(10):
        moments = moments.merge(Moments.of(batch))
    assert float(jnp.abs(moments.standardise(batch)).max()) < 1


def test_a_constant_input_has_the_least_standard_deviation():
    assert float(Moments.of(jnp.full((8,), 3.0)).std) == pytest.approx(1e-4)


def test_the_standard_deviation_is_the_root_of_the_variance():
    assert float(Moments(jnp.array(2.0), jnp.array(0.0), jnp.array(9.0)).std) == pytest.approx(3)


def test_moments_go_on_being_exact_after_many_merges():
    rng = np.random.default_rng(0)
    batch = jnp.float32(rng.normal(2, 3, size=(64, 1)))
    many = jax.jit(lambda unit: jax.lax.scan(lambda m, _: (m.merge(Moments.of(batch)), None), unit, length=5000)[0])
    seen = many(Moments.unit((1,)))
    np.testing.assert_allclose([seen.mean, seen.variance], [batch.mean(0), batch.var(0)], rtol=1e-3)
