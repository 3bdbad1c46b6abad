"""Meta-World's own evaluator and this library's agree, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.algorithms.base import Adapter, Shape, keep_adapted
from rl_meta.collection.agent import Agent
from rl_meta.collection.metaworld_agent import MetaWorldAgent
from rl_meta.errors import UserError
from rl_meta.evaluation.lifetimes import live_through
from rl_meta.tasks.metaworld import MetaWorld

metaworld = pytest.importorskip("metaworld")
evaluation = pytest.importorskip("metaworld.evaluation")

SEED, TASKS, HORIZON = 0, 8, 50
FAMILY = MetaWorld("reach-v3", tasks_seed=SEED, horizon=HORIZON)
SHAPE = Shape(2, 1, HORIZON, restart=False)
POINT = jnp.array([0.0, 0.85, 0.15])


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def reaching():
    """Moves the hand to one point in the first episode and to another one, farther away, in later ones."""

    def act(key, params, adapted, memory, inputs):
        episode = memory + inputs.first
        point = POINT + jnp.array([0.0, 0.0, 0.03]) * (episode > 1)
        move = jnp.clip(10 * (point - inputs.obs[:3]), -1, 1)
        return episode, jnp.append(move, 0.0), ()

    return Adapter(lambda key, params: ((), jnp.zeros((), jnp.int32)), act, keep_adapted)


def agent_of(adapter):
    return Agent(adapter, (), SHAPE, FAMILY.observation_space, FAMILY.action_space, best=adapter)


def evaluators_envs(**settings):
    return metaworld.make_ml_envs_test(
        "reach-v3",
        seed=SEED,
        total_tasks_per_cls=TASKS,
        max_episode_steps=HORIZON,
        recurrent_info_in_obs=True,
        normalize_reward_in_recurrent_info=False,
        **settings,
    )


def test_metaworlds_evaluator_counts_the_same_successes():
    tasks = jax.tree.map(lambda x: x[:TASKS], FAMILY.all_tasks("test"))
    ours = live_through(reaching(), (), FAMILY, SHAPE, tasks, jax.random.key(0)).measures["success"]
    envs = evaluators_envs(meta_batch_size=1)
    agent = MetaWorldAgent(agent_of(reaching()), envs.num_envs)
    theirs = evaluation.metalearning_evaluation(
        agent, envs, num_evals=TASKS, adaptation_episodes=1, evaluation_episodes=1
    )[0]
    envs.close()
    assert 0 < theirs < 1
    assert theirs == pytest.approx(ours.episodes[:, 1].mean())


def counting(learns=False):
    """Acts with what it remembers: its steps, the last reward, what it has learned, the last result's first number."""

    def act(key, params, adapted, memory, inputs):
        action = jnp.stack([memory / 100, inputs.last_reward, adapted / 100, inputs.last_result[0]])
        return memory + 1, action, ()

    learn = lambda key, params, adapted, steps: adapted + steps.reward.sum()
    return Adapter(lambda key, params: (jnp.zeros(()), jnp.zeros(())), act, learn if learns else keep_adapted)


def adapted_agent(*, learns, steps=4):
    """After `steps` steps in two environments whose observations are the time, and rewards 0.1 and 0.2."""
    agent = Agent(
        counting(learns), (), Shape(1, 1, steps), FAMILY.observation_space, FAMILY.action_space, best=counting(learns)
    )
    ours, actions = MetaWorldAgent(agent, 2), []
    ours.init()
    rewards, no = np.array([0.1, 0.2]), np.zeros(2, bool)
    for time in range(steps):
        obs = np.full((2, 39), time / 10)
        actions.append(ours.adapt_action(obs)[0])
        ours.step(evaluation.Timestep(obs, actions[-1], rewards, no, no | (time == steps - 1), {}))
    ours.adapt()
    return ours, np.array(actions)


def test_while_it_adapts_the_agent_sees_what_its_actions_led_to():
    _, actions = adapted_agent(learns=False)
    np.testing.assert_allclose(actions[:, 1, 0], [0, 0.01, 0.02, 0.03], atol=1e-6)
    np.testing.assert_allclose(actions[:, :, 1], [[0, 0], [0.1, 0.2], [0.1, 0.2], [0.1, 0.2]], atol=1e-6)
    np.testing.assert_allclose(actions[:, 0, 3], [0, 0.1, 0.2, 0.3], atol=1e-6)


def test_every_evaluation_episode_begins_as_adaptation_has_left_the_agent():
    ours, _ = adapted_agent(learns=False)
    ours.reset(np.ones(2, bool))
    for mask, expected in (([False, True], [4, 4]), ([False, False], [5, 4]), ([True, False], [6, 5])):
        found = ours.eval_action(np.zeros((2, 39)))
        np.testing.assert_allclose(found[:, 0], np.array(expected) / 100, atol=1e-6)
        ours.reset(np.array(mask))
    np.testing.assert_allclose(ours.eval_action(np.zeros((2, 39)))[:, 0], [0.04, 0.06], atol=1e-6)


def test_an_agent_that_learns_has_learned_from_all_of_adaptation_and_from_nothing_else():
    ours, actions = adapted_agent(learns=True)
    assert not actions[..., 2].any()
    ours.reset(np.ones(2, bool))
    for _ in range(6):
        np.testing.assert_allclose(ours.eval_action(np.zeros((2, 39)))[:, 2], [0.004, 0.008], atol=1e-6)
        ours.reset(np.zeros(2, bool))


def test_rewards_of_evaluation_are_read_from_the_observation():
    ours, _ = adapted_agent(learns=False)
    told = np.concatenate([np.zeros((2, 43)), np.array([[0.7, 0.0], [0.9, 0.0]])], 1)
    ours.reset(np.ones(2, bool))
    np.testing.assert_allclose(ours.eval_action(told)[:, 1], [0.1, 0.2], atol=1e-6)
    ours.reset(np.zeros(2, bool))
    np.testing.assert_allclose(ours.eval_action(told)[:, 1], [0.7, 0.9], atol=1e-6)


def test_what_is_wrong_is_said():
    ours, _ = adapted_agent(learns=False)
    with pytest.raises(UserError, match="39 numbers, or 45"):
        ours.adapt_action(np.zeros((2, 40)))
    with pytest.raises(UserError, match="adapt before reset"):
        MetaWorldAgent(agent_of(reaching()), 2).reset(np.ones(2, bool))
    with pytest.raises(UserError, match="nothing to settle"):
        agent_of(reaching()).settle(0.0, False, True, final_observation=np.zeros(39))
