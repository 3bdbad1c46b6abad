import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rl_meta.numerics.surrogates import approximate_kl, clipped_surrogate, clipped_value_loss, standardised

ROUNDING = 1e-5
"""Means of a few single-precision numbers of size 10, relative to them."""
ROUNDING_OF_ONE = 2.0**-23
STEP = 1e-2
"""Of finite differences."""
NOISE = 1e-4
"""Of finite differences: losses are exact to 1e-8, the third derivative is of size 1."""
CLIP = 0.2
SHAPE = (3, 4)

few = settings(max_examples=40, deadline=None)
ordinary = arrays(np.float32, SHAPE, elements=st.floats(-10, 10, width=32))
log_ratios = arrays(np.float32, SHAPE, elements=st.floats(-2, 2, width=32))

surrogate = jax.jit(lambda *x: clipped_surrogate(*x, clip=CLIP))
surrogate_gradient = jax.jit(jax.grad(lambda *x: clipped_surrogate(*x, clip=CLIP)))
value_loss = jax.jit(lambda *x: clipped_value_loss(*x, clip=CLIP))
kl = jax.jit(approximate_kl)


def gradient_at(ratio, advantage):
    """Of the loss of one step in the log-probability."""
    old = jnp.array([-1.0])
    return float(surrogate_gradient(old + jnp.log(ratio), old, jnp.array([advantage]))[0])


@few
@given(log_ratios, ordinary)
def test_the_surrogate_is_minus_the_mean_of_the_worse_of_two_gains(log_ratio, advantage):
    gains = []
    for l, a in zip(log_ratio.ravel().tolist(), advantage.ravel().tolist(), strict=True):
        ratio = np.exp(l)
        gains.append(min(ratio * a, min(max(ratio, 1 - CLIP), 1 + CLIP) * a))
    old = np.full(SHAPE, -1.5, np.float32)
    assert float(surrogate(old + log_ratio, old, advantage)) == pytest.approx(-np.mean(gains), rel=ROUNDING, abs=1e-4)


@pytest.mark.parametrize(("ratio", "advantage"), [(1.3, 2.0), (0.7, -2.0)])
def test_a_clipped_ratio_that_is_pushed_outward_has_no_gradient(ratio, advantage):
    assert gradient_at(ratio, advantage) == 0


@pytest.mark.parametrize(("ratio", "advantage"), [(1.3, -2.0), (0.7, 2.0)])
def test_a_clipped_ratio_that_is_pulled_back_keeps_its_gradient(ratio, advantage):
    assert gradient_at(ratio, advantage) == pytest.approx(-ratio * advantage, rel=ROUNDING)


@few
@given(ordinary, ordinary)
def test_at_ratio_one_the_gradient_is_the_policy_gradient(log_prob, advantage):
    got = surrogate_gradient(log_prob, log_prob, advantage)
    np.testing.assert_allclose(got, -advantage / advantage.size, rtol=ROUNDING, atol=1e-30)


def test_the_surrogates_gradient_is_its_finite_difference():
    rng = np.random.default_rng(0)
    old, change, advantage = (rng.normal(size=(3, 60)) * 0.3).astype(np.float32)
    from_kinks = np.abs(np.abs(np.exp(change) - 1) - CLIP)
    old, change, advantage = (jnp.array(x[from_kinks > 2 * STEP]) for x in (old, change, advantage))
    loss = lambda log_prob: clipped_surrogate(log_prob, old, advantage, clip=CLIP)
    direction = jnp.sign(jnp.float32(rng.normal(size=len(old))))
    slope = jax.grad(loss)(old + change) @ direction
    rise = loss(old + change + STEP * direction) - loss(old + change - STEP * direction)
    assert float(rise) / (2 * STEP) == pytest.approx(float(slope), abs=NOISE)


