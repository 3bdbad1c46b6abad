import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms.adaptation import DOUBLE, FAMILY, SMALL, flat, in_double, lived, own_meta_gradient
from algorithms.whole_runs import adapts
from rl_meta.algorithms.gradient_adaptation import gradient_agent, last_stage
from rl_meta.algorithms.maml import policy_gradient_loss
from rl_meta.algorithms.promp import ProMP, adapted_penalty, likelihood_ratio_loss
from rl_meta.tasks.probes import OneArmPays
from rl_meta.training.config import RunConfig

EXACT = 1e-6
"""Of the same formula in double precision, but for the logarithm of the action space's width."""
LOGITS, PAYMENTS = np.array([0.3, -0.5, 0.1]), np.array([1.0, 0.2, -2.0])
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum()


def derivative_in_expectation(inner_loss, derivative):
    """Of minus the loss of one pull of a bandit, at the policy that pulled."""
    with DOUBLE():
        logits, total = jnp.asarray(LOGITS), 0

        def loss(moved, arm):
            log_prob, old = (jax.nn.log_softmax(x)[arm][None] for x in (moved, logits))
            return inner_loss(log_prob, old, jnp.asarray(PAYMENTS[arm])[None])

        for arm in range(3):
            total = total - PROBABILITIES[arm] * np.asarray(derivative(loss)(logits, arm))
        return total


def exact(derivative):
    """Of Σ π(a) r(a)."""
    with DOUBLE():
        return np.asarray(derivative(lambda logits: jax.nn.softmax(logits) @ PAYMENTS)(jnp.asarray(LOGITS)))


@pytest.mark.parametrize("inner_loss", [policy_gradient_loss, likelihood_ratio_loss])
def test_both_inner_losses_have_the_policy_gradient(inner_loss):
    np.testing.assert_allclose(derivative_in_expectation(inner_loss, jax.grad), exact(jax.grad), rtol=1e-12)


def test_the_curvature_of_the_ratio_is_that_of_the_expected_reward():
    got = derivative_in_expectation(likelihood_ratio_loss, jax.hessian)
    np.testing.assert_allclose(got, exact(jax.hessian), rtol=1e-12, atol=1e-15)


def test_the_curvature_of_the_log_probability_is_not():
    got = derivative_in_expectation(policy_gradient_loss, jax.hessian)
    assert np.abs(got - exact(jax.hessian)).max() > 0.1


def test_the_meta_gradient_is_that_of_the_formula():
    method = ProMP(inner_rate=0.3, **SMALL)
    _, state, lifetimes = lived(method)
    with DOUBLE():
        agent = gradient_agent(method, FAMILY, likelihood_ratio_loss)
        params, lifetimes = in_double(state.params), in_double(lifetimes)
        last = last_stage(lifetimes)
        advantages = jax.vmap(jax.vmap(agent.advantages, (None, 0)), (None, 0))(params, lifetimes.steps)

        def loss(learned):
            parameters = agent.parameters_by_stage(params._replace(learned=learned), lifetimes)[:, -1]
            ratio = jnp.exp(agent.policy(parameters).log_prob(last.action) - last.extras.log_prob)
            return -(ratio * advantages[:, 1]).mean()

        weights = params.learned.network
        expected = own_meta_gradient(weights, lifetimes.steps, advantages, rate=0.3, inner="ratio")
        by_log_prob = own_meta_gradient(weights, lifetimes.steps, advantages, rate=0.3, inner="log")
        got = flat(jax.jit(jax.grad(loss))(params.learned))
    np.testing.assert_allclose(got, expected, rtol=EXACT, atol=EXACT)
    assert np.abs(got - by_log_prob).max() > 1e-3


def after_update(**settings):
    """State and info after one update with small steps."""
    method = ProMP(inner_rate=0.3, **SMALL | settings)
    algorithm, state, lifetimes = lived(method)
    return state, *jax.jit(algorithm.update)(jax.random.key(0), state, lifetimes)


def test_a_large_penalty_keeps_the_policy_before_each_inner_step():
    free, held = (after_update(penalty=penalty, epochs=20)[2] for penalty in (0.0, 1000.0))
    assert float(held["inner_kl"][0]) < 0.1 * float(free["inner_kl"][0])


@pytest.mark.parametrize("penalty", [0.5, 1])
def test_a_fixed_penalty_stays(penalty):
    _, state, _ = after_update(penalty=penalty)
    np.testing.assert_array_equal(state.penalty, np.float32(penalty))
    assert state.penalty.dtype == np.float32


def test_each_inner_step_has_a_penalty_of_its_own():
    _, state, info = after_update(inner_steps=2, adapt_penalty=True, penalty=0.5)
    assert state.penalty.shape == info["inner_kl"].shape == (2,)


def test_the_penalty_follows_the_divergence():
    penalty = adapted_penalty(jnp.full(4, 0.5), jnp.array([0.0, 0.0099, 0.0149, 0.1]), target=0.01)
    np.testing.assert_allclose(penalty, [0.25, 0.5, 0.5, 1.0])


PROBE = {"copies": 8, "hidden": (16,), "inner_rate": 3.0, "learning_rate": 1e-2}


def test_one_gradient_step_finds_the_arm_that_pays():
    lived = adapts(RunConfig(OneArmPays(end=0.0), ProMP(**PROBE), steps=150_000), tasks=200)
    np.testing.assert_allclose(lived.stages.mean(0) / 6, [0.5, 1.0], atol=0.06)
