import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.tasks.point_goal import PointGoal, PointGoalTask, SparsePointGoal, SparsePointGoalTask
from tasks.playing import play_all

MEAN_DISTANCE = (np.sqrt(2) + np.log(1 + np.sqrt(2))) / 6
"""From the centre of a unit square to a uniform point of it."""
GRID_ERROR = 0.003
"""Of averages over a 40 × 40 grid of goals, per unit of the average."""


@pytest.fixture(scope="module")
def goals():
    """The midpoints of a fine grid: uniform goals without noise."""
    side = (np.arange(40) + 0.5) / 40 - 0.5
    return PointGoalTask(jnp.array(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), jnp.float32))


def straight(goal, position):
    return jnp.clip(goal - position, -0.1, 0.1)


def stay(*_):
    return jnp.zeros(2)


def test_walking_straight_to_the_goal_earns_the_reference_value(goals):
    play = play_all(PointGoal(), goals, lambda key, state, time, task: straight(task.goal, state.position))
    assert abs(play.total.mean() + 0.505) < GRID_ERROR


def test_staying_at_the_start_earns_minus_the_mean_distance(goals):
    total = play_all(PointGoal(), goals, stay).total.mean()
    assert abs(total / (-100 * MEAN_DISTANCE) - 1) < GRID_ERROR


def test_an_episode_terminates_when_both_coordinates_are_there():
    tasks = PointGoalTask(jnp.array([[0.0099, 0.0], [0.0, -0.0101], [0.0099, -0.0099]]))
    assert play_all(PointGoal(), tasks, stay).terminated[:, 0].tolist() == [True, False, True]


def test_the_sparse_reward_is_one_less_the_distance_near_the_goal():
    angles = np.linspace(0, np.pi, 9, dtype=np.float32)
    goals = np.stack([np.cos(angles), np.sin(angles)], 1)

    def walk(key, state, time, task):
        return straight(jnp.stack([jnp.cos(task.angle), jnp.sin(task.angle)]), state.position)

    play = play_all(SparsePointGoal(), SparsePointGoalTask(jnp.array(angles)), walk)
    distance = np.linalg.norm(play.obs - goals[:, None], axis=-1)
    np.testing.assert_allclose(play.reward, np.where(distance <= 0.2, 1 - distance, 0), atol=1e-6)
    np.testing.assert_allclose(play.reward[:, -1], 1.0, atol=1e-5)


def test_the_sparse_start_shows_nothing():
    play = play_all(SparsePointGoal(), SparsePointGoalTask(jnp.linspace(0, jnp.pi, 9)), stay)
    assert not bool(play.reward.any())
    assert not bool(play.terminated.any())
    assert bool(play.truncated[:, -1].all())
