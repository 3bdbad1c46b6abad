"""Networks that read in other units: what they make of the same thing stays the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from rl_meta.numerics.moments import Moments
from rl_meta.policies.actor_critic import FeedForwardActorCritic, RecurrentActorCritic
from rl_meta.policies.gru import GRU
from rl_meta.policies.layers import MLP, Linear
from rl_meta.policies.memory import Encoded
from rl_meta.policies.normaliser import Normaliser, size_of_all
from rl_meta.policies.recall import Lookup, MeanOutcome, Recall, Recalling
from rl_meta.types import Inputs

SIZE = 6
ROUNDING = 1e-4
"""Products of weights in other units are rounded otherwise; outputs are of the order of ten."""

KEY = jax.random.key(0)
NETWORKS = {
    "wide layer": lambda: Linear(SIZE, 5, key=KEY),
    "narrow layer": lambda: Linear(SIZE, 1, key=KEY),
    "layers": lambda: MLP(SIZE, (8, 8), 3, key=KEY),
}


def numbers(seed, *shape):
    return jnp.float32(np.random.default_rng(seed).normal(size=shape))


SCALE, SHIFT, X = jnp.exp(numbers(1, SIZE)), numbers(2, SIZE), numbers(3, 4, SIZE)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_layer_makes_of_x_what_it_made_of_the_rescaled_x(name):
    network = NETWORKS[name]()
    assert network.size_in == SIZE
    np.testing.assert_allclose(network.rereading(SCALE, SHIFT)(X), network(SCALE * X + SHIFT), atol=ROUNDING)


def test_a_memory_makes_of_x_what_it_made_of_the_rescaled_x():
    gru = GRU(SIZE, 7, key=KEY)
    h = numbers(4, 7)
    assert gru.size_in == SIZE
    again = gru.rereading(SCALE, SHIFT)
    np.testing.assert_allclose(again.unroll(h, X), gru.unroll(h, SCALE * X + SHIFT), atol=ROUNDING)


def test_a_feed_forward_network_rereads_for_both_of_its_outputs():
    network = FeedForwardActorCritic(SIZE, (8,), (2, 2), key=KEY)
    again = network.rereading(SCALE, SHIFT)
    assert network.size_in == SIZE
    np.testing.assert_allclose(again.policy(X), network.policy(SCALE * X + SHIFT), atol=ROUNDING)
    np.testing.assert_allclose(again.value(X), network.value(SCALE * X + SHIFT), atol=ROUNDING)


def remember(encoder):
    return lambda size_in, key: Encoded(size_in, encoder, lambda size, key: GRU(size, 7, key=key), key=key)


@pytest.mark.parametrize("encoder", [(), (5,)])
def test_a_recurrent_network_rereads_in_its_first_layer(encoder):
    network = RecurrentActorCritic(SIZE, remember(encoder), (2, 0), key=KEY)
    assert network.size_in == SIZE
    mine = network.rereading(SCALE, SHIFT).unroll(network.start(), X)
    theirs = network.unroll(network.start(), SCALE * X + SHIFT)
    for x, y in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(x, y, atol=ROUNDING)


def test_a_recurrent_network_whose_memory_cannot_reread_stays_as_it_is():
    lookup = Lookup(2, MeanOutcome(SIZE - 2, 4, key=KEY), 4, key=KEY)
    recalling = lambda size_in, key: Recalling(Recall(lookup, 3), size_in, remember(()), key=key)
    network = RecurrentActorCritic(SIZE, recalling, (2, 0), key=KEY)
    assert network.rereading(SCALE, SHIFT) is network


def test_to_reread_in_the_same_units_changes_nothing():
    network = RecurrentActorCritic(SIZE, remember((5,)), (2, 0), key=KEY)
    again = network.rereading(jnp.ones(SIZE), jnp.zeros(SIZE))
    for x, y in zip(jax.tree.leaves(again), jax.tree.leaves(network), strict=True):
        np.testing.assert_array_equal(x, y)


OBS = spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(-1.0, 1.0, (3,))})
ACTION = spaces.Box(-1.0, 1.0, (2,))


def normaliser(seed):
    moments = lambda k, *shape: Moments(jnp.array(9.0), numbers(k, *shape), jnp.exp(numbers(k + 1, *shape)))
    return Normaliser(moments(seed, 5), moments(seed + 2), moments(seed + 4))


def test_the_change_of_statistics_is_that_of_what_is_seen():
    ours, theirs = normaliser(10), normaliser(20)
    obs = {"a": jnp.array([0, 1]), "b": numbers(5, 2, 3)}
    scale, shift = ours.change(OBS, theirs)
    np.testing.assert_allclose(scale * theirs.see(OBS, obs) + shift, ours.see(OBS, obs), atol=ROUNDING)


def test_the_change_of_statistics_is_that_of_all_that_is_seen():
    ours, theirs = normaliser(10), normaliser(20)
    obs = {"a": jnp.array(1), "b": numbers(5, 3)}
    inputs = Inputs(obs, jnp.array(True), numbers(6, 2), jnp.array(2.5), {"a": jnp.array(0), "b": numbers(7, 3)})
    scale, shift = ours.change_of_all(OBS, ACTION, theirs)
    assert scale.shape == shift.shape == (size_of_all(OBS, ACTION),)
    mine, seen = ours.see_all(OBS, ACTION, inputs), theirs.see_all(OBS, ACTION, inputs)
    np.testing.assert_allclose(scale * seen + shift, mine, atol=ROUNDING)
