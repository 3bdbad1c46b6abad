import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms.whole_runs import trained
from rl_meta.algorithms.elbo import evidence, records, squared_error
from rl_meta.algorithms.varibad import VariBAD, make_model
from rl_meta.collection.device import device_collector
from rl_meta.errors import UserError
from rl_meta.evaluation.lifetimes import live_through
from rl_meta.numerics.variational import kl_to_previous
from rl_meta.policies.layers import functional
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.probes import Countdown, OneArmPays
from rl_meta.training.config import RunConfig

SMALL = VariBAD(
    meta_batch_size=4,
    hidden=(8,),
    latent=2,
    memory=8,
    decoder=(8, 8),
    vae_updates=2,
    vae_lifetimes=4,
    replay_lifetimes=8,
    minibatches=2,
    epochs=2,
)
FAMILY = Countdown(horizon=8)
CLOSE = 1e-5
"""Products batched in another way are rounded in another way."""
COIN = np.log(2)
"""Nats that a fair coin tells."""


@cache
def one_iteration(method, family=FAMILY, iterations=10, before=1):
    """Meta-states before and after an iteration that follows `before - 1` others, and its lifetimes."""
    algorithm = method.build(family, iterations)
    collector = device_collector(algorithm.adapter, family, method.shape(family))
    tasks = draw_tasks(family, jax.random.key(5), method.meta_batch_size)

    @jax.jit
    def iterate(key, state):
        key_live, key_collect, key_update = jax.random.split(key, 3)
        born = collector.begin(key_live, state.params, tasks)
        _, lifetimes = collector.collect(key_collect, state.params, born, tasks)
        after, info = algorithm.update(key_update, state, lifetimes)
        return state, after, lifetimes, info

    after = jax.jit(algorithm.init)(jax.random.key(0))
    for i in range(before):
        state, after, lifetimes, info = iterate(jax.random.key(i), after)
    return state, after, lifetimes, info


def same(a, b):
    return all((x == y).all() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def model_of(method, family):
    """(parameters) -> TaskModel."""
    return functional(lambda key: make_model(method, family, key))[1]


def test_the_policys_gradient_does_not_reach_the_model():
    before, after, _, _ = one_iteration(dataclasses.replace(SMALL, vae_updates=0))
    assert same(before.params.model, after.params.model)
    assert not same(before.params.policy.network, after.params.policy.network)


def test_what_the_model_learns_from_does_not_change_the_policys_update():
    _, plain, _, _ = one_iteration(dataclasses.replace(SMALL, vae_updates=0))
    _, taught, _, _ = one_iteration(SMALL)
    assert same(plain.params.policy, taught.params.policy)
    assert not same(plain.params.model, taught.params.model)


def test_the_policy_learns_from_the_beliefs_that_the_model_would_hold_again():
    state, _, lifetimes, _ = one_iteration(SMALL, before=3)
    seen = evidence(
        state.params.policy.normaliser, FAMILY.observation_space, FAMILY.action_space, records(lifetimes)
    ).seen
    again = model_of(SMALL, FAMILY)(state.params.model).encoder.unroll(jnp.swapaxes(seen, 0, 1))
    held = jax.tree.map(lambda x: x.reshape(4, -1, 2), lifetimes.steps.extras.belief)
    for ours, theirs in zip(held, again, strict=True):
        np.testing.assert_allclose(ours, jnp.swapaxes(theirs, 0, 1)[:, :-1], atol=CLOSE)


def test_a_lifetime_begins_with_the_standard_normal_as_belief():
    adapter = SMALL.build(FAMILY, 10).adapter
    params = SMALL.build(FAMILY, 10).init(jax.random.key(0)).params
    belief = adapter.begin(jax.random.key(0), params)[1].belief
    assert same(belief, jax.tree.map(jnp.zeros_like, belief))


def test_the_replay_holds_the_newest_lifetimes():
    _, after, lifetimes, _ = one_iteration(SMALL, before=3)
    newest = after.replay.rows.last_reward[np.arange(8, 12) % 8]
    np.testing.assert_array_equal(newest, records(lifetimes).last_reward)


def test_a_replay_that_cannot_hold_an_iteration_is_refused():
    with pytest.raises(UserError, match="replay_lifetimes must be at least meta_batch_size, 4, got 3"):
        RunConfig(FAMILY, dataclasses.replace(SMALL, replay_lifetimes=3))


def test_a_decoder_of_one_layer_is_refused():
    with pytest.raises(UserError, match="decoder must have two widths or more"):
        RunConfig(FAMILY, dataclasses.replace(SMALL, decoder=(8,)))


def test_transitions_without_weight_are_not_modelled():
    params = dataclasses.replace(SMALL, transition_weight=0.0).build(FAMILY, 10).init(jax.random.key(0)).params
    assert params.model.transition is None


PROBE = VariBAD(
    meta_batch_size=64,
    lifetime_episodes=5,
    hidden=(16,),
    latent=2,
    memory=16,
    decoder=(16, 16),
    transition_weight=0.0,
    kl_weight=0.05,
    vae_learning_rate=5e-3,
    learning_rate=5e-3,
    normalise=False,
)


@pytest.fixture(scope="module")
def puller():
    family = OneArmPays(end=0.0, horizon=1)
    config = RunConfig(family, PROBE, steps=80_000)
    return config, *trained(config)


def test_it_pulls_the_arm_that_pays_from_the_second_pull_on(puller):
    config, algorithm, state = puller
    drawn = draw_tasks(config.family, jax.random.key(99), 400, "test")
    lived = live_through(algorithm.adapter, state.params, config.family, config.shape, drawn, jax.random.key(7))
    np.testing.assert_allclose(lived.episodes.mean(0), [0.5, 1, 1, 1, 1], atol=0.06)


@pytest.fixture(scope="module")
def inferred(puller):
    """Of replayed lifetimes of five pulls: divergences [6, B], and errors [B, 6, 5] of every pull from every belief."""
    config, _, state = puller
    spaces = config.family.observation_space, config.family.action_space
    seen = evidence(state.params.policy.normaliser, *spaces, state.replay.draw(jax.random.key(0), 512))
    model = model_of(config.method, config.family)(state.params.model)
    beliefs = model.encoder.unroll(jnp.swapaxes(seen.seen, 0, 1))
    latents = jnp.swapaxes(beliefs.sample(jax.random.key(1)), 0, 1)
    return kl_to_previous(beliefs), squared_error(model.reward, latents, seen.outcome, seen.reward[..., None])


def test_the_pull_that_tells_moves_the_belief_by_at_least_a_coin_toss(inferred):
    divergence = inferred[0].mean(1)
    assert divergence[1] > 0.9 * COIN
    assert divergence[0] < 0.1 * COIN
    assert (divergence[2:] < 0.2 * COIN).all()


def test_before_the_first_pull_every_pull_is_uncertain_and_after_it_none_is(inferred):
    errors = inferred[1].mean((0, 2))
    assert float(errors[0]) == pytest.approx(0.9 * 0.1, abs=0.03)  # nine in ten pulls of a trained agent pay
    assert (errors[1:] < 0.01).all()
