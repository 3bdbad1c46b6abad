import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from algorithms.adaptation import (
    DOUBLE,
    FAMILY,
    SMALL,
    flat,
    in_double,
    lived,
    of_task,
    own_log_prob,
    own_meta_gradient,
    own_outputs,
)
from algorithms.whole_runs import adapts
from rl_meta.algorithms.gradient_adaptation import gradient_agent, last_stage
from rl_meta.algorithms.maml import MAML, policy_gradient_loss
from rl_meta.errors import UserError
from rl_meta.tasks.probes import AimAt, OneArmPays
from rl_meta.training.config import RunConfig

EXACT = 1e-6
"""Of the same formula in double precision, but for the logarithm of the action space's width."""
DIFFERENCES = 1e-6
"""Relative, of central differences in double precision."""
SINGLE = 2e-5
"""Of a hundred operations in single precision, relative to the largest."""


def problem(method):
    """Agent, meta-parameters, the last stage's loss as a function of them, and lifetimes; within `DOUBLE()`."""
    _, state, lifetimes = lived(method)
    agent = gradient_agent(method, FAMILY, policy_gradient_loss)
    params, lifetimes = in_double(state.params), in_double(lifetimes)
    last = last_stage(lifetimes)
    advantage = jax.jit(jax.vmap(agent.advantages, (None, 0)))(params, last)

    def loss(learned):
        parameters = agent.parameters_by_stage(params._replace(learned=learned), lifetimes, first=method.inner_steps)
        ratio = jnp.exp(agent.policy(parameters[:, 0]).log_prob(last.action) - last.extras.log_prob)
        return -(ratio * advantage).mean()

    return agent, params, loss, lifetimes


def stage_advantages(agent, params, lifetimes):
    """[N, S, C, T]"""
    return jax.jit(jax.vmap(jax.vmap(agent.advantages, (None, 0)), (None, 0)))(params, lifetimes.steps)


@pytest.mark.parametrize("inner_steps", [1, 2, 3])
def test_the_meta_gradient_is_its_finite_difference(inner_steps):
    with DOUBLE():
        _, params, loss, _ = problem(MAML(inner_steps=inner_steps, inner_rate=0.3, **SMALL))
        at, unravel = ravel_pytree(params.learned)
        value = lambda x: loss(unravel(x))
        direction = np.random.default_rng(0).normal(size=at.shape)
        slope = jax.jit(jax.grad(value))(at) @ direction
        step, value = 1e-5, jax.jit(value)
        rise = value(at + step * direction) - value(at - step * direction)
        assert float(rise) / (2 * step) == pytest.approx(float(slope), rel=DIFFERENCES)


@pytest.mark.parametrize("order", ["second", "first"])
def test_the_meta_gradient_is_that_of_the_formula(order):
    with DOUBLE():
        agent, params, loss, lifetimes = problem(MAML(inner_rate=0.3, order=order, **SMALL))
        advantages = stage_advantages(agent, params, lifetimes)
        expected = own_meta_gradient(params.learned.network, lifetimes.steps, advantages, rate=0.3, order=order)
        got = flat(jax.jit(jax.grad(loss))(params.learned))
        np.testing.assert_allclose(got, expected, rtol=EXACT, atol=EXACT)


def test_both_orders_differ():
    with DOUBLE():
        gradients = [problem(MAML(inner_rate=0.3, order=order, **SMALL)) for order in ("second", "first")]
        second, first = (flat(jax.jit(jax.grad(loss))(params.learned)) for _, params, loss, _ in gradients)
        assert np.abs(second - first).max() > 1e-2 * np.abs(second).max()


def test_the_outer_step_starts_from_this_gradient():
    method = MAML(inner_rate=0.3, **SMALL)
    algorithm, state, lifetimes = lived(method)
    _, info = jax.jit(algorithm.update)(jax.random.key(0), state, lifetimes)
    with DOUBLE():
        _, params, loss, _ = problem(method)
        expected = np.linalg.norm(flat(jax.jit(jax.grad(loss))(params.learned)))
    assert float(info["gradient_norm"]) == pytest.approx(expected, rel=1e-4)


