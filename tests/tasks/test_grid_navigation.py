import jax.numpy as jnp
import numpy as np
import pytest

from known_answers import grid_goals, grid_navigation_plan, grid_navigation_values
from rl_meta.errors import UserError
from rl_meta.tasks.grid_navigation import MOVES, GridNavigation, GridTask
from tasks.playing import draw, play_all, towards

HELD_OUT = [[2, 4], [4, 2], [4, 0]]
"""Golden: which goals are held out must never change."""
ROUNDING = 1e-4


@pytest.fixture
def all_goals():
    return GridTask(jnp.array(GridNavigation().goals))


def actions_along(cells):
    """The actions that visit the cells one after the other from the start, then stay, for 15 steps."""
    moves = np.diff([(0, 0), *cells], axis=0)
    actions = [MOVES.index(tuple(move)) for move in moves.tolist()]
    return jnp.array(actions + [0] * (15 - len(actions)))


def search_along(cells):
    """A policy that walks along the cells and stays at the goal once it is there."""
    actions = actions_along(cells)
    return lambda key, state, time, task: jnp.where((state.position == task.goal).all(), 0, actions[time])


def test_goals_are_all_cells_but_the_start_and_its_neighbours():
    goals = {tuple(goal) for goal in GridNavigation().goals.tolist()}
    assert len(goals) == 21
    assert goals == grid_goals(5)


def test_the_oracle_earns_the_reference_value(all_goals):
    play = play_all(GridNavigation(), all_goals, lambda key, state, time, task: towards(task.goal, state.position))
    assert abs(play.total.mean() - grid_navigation_values(5, 15, 2)[1]) < ROUNDING


def test_the_bayes_optimal_search_earns_the_reference_value_in_the_first_episode(all_goals):
    searched, _ = grid_navigation_plan(5, 15)
    play = play_all(GridNavigation(), all_goals, search_along(searched))
    assert abs(play.total.mean() - 4.0) < ROUNDING


def test_the_goals_left_are_found_at_the_speed_of_the_oracle(all_goals):
    searched, left = grid_navigation_plan(5, 15)
    goals = GridTask(jnp.array(left))
    corners = [(1, 0), *left]
    walk = play_all(GridNavigation(), goals, search_along(corners))
    straight = play_all(GridNavigation(), goals, lambda key, state, time, task: towards(task.goal, state.position))
    np.testing.assert_allclose(walk.total, straight.total, atol=ROUNDING)
    assert len(searched) - 1 + len(left) == 21


def test_moves_off_the_grid_stay():
    task = GridTask(jnp.array([[4, 4]]))
    for action, cell in ((0, (0, 0)), (1, (0, 4)), (2, (4, 0)), (3, (0, 0)), (4, (0, 0))):
        play = play_all(GridNavigation(), task, lambda *_, action=action: jnp.array(action))
        np.testing.assert_array_equal(play.obs[0, -1], cell)


def test_held_out_goals_are_in_the_test_split_alone():
    family = GridNavigation(held_out=3)
    drawn = {split: {tuple(g) for g in draw(family, 500, split).goal.tolist()} for split in family.splits}
    assert drawn["test"] == {tuple(goal) for goal in HELD_OUT}
    assert drawn["train"] == drawn["validation"] == grid_goals(5) - drawn["test"]


def test_without_held_out_goals_every_split_has_all():
    for split in GridNavigation().splits:
        goals = draw(GridNavigation(), 500, split).goal.tolist()
        assert {tuple(goal) for goal in goals} == grid_goals(5)


@pytest.mark.parametrize("held_out", [-1, 21])
def test_holding_out_too_few_or_too_many_goals_is_refused(held_out):
    with pytest.raises(UserError, match=r"GridNavigation.held_out must be at (least 0|most 20)"):
        GridNavigation(held_out=held_out)
