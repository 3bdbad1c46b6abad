import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.numerics.baselines import RIDGE, ridge_regression, solve_positive_definite, time_features

ROUNDING = 1e-3
"""Relative to the targets, in single precision with nearly collinear features: the square root of rounding."""
ROWS, HORIZON = 400, 100
rng = np.random.default_rng(0)
regress = jax.jit(ridge_regression)


def example(scale=0.3):
    """Features and targets of four episodes."""
    obs = np.float32(rng.normal(size=(ROWS, 2)) * scale)
    time = np.arange(ROWS) % HORIZON
    target = np.float32(rng.normal(size=ROWS) - 0.3 * (HORIZON - time) + obs[:, 0])
    return time_features(jnp.asarray(obs), jnp.asarray(time), horizon=HORIZON), target


def by_numpy(features, target):
    """The same minimum in double precision, as an ordinary problem of least squares."""
    features = np.asarray(features, float)
    size = np.sqrt((features**2).mean(0))
    matrix = np.concatenate([features / np.sqrt(len(features)), np.sqrt(RIDGE) * np.diag(size)])
    right = np.concatenate([target / np.sqrt(len(features)), np.zeros(features.shape[1])])
    return np.linalg.lstsq(matrix, right)[0]


def test_features_are_the_observation_its_square_and_powers_of_time():
    features = time_features(jnp.array([[2.0, -3.0]]), jnp.array([5]), horizon=10)
    np.testing.assert_allclose(features, [[2, -3, 4, 9, 0.5, 0.25, 0.125, 1]])


def test_observations_are_clipped():
    features = time_features(jnp.array([50.0, -50.0]), jnp.array(0), horizon=10)
    np.testing.assert_allclose(features[:4], [10, -10, 100, 100])


@pytest.mark.parametrize("scale", [1e-3, 0.3, 5.0])
def test_the_regression_predicts_as_numpys_does(scale):
    features, target = example(scale)
    got = features @ regress(features, target)
    expected = np.asarray(features, float) @ by_numpy(features, target)
    np.testing.assert_allclose(got, expected, atol=ROUNDING * np.abs(target).max())


def test_weights_are_numpys_where_features_are_far_from_collinear():
    features = jnp.float32(rng.normal(size=(ROWS, 5)))
    target = np.float32(rng.normal(size=ROWS))
    np.testing.assert_allclose(regress(features, target), by_numpy(features, target), atol=1e-5)


def test_a_target_made_of_the_features_is_found():
    features, _ = example()
    weights = jnp.float32([1, -2, 0.5, 3, -1, 2, -1, 4])
    target = features @ weights
    got = features @ regress(features, target)
    np.testing.assert_allclose(got, target, atol=ROUNDING * float(jnp.abs(target).max()))


def test_features_that_are_always_zero_have_no_weight():
    features = jnp.concatenate([jnp.zeros((ROWS, 2)), jnp.ones((ROWS, 1))], 1)
    np.testing.assert_allclose(regress(features, jnp.full(ROWS, 3.0)), [0, 0, 3], atol=1e-4)


def test_equal_features_share_the_weight():
    features = jnp.ones((ROWS, 3))
    np.testing.assert_allclose(regress(features, jnp.full(ROWS, 3.0)), [1, 1, 1], atol=ROUNDING)


def test_the_units_of_a_feature_do_not_matter():
    features, target = example()
    units = jnp.float32([1e3, 1e-3, 1, 1, 1e2, 1, 1, 1e-2])
    got, other = (x @ regress(x, target) for x in (features, features * units))
    np.testing.assert_allclose(got, other, atol=ROUNDING * np.abs(target).max())


@pytest.mark.parametrize("size", [1, 2, 9])
def test_a_positive_definite_system_is_solved(size):
    a = rng.normal(size=(size, size))
    matrix, right = a @ a.T + 0.5 * np.eye(size), rng.normal(size=size)
    got = solve_positive_definite(jnp.float32(matrix), jnp.float32(right))
    np.testing.assert_allclose(got, np.linalg.solve(matrix, right), rtol=1e-4, atol=1e-5)
