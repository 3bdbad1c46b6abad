import jax.numpy as jnp
import numpy as np

from rl_meta.numerics.integration import runge_kutta_4


def test_a_step_of_decay_is_the_exponential_series_to_fourth_order():
    after = runge_kutta_4(lambda x: -x, jnp.array(1.0), 0.5)
    np.testing.assert_allclose(after, sum((-0.5) ** k / np.prod(np.arange(1, k + 1)) for k in range(5)), rtol=1e-6)


def test_states_may_be_trees_and_constant_acceleration_is_exact():
    position, speed = runge_kutta_4(lambda s: (s[1], jnp.full(2, 3.0)), (jnp.zeros(2), jnp.ones(2)), 0.2)
    np.testing.assert_allclose(position, np.full(2, 0.2 + 0.5 * 3 * 0.2**2), rtol=1e-6)
    np.testing.assert_allclose(speed, np.full(2, 1.6), rtol=1e-6)
