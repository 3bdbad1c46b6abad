import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.errors import UserError
from rl_meta.tasks.dark_room import DarkRoom
from rl_meta.tasks.grid_navigation import GridTask
from tasks.playing import draw, play_all, towards

FIRST_TEST_GOALS = [[0, 7], [7, 1], [7, 7]]
"""Golden: which goals are held out must never change."""


def all_goals(family):
    return np.concatenate([family.goals(split) for split in family.splits])


@pytest.mark.parametrize("size", [3, 4, 9, 17])
def test_every_cell_but_the_start_is_a_goal_of_one_split(size):
    goals = [tuple(goal) for goal in all_goals(DarkRoom(size)).tolist()]
    assert len(goals) == len(set(goals)) == size**2 - 1
    assert (size // 2, size // 2) not in goals


def test_four_fifths_of_the_goals_are_for_training():
    assert [len(DarkRoom().goals(split)) for split in DarkRoom().splits] == [64, 6, 10]


def test_the_split_is_fixed():
    np.testing.assert_array_equal(DarkRoom().goals("test")[:3], FIRST_TEST_GOALS)


def test_a_split_draws_all_of_its_goals():
    for split in DarkRoom().splits:
        drawn = draw(DarkRoom(), 1000, split).goal.tolist()
        assert {tuple(g) for g in drawn} == {tuple(g) for g in DarkRoom().goals(split).tolist()}


def test_knowing_the_goal_earns_the_horizon_less_the_way():
    goals = all_goals(DarkRoom())
    play = play_all(
        DarkRoom(),
        GridTask(jnp.array(goals)),
        lambda key, state, time, task: towards(task.goal, state.position),
    )
    np.testing.assert_array_equal(play.total, 21 - np.abs(goals - 4).sum(1))
    assert play.total.mean() == 16.5


def test_a_room_too_small_for_three_splits_is_refused():
    with pytest.raises(UserError, match=r"DarkRoom.size must be at least 3"):
        DarkRoom(size=2)
