"""Reptile against PPO, and to the known answers of its probe families."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algorithms.whole_runs import trained
from rl_meta.algorithms.base import stage_keys
from rl_meta.algorithms.feed_forward_ppo import feed_forward_ppo
from rl_meta.algorithms.reptile import WEIGHTINGS, Reptile, returns_by_copy
from rl_meta.algorithms.scratch import Scratch
from rl_meta.collection.device import device_collector
from rl_meta.errors import UserError
from rl_meta.evaluation.lifetimes import live_through
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.tasks.probes import AimAt, OneArmPays
from rl_meta.training.config import RunConfig

ROUNDING = 1e-5
"""Statistics of one task are merged by another formula than those of one batch; values are of the order of one."""
SMALL = {"meta_batch_size": 4, "improvements": 2, "copies": 2, "rollout_steps": 8, "hidden": (8,)}


@cache
class Lived:
    """Lifetimes from a new meta-model, and what the update makes of them."""

    def __init__(self, method, family):
        shape, self.algorithm = method.shape(family), method.build(family, 10)
        collector = device_collector(self.algorithm.adapter, family, shape)
        tasks = draw_tasks(family, jax.random.key(2), method.meta_batch_size)
        self.before = jax.jit(self.algorithm.init)(jax.random.key(0))
        live = jax.jit(collector.begin)(jax.random.key(1), self.before.params, tasks)
        collect = jax.jit(collector.collect)
        self.lifetimes = collect(jax.random.key(3), self.before.params, live, tasks)[1]
        self.update = jax.jit(self.algorithm.update)
        self.after, self.info = self.update(jax.random.key(4), self.before, self.lifetimes)


def assert_close(a, b, tolerance=ROUNDING):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def outputs(family, method, params, obs):
    """Parameters of the policy, and values in the units of rewards, at some observations."""
    seen = params.normaliser.see(family.observation_space, obs)
    target = params.normaliser.target
    return params.network.policy(seen), target.mean + target.std * params.network.value(seen)


@pytest.mark.parametrize("family", [OneArmPays(), Pendulum(horizon=8)], ids=["discrete", "continuous"])
def test_one_task_one_improvement_and_the_whole_way_is_ppo(family):
    method = Reptile(**SMALL | {"meta_batch_size": 1, "improvements": 1}, keep_noise=False)
    lived = Lived(method, family)
    scratch = feed_forward_ppo(Scratch(improvements=1, hidden=(8,), anneal_to=1.0), family, 1)
    _, key_learn = stage_keys(lived.lifetimes.start.key[0], jnp.array(0), method.copies, method.rollout_steps)
    steps = jax.tree.map(lambda x: x[0, 0], lived.lifetimes.steps)
    expected = jax.jit(scratch.improve)(key_learn, scratch.start(lived.before.params), steps)[0]
    assert_close(lived.after.params, expected.params)
    assert float(lived.info["distance"]) > 0.01


def test_noise_is_kept_or_averaged():
    free = lambda params: np.asarray(params.network.policy.free)
    lived = Lived(Reptile(**SMALL), Pendulum(horizon=8))
    np.testing.assert_array_equal(free(lived.after.params), free(lived.before.params))
    averaged = Lived(Reptile(**SMALL, keep_noise=False), Pendulum(horizon=8))
    mean = free(averaged.lifetimes.end.adapted.params).mean(0)
    np.testing.assert_allclose(free(averaged.after.params), mean, rtol=ROUNDING)
    assert free(averaged.after.params) != free(averaged.before.params)


def test_without_a_rate_the_meta_parameters_stay():
    lived = Lived(replace(Reptile(**SMALL, normalise=False), outer_rate=0.0), Pendulum(horizon=8))
    for x, y in zip(jax.tree.leaves(lived.before.params), jax.tree.leaves(lived.after.params), strict=True):
        np.testing.assert_array_equal(x, y)


def test_new_statistics_do_not_change_what_values_mean():
    family, method = OneArmPays(), replace(Reptile(**SMALL), outer_rate=0.0)
    lived = Lived(method, family)
    before, after = lived.before.params, lived.after.params
    assert float(after.normaliser.target.std) != float(before.normaliser.target.std)
    obs = jnp.zeros((3, 1))  # all that OneArmPays shows
    unread = after.normaliser._replace(obs=before.normaliser.obs)
    assert_close(
        outputs(family, method, before, obs), outputs(family, method, after._replace(normaliser=unread), obs), 1e-4
    )


def test_statistics_are_those_of_all_tasks_data():
    lived = Lived(Reptile(**SMALL), Pendulum(horizon=8))
    obs = np.asarray(lived.lifetimes.steps.inputs.obs, float).reshape(-1, 3)
    seen = lived.after.params.normaliser
    assert float(seen.obs.weight) == pytest.approx(len(obs), rel=1e-3)
    assert float(seen.target.weight) == pytest.approx(len(obs), rel=1e-3)
    np.testing.assert_allclose(seen.obs.mean, obs.mean(0), atol=1e-4)
    np.testing.assert_allclose(seen.obs.variance, obs.var(0), rtol=1e-3)


def test_observations_are_read_the_same_way_for_the_whole_lifetime():
    lived = Lived(Reptile(**SMALL), Pendulum(horizon=8))
    own = lived.lifetimes.end.adapted.params.normaliser
    np.testing.assert_array_equal(own.obs.mean, np.zeros_like(own.obs.mean))
    assert len(np.unique(own.target.mean)) == SMALL["meta_batch_size"]


def test_values_are_averaged_in_common_units():
    """Of two tasks that are right about values of 0 and 100, in units of their own, the mean is right about 50."""
    family, method = OneArmPays(), Reptile(**SMALL | {"meta_batch_size": 2})
    lived = Lived(method, family)
    own = lived.lifetimes.end.adapted
    target = own.params.normaliser.target
    wide = target._replace(mean=jnp.array([0.0, 100.0]), variance=jnp.array([1e-2, 1e4]))
    blank = jax.tree.map(jnp.zeros_like, own.params.network)
    params = own.params._replace(network=blank, normaliser=own.params.normaliser._replace(target=wide))
    end = lived.lifetimes.end._replace(adapted=own._replace(params=params))
    after, _ = lived.update(jax.random.key(0), lived.before, lived.lifetimes._replace(end=end))
    _, value = outputs(family, method, after.params, jnp.zeros((1, 1)))
    np.testing.assert_allclose(value, 50.0, rtol=1e-3)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_weights_favour_what_they_say(weighting):
    method = Reptile(**SMALL | {"meta_batch_size": 3}, weighting=weighting)
    steps = Lived(method, OneArmPays()).lifetimes.steps
    paid = jnp.array([[0.0, 0.0], [0.9, 1.1], [0.0, 4.0]])  # by task and copy; one reward in the first step
    reward = jnp.zeros_like(steps.reward).at[:, 0, :, 0].set(paid)
    first = jnp.zeros_like(steps.inputs.first).at[:, 0, :, 0].set(True)
    steps = steps._replace(reward=reward, inputs=steps.inputs._replace(first=first))
    np.testing.assert_allclose(returns_by_copy(steps), paid)
    weights = method._weights(steps)
    assert float(weights.sum()) == pytest.approx(1)
    order = {"uniform": [0, 1, 2], "return": [0, 1, 2], "uncertainty": [2, 1, 0]}[weighting]
    assert np.all(np.diff(np.asarray(weights)[order]) >= 0)
    assert (float(weights.max()) > 0.4) == (weighting != "uniform")


def test_the_rate_falls_linearly_to_its_fraction():
    lived = Lived(Reptile(**SMALL, outer_rate=0.8, outer_anneal_to=0.25), OneArmPays())
    at = lambda i: lived.before._replace(iteration=jnp.array(i))
    rate = lambda i: lived.update(jax.random.key(0), at(i), lived.lifetimes)[1]
    np.testing.assert_allclose([rate(i)["outer_rate"] for i in (0, 5, 10, 50)], [0.8, 0.5, 0.2, 0.2], rtol=1e-6)


def test_a_life_longer_than_in_training_goes_on_at_the_same_learning_rate():
    """Adam's first step in every direction is as long as the learning rate, so that rates show in the distance."""
    family, method = OneArmPays(), Reptile(**SMALL, anneal_to=1.0)
    lived = Lived(method, family)
    adapter = method.build(family, 10).adapter
    adapted, _ = adapter.begin(jax.random.key(0), lived.before.params)
    steps = jax.tree.map(lambda x: x[0, 0], lived.lifetimes.steps)
    learn = jax.jit(lambda adapted, key: adapter.learn(key, lived.before.params, adapted, steps))
    distances = []
    for index in range(4 * method.improvements):
        after = learn(adapted, jax.random.key(index))
        apart = jax.tree.map(jnp.subtract, after.params.network, adapted.params.network)
        distances.append(float(sum(jnp.abs(x).sum() for x in jax.tree.leaves(apart))))
        adapted = after
    assert distances[-1] > 0.1 * distances[0]


