import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.policies.splagger import SplAgger

SIZE_IN, SIZE, LENGTH = 3, 5, 7


def last_output(order):
    """The recurrent and the invariant half, after the same steps in another order."""
    memory = SplAgger(SIZE_IN, SIZE, key=jax.random.key(0))
    xs = jnp.float32(np.random.default_rng(0).normal(size=(LENGTH, SIZE_IN)))
    return np.split(np.asarray(memory.unroll(memory.start(), xs[np.asarray(order)])[-1]), 2)


def test_the_pooled_half_does_not_depend_on_the_order_of_steps():
    np.testing.assert_array_equal(last_output(range(LENGTH))[1], last_output([3, 1, 6, 0, 2, 5, 4])[1])


def test_the_recurrent_half_depends_on_the_order_of_steps():
    assert np.abs(last_output(range(LENGTH))[0] - last_output([3, 1, 6, 0, 2, 5, 4])[0]).max() > 0.01


def test_the_pooled_half_sees_steps_of_any_age():
    assert np.abs(last_output(range(LENGTH))[1] - last_output(range(1, LENGTH))[1]).max() > 0.01


def test_a_maximum_of_nothing_is_below_every_embedding():
    memory = SplAgger(SIZE_IN, SIZE, key=jax.random.key(0))
    embedding = memory.embed(jnp.full(SIZE_IN, -50.0))
    np.testing.assert_array_equal(np.maximum(memory.start().most, embedding), embedding)
