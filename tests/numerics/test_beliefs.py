"""Products of Gaussian factors against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_meta.numerics.beliefs import GaussianProduct

ROUNDING = 1e-5
"""Of sums of a few float32 numbers."""
NONE = GaussianProduct.of_none((2,))


def factors(seed, count):
    key_mean, key_variance = jax.random.split(jax.random.key(seed))
    mean = jax.random.normal(key_mean, (count, 2))
    return mean, jnp.exp(jax.random.normal(key_variance, (count, 2)))


def test_without_evidence_the_belief_is_the_prior():
    mean, variance = NONE.moments()
    np.testing.assert_array_equal(mean, 0.0)
    np.testing.assert_array_equal(variance, 1.0)
    assert NONE.kl_from_prior() == 0.0


def test_the_product_of_two_densities_is_proportional_to_the_belief():
    means, variances = factors(0, 2)
    mean, variance = GaussianProduct.of_factors(means, variances).moments()
    z = jnp.linspace(-3, 3, 7)[:, None]
    log_density = lambda mean, variance: -0.5 * (z - mean) ** 2 / variance
    product = log_density(means[0], variances[0]) + log_density(means[1], variances[1])
    offset = product - log_density(mean, variance)
    np.testing.assert_allclose(offset, jnp.broadcast_to(offset[0], offset.shape), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 6))
def test_the_order_of_the_factors_does_not_matter(seed, count):
    means, variances = factors(seed, count)
    order = np.random.default_rng(seed).permutation(count)
    ordered, shuffled = (GaussianProduct.of_factors(means[i], variances[i]) for i in (slice(None), order))
    np.testing.assert_allclose(ordered.moments(), shuffled.moments(), rtol=1e-4, atol=ROUNDING)


@pytest.mark.parametrize("times", [2, 3])
def test_evidence_seen_repeatedly_shrinks_the_variance_and_keeps_the_mean(times):
    once = GaussianProduct.of_factors(*factors(1, 4))
    often = GaussianProduct.of_factors(*(jnp.tile(x, (times, 1)) for x in factors(1, 4)))
    np.testing.assert_allclose(often.moments()[0], once.moments()[0], rtol=ROUNDING)
    np.testing.assert_allclose(often.moments()[1], once.moments()[1] / times, rtol=ROUNDING)


def test_evidence_may_come_in_parts():
    means, variances = factors(2, 5)
    parts = NONE
    for part in (slice(0, 2), slice(2, 5)):
        parts = parts.times(GaussianProduct.of_factors(means[part], variances[part]))
    np.testing.assert_allclose(parts, GaussianProduct.of_factors(means, variances), rtol=ROUNDING)


def test_the_divergence_from_the_prior_is_that_of_its_definition():
    belief = GaussianProduct.of_factors(jnp.array([[0.5, -1.0]]), jnp.array([[0.3, 2.0]]))
    z = jnp.linspace(-15, 15, 20_001)
    log_normal = lambda mean, variance: -0.5 * ((z - mean) ** 2 / variance + jnp.log(2 * jnp.pi * variance))
    integral = 0.0
    for mean, variance in [(0.5, 0.3), (-1.0, 2.0)]:
        density = log_normal(mean, variance)
        integral += jnp.trapezoid(jnp.exp(density) * (density - log_normal(0.0, 1.0)), z)
    np.testing.assert_allclose(belief.kl_from_prior(), integral, rtol=1e-4)


def test_samples_have_the_moments_of_the_belief():
    belief = GaussianProduct.of_factors(*factors(3, 3))
    drawn = jax.vmap(belief.sample)(jax.random.split(jax.random.key(0), 20_000))
    mean, variance = belief.moments()
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.03)  # standard error 0.007
    np.testing.assert_allclose(drawn.var(0), variance, rtol=0.06)  # standard error 0.01


def test_without_a_key_the_sample_is_the_mean():
    belief = GaussianProduct.of_factors(*factors(4, 3))
    np.testing.assert_array_equal(belief.sample(None), belief.moments()[0])


def test_the_gradient_is_finite_without_evidence():
    slope = jax.grad(lambda belief: belief.sample(jax.random.key(0)).sum() + belief.kl_from_prior())(NONE)
    assert all(bool(jnp.isfinite(x).all()) for x in slope)