def own_trust_region_step(weights, steps, advantage, *, limit, damping):
    """TRPO on the pooled steps of all tasks, with a dense Fisher matrix."""
    theta, unravel = ravel_pytree(weights)
    obs, action = steps.inputs.obs.reshape(-1, 2), steps.action.reshape(-1, 2)
    old_mean, old_log_std = own_outputs(weights, obs)

    def loss(theta):
        ratio = jnp.exp(own_log_prob(unravel(theta), obs, action) - steps.extras.log_prob.ravel())
        return -(ratio * advantage.ravel()).mean()

    def kl(theta):
        mean, log_std = own_outputs(unravel(theta), obs)
        moved = (jnp.exp(2 * old_log_std) + (old_mean - mean) ** 2) / (2 * jnp.exp(2 * log_std))
        return (log_std - old_log_std + moved - 0.5).sum(-1).mean()

    gradient = jax.grad(loss)(theta)
    outputs = lambda part: lambda theta: own_outputs(unravel(theta), obs)[part]
    mean_slopes = jax.jacobian(outputs(0))(theta) / jnp.exp(old_log_std)[..., None]
    std_slopes = jax.jacobian(outputs(1))(theta)
    square = lambda slopes: jnp.einsum("bdi,bdj->ij", slopes, slopes)
    fisher = square(mean_slopes) + 2 * square(std_slopes)
    fisher = fisher / len(obs) + damping * jnp.eye(len(theta))
    direction = jnp.linalg.solve(fisher, gradient)
    full = jnp.sqrt(2 * limit / (direction @ fisher @ direction)) * direction
    for tried in range(15):
        moved = theta - 0.8**tried * full
        if float(loss(moved)) < float(loss(theta)) and float(kl(moved)) <= limit:
            return np.asarray(moved)
    return np.asarray(theta)


def test_without_inner_steps_it_is_trpo_on_all_tasks():
    method = MAML(inner_rate=0.0, damping=1e-2, conjugate_iterations=100, **SMALL)
    _, state, lifetimes = lived(method)
    with DOUBLE():
        agent, params, _, lifetimes = problem(method)
        advantage = stage_advantages(agent, params, lifetimes)[:, 1]
        steps = last_stage(lifetimes)
        expected = own_trust_region_step(params.learned.network, steps, advantage, limit=0.01, damping=1e-2)
        update = jax.jit(method.build(FAMILY, 10).update)
        after, info = update(jax.random.key(0), in_double(state), lifetimes)
        np.testing.assert_allclose(flat(after.params.learned.network), expected, rtol=1e-6, atol=1e-8)
        assert float(info["step_scale"]) > 0
        assert 0 < float(info["kl"]) <= 0.01


@pytest.mark.parametrize("outer", ["trpo", "ppo"])
def test_an_update_lowers_the_loss_of_what_was_lived(outer):
    method = MAML(inner_rate=0.3, outer=outer, **SMALL)
    algorithm, state, lifetimes = lived(method)
    after, _ = jax.jit(algorithm.update)(jax.random.key(0), state, lifetimes)
    with DOUBLE():
        _, params, loss, _ = problem(method)
        assert float(loss(in_double(after.params.learned))) < float(loss(params.learned))


def learned_in_task(method, stages=None):
    """Agent, meta-parameters, steps and what was adapted at the end, of the first task."""
    _, state, lifetimes = lived(method, stages)
    task = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[0]), (lifetimes.steps, lifetimes.end.adapted))
    return gradient_agent(method, FAMILY, policy_gradient_loss), state.params, *task


