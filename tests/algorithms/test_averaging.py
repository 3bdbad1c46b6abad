"""Models are brought to common units before they are combined, whatever method they are of."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.algorithms.averaging import combined, in_units
from rl_meta.algorithms.multitask import MultiTask
from rl_meta.algorithms.ppo import PolicyParams
from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.varibad import VariBAD
from rl_meta.numerics.aggregation import weighted_mean
from rl_meta.numerics.moments import Moments
from rl_meta.policies.normaliser import Normaliser
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.types import Inputs

ROUNDING = 1e-3
"""Of policies and values (some tens) of networks whose weights were rescaled by factors of up to ten."""

FAMILY = Pendulum(horizon=8)
METHODS = {"feed-forward": MultiTask(hidden=(8,)), "recurrent": RL2(memory=8, encoder=(8,)), "bare": RL2(encoder=())}
MEAN = lambda trees: weighted_mean(trees, jnp.array([0.5, 0.5]))


def numbers(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@cache
def normaliser(seed):
    moments = lambda k, *shape: Moments(jnp.array(100.0), numbers(k, *shape), np.exp(numbers(k + 1, *shape)))
    return Normaliser(moments(seed, 3), moments(seed + 2), moments(seed + 4))


@cache
def init_of(name):
    return jax.jit(METHODS[name].build(FAMILY, 1).init)


def model(name, seed, scales):
    """An untrained agent that has seen `scales`."""
    return PolicyParams(init_of(name)(jax.random.key(seed)).params.network, normaliser(scales))


@partial(jax.jit, static_argnums=0)
def behaviour(name, params):
    """What it would do, and how much it thinks that is worth."""
    inputs = Inputs(numbers(1, 3), jnp.array(False), numbers(2, 1), jnp.array(-2.0), numbers(3, 3))
    network, target = params.network, params.normaliser.target
    if name == "feed-forward":
        seen = params.normaliser.see(FAMILY.observation_space, inputs.obs)
        parameters, value = network.policy(seen), network.value(seen)
    else:
        seen = params.normaliser.see_all(FAMILY.observation_space, FAMILY.action_space, inputs)
        _, parameters, value = network.step(network.start() + 0.3, seen)
    return jnp.append(parameters, target.mean + target.std * value)


@pytest.mark.parametrize("name", METHODS)
def test_in_other_units_a_model_does_the_same(name):
    params = model(name, 0, scales=10)
    other = jax.jit(partial(in_units, family=FAMILY))(params, normaliser(20))
    assert not np.allclose(jax.tree.leaves(other.network)[0], jax.tree.leaves(params.network)[0])
    np.testing.assert_allclose(behaviour(name, other), behaviour(name, params), atol=ROUNDING, rtol=ROUNDING)


def test_a_belief_that_follows_the_observation_is_read_as_before():
    method = VariBAD(hidden=(8,), memory=4, decoder=(4, 4), latent=3)  # as long as all that a memory reads
    network = jax.jit(method.build(FAMILY, 1).init)(jax.random.key(0)).params.policy.network
    params = PolicyParams(network, normaliser(10))
    other = jax.jit(partial(in_units, family=FAMILY))(params, normaliser(20))

    def said(params):
        seen = params.normaliser.see(FAMILY.observation_space, numbers(1, 3))
        return params.network.policy(jnp.concatenate([seen, numbers(2, 6)]))

    np.testing.assert_allclose(said(other), said(params), atol=ROUNDING, rtol=ROUNDING)


@pytest.mark.parametrize("name", METHODS)
def test_the_mean_of_one_model_in_two_units_does_the_same(name):
    params = model(name, 0, scales=10)
    mean = combined([params, in_units(params, normaliser(20), FAMILY)], MEAN, jnp.array([0.5, 0.5]), FAMILY)
    np.testing.assert_allclose(behaviour(name, mean), behaviour(name, params), atol=ROUNDING, rtol=ROUNDING)


def test_statistics_are_merged_not_averaged():
    a, b = model("feed-forward", 0, scales=10), model("feed-forward", 1, scales=20)
    target = combined([a, b], MEAN, jnp.array([0.5, 0.5]), FAMILY).normaliser.target
    one, two = a.normaliser.target, b.normaliser.target
    expected = (one.variance + two.variance) / 2 + ((one.mean - two.mean) / 2) ** 2
    np.testing.assert_allclose(target.variance, expected, rtol=1e-5)
    np.testing.assert_allclose(target.weight, 100.0)


def test_policies_statistics_and_arrays_are_found_wherever_they_are():
    tree = lambda seed, x: {
        "agent": [model("recurrent", seed, scales=10)],
        "seen": normaliser(10 * int(x)).obs,
        "x": x * 1.0,
    }
    mixed = combined([tree(0, jnp.array(1)), tree(1, jnp.array(3))], MEAN, jnp.array([0.5, 0.5]), FAMILY)
    assert float(mixed["x"]) == 2.0
    assert isinstance(mixed["agent"][0], PolicyParams)
    parts = normaliser(10).obs, normaliser(30).obs
    np.testing.assert_allclose(mixed["seen"].mean, (parts[0].mean + parts[1].mean) / 2, rtol=1e-5)
    assert float(mixed["seen"].variance.sum()) > float(sum(p.variance.sum() for p in parts)) / 2
