import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.numerics.trust_region import TrustRegion, conjugate_gradient, divergence_product, trust_region_step

ROUNDING = 1e-4
"""Of a few dozen single-precision operations on a matrix with a condition number of about 20."""
LIMIT = 0.01
REGION = TrustRegion(limit=LIMIT, iterations=8, damping=0.0, backtrack=0.8, tries=15)
SIZE = 6
rng = np.random.default_rng(0)


def positive_definite(size):
    a = rng.normal(size=(size, size))
    return np.float32(a @ a.T / size + 0.2 * np.eye(size))


MATRIX = positive_definite(SIZE)
RIGHT = np.float32(rng.normal(size=SIZE))
JACOBIAN = np.float32(rng.normal(size=(9, SIZE)))
METRIC = positive_definite(9)
SLOPE = np.float32(rng.normal(size=9))
THETA = np.float32(rng.normal(size=SIZE))


def solve(iterations, matrix=MATRIX, right=RIGHT):
    return jax.jit(lambda b: conjugate_gradient(lambda v: matrix @ v, b, iterations=iterations))(right)


def test_conjugate_gradients_solve_a_system_in_as_many_iterations_as_it_has_unknowns():
    np.testing.assert_allclose(solve(SIZE).x, np.linalg.solve(MATRIX, RIGHT), rtol=ROUNDING, atol=ROUNDING)


def test_two_distinct_eigenvalues_take_two_iterations():
    matrix = np.diag(np.float32([1, 1, 1, 5, 5, 5]))
    np.testing.assert_allclose(solve(2, matrix).x, RIGHT / np.diag(matrix), rtol=ROUNDING)


def test_the_first_iteration_is_steepest_descent():
    along = RIGHT @ RIGHT / (RIGHT @ MATRIX @ RIGHT) * RIGHT
    np.testing.assert_allclose(solve(1).x, along, rtol=ROUNDING)


@pytest.mark.parametrize("iterations", [2, SIZE])
def test_the_residual_is_what_is_left(iterations):
    found = solve(iterations)
    np.testing.assert_allclose(found.residual, RIGHT - MATRIX @ found.x, atol=ROUNDING)


def test_iterations_beyond_convergence_do_no_harm():
    np.testing.assert_allclose(solve(60).x, np.linalg.solve(MATRIX, RIGHT), rtol=ROUNDING, atol=ROUNDING)


def test_nothing_is_solved_by_nothing():
    np.testing.assert_array_equal(solve(5, right=np.zeros(SIZE, np.float32)).x, 0)


def test_unknowns_may_be_trees():
    scale = {"a": 2.0, "b": {"c": 4.0}}
    right = {"a": jnp.array([2.0, 6.0]), "b": {"c": jnp.array(8.0)}}
    product = lambda v: jax.tree.map(lambda s, x: s * x, scale, v)
    x = conjugate_gradient(product, right, iterations=2).x
    np.testing.assert_allclose(x["a"], [1, 3], rtol=ROUNDING)
    np.testing.assert_allclose(x["b"]["c"], 2, rtol=ROUNDING)


def test_the_divergence_product_is_one_with_the_hessian_at_the_minimum():
    outputs_of = lambda theta: jnp.tanh(JACOBIAN @ theta) + jnp.sin(theta).sum()
    old = outputs_of(THETA)
    divergence = lambda y: jnp.sum(jnp.cosh(METRIC @ (y - old)) - 1)

    @jax.jit
    def product_with(vector):
        outputs, push = jax.linearize(outputs_of, THETA)
        transposed = jax.linear_transpose(push, THETA)
        return divergence_product(push, lambda u: transposed(u)[0], divergence, outputs)(vector)

    hessian = jax.jit(jax.hessian(lambda theta: divergence(outputs_of(theta))))(THETA)
    np.testing.assert_allclose(product_with(RIGHT), hessian @ RIGHT, rtol=1e-3, atol=1e-3)


def quadratic_step(region, loss=lambda y: SLOPE @ y):
    """A linear policy, a quadratic divergence; less a little, so that rounding does not decide at the limit."""
    old = JACOBIAN @ THETA
    divergence = lambda y: 0.5 * (y - old) @ METRIC @ (y - old) - 1e-5
    return jax.jit(lambda theta: trust_region_step(lambda t: JACOBIAN @ t, loss, divergence, theta, region))(THETA)


def closed_form(damping=0.0):
    fisher = (JACOBIAN.T @ METRIC @ JACOBIAN).astype(float) + damping * np.eye(SIZE)
    gradient = (JACOBIAN.T @ SLOPE).astype(float)
    direction = np.linalg.solve(fisher, gradient)
    return THETA - np.sqrt(2 * LIMIT / (gradient @ direction)) * direction


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_the_step_of_a_quadratic_problem_is_known(damping):
    step = quadratic_step(REGION._replace(damping=damping, backtrack=1.0, tries=1))
    np.testing.assert_allclose(step.params, closed_form(damping), rtol=1e-3, atol=1e-4)


def test_a_step_that_goes_too_far_is_shortened():
    old = JACOBIAN @ THETA
    stiff = lambda y: 0.5 * (y - old) @ METRIC @ (y - old) + 200 * ((y - old) @ METRIC @ (y - old)) ** 2
    step = trust_region_step(lambda t: JACOBIAN @ t, lambda y: SLOPE @ y, stiff, THETA, REGION)
    full = closed_form() - THETA
    assert 0 < float(step.scale) < 1
    np.testing.assert_allclose(step.params - THETA, float(step.scale) * full, rtol=1e-3, atol=1e-4)
    assert float(step.divergence) <= LIMIT
    longer = JACOBIAN @ (THETA + float(step.scale) / REGION.backtrack * full)
    assert float(stiff(longer)) > LIMIT


def test_a_loss_that_does_not_fall_changes_nothing():
    valley = lambda y: SLOPE @ (y - JACOBIAN @ THETA) + 1e6 * jnp.sum((y - JACOBIAN @ THETA) ** 2)
    step = quadratic_step(REGION._replace(tries=3), valley)
    np.testing.assert_array_equal(step.params, THETA)
    assert float(step.scale) == 0
    assert float(step.loss) == float(step.loss_before)
    assert float(step.divergence) == 0


def test_a_flat_loss_changes_nothing():
    step = quadratic_step(REGION, lambda y: 0.0 * y.sum())
    np.testing.assert_array_equal(step.params, THETA)