def test_only_the_head_adapts_where_it_alone_shall():
    agent, params, steps, adapted = learned_in_task(MAML(adapts="head", inner_rate=1.0, **SMALL))
    network = params.learned.network
    hidden, last = network.mlp.layers
    obs = steps.inputs.obs[0, 0]
    features = jnp.tanh(obs @ hidden.weight + hidden.bias)
    expected = features @ adapted.part.weight + adapted.part.bias
    got = agent.parameters(params, adapted, obs)
    np.testing.assert_allclose(got[:, :2], expected, rtol=SINGLE, atol=SINGLE)
    np.testing.assert_allclose(got[:, 2:], jnp.broadcast_to(network.free, (8, 2)))
    assert float(jnp.abs(adapted.part.weight - last.weight).max()) > 1e-3


def test_only_the_context_adapts_where_it_alone_shall():
    agent, params, steps, adapted = learned_in_task(MAML(adapts="context", context=2, inner_rate=1.0, **SMALL))
    hidden, last = params.learned.network.mlp.layers
    obs = steps.inputs.obs[0, 0]
    seen = jnp.concatenate([obs, jnp.broadcast_to(adapted.part, (8, 2))], -1)
    expected = jnp.tanh(seen @ hidden.weight + hidden.bias) @ last.weight + last.bias
    assert adapted.part.shape == (2,)
    assert float(jnp.abs(adapted.part).min()) > 1e-3
    np.testing.assert_allclose(agent.parameters(params, adapted, obs)[:, :2], expected, rtol=SINGLE, atol=SINGLE)


def test_a_context_begins_at_zero():
    _, _, lifetimes = lived(MAML(adapts="context", context=2, **SMALL))
    np.testing.assert_array_equal(lifetimes.start.adapted.part, 0)


def test_learned_rates_start_at_the_inner_rate():
    method = MAML(learned_rates=True, inner_rate=0.3, **SMALL)
    _, state, lifetimes = lived(method)
    _, _, plain = lived(MAML(inner_rate=0.3, **SMALL))
    np.testing.assert_array_equal(flat(state.params.learned.rates), np.float32(0.3))
    np.testing.assert_allclose(flat(lifetimes.end.adapted), flat(plain.end.adapted), rtol=1e-5, atol=1e-6)


def test_a_whole_number_for_a_rate_is_learned_from_as_any_other():
    _, state, _ = lived(MAML(learned_rates=True, inner_rate=1, **SMALL))
    assert flat(state.params.learned.rates).dtype == np.float32


@pytest.mark.parametrize("order", ["second", "first"])
def test_the_gradient_of_the_rates_is_minus_the_product_of_the_inner_and_the_outer_gradient(order):
    with DOUBLE():
        agent, params, loss, lifetimes = problem(MAML(learned_rates=True, inner_rate=0.3, order=order, **SMALL))
        advantages, weights = stage_advantages(agent, params, lifetimes), params.learned.network
        log_prob = lambda w, s: own_log_prob(w, s.inputs.obs, s.action)
        inner = jax.jit(jax.grad(lambda w, s, a: -(log_prob(w, s) * a).mean()))
        outer = jax.jit(jax.grad(lambda w, s, a: -(jnp.exp(log_prob(w, s) - s.extras.log_prob) * a).mean()))
        expected = 0
        for task in range(3):
            before, after = of_task(lifetimes.steps, task, 0), of_task(lifetimes.steps, task, 1)
            gradient = inner(weights, before, advantages[task, 0])
            adapted = jax.tree.map(lambda w, g: w - 0.3 * g, weights, gradient)
            expected = expected - flat(gradient) * flat(outer(adapted, after, advantages[task, 1])) / 3
        got = flat(jax.jit(jax.grad(loss))(params.learned).rates)
        np.testing.assert_allclose(got, expected, rtol=EXACT, atol=EXACT)


def test_steps_beyond_the_trained_ones_are_shorter():
    method = MAML(inner_rate=0.3, **SMALL)
    ends = [
        flat(lived(dataclasses.replace(method, later_rate=rate), 2)[2].end.adapted.part) for rate in (0.0, 0.5, 1.0)
    ]
    np.testing.assert_allclose(ends[1] - ends[0], 0.5 * (ends[2] - ends[0]), atol=SINGLE)
    assert np.abs(ends[2] - ends[0]).max() > 1e-3


