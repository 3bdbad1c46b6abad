"""The episodic memory: what it finds, and that it finds the same whether a lifetime is lived or looked back on."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.algorithms.hypernetwork import Hypernetwork
from rl_meta.algorithms.recurrent_ppo import remembering
from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.transformer import Transformer
from rl_meta.axes import tile
from rl_meta.errors import UserError
from rl_meta.policies.gru import GRU
from rl_meta.policies.layout import Layout
from rl_meta.policies.normaliser import layout_of_all
from rl_meta.policies.recall import PART, SHARPNESS, Lookup, MeanOutcome, Recall, Recalling, Tally
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.dark_room import DarkRoom

ROUNDING = 1e-5
STATES, OUTCOME, WIDTH, LENGTH, BATCH = 3, 2, 8, 7, 4
VISITED = [0, 1, 0, 2, 1, 0, 0]


def normal(seed, *shape):
    return jnp.float32(np.random.default_rng(seed).normal(size=shape))


def memory(sink=0.0, sharpness=SHARPNESS):
    key_lookup, key_outcome = jax.random.split(jax.random.key(0))
    lookup = Lookup(STATES, MeanOutcome(OUTCOME, WIDTH, key=key_outcome), WIDTH, key=key_lookup)
    where = lambda lookup: (lookup.outcomes.sink, lookup.log_sharpness)
    return Recall(eqx.tree_at(where, lookup, (jnp.array(sink), jnp.log(sharpness))), LENGTH)


def inputs():
    """[LENGTH, BATCH, in] of lifetimes that visit the same states and differ in all else."""
    states = jnp.broadcast_to(jax.nn.one_hot(jnp.array(VISITED), STATES)[:, None], (LENGTH, BATCH, STATES))
    return jnp.concatenate([states, normal(1, LENGTH, BATCH, OUTCOME)], -1)


def lived(recall, xs):
    return jax.lax.scan(lambda state, x: recall.step(state, x), tile(recall.start(), BATCH), xs)[1]


def test_what_is_found_looking_back_is_what_was_found_while_living():
    recall, xs = memory(), jnp.concatenate([normal(2, LENGTH, BATCH, STATES), inputs()[..., STATES:]], -1)
    np.testing.assert_allclose(recall.unroll(xs), lived(recall, xs), atol=ROUNDING)


def test_in_a_longer_life_the_last_steps_are_recalled():
    recall, states = memory(), normal(3, 3 * LENGTH, BATCH, STATES)
    xs = jnp.concatenate([states, normal(4, 3 * LENGTH, BATCH, OUTCOME)], -1)
    found = lived(recall, xs)
    for now in (LENGTH, LENGTH + 1, 3 * LENGTH - 1):
        last = recall.unroll(xs[now - LENGTH : now + 1])[-1]
        np.testing.assert_allclose(found[now], last, atol=ROUNDING)


def test_a_sharp_memory_finds_the_mean_of_what_followed_in_the_same_state():
    recall, xs = memory(sink=-30.0, sharpness=1e4), inputs()
    found = recall.unroll(xs)
    values = recall.lookup.outcomes.value(xs[..., STATES:])
    for now in range(1, LENGTH):
        after = [then + 1 for then in range(now) if VISITED[then] == VISITED[now]]
        if after:
            np.testing.assert_allclose(found[now], values[jnp.array(after)].mean(0), atol=ROUNDING)


def test_what_is_found_is_what_the_formula_says():
    recall, xs = memory(sink=0.3, sharpness=1.7), inputs()
    places, values = (
        np.asarray(recall.lookup.key(xs[..., :STATES])),
        np.asarray(recall.lookup.outcomes.value(xs[..., STATES:])),
    )
    for now in range(LENGTH):
        distances = ((places[now] - places[:now]) ** 2).sum(-1)  # [earlier steps, BATCH]
        weights = np.exp(-1.7 * distances / 2)
        shares = weights / (weights.sum(0) + np.exp(0.3))
        expected = (shares[..., None] * values[1 : now + 1]).sum(0)
        np.testing.assert_allclose(recall.unroll(xs)[now], expected, atol=ROUNDING)


def test_there_is_nothing_to_recall_in_the_first_step_of_a_lifetime():
    np.testing.assert_array_equal(memory().unroll(inputs())[0], 0.0)


def test_a_later_input_never_changes_what_was_found_before():
    recall, xs = memory(), inputs()
    before, after = recall.unroll(xs), recall.unroll(xs.at[4:].add(7.0))
    np.testing.assert_array_equal(before[:4], after[:4])
    assert np.abs(np.asarray(before[4:] - after[4:])).max() > 100 * ROUNDING


@pytest.mark.parametrize("length", [1, PART, 2 * PART + 6])
def test_a_tally_of_numbered_observations_finds_what_the_search_finds(length):
    recall = Recall(memory(sink=0.3, sharpness=1.7).lookup, length)
    states = jax.nn.one_hot(np.random.default_rng(3).integers(STATES, size=(length, BATCH)), STATES)
    xs = jnp.concatenate([states, normal(4, length, BATCH, OUTCOME)], -1)
    tally = Tally(recall.lookup)
    np.testing.assert_allclose(lived(tally, xs), recall.unroll(xs), atol=ROUNDING)

    def loss(memory):
        found = memory.unroll(xs)
        return jnp.square(found).sum(), found

    slopes = eqx.filter_jit(eqx.filter_grad(loss, has_aux=True))
    for expected, found in zip(*map(jax.tree.leaves, (slopes(recall), slopes(tally))), strict=True):
        np.testing.assert_allclose(found, expected, rtol=10 * ROUNDING, atol=10 * ROUNDING)


@pytest.mark.parametrize(
    ("family", "kind"),
    [(Bandit(arms=2, pulls=10), Tally), (Bandit(arms=2, pulls=4), Recall), (DarkRoom(), Recall), (CartPole(), Recall)],
)
def test_observations_are_tallied_where_they_are_numbered_and_come_often(family, kind):
    make = remembering(RL2(recall=4), family, lambda size_in, key: GRU(size_in, 4, key=key), ())
    size_in = layout_of_all(family.observation_space, family.action_space)
    assert type(make(size_in, jax.random.key(0)).recall) is kind


def test_what_is_recalled_goes_on_beside_what_the_memory_behind_it_says():
    xs, key = normal(2, LENGTH, BATCH, STATES + OUTCOME), jax.random.key(0)
    both = Recalling(memory(), Layout(STATES + OUTCOME), lambda size_in, key: GRU(size_in.size, 5, key=key), key=key)
    recalled = both.recall.unroll(xs)
    behind = GRU(STATES + OUTCOME + WIDTH, 5, key=key)
    expected = behind.unroll(tile(behind.start(), BATCH), jnp.concatenate([xs, recalled], -1))
    start = tile(both.start(), BATCH)
    found = both.unroll(start, xs)
    assert both.size == found.shape[-1] == 5 + WIDTH
    np.testing.assert_allclose(found, jnp.concatenate([expected, recalled], -1), atol=ROUNDING)
    np.testing.assert_allclose(found, jax.lax.scan(lambda state, x: both.step(state, x), start, xs)[1], atol=ROUNDING)


@pytest.mark.parametrize("cls", [RL2, partial(Transformer, layer="linear-recurrence"), Hypernetwork])
@pytest.mark.parametrize("cut", ["segment_episodes", "chunk_steps"])
@pytest.mark.parametrize("memory", ["recall", "judge"])
def test_recall_refuses_lifetimes_in_parts(cls, memory, cut):
    method = cls(lifetime_episodes=4, **{memory: 4, cut: 2})
    with pytest.raises(UserError, match=rf"{memory} learns from whole lifetimes, got {cut} 2"):
        method.build(Bandit(arms=2, pulls=2), 1)
