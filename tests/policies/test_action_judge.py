"""The judge of actions: what it reads of each, and that it is the same for all of them."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.algorithms.hypernetwork import Hypernetwork
from rl_meta.algorithms.recurrent_ppo import judging, network_with, remembering
from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.transformer import Transformer
from rl_meta.axes import tile
from rl_meta.collection.device import device_collector
from rl_meta.errors import UserError
from rl_meta.policies.action_judge import OutcomesByAction, summary
from rl_meta.policies.gru import GRU
from rl_meta.policies.layout import Layout
from rl_meta.policies.normaliser import layout_of_all
from rl_meta.policies.recall import Lookup, Recall, Tally
from rl_meta.policies.spaces import layout
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.training.loop import trainer

ROUNDING = 1e-5
STATES, ACTIONS, WIDTH, LENGTH, BATCH = 2, 3, 4, 9, 5
OUTCOME = STATES + ACTIONS + 2
VISITED = [0, 1, 0, 0, 1, 0, 1, 0, 0]
TAKEN = [2, 0, 1, 2, 2, 1, 0, 2, 0]
"""TAKEN[s]: the action before step s."""


def lifetimes(taken=TAKEN):
    """[LENGTH, BATCH, in] Of the same states and actions, and different rewards and results."""
    numbers = jnp.float32(np.random.default_rng(0).normal(size=(LENGTH, BATCH, OUTCOME)))
    begins = jnp.concatenate([jax.nn.one_hot(jnp.array(VISITED), STATES), numbers[:, 0, :STATES]], -1)
    both = jnp.concatenate([begins, jax.nn.one_hot(jnp.array(taken), ACTIONS)], -1)
    same = jnp.broadcast_to(both[:, None], (LENGTH, BATCH, both.shape[-1]))
    return jnp.concatenate([same, numbers[..., STATES + ACTIONS :]], -1)


def recall(kind=Tally, sharpness=8.0):
    key = jax.random.key(1)
    outcomes = OutcomesByAction(Layout(OUTCOME), STATES, ACTIONS, WIDTH, key=key)
    lookup = Lookup(STATES, outcomes, WIDTH, key=key)
    lookup = eqx.tree_at(lambda lookup: lookup.log_sharpness, lookup, jnp.log(sharpness))
    return Tally(lookup) if kind is Tally else Recall(lookup, LENGTH)


def network(family):
    """With weights so large that judgements differ."""
    method = RL2(judge=4, lifetime_episodes=1)
    core = lambda size_in, key: GRU(size_in, 6, key=key)
    make = judging(method, family, network_with(remembering(method, family, core, ()), family, ()))
    made = make(layout_of_all(family.observation_space, family.action_space), jax.random.key(2))
    return eqx.tree_at(lambda made: made.judge.rest.layers[-1].weight, made, replace_fn=lambda weight: 100 * weight)


def test_of_each_action_the_mean_of_what_followed_it_here_is_recalled_and_how_often_that_was():
    memory, xs = recall(sharpness=1e4), lifetimes()
    outcomes = memory.lookup.outcomes
    followed = outcomes.value(xs[..., STATES:].at[..., STATES : STATES + ACTIONS].set(0.0))
    each = memory.unroll(xs)
    for now in range(LENGTH):
        for action in range(ACTIONS):
            after = [s for s in range(1, now + 1) if VISITED[s - 1] == VISITED[now] and TAKEN[s] == action]
            mean = sum((followed[s] for s in after), jnp.zeros((BATCH, WIDTH))) / (len(after) + 1)  # e^sink = 1
            np.testing.assert_allclose(each[now, :, action, :-1], mean, atol=ROUNDING)
            np.testing.assert_allclose(each[now, :, action, -1], np.log1p(len(after)), atol=ROUNDING)


def test_a_tally_finds_what_the_search_finds():
    np.testing.assert_allclose(recall(Tally).unroll(lifetimes()), recall(Recall).unroll(lifetimes()), atol=ROUNDING)


@pytest.mark.parametrize("family", [Bandit(arms=3, pulls=LENGTH), CartPole(horizon=LENGTH)])
def test_what_is_judged_looking_back_is_what_was_judged_while_living(family):
    judged = network(family)
    obs, size = layout(family.observation_space).size, layout_of_all(family.observation_space, family.action_space).size
    xs = jnp.float32(np.random.default_rng(1).normal(size=(LENGTH, BATCH, size)))
    actions = int(family.action_space.n)
    xs = xs.at[..., 2 * obs : 2 * obs + actions].set(jax.nn.one_hot(jnp.arange(LENGTH) % actions, actions)[:, None])
    if obs == 1:  # the bandit's, which is always the same
        xs = xs.at[..., :2].set(1.0)
    start = tile(judged.start(), BATCH)

    def live(memory, x):
        memory, *told = judged.step(memory, x)
        return memory, tuple(told)

    for back, forth in zip(judged.unroll(start, xs), jax.lax.scan(live, start, xs)[1], strict=True):
        np.testing.assert_allclose(back, forth, atol=10 * ROUNDING, equal_nan=False)


def test_actions_that_change_places_are_judged_as_before():
    judged, order = network(Bandit(arms=ACTIONS, pulls=LENGTH)), jnp.array([1, 2, 0])
    judgement = lambda each: judged.judge(each, summary(each))
    before = recall().unroll(lifetimes())
    after = recall().unroll(lifetimes([int(order[action]) for action in TAKEN]))
    np.testing.assert_allclose(judgement(after)[..., order], judgement(before), atol=ROUNDING)
    assert np.asarray(judgement(before)).std(-1).max() > 100 * ROUNDING


def test_in_the_first_step_all_actions_are_judged_alike():
    judged = network(Bandit(arms=3, pulls=LENGTH))
    each = recall().unroll(lifetimes())[0]
    np.testing.assert_array_equal(each, 0.0)
    assert np.ptp(judged.judge(each, summary(each)), axis=-1).max() == 0.0


def test_a_later_outcome_never_changes_an_earlier_judgement():
    memory, xs = recall(), lifetimes()
    before, after = memory.unroll(xs), memory.unroll(xs.at[5:].add(3.0))
    np.testing.assert_array_equal(before[:5], after[:5])
    assert np.abs(np.asarray(before[5:] - after[5:])).max() > 100 * ROUNDING


@pytest.mark.parametrize("cls", [RL2, Transformer, Hypernetwork])
def test_actions_that_cannot_be_counted_cannot_be_judged(cls):
    with pytest.raises(UserError, match=r"judge needs actions that can be counted \(Discrete\), got Box"):
        cls(judge=4).shape(Pendulum())


@pytest.mark.parametrize("cls", [RL2, partial(Transformer, width=8, blocks=1, attention_heads=2), Hypernetwork])
def test_a_method_with_a_judge_and_recall_learns_all_of_its_weights(cls):
    family = Bandit(arms=3, pulls=6)
    method = cls(judge=4, recall=4, encoder=(), meta_batch_size=8, epochs=2)
    shape, algorithm = method.shape(family), method.build(family, 2)
    collector = device_collector(algorithm.adapter, family, shape)
    learning = trainer(algorithm, collector, lambda key: draw_tasks(family, key, 8), shape)
    state = jax.jit(learning.init)(jax.random.key(0))
    iterate = jax.jit(learning.iterate)
    after, info = iterate(jax.random.key(1), iterate(jax.random.key(1), state)[0])
    assert float(info["skipped_updates"]) == 0.0
    for old, new in zip(*(jax.tree.leaves(x.meta.params.network.judge) for x in (state, after)), strict=True):
        assert np.isfinite(new).all()
        assert np.abs(new - old).max() > 0
