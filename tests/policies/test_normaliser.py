import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from rl_meta.numerics.moments import Moments
from rl_meta.policies.normaliser import Normaliser, size_of_all
from rl_meta.policies.spaces import flatten
from rl_meta.types import Inputs

ROUNDING = 1e-5
"""Relative, of a few operations in single precision."""
UNIT_WEIGHT = 5e-3
"""Relative, how much the unit moments (1e-4 observations, up to 100 deviations away) weigh beside 200."""

OBS = spaces.Dict({"kind": spaces.Discrete(3), "place": spaces.Box(-100.0, 100.0, (2,))})
ARM, FORCE = spaces.Discrete(4), spaces.Box(-2.0, 2.0, (3,))


def batch(count=200):
    """Observations of `OBS` whose places are far from standard."""
    rng = np.random.default_rng(0)
    places = rng.normal([10, -50], [3, 0.5], (count, 2))
    return {"kind": jnp.array(rng.integers(0, 3, count)), "place": jnp.float32(places)}


def learned():
    """After one batch of observations, and of rewards and targets with a mean and scale of their own."""
    rng = np.random.default_rng(1)
    reward, target = jnp.float32(rng.normal(5, 2, 200)), jnp.float32(rng.normal(-30, 10, 200))
    return Normaliser.unit(OBS).observe(flatten(OBS, batch()), reward, target), reward, target


def some_inputs(action_space, *shape):
    """Every field of one value."""
    obs = {"kind": jnp.full(shape, 1), "place": jnp.full((*shape, 2), 0.5)}
    result = {"kind": jnp.full(shape, 2), "place": jnp.full((*shape, 2), -0.5)}
    action = jnp.full(shape, 3) if action_space is ARM else jnp.full((*shape, 3), 1.0)
    return Inputs(obs, jnp.full(shape, True), action, jnp.full(shape, -0.25), result)


def with_reward(reward):
    return some_inputs(ARM)._replace(last_reward=jnp.float32(reward))


def test_the_unit_normaliser_shows_observations_as_they_are():
    obs = {"kind": jnp.array(2), "place": jnp.array([3.0, -4.0])}
    np.testing.assert_allclose(Normaliser.unit(OBS).see(OBS, obs), [0, 0, 1, 3, -4], rtol=ROUNDING)


@pytest.mark.parametrize(("statistic", "expected"), [("mean", [0, 0]), ("std", [1, 1])])
def test_continuous_entries_are_standardised(statistic, expected):
    seen = np.asarray(learned()[0].see(OBS, batch()))[:, 3:]
    np.testing.assert_allclose(getattr(seen, statistic)(0), expected, atol=UNIT_WEIGHT)


def test_one_hot_entries_are_left_as_they_are():
    np.testing.assert_array_equal(learned()[0].see(OBS, batch())[:, :3], jax.nn.one_hot(batch()["kind"], 3))


@pytest.mark.parametrize("part", ["reward", "target"])
def test_rewards_and_targets_are_kept_apart(part):
    normaliser, reward, target = learned()
    seen = {"reward": reward, "target": target}[part]
    moments = getattr(normaliser, part)
    np.testing.assert_allclose([moments.mean, moments.std], [seen.mean(), seen.std()], rtol=UNIT_WEIGHT)


def test_observing_in_two_parts_is_observing_at_once():
    flat, whole = flatten(OBS, batch()), learned()
    halves = Normaliser.unit(OBS)
    for part in (slice(0, 50), slice(50, 200)):
        halves = halves.observe(flat[part], whole[1][part], whole[2][part])
    for one, other in zip(jax.tree.leaves(halves), jax.tree.leaves(whole[0]), strict=True):
        np.testing.assert_allclose(one, other, rtol=UNIT_WEIGHT, atol=ROUNDING)


@pytest.mark.parametrize("shape", [(), (5,), (2, 5)])
@pytest.mark.parametrize("action_space", [ARM, FORCE], ids=["discrete", "continuous"])
def test_all_that_is_seen_has_the_size_that_is_announced(action_space, shape):
    see_all = lambda inputs: Normaliser.unit(OBS).see_all(OBS, action_space, inputs)
    seen = jax.eval_shape(see_all, some_inputs(action_space, *shape))
    assert seen.shape == (*shape, size_of_all(OBS, action_space))


def test_all_that_is_seen_is_observation_result_action_reward_and_first():
    seen = Normaliser.unit(OBS).see_all(OBS, ARM, some_inputs(ARM))
    expected = [*(0, 1, 0, 0.5, 0.5), *(0, 0, 1, -0.5, -0.5), *(0, 0, 0, 1), -0.25, 1]
    np.testing.assert_allclose(seen, expected, rtol=ROUNDING)


def test_a_continuous_action_is_seen_in_half_widths():
    seen = Normaliser.unit(OBS).see_all(OBS, FORCE, some_inputs(FORCE))
    np.testing.assert_allclose(seen[10:13], [0.5] * 3, rtol=ROUNDING)


@pytest.mark.parametrize("reward", [-3.0, 0.0, 3.0])
def test_rewards_are_scaled_and_not_shifted(reward):
    normaliser = Normaliser.unit(OBS)._replace(reward=Moments(jnp.array(9.0), jnp.array(7.0), jnp.array(4.0)))
    seen = normaliser.see_all(OBS, ARM, with_reward(reward))
    assert float(seen[-2]) == pytest.approx(reward / 2)


@pytest.mark.parametrize("reward", [-1e6, 1e6])
def test_huge_rewards_are_clipped(reward):
    seen = Normaliser.unit(OBS).see_all(OBS, ARM, with_reward(reward))
    assert float(seen[-2]) == 10 * np.sign(reward)


def test_seeing_a_batch_is_seeing_every_element():
    normaliser = learned()[0]
    one_by_one = jax.vmap(lambda obs: normaliser.see(OBS, obs))(batch())
    np.testing.assert_allclose(normaliser.see(OBS, batch()), one_by_one, rtol=ROUNDING, atol=ROUNDING)