def test_an_agent_may_learn_for_more_stages_than_it_was_trained_for():
    _, _, adapted = learned_in_task(MAML(**SMALL), 5)[1:]
    assert int(adapted.taken) == 5


def exact_gradient(logits, payments):
    """Of Σ π(a) r(a) in the logits."""
    probabilities = np.exp(logits) / np.exp(logits).sum()
    return probabilities * (payments - probabilities @ payments)


def test_in_expectation_the_inner_gradient_is_that_of_the_expected_reward():
    logits, payments = np.array([0.3, -0.5, 0.1]), np.array([1.0, 0.2, -2.0])
    probabilities = np.exp(logits) / np.exp(logits).sum()
    total = np.zeros(3)
    with DOUBLE():
        for pulls in np.ndindex(3, 3):  # every batch of two pulls
            pulls = np.array(pulls)

            def loss(logits, pulls=pulls):
                log_prob = jax.nn.log_softmax(logits)[pulls]
                return policy_gradient_loss(log_prob, log_prob, jnp.asarray(payments[pulls]))

            total += probabilities[pulls].prod() * np.asarray(jax.grad(loss)(jnp.asarray(logits)))
    np.testing.assert_allclose(-total, exact_gradient(logits, payments), rtol=EXACT)


def test_advantages_are_standardised_in_each_task():
    agent, params, _, _ = learned_in_task(MAML(**SMALL))
    advantage = np.asarray(jax.jit(agent.advantages)(params, of_task(lived(MAML(**SMALL))[2].steps, 0, 0)))
    assert float(advantage.mean()) == pytest.approx(0, abs=1e-5)
    assert float(advantage.std()) == pytest.approx(1, rel=1e-3)


def test_advantages_do_not_depend_on_the_units_of_rewards():
    agent, params, _, _ = learned_in_task(MAML(**SMALL))
    steps = of_task(lived(MAML(**SMALL))[2].steps, 0, 0)
    advantages = jax.jit(agent.advantages)
    other = advantages(params, steps._replace(reward=50 * steps.reward))
    np.testing.assert_allclose(advantages(params, steps), other, atol=1e-3)


def test_normalising_changes_nothing_until_after_the_update():
    plain, scaled = (MAML(normalise=normalise, **SMALL) for normalise in (False, True))
    after = []
    for method in (plain, scaled):
        algorithm, state, lifetimes = lived(method)
        after.append(jax.jit(algorithm.update)(jax.random.key(0), state, lifetimes)[0].params)
    np.testing.assert_array_equal(flat(after[0].learned), flat(after[1].learned))
    seen = np.asarray(lived(scaled)[2].steps.inputs.obs)
    np.testing.assert_allclose(after[1].normaliser.obs.mean, seen.mean((0, 1, 2, 3)), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("field", "value"), [("adapts", "heads"), ("order", "third"), ("outer", "adam")])
def test_unknown_choices_are_refused(field, value):
    method = MAML()
    object.__setattr__(method, field, value)  # the constructor's types are executed in tests only
    with pytest.raises(UserError, match=f"unknown {field} '{value}'"):
        RunConfig(FAMILY, method)


PROBE = {"copies": 8, "hidden": (16,), "inner_rate": 3.0}


def test_one_gradient_step_finds_the_arm_that_pays():
    lived = adapts(RunConfig(OneArmPays(end=0.0), MAML(**PROBE), steps=100_000), tasks=200)
    np.testing.assert_allclose(lived.stages.mean(0) / 6, [0.5, 1.0], atol=0.06)


@pytest.mark.learning
def test_one_gradient_step_finds_the_goal_to_aim_at():
    lived = adapts(RunConfig(AimAt(), MAML(**PROBE | {"inner_rate": 0.3}), steps=100_000), tasks=200)
    assert lived.stages[:, 0].mean() / 5 < -0.4
    assert lived.stages[:, 1].mean() / 5 > -0.2
