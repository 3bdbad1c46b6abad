import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_meta.numerics.returns import episode_returns, episode_time, gae, lifetime_discounts

ROUNDING = 1e-4
"""Sums of 30 single-precision numbers of size 1; discounted values stay below 30."""
LENGTH = 30
HORIZON = 7

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
rates = st.floats(0, 1, width=32)
lives = st.lists(
    st.tuples(st.integers(1, HORIZON), st.booleans()), min_size=LENGTH, max_size=LENGTH
)  # of every episode: how long it lasts, and whether it terminates there

jit_gae = jax.jit(gae)
jit_discounts = jax.jit(
    lambda terminated, time, discount, over=False: lifetime_discounts(
        terminated, time, over=over, discount=discount, horizon=HORIZON
    )
)
jit_episode_returns = jax.jit(episode_returns)


def normal(seed, *names):
    """One sequence [LENGTH] per name."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=LENGTH).astype(np.float32) for _ in names]


def happens(seed, chance):
    return np.random.default_rng([seed, 1]).random(LENGTH) < chance


def k_step_error(t, k, reward, value, next_value, terminal, discount):
    """Rewards of k steps and the value after them, less the value before (Schulman et al. 2016, eq. 14)."""
    total, weight = 0.0, 1.0
    for s in range(t, t + k):
        total += weight * float(reward[s])
        weight *= float(discount[s])
    bootstrap = 0.0 if terminal[t + k - 1] else float(next_value[t + k - 1])
    return total + weight * bootstrap - float(value[t])


def averaged_errors(reward, value, next_value, terminal, cut, *, discount, trace):
    """(1 − λ) Σ_k λ^(k−1) (k-step error), the longest one with all of the weight that is left."""
    result = []
    for t in range(LENGTH):
        longest = next((s for s in range(t, LENGTH) if cut[s]), LENGTH - 1) - t + 1
        errors = [k_step_error(t, k, reward, value, next_value, terminal, discount) for k in range(1, longest + 1)]
        weights = [(1 - trace) * trace ** (k - 1) for k in range(1, longest)] + [trace ** (longest - 1)]
        result.append(sum(w * e for w, e in zip(weights, errors, strict=True)))
    return result


def simulated(episodes):
    """The first LENGTH steps of a lifetime: time in the episode, and where episodes terminate."""
    time, terminated = [], []
    for length, terminates in episodes:
        lasts = length if terminates else HORIZON
        time += range(lasts)
        terminated += [False] * (lasts - 1) + [terminates]
    return np.array(time[:LENGTH], np.int32), np.array(terminated[:LENGTH])


def padded_trial_return(reward, time, terminated, discount):
    """Every episode that terminates is followed by dead steps without reward until its horizon has passed."""
    padded = []
    for r, t, ends in zip(reward, time, terminated, strict=True):
        padded.append(float(r))
        padded += [0.0] * (HORIZON - int(t) - 1 if ends else 0)
    return sum(discount**i * r for i, r in enumerate(padded))


@few
@given(seeds, rates, rates)
def test_episode_by_episode_an_advantage_is_the_weighted_mean_of_k_step_errors(seed, discount, trace):
    reward, value, after = normal(seed, "reward", "value", "value of the last observation")
    cut = happens(seed, 0.3)
    terminated = cut & happens(seed + 1, 0.5)
    next_value = np.where(cut, after, np.append(value[1:], after[-1]))
    expected = averaged_errors(
        reward, value, next_value, terminated, cut, discount=np.full(LENGTH, discount), trace=trace
    )
    got = jit_gae(reward, value, next_value, terminated, cut, discount=jnp.float32(discount), trace=jnp.float32(trace))
    np.testing.assert_allclose(got, expected, atol=ROUNDING)


@few
@given(seeds, lives, rates, rates, st.booleans())
def test_over_the_lifetime_an_advantage_is_the_weighted_mean_of_k_step_errors(seed, episodes, discount, trace, over):
    reward, value, after = normal(seed, "reward", "value", "value after the end")
    next_value = np.append(value[1:], after[0])
    end = np.zeros(LENGTH, bool)
    end[-1] = over
    time, terminated = simulated(episodes)
    discounts = [discount ** (HORIZON - int(t) if ends else 1) for t, ends in zip(time, terminated, strict=True)]
    expected = averaged_errors(reward, value, next_value, end, end, discount=discounts, trace=trace)
    got = jit_gae(reward, value, next_value, end, end, discount=np.float32(discounts), trace=jnp.float32(trace))
    np.testing.assert_allclose(got, expected, atol=ROUNDING)


@few
@given(seeds, rates)
def test_with_trace_zero_an_advantage_is_the_error_of_one_step(seed, discount):
    reward, value, next_value = normal(seed, "reward", "value", "next value")
    none = np.zeros(LENGTH, bool)
    got = jit_gae(reward, value, next_value, none, none, discount=jnp.float32(discount), trace=jnp.float32(0))
    np.testing.assert_allclose(got, reward + discount * next_value - value, atol=ROUNDING)


def test_a_truncated_episode_is_bootstrapped_and_a_terminated_one_is_not():
    one, yes = jnp.ones(2), jnp.array([True, True])
    got = gae(one, 0 * one, 10 * one, jnp.array([False, True]), yes, discount=0.5, trace=0.9)
    np.testing.assert_allclose(got, [1 + 0.5 * 10, 1], atol=ROUNDING)


def test_nothing_of_a_later_episode_reaches_an_earlier_one():
    reward, value, next_value = normal(0, "reward", "value", "next value")
    cut = np.arange(LENGTH) == 9

    def first_episode(reward):
        arguments = reward, value, next_value, cut, cut
        return jit_gae(*arguments, discount=jnp.float32(0.9), trace=jnp.float32(0.9))[:10]

    np.testing.assert_array_equal(first_episode(reward), first_episode(np.where(np.arange(LENGTH) > 9, 7, reward)))


@few
@given(seeds, lives, rates)
def test_an_auto_reset_lifetime_is_worth_what_its_padded_trial_is(seed, episodes, discount):
    (reward,) = normal(seed, "reward")
    time, terminated = simulated(episodes)
    expected = padded_trial_return(reward, time, terminated, discount)
    discounts = np.asarray(jit_discounts(terminated, time, jnp.float32(discount)), float)
    got = sum(r * np.prod(discounts[:t]) for t, r in enumerate(reward))
    assert got == pytest.approx(expected, abs=ROUNDING)


@few
@given(seeds, lives, rates)
def test_without_values_and_with_trace_one_advantages_are_returns_of_the_padded_trial(seed, episodes, discount):
    (reward,) = normal(seed, "reward")
    time, terminated = simulated(episodes)
    discounts = jit_discounts(terminated, time, jnp.float32(discount))
    nothing, end = np.zeros(LENGTH, np.float32), np.arange(LENGTH) == LENGTH - 1
    got = jit_gae(reward, nothing, nothing, end, end, discount=discounts, trace=jnp.float32(1))
    expected = [padded_trial_return(reward[t:], time[t:], terminated[t:], discount) for t in range(LENGTH)]
    np.testing.assert_allclose(got, expected, atol=ROUNDING)


def test_an_episode_that_terminates_at_its_horizon_forfeits_nothing():
    time = jnp.arange(HORIZON)
    got = lifetime_discounts(time == HORIZON - 1, time, over=False, discount=0.9, horizon=HORIZON)
    np.testing.assert_allclose(got, np.full(HORIZON, 0.9), rtol=ROUNDING)


def test_an_episode_that_goes_on_beyond_its_horizon_is_discounted_by_the_step():
    beyond = jnp.array([HORIZON, HORIZON + 3])
    got = lifetime_discounts(jnp.array([True, True]), beyond, over=False, discount=0.9, horizon=HORIZON)
    np.testing.assert_allclose(got, [0.9, 0.9], rtol=ROUNDING)


@few
@given(lives, rates)
def test_time_forfeited_beyond_the_end_of_a_lifetime_leaves_nothing_to_come(episodes, discount):
    time, terminated = simulated(episodes)
    discounts = np.asarray(jit_discounts(terminated, time, jnp.float32(discount), over=True), float)
    for t in range(LENGTH):
        lost = HORIZON - int(time[t]) if terminated[t] else 1
        beyond = t + lost >= LENGTH
        assert discounts[t] == pytest.approx(0.0 if beyond else discount**lost, abs=ROUNDING)


@few
@given(seeds)
def test_the_return_from_a_step_is_the_sum_of_rewards_to_the_end_of_its_episode(seed):
    (reward,) = normal(seed, "reward")
    done = happens(seed, 0.2)
    expected = []
    for t in range(LENGTH):
        end = next((s for s in range(t, LENGTH) if done[s]), LENGTH - 1)
        expected.append(sum(float(r) for r in reward[t : end + 1]))
    np.testing.assert_allclose(jit_episode_returns(reward, done)[0], expected, atol=ROUNDING)


@few
@given(seeds)
def test_an_episode_is_complete_where_its_end_is_in_the_sequence(seed):
    (reward,) = normal(seed, "reward")
    done = happens(seed, 0.1)
    np.testing.assert_array_equal(jit_episode_returns(reward, done)[1], [bool(done[t:].any()) for t in range(LENGTH)])


def test_time_is_counted_from_the_first_step_of_each_episode():
    first = jnp.array([True, False, False, True, True, False])
    np.testing.assert_array_equal(episode_time(first), [0, 1, 2, 0, 0, 1])