@few
@given(ordinary, ordinary, ordinary)
def test_the_clipped_value_loss_is_half_the_mean_of_the_larger_square(value, old, target):
    squares = []
    for v, o, t in zip(*(x.ravel().tolist() for x in (value, old, target)), strict=True):
        near = o + min(max(v - o, -CLIP), CLIP)
        squares.append(max((v - t) ** 2, (near - t) ** 2))
    assert float(value_loss(value, old, target)) == pytest.approx(np.mean(squares) / 2, rel=ROUNDING, abs=1e-6)


def test_without_a_clip_the_value_loss_is_half_the_mean_square():
    value, old, target = jnp.array([1.0, 5.0]), jnp.array([100.0, -100.0]), jnp.array([2.0, 2.0])
    assert float(clipped_value_loss(value, old, target, clip=None)) == pytest.approx((1 + 9) / 4)


def test_a_clip_of_zero_leaves_no_gain_from_moving_a_value():
    at = lambda v: float(clipped_value_loss(jnp.array([v]), jnp.zeros(1), jnp.ones(1), clip=0.0))
    assert [at(0.0), at(0.5), at(1.0)] == [0.5, 0.5, 0.5]


@few
@given(log_ratios)
def test_the_approximate_kl_is_the_mean_of_a_convex_function_of_the_ratio(log_ratio):
    exact = np.mean(np.expm1(log_ratio.astype(float)) - log_ratio)
    assert float(kl(log_ratio, np.zeros(SHAPE, np.float32))) == pytest.approx(exact, rel=ROUNDING, abs=1e-6)


@few
@given(log_ratios)
def test_the_approximate_kl_is_never_negative(log_ratio):
    assert float(kl(log_ratio, np.zeros(SHAPE, np.float32))) >= -ROUNDING_OF_ONE


def test_the_approximate_kl_of_tiny_moves_is_not_lost_in_rounding():
    assert float(approximate_kl(jnp.array([-1e-4]), jnp.zeros(1))) == pytest.approx(0.5e-8, rel=1e-2)


@pytest.mark.parametrize("move", [0.02, 0.1, 0.3])
def test_sampled_from_the_old_policy_the_approximate_kl_estimates_the_exact_one(move):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=5)
    moved = logits + move * rng.normal(size=5)
    old, new = (x - np.log(np.exp(x).sum()) for x in (logits, moved))
    exact = (np.exp(old) * (old - new)).sum()
    drawn = rng.choice(5, 100_000, p=np.exp(old))
    estimate = float(approximate_kl(jnp.float32(new[drawn]), jnp.float32(old[drawn])))
    per_sample = np.expm1(new[drawn] - old[drawn]) - (new[drawn] - old[drawn])
    four_standard_errors = 4 * per_sample.std() / np.sqrt(len(drawn))
    assert estimate == pytest.approx(exact, abs=four_standard_errors)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_standardised_numbers_have_a_standard_deviation_of_one(scale):
    x = jnp.float32(3 + scale * np.random.default_rng(0).gamma(2.0, size=(8, 25)))
    assert float(np.std(standardised(x))) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(("deviation", "expected"), [(0.01, 0.1), (0.1, 1.0), (3.0, 1.0)])
def test_small_deviations_are_not_blown_up_to_one(deviation, expected):
    x = jnp.float32(deviation * np.tile([-1.0, 1.0], 50))
    assert float(np.std(standardised(x, least=0.1))) == pytest.approx(expected, rel=1e-3)


def test_standardised_numbers_have_mean_zero():
    x = jnp.float32(np.random.default_rng(0).gamma(2.0, size=(8, 25)))
    assert float(np.mean(standardised(x))) == pytest.approx(0, abs=ROUNDING)


def test_standardising_keeps_the_order():
    x = jnp.float32(np.random.default_rng(0).normal(size=50))
    np.testing.assert_array_equal(np.argsort(standardised(x)), np.argsort(x))


@pytest.mark.parametrize("constant", [0.1, 1000.1])
def test_numbers_that_are_all_the_same_are_not_blown_up(constant):
    assert float(jnp.abs(standardised(jnp.full(1000, constant))).max()) < 0.1


def test_numbers_that_are_all_zero_stay_zero():
    np.testing.assert_array_equal(standardised(jnp.zeros(7)), np.zeros(7))
