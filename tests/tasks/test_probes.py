import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.tasks.probes import (
    GOALS,
    AimAt,
    AimAtTask,
    ArmTask,
    Countdown,
    Lights,
    LightsTask,
    LookOrPull,
    OneArmPays,
)
from tasks.playing import draw, play_all, random_policy


def test_the_right_arm_pays_one_and_the_other_nothing():
    tasks = ArmTask(jnp.array([0, 1]))
    right = play_all(OneArmPays(end=0.0), tasks, lambda key, state, time, task: task.arm)
    wrong = play_all(OneArmPays(end=0.0), tasks, lambda key, state, time, task: 1 - task.arm)
    assert bool((right.reward == 1).all())
    assert not bool(wrong.reward.any())


@pytest.mark.parametrize("family", [OneArmPays(), Countdown()], ids=repr)
def test_episodes_end_both_ways_at_any_time(family):
    play = play_all(family, draw(family, 300), random_policy(family))
    lengths = np.asarray(play.real.sum(1))
    assert {1, 2, 3} <= set(lengths.tolist())
    assert int((play.terminated & play.real).sum()) > 50
    assert int((play.truncated & play.real).sum()) > 50


def test_countdown_shows_its_episode_and_the_steps_in_it():
    play = play_all(
        Countdown(death=0.0, limit=0.0),
        draw(Countdown(), 3),
        random_policy(Countdown()),
    )
    np.testing.assert_array_equal(play.reward, np.tile(np.arange(20.0), (3, 1)))
    np.testing.assert_array_equal(play.obs[..., 0], np.tile(np.arange(1.0, 21.0), (3, 1)))
    np.testing.assert_array_equal(play.obs[..., 1], np.tile(play.first_obs[:, 1:], 20))
    assert len(np.unique(play.first_obs[:, 1])) == 3


@pytest.mark.parametrize("blind", [False, True])
def test_looking_shows_the_arm_at_the_end_of_the_episode(blind):
    looked = play_all(LookOrPull(blind=blind), ArmTask(jnp.arange(4)), lambda *_: jnp.array(4))
    np.testing.assert_array_equal(looked.obs[:, 0], np.zeros((4, 4)) if blind else np.eye(4))
    assert not bool(looked.reward.any())
    assert bool(looked.terminated.all())


def test_pulling_shows_nothing_and_pays_by_the_arm():
    pulled = play_all(LookOrPull(), ArmTask(jnp.arange(4)), lambda *_: jnp.array(2))
    assert pulled.reward[:, 0].tolist() == [-1, -1, 1, -1]
    assert not bool(pulled.obs.any())


def test_aiming_at_nothing_or_at_a_random_goal_earns_the_known_answers():
    tasks = AimAtTask(jnp.array(GOALS))
    returns = {
        "goal": play_all(AimAt(), tasks, lambda key, state, time, task: task.goal[None]),
        "nothing": play_all(AimAt(), tasks, lambda *_: jnp.zeros(1)),
    }
    per_step = {name: float(play.reward.mean()) for name, play in returns.items()}
    posterior_sampling = np.mean([-((a - g) ** 2) for a in GOALS for g in GOALS])
    assert per_step == pytest.approx({"goal": 0.0, "nothing": -3 / 7})
    assert posterior_sampling == pytest.approx(-6 / 7)


@pytest.mark.parametrize("quarter", range(4))
def test_a_light_shows_the_quarter_that_pays(quarter):
    family, task = Lights(side=8, horizon=2), LightsTask(jnp.array(quarter))
    state, dark = family.reset(jax.random.key(0), task)
    assert not dark.any()
    state, obs, reward, _, truncated, _ = family.step(jax.random.key(1), state, jnp.array(quarter), task)
    (row, column, _), *more = np.argwhere(np.asarray(obs))
    assert (2 * (row // 4) + column // 4, more) == (quarter, [])
    assert float(reward) == 1
    assert family.observation_space.contains(np.asarray(obs))
    assert not truncated
    *_, truncated, _ = family.step(jax.random.key(2), state, jnp.array(0), task)
    assert truncated
