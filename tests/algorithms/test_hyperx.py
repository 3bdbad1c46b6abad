import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.algorithms.elbo import Evidence
from rl_meta.algorithms.hyperx import LIMIT, Lived, annealed, hyperx, in_units, prediction_error
from rl_meta.numerics.distributions import DiagonalNormal
from rl_meta.numerics.moments import Moments
from rl_meta.policies.task_model import BeliefEncoder, Decoder, TaskModel

LIFETIMES, STEPS, SIZE, LATENT = 16, 8, 5, 2
ITERATIONS = 100
CLOSE = 1e-5
"""Sums over some dozen single-precision products."""


def bonus_of(novelty=0.0, error=0.0):
    return hyperx(novelty, error, size=SIZE, transition_weight=0.5, discount=0.9, iterations=ITERATIONS)


@pytest.fixture(scope="module")
def model():
    keys = jax.random.split(jax.random.key(0), 3)
    encoder = BeliefEncoder(3, (), 4, LATENT, key=keys[0])
    return TaskModel(encoder, Decoder(LATENT, 4, (4, 4), 1, key=keys[1]), Decoder(LATENT, 3, (4, 4), 2, key=keys[2]))


@pytest.fixture(scope="module")
def lived():
    normal = lambda i, *shape: jax.random.normal(jax.random.key(i), (LIFETIMES, STEPS, *shape))
    beliefs = DiagonalNormal(normal(1, LATENT), normal(2, LATENT) - 20.0)  # as good as certain
    seen = Evidence(jnp.zeros(()), normal(3, 4), normal(4, 3), normal(5), normal(6, 2))
    return Lived(normal(7, SIZE), beliefs, seen)


def test_without_weights_there_is_neither_bonus_nor_state(model, lived):
    bonus = bonus_of()
    assert bonus.init(jax.random.key(0)) == ()
    assert bonus.pay(jax.random.key(0), (), model, lived) == (0.0, (), {})


def test_the_error_is_that_of_the_steps_own_prediction(model, lived):
    got = prediction_error(jax.random.key(0), model, lived, 0.5)
    for b, t in [(0, 0), (3, 5), (15, 7)]:
        latent, seen = lived.beliefs.mean[b, t][None], lived.evidence
        reward = model.reward(latent, seen.outcome[b, t][None])[0, 0, 0]
        change = model.transition(latent, seen.choice[b, t][None])[0, 0]
        expected = (reward - seen.reward[b, t]) ** 2 + 0.5 * ((change - seen.change[b, t]) ** 2).sum()
        assert float(got[b, t]) == pytest.approx(float(expected), rel=1e-3)


def test_bonuses_are_in_standard_deviations_of_their_discounted_sums():
    raw = jax.random.uniform(jax.random.key(0), (LIFETIMES, STEPS))
    scaled, sums = in_units(raw, Moments.unit(), 0.9)
    to_come = [
        [sum(0.9 ** (j - t) * float(raw[b, j]) for j in range(t, STEPS)) for t in range(STEPS)] for b in range(16)
    ]
    assert float(sums.std) == pytest.approx(np.std(to_come), rel=1e-3)
    np.testing.assert_allclose(scaled, raw / sums.std, rtol=CLOSE)


def test_no_bonus_is_larger_than_the_limit():
    raw = jnp.zeros((LIFETIMES, STEPS)).at[0, -1].set(1e6)
    long_known = Moments(jnp.array(1e15), jnp.array(0.0), jnp.array(1.0))
    assert float(in_units(raw, long_known, 0.9)[0].max()) == LIMIT


def test_the_weight_falls_linearly_to_zero():
    weights = [float(annealed(jnp.array(k), ITERATIONS)) for k in (0, 25, 100, 200)]
    np.testing.assert_allclose(weights, [1.0, 0.75, 0.0, 0.0], rtol=CLOSE)


def test_the_bonus_is_paid_with_its_weight_and_annealed(model, lived):
    paid = {}
    for weight in (1.0, 3.0):
        bonus = bonus_of(novelty=weight, error=weight)
        start, pay = jax.jit(bonus.init)(jax.random.key(1)), jax.jit(bonus.pay)
        for iteration in (0, 50):
            state = start._replace(iteration=jnp.array(iteration))
            paid[weight, iteration] = pay(jax.random.key(2), state, model, lived)[0]
    np.testing.assert_allclose(paid[3.0, 0], 3 * paid[1.0, 0], rtol=CLOSE)
    np.testing.assert_allclose(paid[1.0, 50], 0.5 * paid[1.0, 0], rtol=CLOSE)
    assert (paid[1.0, 0] > 0).all()


def test_what_was_seen_often_is_less_novel_than_what_was_not(model, lived):
    bonus = bonus_of(novelty=1.0)
    often, rare = lived, lived._replace(reached=lived.reached + 3.0)
    pay = jax.jit(lambda state, model, lived: bonus.pay(jax.random.key(2), state, model, lived))
    start = state = jax.jit(bonus.init)(jax.random.key(1))
    for _ in range(300):
        state = pay(state, model, often)[1]
    state = state._replace(iteration=start.iteration)
    novelty = {name: pay(state, model, where)[0].mean() for name, where in {"often": often, "rare": rare}.items()}
    assert float(novelty["rare"]) > 3 * float(novelty["often"])


def test_the_random_target_never_changes(model, lived):
    bonus = bonus_of(novelty=1.0)
    before = jax.jit(bonus.init)(jax.random.key(1))
    after = jax.jit(bonus.pay)(jax.random.key(2), before, model, lived)[1]
    leaves = lambda tree: jax.tree.leaves(tree)
    assert all((a == b).all() for a, b in zip(leaves(before.novelty.target), leaves(after.novelty.target), strict=True))
    assert any(
        (a != b).any() for a, b in zip(leaves(before.novelty.predictor), leaves(after.novelty.predictor), strict=True)
    )
