import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats

from rl_meta.numerics.distributions import DiagonalNormal
from rl_meta.numerics.variational import kl_divergence, kl_to_previous, standard_normal, stratified_indices

ROUNDING = 1e-5
"""Sums of a few single-precision numbers, relative to them."""

few = settings(max_examples=40, deadline=None)
numbers = arrays(np.float32, (2, 3), elements=st.floats(-3, 3, width=32))


def normal(mean, log_std):
    return DiagonalNormal(jnp.asarray(mean, jnp.float32), jnp.asarray(log_std, jnp.float32))


@few
@given(numbers, numbers)
def test_the_divergence_is_the_closed_form_in_double_precision(means, log_stds):
    (m1, m2), (s1, s2) = means.astype(float), np.exp(log_stds.astype(float))
    expected = (np.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5).sum()
    got = kl_divergence(normal(means[0], log_stds[0]), normal(means[1], log_stds[1]))
    assert float(got) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_divergence_is_the_integral_that_defines_it():
    q, p = stats.norm(0.3, 0.5), stats.norm(-0.4, 1.2)
    integrand = lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x))
    expected = integrate.quad(integrand, -6, 6)[0]
    got = kl_divergence(normal([0.3], [np.log(0.5)]), normal([-0.4], [np.log(1.2)]))
    assert float(got) == pytest.approx(expected, rel=ROUNDING)


def test_the_divergence_is_the_mean_log_ratio_of_samples():
    q, p = normal([0.3, -1.0], [-0.5, 0.2]), normal([0.0, -0.5], [0.1, 0.0])
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (200_000, 2)), q)
    samples = many.sample(jax.random.key(0))
    ratios = q.log_prob(samples) - p.log_prob(samples)
    four_errors = 4 * float(ratios.std()) / 200_000**0.5
    assert float(kl_divergence(q, p)) == pytest.approx(float(ratios.mean()), abs=four_errors)


@few
@given(numbers)
def test_the_divergence_of_a_belief_to_itself_is_exactly_zero(numbers):
    belief = normal(*numbers)
    assert float(kl_divergence(belief, belief)) == 0.0


@few
@given(st.floats(-12, -1))
def test_the_divergence_of_nearly_equal_beliefs_is_positive_and_accurate(exponent):
    step = np.float32(10**exponent)
    got = float(kl_divergence(normal([0.0], [step]), standard_normal(1)))
    exact = 0.5 * (np.expm1(2 * float(step)) - 2 * float(step))
    assert got >= 0
    expm1_two_units_off = 0.5 * 2 * float(np.spacing(2 * step))
    assert got == pytest.approx(exact, rel=1e-2, abs=expm1_two_units_off)


def test_gradients_of_far_apart_beliefs_are_finite():
    gradient = jax.grad(lambda q, p: kl_divergence(q, p))(normal([5.0], [5.0]), normal([-5.0], [-5.0]))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_the_prior_of_the_first_belief_is_the_standard_normal():
    first = normal([[0.7, -0.2]], [[0.1, -0.3]])
    alone = jax.tree.map(lambda x: x[0], first)
    assert float(kl_to_previous(first)[0]) == float(kl_divergence(alone, standard_normal(2)))


def test_the_prior_of_a_later_belief_is_the_one_before_it():
    rng = np.random.default_rng(0)
    beliefs = normal(rng.normal(size=(5, 3)), rng.normal(size=(5, 3)))
    at = lambda t: jax.tree.map(lambda x: x[t], beliefs)
    expected = [kl_divergence(at(t), at(t - 1)) for t in range(1, 5)]
    np.testing.assert_allclose(kl_to_previous(beliefs)[1:], expected, rtol=ROUNDING)


def test_a_belief_that_does_not_move_costs_nothing():
    beliefs = normal([[0.5], [0.5], [0.5]], [[-1.0], [-1.0], [-1.0]])
    np.testing.assert_array_equal(kl_to_previous(beliefs)[1:], [0.0, 0.0])


@pytest.mark.parametrize("size", [1, 7, 61, 1001])
def test_as_many_indices_as_there_are_are_all_of_them(size):
    np.testing.assert_array_equal(stratified_indices(jax.random.key(0), size, size), np.arange(size))


def test_every_index_is_drawn_equally_often():
    draw = jax.vmap(lambda key: stratified_indices(key, 10, 4))
    counts = np.bincount(np.asarray(draw(jax.random.split(jax.random.key(0), 20_000))).ravel(), minlength=10)
    expected, deviation = 8000, 8000**0.5
    assert np.abs(counts - expected).max() < 5 * deviation
