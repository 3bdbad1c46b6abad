import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.numerics.orthogonal import orthogonal

ROUNDING = 2e-6
"""Of an inner product of float32 unit vectors."""
SAME = 1e-3
"""The last columns of a square normal matrix are what is left of them: two ways to that differ by some roundings."""
SHAPES = [(1, 1), (5, 5), (7, 3), (3, 7), (64, 64), (64, 192), (256, 4)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_fewer_of_rows_and_columns_are_orthonormal(shape):
    matrix = np.asarray(orthogonal(jax.random.key(1), shape))
    assert matrix.shape == shape
    product = matrix @ matrix.T if shape[0] < shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=ROUNDING)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_matrix_that_jax_draws(shape):
    key = jax.random.key(2)
    expected = jax.nn.initializers.orthogonal(2.0)(key, shape)
    np.testing.assert_allclose(orthogonal(key, shape, gain=2.0), expected, atol=SAME)


def test_many_are_made_at_once_without_a_call_of_a_library():
    many = jax.jit(jax.vmap(lambda key: orthogonal(key, (8, 8))))
    assert "custom_call" not in many.lower(jax.random.split(jax.random.key(0), 3)).as_text()


def test_no_direction_is_preferred():
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: orthogonal(key, (3, 3)))(keys)
    np.testing.assert_allclose(drawn.mean(0), jnp.zeros((3, 3)), atol=0.05)  # standard error 0.009
    np.testing.assert_allclose((drawn**2).mean(0), jnp.full((3, 3), 1 / 3), atol=0.03)
