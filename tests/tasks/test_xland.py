"""XLand-MiniGrid's rooms with hidden rules."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.errors import UserError
from rl_meta.tasks import xland
from rl_meta.tasks.base import DeviceFamily, draw_tasks
from rl_meta.tasks.xland import HOLD, MADE_BY_HOLDING, TOGETHER, XLand, XLandTask

pytest.importorskip("xminigrid")

FAMILY = XLand(size=6, rules=2, horizon=9)
AHEAD, RIGHT, LEFT, PICK_UP, PUT, OPEN = range(6)
KEY = jax.random.key(0)
RED_BALL, BLUE_STAR, RED_KEY = (3, 1), (12, 3), (7, 1)
step = jax.jit(FAMILY.step)


def task(goal, rules=(), objects=()):
    rows = lambda rows, count, width: np.array([*rows, *[(0,) * width] * (count - len(rows))], np.int32)
    full = np.array([*goal, *(0,) * (5 - len(goal))], np.int32)
    rules = [(*rule, *(0,) * (7 - len(rule))) for rule in rules]
    return XLandTask(full, rows(rules, FAMILY.rules, 7), rows(objects, FAMILY.objects, 2))


def standing_before(state, thing):
    """Below it, facing up."""
    (row, column), *_ = np.argwhere((np.asarray(state.grid) == thing).all(-1))
    grid = state.grid.at[3, 2].set(state.grid[row, column])
    grid = grid if (row, column) == (3, 2) else grid.at[row, column].set(jnp.array([1, 7], jnp.uint8))
    agent = state.agent.replace(position=jnp.array([4, 2]), direction=jnp.array(0))
    return state.replace(grid=grid.at[4, 2].set(jnp.array([1, 7], jnp.uint8)), agent=agent)


def test_every_set_of_rules_can_be_followed_to_its_goal():
    tasks = jax.tree.map(np.asarray, draw_tasks(FAMILY, KEY, 300))
    depths = []
    for goal, rules, objects in zip(*tasks, strict=True):
        there = {tuple(thing) for thing in objects.tolist()} - {(0, 0)}
        chain = [rule for rule in rules.tolist() if rule[0]]
        depths.append(len(chain))
        for rule in reversed(chain):
            used = {tuple(rule[1:3]), tuple(rule[3:5])} if rule[0] == 3 else {tuple(rule[1:3])}
            assert used <= there
            there = there - used | {tuple(rule[5:7] if rule[0] == 3 else rule[3:5])}
        wanted = {tuple(goal[1:3].tolist()), *([tuple(goal[3:5].tolist())] if goal[0] == TOGETHER else [])}
        assert wanted <= there
    assert set(depths) == {0, 1, 2}


def test_tasks_and_observations_are_in_their_spaces_and_splits_differ():
    drawn = {split: jax.tree.map(np.asarray, draw_tasks(FAMILY, KEY, 4, split)) for split in FAMILY.splits}
    assert isinstance(FAMILY, DeviceFamily)
    for tasks in drawn.values():
        for index in range(4):
            assert FAMILY.task_space.contains(jax.tree.map(lambda x, i=index: x[i], tasks)._asdict())
    assert (drawn["train"].goal != drawn["test"].goal).any()
    _, obs = FAMILY.reset(KEY, jax.tree.map(lambda x: x[0], drawn["train"]))
    assert FAMILY.observation_space.contains(np.asarray(obs).astype(np.int64))


def test_what_is_wanted_pays_less_the_longer_it_takes_and_ends_the_episode():
    hold = task((HOLD, *RED_BALL), objects=[RED_BALL, RED_KEY])
    state, _ = FAMILY.reset(KEY, hold)
    waited = step(KEY, standing_before(state, RED_BALL), LEFT, hold)
    turned = step(KEY, waited.state, RIGHT, hold)
    assert not waited.terminated
    assert float(waited.reward) == 0
    taken = step(KEY, turned.state, PICK_UP, hold)
    assert taken.terminated
    assert not taken.truncated
    assert float(taken.reward) == pytest.approx(1 - 0.9 * 3 / 9)
    other = step(KEY, standing_before(state, RED_KEY), PICK_UP, hold)
    assert not other.terminated


def test_a_hidden_rule_makes_what_is_wanted():
    made = task((HOLD, *BLUE_STAR), [(MADE_BY_HOLDING, *RED_KEY, *BLUE_STAR)], [RED_KEY])
    state, _ = FAMILY.reset(KEY, made)
    assert step(KEY, standing_before(state, RED_KEY), PICK_UP, made).terminated
    without = task((HOLD, *BLUE_STAR), [], [RED_KEY])
    state, _ = FAMILY.reset(KEY, without)
    assert not step(KEY, standing_before(state, RED_KEY), PICK_UP, without).terminated


def test_an_episode_is_truncated_at_its_horizon():
    hold = task((HOLD, *RED_BALL), objects=[RED_BALL])
    state, _ = FAMILY.reset(KEY, hold)
    ends = []
    for _ in range(9):
        state, _, _, terminated, truncated, _ = step(KEY, state, LEFT, hold)
        ends.append((bool(terminated), bool(truncated)))
    assert ends == [(False, False)] * 8 + [(False, True)]


def test_without_xminigrid_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "xminigrid.envs.xland", None)
    xland._xland.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'rl-meta\[xland\]'"):
        _ = FAMILY.observation_space
    xland._xland.cache_clear()
