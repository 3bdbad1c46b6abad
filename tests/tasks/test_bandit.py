import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.tasks.bandit import Bandit, BanditTask
from tasks.playing import draw, play_all, random_policy

TASKS = 4000
FOUR_STANDARD_ERRORS = 4 * 2.5 / TASKS**0.5
"""A total of ten pulls varies by less than 2.5."""


@pytest.fixture(scope="module")
def tasks():
    return draw(Bandit(), TASKS, "test")


def test_random_pulls_earn_half(tasks):
    totals = play_all(Bandit(), tasks, random_policy(Bandit())).total
    assert abs(totals.mean() - 5.0) < FOUR_STANDARD_ERRORS


def test_knowing_the_probabilities_earns_their_expected_maximum(tasks):
    best = play_all(Bandit(), tasks, lambda key, state, time, task: task.probabilities.argmax())
    assert abs(best.reward.sum(1).mean() - 10 * 5 / 6) < FOUR_STANDARD_ERRORS


def test_a_certain_arm_always_pays_and_a_dead_one_never():
    task = BanditTask(jnp.array([[0.0, 1.0]]))
    for arm in (0, 1):
        episode = play_all(Bandit(arms=2), task, lambda *_, arm=arm: jnp.array(arm))
        np.testing.assert_array_equal(episode.reward, np.full((1, 10), arm))


def test_an_episode_is_truncated_after_the_pulls(tasks):
    episode = play_all(Bandit(pulls=7), tasks, random_policy(Bandit()))
    np.testing.assert_array_equal(episode.truncated[0], [False] * 6 + [True])