def test_weighing_by_uncertainty_needs_copies_to_compare():
    with pytest.raises(UserError, match="copies must be at least 2"):
        RunConfig(OneArmPays(), Reptile(weighting="uncertainty", copies=1))


def test_an_unknown_weighting_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match="did you mean 'uniform'"):
        RunConfig(OneArmPays(), Reptile(weighting="uniformly"))


# ------------------------------------------------------------------------------------------- known answers


def trained_params(family, method, steps):
    """The meta-parameters after the whole run."""
    return trained(RunConfig(family, method, steps=steps))[1].params


def learning_curve(family, method, params, stages):
    """Return by stage in new tasks."""
    drawn = draw_tasks(family, jax.random.key(99), 24, "test")
    shape = replace(method.shape(family), stages=stages)
    lived = live_through(method.build(family, 1).adapter, params, family, shape, drawn, jax.random.key(7))
    return lived.stages.mean(0)


def test_reptile_learns_which_arm_pays_faster_than_from_scratch():
    family = OneArmPays(end=0.0, horizon=6)
    method = Reptile(improvements=4, rollout_steps=12, hidden=(16,), learning_rate=3e-3)
    reptile = learning_curve(family, method, trained_params(family, method, 60_000), stages=12)
    scratch = Scratch(rollout_steps=12, hidden=(16,), learning_rate=3e-3, anneal_to=1.0)
    scratch = learning_curve(family, scratch, (), stages=12)
    np.testing.assert_allclose(reptile[0], 3.0, atol=0.6)
    assert reptile[4] > 5.4 > scratch[4] + 0.5
    assert reptile[-1] > 5.8


@pytest.mark.learning
def test_in_a_long_life_reptile_aims_better_than_whoever_does_not_adapt():
    """-0.43 per step is the best without knowing the goal; lives in training are a sixth as long."""
    method = Reptile(improvements=4, rollout_steps=20, hidden=(16,), learning_rate=1e-2)
    per_stage = learning_curve(AimAt(), method, trained_params(AimAt(), method, 60_000), stages=24)
    per_step = per_stage / AimAt().horizon
    assert per_step[0] < -0.43
    assert per_step[-1] > -0.15


@pytest.mark.learning
def test_reptile_balances_an_unknown_pole_after_four_thousand_steps_in_it():
    """From a random start it takes some twenty thousand."""
    family, method = CartPole(), Reptile()
    returns = learning_curve(family, method, trained_params(family, method, 1_000_000), stages=16)
    assert returns[0] < 120  # the first 2,048 steps
    assert returns[1:].min() > 180
