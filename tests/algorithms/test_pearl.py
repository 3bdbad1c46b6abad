"""PEARL: its posterior, its two replays, who trains the encoder, and a known answer."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from algorithms.whole_runs import trained
from rl_meta.algorithms.pearl import PEARL
from rl_meta.algorithms.posterior_agent import transitions
from rl_meta.collection.device import device_collector
from rl_meta.errors import UserError
from rl_meta.evaluation.lifetimes import live_through
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.tasks.point_goal import PointGoal
from rl_meta.tasks.probes import AimAt, Countdown
from rl_meta.training.config import RunConfig

SMALL = PEARL(meta_batch_size=3, train_tasks=4, latent=2, hidden=(8,), encoder=(8,), copies=2, capacity_steps=200)
FAMILY = SMALL.view(Pendulum(horizon=6))
LEARNER = SMALL.learner(FAMILY)
KEY = jax.random.key(4)
STATE = jax.jit(LEARNER.init)(KEY)
PARAMS = STATE.params
ROUNDING = 1e-4


@pytest.fixture(scope="module")
def lifetimes():
    """Of three tasks, the last two of which are the same."""
    algorithm = SMALL.build(FAMILY, 1)
    collector = device_collector(algorithm.adapter, FAMILY, SMALL.shape(FAMILY))
    tasks = jax.tree.map(lambda x: jnp.asarray(x)[jnp.array([2, 1, 1])], FAMILY.table)
    live = lambda key: collector.collect(key, PARAMS, collector.begin(key, PARAMS, tasks), tasks)[1]
    return jax.jit(live)(KEY)


def stage(lifetimes, number=0, task=0):
    return jax.tree.map(lambda x: x[task, number], lifetimes.steps)


# ----------------------------------------------------------------------------------------------- belief


def test_without_experience_z_is_drawn_from_the_prior(lifetimes):
    adapted, memory = LEARNER.agent.begin(KEY, PARAMS)
    inputs = jax.tree.map(lambda x: x[0, 0], stage(lifetimes).inputs)
    draw = jax.vmap(lambda key: LEARNER.agent.act(key, PARAMS, adapted, memory, inputs)[0])
    z = draw(jax.random.split(KEY, 5000))
    np.testing.assert_allclose(z.mean(0), 0.0, atol=0.08)  # standard error 0.014
    np.testing.assert_allclose(z.std(0), 1.0, atol=0.06)  # standard error 0.01


def test_the_posterior_does_not_depend_on_the_order_of_experience(lifetimes):
    begun, _ = LEARNER.agent.begin(KEY, PARAMS)
    steps = stage(lifetimes)
    turned = jax.tree.map(lambda x: x[::-1, ::-1], steps)
    first = LEARNER.agent.learn(None, PARAMS, begun, steps)
    np.testing.assert_allclose(first, LEARNER.agent.learn(None, PARAMS, begun, turned), rtol=ROUNDING)


def test_experience_lived_twice_halves_the_variance(lifetimes):
    begun, _ = LEARNER.agent.begin(KEY, PARAMS)
    once = LEARNER.agent.learn(None, PARAMS, begun, stage(lifetimes))
    twice = LEARNER.agent.learn(None, PARAMS, once, stage(lifetimes))
    np.testing.assert_allclose(twice.moments()[0], once.moments()[0], rtol=ROUNDING)
    np.testing.assert_allclose(twice.moments()[1], once.moments()[1] / 2, rtol=ROUNDING)


def test_z_is_drawn_anew_in_every_episode_and_kept_within_it(lifetimes):
    adapted, memory = LEARNER.agent.begin(KEY, PARAMS)
    inputs = jax.tree.map(lambda x: x[0, 0], stage(lifetimes).inputs)
    act = lambda key, memory, first: LEARNER.agent.act(
        key, PARAMS, adapted, memory, inputs._replace(first=jnp.array(first))
    )[0]
    keys = jax.random.split(KEY, 3)
    z = act(keys[0], memory, True)
    np.testing.assert_array_equal(act(keys[1], z, False), z)
    assert not np.allclose(act(keys[2], z, True), z, atol=0.01)


def test_at_its_best_the_agent_draws_the_same_z_and_takes_the_likeliest_action(lifetimes):
    adapted, memory = LEARNER.agent.begin(KEY, PARAMS)
    inputs = jax.tree.map(lambda x: x[0, 0], stage(lifetimes).inputs)
    z, action, _ = LEARNER.agent.act(KEY, PARAMS, adapted, memory, inputs)
    z_best, action_best, _ = LEARNER.agent.act_best(KEY, PARAMS, adapted, memory, inputs)
    np.testing.assert_array_equal(z, z_best)
    assert not np.allclose(action, action_best, atol=1e-3)
    np.testing.assert_array_equal(action_best, LEARNER.agent.action(None, PARAMS, z, inputs))


# ----------------------------------------------------------------------------------------------- replay


def test_every_lifetime_is_stored_with_its_task(lifetimes):
    state = LEARNER.remember(STATE, lifetimes)
    per_lifetime = 3 * 2 * 6
    np.testing.assert_array_equal(state.replay.filled, [0, 2 * per_lifetime, per_lifetime, 0])
    lived = jax.tree.map(lambda x: x[0].reshape(per_lifetime, *x.shape[4:]), transitions(lifetimes.steps))
    stored = jax.tree.map(lambda x: x[2, :per_lifetime], state.replay.rows)
    jax.tree.map(np.testing.assert_array_equal, stored, lived)


def test_the_context_is_what_was_lived_with_the_prior_at_the_last_visit(lifetimes):
    state = LEARNER.remember(LEARNER.remember(STATE, lifetimes), lifetimes)
    np.testing.assert_array_equal(state.context.filled, [0, 12, 12, 0])
    prior = stage(lifetimes).reward.ravel()
    np.testing.assert_array_equal(np.sort(state.context.rows.reward[2]), np.sort(prior))


def test_a_time_limit_is_stored_as_no_end():
    family = SMALL.view(Countdown(death=0.3, limit=0.5))
    algorithm = SMALL.build(family, 1)
    collector = device_collector(algorithm.adapter, family, SMALL.shape(family))
    tasks, params = draw_tasks(family, KEY, 3), algorithm.init(KEY).params
    live = lambda key: collector.collect(key, params, collector.begin(key, params, tasks), tasks)[1]
    steps = jax.jit(live)(KEY).steps
    assert bool(steps.truncated.any())
    np.testing.assert_array_equal(transitions(steps).terminated, steps.terminated)


# --------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize(("loss", "trained"), [("critics", True), ("policy", False), ("temperature", False)])
def test_of_the_losses_of_soft_actor_critic_only_that_of_the_critics_trains_the_encoder(lifetimes, loss, trained):
    state = LEARNER.remember(STATE, lifetimes)
    tasks = jnp.array([1, 2])
    context, rows = (replay.draw(KEY, tasks, 8) for replay in (state.context, state.replay))

    def value(networks):
        losses, _, _ = LEARNER.losses(KEY, state.params.normaliser, state.target, context, rows, networks)
        return getattr(losses, loss)

    slope = jax.tree.leaves(jax.jit(jax.grad(value))(PARAMS.networks).encoder)
    assert any(bool((x != 0).any()) for x in slope) == trained


def test_the_divergence_from_the_prior_trains_the_encoder_alone(lifetimes):
    state = LEARNER.remember(STATE, lifetimes)
    context, rows = (replay.draw(KEY, jnp.array([1]), 8) for replay in (state.context, state.replay))
    kl = lambda networks: LEARNER.losses(KEY, state.params.normaliser, state.target, context, rows, networks)[1]
    slope = jax.jit(jax.grad(kl))(PARAMS.networks)
    assert any(bool((x != 0).any()) for x in jax.tree.leaves(slope.encoder))
    assert not any(bool((x != 0).any()) for x in jax.tree.leaves(slope.soft))


class Unbounded(PointGoal):
    action_space = spaces.Box(-np.inf, np.inf, (2,))


def test_unbounded_actions_are_refused():
    with pytest.raises(UserError, match="finite lower and upper bound"):
        PEARL().learner(PEARL().view(Unbounded()))


def test_a_family_without_a_table_of_tasks_is_refused():
    with pytest.raises(UserError, match="fixed table of tasks"):
        PEARL().build(PointGoal(), 1)


@pytest.mark.parametrize(("warm_up_steps", "improves"), [(108, True), (109, False)])
def test_nothing_is_learned_before_the_warm_up_is_over(lifetimes, warm_up_steps, improves):
    learner = replace(SMALL, warm_up_steps=warm_up_steps, batch_tasks=2, batch_steps=4).learner(FAMILY)
    state, info = jax.jit(learner.update)(KEY, STATE, lifetimes)
    assert int(state.lived_steps) == 108
    moved = jax.tree.map(lambda x, y: bool((x != y).any()), state.params.networks, PARAMS.networks)
    assert any(jax.tree.leaves(moved)) == improves
    assert bool(jnp.isnan(info["critic_loss"])) != improves


def aims(method, steps):
    """Mean reward per step of every episode, of the agent at its best."""
    config = RunConfig(AimAt(), method, steps=steps, seed=4)
    algorithm, state = trained(config, updates_often=True)
    seen = method.view(config.family)
    drawn = draw_tasks(config.family, jax.random.key(99), 200, "test")
    lived = live_through(algorithm.best, state.params, seen, config.shape, drawn, KEY)
    return lived.episodes.mean(0) / config.family.horizon


def test_pearl_tries_goals_in_its_first_episode_and_knows_the_goal_in_later_ones():
    method = PEARL(
        meta_batch_size=8,
        train_tasks=20,
        latent=2,
        discount=0.0,
        kl_weight=1e-3,
        hidden=(32, 32),
        encoder=(32, 32),
        batch_steps=32,
        learning_rate=3e-3,
    )
    first, *later = aims(method, 48_000)
    assert -1.2 < first < -0.6  # of two independent goals -0.86, of one action that suits all goals -0.43
    assert min(later) > -0.25
