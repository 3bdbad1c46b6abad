"""What every family that can be drawn promises, over the list of families."""

import jax
import numpy as np
import pytest

from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.drawing import Disc, Drawable, Line, box
from rl_meta.training.catalogue import families
from tasks.playing import draw

NAMES = (
    *("cartpole", "driving", "grid-navigation", "pendulum"),
    *("point-goal", "point-goal-sparse", "quadrotor", "two-link-arm"),
)

every_drawable = pytest.mark.parametrize("name", NAMES)


def first_states(family, count=8):
    """States at the start of episodes in different tasks, and the tasks."""
    tasks = draw(family, count)
    reset = jax.jit(jax.vmap(lambda key, task: family.reset(key, task)[0]))
    states = reset(jax.random.split(jax.random.key(0), count), tasks)
    row = lambda tree, i: jax.tree.map(lambda x: np.asarray(x[i]), tree)
    return [(row(states, i), row(tasks, i)) for i in range(count)]


def points(mark):
    if isinstance(mark, Disc):
        return np.asarray(mark.centre)[None]
    return np.asarray(mark.points if isinstance(mark, Line) else mark.corners)


@every_drawable
def test_a_state_is_drawn_as_finite_points_of_the_plane(name):
    family = families.make(name)
    assert isinstance(family, Drawable)
    for state, task in first_states(family):
        for mark in family.draw(state, task):
            assert points(mark).shape[1:] == (2,)
            assert np.isfinite(points(mark)).all()


@every_drawable
def test_the_agent_is_in_the_window(name):
    family = families.make(name)
    left, right, low, high = family.window
    for state, task in first_states(family):
        own = np.concatenate([points(mark) for mark in family.draw(state, task) if mark.role == "agent"])
        assert ((own > (left, low)) & (own < (right, high))).all()


@every_drawable
def test_another_task_or_state_is_another_picture(name):
    family = families.make(name)
    pictures = [
        np.concatenate([points(mark).ravel() for mark in family.draw(*pair)]).round(3).tolist()
        for pair in first_states(family)
    ]
    assert any(picture != pictures[0] for picture in pictures[1:])


def test_a_family_without_pictures_is_not_drawable():
    assert not isinstance(Bandit(), Drawable)


def test_a_box_is_turned_about_its_centre():
    corners = box((1.0, 2.0), 4.0, 2.0, np.pi / 2)
    np.testing.assert_allclose(corners, [[0, 4], [0, 0], [2, 0], [2, 4]], atol=1e-12)
