import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.algorithms.base import Adapter, Shape, keep_adapted
from rl_meta.algorithms.elbo import Weights, evidence, evidence_sizes, negative_elbo, records
from rl_meta.collection.device import device_collector
from rl_meta.numerics.variational import kl_divergence, standard_normal
from rl_meta.policies.normaliser import Normaliser, size_of_all
from rl_meta.policies.task_model import BeliefEncoder, Decoder, TaskModel
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.probes import Countdown

CLOSE = 1e-4
"""Sums over some hundred single-precision products."""

FAMILY = Countdown()
SPACES = FAMILY.observation_space, FAMILY.action_space
LATENT = 2
LIFETIMES, STEPS = 3, 40


@pytest.fixture(scope="module")
def seen():
    """Evidence of lifetimes in which some episodes end early."""
    adapter = Adapter(
        lambda key, params: ((), ()), lambda key, *_: ((), jax.random.randint(key, (), 0, 2), ()), keep_adapted
    )
    collector = device_collector(adapter, FAMILY, Shape(2, 1, STEPS // 2, restart=False))
    tasks = draw_tasks(FAMILY, jax.random.key(0), LIFETIMES)

    @jax.jit
    def live():
        born = collector.begin(jax.random.key(1), (), tasks)
        return collector.collect(jax.random.key(2), (), born, tasks)[1]

    return evidence(Normaliser.unit(SPACES[0]), *SPACES, records(live()))


@pytest.fixture(scope="module")
def model():
    keys = jax.random.split(jax.random.key(3), 3)
    outcome, choice, change = evidence_sizes(*SPACES)
    return TaskModel(
        BeliefEncoder(size_of_all(*SPACES), (), 4, LATENT, key=keys[0]),
        Decoder(LATENT, outcome, (4, 5), 1, key=keys[1]),
        Decoder(LATENT, choice, (4, 5), change, key=keys[2]),
    )


def with_constant_beliefs(model, mean, raw_log_std):
    """The encoder's output does not depend on what it sees."""
    where = lambda m: (m.encoder.posterior.weight, m.encoder.posterior.bias)
    bias = jnp.array([mean] * LATENT + [raw_log_std] * LATENT)
    return eqx.tree_at(where, model, (jnp.zeros_like(model.encoder.posterior.weight), bias))


WEIGHTS = Weights(transition=0.7, kl=0.3)
estimate = jax.jit(negative_elbo, static_argnames=("weights", "terms", "decoded"))


def test_the_estimate_is_the_formula_computed_pair_by_pair(seen, model):
    key = jax.random.key(4)
    got, info = estimate(key, model, seen, weights=WEIGHTS, terms=None, decoded=None)
    noise = jax.random.normal(jax.random.split(key, 3)[2], (LIFETIMES, STEPS + 1, LATENT))
    reward_of = jax.jit(lambda latent, x: model.reward(latent[None], x[None])[0, 0, 0])
    change_of = jax.jit(lambda latent, x: model.transition(latent[None], x[None])[0, 0])
    step = jax.jit(lambda hidden, x: model.encoder.step(hidden, x))
    divergence_of = jax.jit(kl_divergence)
    draw = jax.jit(lambda belief, noise: belief.mean + jnp.exp(belief.log_std) * noise)
    noise, seen = np.asarray(noise), jax.tree.map(np.asarray, seen)
    total, divergence = 0.0, 0.0
    for b in range(LIFETIMES):
        hidden, before = model.encoder.start(), standard_normal(LATENT)
        for t in range(STEPS + 1):
            hidden, belief = step(hidden, seen.seen[b, t])
            divergence += float(divergence_of(belief, before))
            latent, before = draw(belief, noise[b, t]), belief
            rewards = np.stack([reward_of(latent, x) for x in seen.outcome[b]])
            changes = np.stack([change_of(latent, x) for x in seen.choice[b]])
            total += float(((rewards - seen.reward[b]) ** 2).sum())
            total += WEIGHTS.transition * float(((changes - seen.change[b]) ** 2).sum())
    terms = LIFETIMES * (STEPS + 1)
    expected = (total + WEIGHTS.kl * divergence) / terms / STEPS
    assert float(got) == pytest.approx(expected, rel=CLOSE)
    assert float(info["belief_kl"]) == pytest.approx(divergence / terms, rel=CLOSE)


def test_decoding_some_pairs_estimates_decoding_all_without_bias(seen, model):
    model = with_constant_beliefs(model, 0.5, -1e6)  # no spread: only the choice of pairs is chance
    model = eqx.tree_at(lambda m: m.encoder.posterior.weight, model, jnp.eye(2 * LATENT, 4))
    whole = estimate(jax.random.key(0), model, seen, weights=WEIGHTS, terms=None, decoded=None)[0]
    some = jax.vmap(lambda key: negative_elbo(key, model, seen, weights=WEIGHTS, terms=3, decoded=4)[0])
    estimates = jax.jit(some)(jax.random.split(jax.random.key(1), 4000))
    four_errors = 4 * float(estimates.std()) / 4000**0.5
    assert four_errors < 0.1 * float(whole)
    assert float(estimates.mean()) == pytest.approx(float(whole), abs=four_errors)


def test_only_the_first_of_beliefs_that_do_not_move_costs(seen, model):
    still = with_constant_beliefs(model, 0.5, -1.0)
    _, belief = still.encoder.step(still.encoder.start(), seen.seen[0, 0])
    info = estimate(jax.random.key(0), still, seen, weights=WEIGHTS, terms=2, decoded=2)[1]
    first = float(kl_divergence(belief, standard_normal(LATENT)))
    assert float(info["belief_kl"]) == pytest.approx(first / (STEPS + 1), rel=CLOSE)


def test_the_change_of_the_observation_is_that_before_any_reset(seen):
    np.testing.assert_array_equal(seen.change[..., 0], np.ones((LIFETIMES, STEPS)))  # time goes on by one
    np.testing.assert_array_equal(seen.change[..., 1], np.zeros((LIFETIMES, STEPS)))  # still the same episode
    assert (np.asarray(seen.outcome[..., 0]) == 0).sum() > LIFETIMES  # several episodes


def test_a_reward_belongs_to_the_step_that_brought_it(seen):
    np.testing.assert_array_equal(seen.outcome[..., 0], seen.reward)  # the time shown before the step


def test_without_a_transition_decoder_only_rewards_count(seen, model):
    bare = eqx.tree_at(lambda m: m.transition, model, None)
    loss, info = negative_elbo(jax.random.key(0), bare, seen, weights=WEIGHTS, terms=None, decoded=None)
    expected = info["reward_error"] + WEIGHTS.kl * info["belief_kl"] / STEPS
    assert float(loss) == pytest.approx(float(expected), rel=CLOSE)
    assert "transition_error" not in info
