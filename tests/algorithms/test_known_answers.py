"""Every method reaches the known answer of its probe family."""

import jax
import numpy as np
import pytest

from algorithms.whole_runs import LONG, adapts, compiled
from rl_meta.algorithms.multitask import MultiTask
from rl_meta.algorithms.oracle import Oracle
from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.scratch import Scratch
from rl_meta.evaluation.lifetimes import live_through
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.probes import Lights, LookOrPull, OneArmPays
from rl_meta.tasks.tabular_mdp import TabularMDP
from rl_meta.training.config import RunConfig
from rl_meta.training.run import build_trainer

BAYES_OPTIMAL_BANDIT_10_2 = 6.0218


def adapts_over_seeds(config, seeds=3, tasks=400):
    """Mean return by episode of the median seed: for probes that some seeds do not solve in the time of a test."""
    train = build_trainer(config)
    go = lambda key: jax.lax.fori_loop(
        0, config.iterations, lambda _, state: train.iterate(key, state)[0], train.init(key)
    )
    keys = jax.vmap(jax.random.key)(np.arange(seeds))
    params = compiled(jax.vmap(go), optimised=seeds * config.steps >= LONG)(keys).meta.params
    drawn, shape = draw_tasks(config.family, jax.random.key(99), tasks, "test"), config.shape
    adapter = config.method.build(config.family, config.iterations).adapter
    one = lambda seed: live_through(
        adapter, jax.tree.map(lambda x: x[seed], params), config.family, shape, drawn, jax.random.key(7)
    )
    return np.median([one(seed).episodes.mean(0) for seed in range(seeds)], axis=0)


def test_rl2_pulls_the_arm_that_pays_from_the_second_pull_on():
    family = OneArmPays(end=0.0, horizon=1)
    lived = adapts(RunConfig(family, RL2(lifetime_episodes=6, memory=16, learning_rate=5e-3), steps=120_000))
    np.testing.assert_allclose(lived.episodes.mean(0), [0.5, 1, 1, 1, 1, 1], atol=0.06)


@pytest.mark.learning
def test_rl2_learns_in_segments_of_lifetimes():
    family = OneArmPays(end=0.0, horizon=2)
    method = RL2(lifetime_episodes=6, segment_episodes=2, memory=16, learning_rate=5e-3, entropy_weight=0.05)
    episodes = adapts_over_seeds(RunConfig(family, method, steps=250_000))
    np.testing.assert_allclose(episodes, [1.5, 2, 2, 2, 2, 2], atol=0.12)


@pytest.mark.learning
def test_rl2_learns_in_chunks():
    family = OneArmPays(end=0.0, horizon=2)
    method = RL2(lifetime_episodes=6, chunk_steps=4, memory=16, learning_rate=5e-3)
    lived = adapts(RunConfig(family, method, steps=250_000))
    np.testing.assert_allclose(lived.episodes.mean(0), [1.5, 2, 2, 2, 2, 2], atol=0.12)


@pytest.mark.learning
def test_rl2_uses_the_last_observation_of_an_episode():
    method = RL2(lifetime_episodes=3, memory=16, learning_rate=5e-3)
    lived = adapts(RunConfig(LookOrPull(), method, steps=250_000))
    np.testing.assert_allclose(lived.episodes.mean(0), [0, 1, 1], atol=0.12)


@pytest.mark.learning
def test_rl2_reads_pictures():
    method = RL2(memory=16, encoder=(32,), learning_rate=5e-3)
    lived = adapts(RunConfig(Lights(), method, steps=60_000))
    np.testing.assert_allclose(lived.episodes.mean(0), [2.25, 3], atol=0.12)


def test_rl2_is_near_the_bayes_optimal_value_of_a_small_bandit():
    method = RL2(memory=32, learning_rate=3e-3)
    lived = adapts(RunConfig(Bandit(arms=2, pulls=10), method, steps=600_000), tasks=4000)
    assert lived.lifetime.mean() > BAYES_OPTIMAL_BANDIT_10_2 - 0.15


def test_multitask_cannot_know_which_arm_pays():
    family = OneArmPays(end=0.0, horizon=6)
    lived = adapts(RunConfig(family, MultiTask(hidden=(16,)), steps=100_000))
    np.testing.assert_allclose(lived.episodes.mean(0), 3.0, atol=0.3)


def test_the_oracle_knows_which_arm_pays():
    family = OneArmPays(end=0.0, horizon=6)
    lived = adapts(RunConfig(family, Oracle(hidden=(16,), learning_rate=5e-3), steps=100_000))
    np.testing.assert_allclose(lived.episodes.mean(0), 6.0, atol=0.1)


def test_scratch_learns_the_task_within_its_lifetime():
    method = Scratch(improvements=30, rollout_steps=12, hidden=(16,), learning_rate=1e-2)
    config = RunConfig(OneArmPays(end=0.0, horizon=6), method)
    drawn = draw_tasks(config.family, jax.random.key(99), 8, "test")
    adapter = method.build(config.family, 1).adapter
    lived = live_through(adapter, (), config.family, config.shape, drawn, jax.random.key(7))
    assert abs(lived.stages[:, 0].mean() - 3.0) < 0.8
    assert lived.stages[:, -1].mean() > 5.6


@pytest.mark.learning
def test_recall_tells_the_states_of_a_small_world_apart_where_a_gru_does_not_yet():
    family = TabularMDP(states=4, actions=2, horizon=4)  # random: 4 per episode, knowing the task: 6.26 or so
    settings = {"memory": 16, "encoder": (), "heads": (32,), "learning_rate": 5e-3, "meta_batch_size": 128}
    paid = {"discount": 1.0, "trace": 0.8, "entropy_weight": 0.02}
    late = lambda recall: (
        adapts(RunConfig(family, RL2(recall=recall, **settings, **paid), steps=400_000)).episodes[:, -3:].mean()
    )
    assert late(16) > 5.4
    assert late(None) < 5.0


@pytest.mark.learning
def test_rl2_balances_an_unknown_pole_in_its_first_episode():
    lived = adapts(RunConfig(CartPole(), RL2(), steps=3_000_000), tasks=200)
    assert lived.episodes[:, 0].mean() >= 180
    assert lived.episodes[:, 1].mean() >= 190
