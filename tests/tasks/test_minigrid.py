"""A room of MiniGrid whose rule is hidden."""

import itertools

import jax
import numpy as np
import pytest

from rl_meta.errors import UserError
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.minigrid import COLOURS, KINDS, RULES, VIEW, MiniGridRules, fits

pytest.importorskip("minigrid")

FAMILY = MiniGridRules(horizon=10)
LEFT, RIGHT, AHEAD, PICK_UP = range(4)


def begun(family, *rules, seed=0):
    """Environments with these rules, and their first observations."""
    kind, colour = np.array(rules, np.int32).T
    tasks = family.sample(jax.random.key(0))._replace(kind=kind, colour=colour)
    envs = family.make_envs(len(rules))
    return envs, envs.begin(np.ones(len(rules), bool), tasks, np.arange(len(rules), dtype=np.uint32) + seed, None)


def step(envs, *actions):
    envs.send(np.array(actions, np.int32), None, cut=False)
    return envs.receive()


def things_in(env):
    """(x, y, object) of all that may be picked up."""
    cells = itertools.product(range(env.width), range(env.height))
    return [(x, y, env.grid.get(x, y)) for x, y in cells if env.grid.get(x, y) and env.grid.get(x, y).type in KINDS]


def stand_before(env, x, y):
    """Beside the object, facing it."""
    for direction, (dx, dy) in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)]):
        if env.grid.get(x - dx, y - dy) is None:
            env.agent_pos, env.agent_dir = (x - dx, y - dy), direction
            return True
    return False


@pytest.mark.parametrize("rule", [(1, 0), (0, 3), (2, 5)])
def test_what_fits_the_rule_pays_and_nothing_else_does(rule):
    paid = []
    for seed in range(12):
        envs, _ = begun(FAMILY, rule, seed=seed)
        env = envs._envs[0].env
        for x, y, thing in things_in(env):
            env.carrying = None
            env.grid.set(x, y, thing)
            if stand_before(env, x, y):
                kind, colour = thing.type, thing.color
                _, reward, terminated, _, info = env.step(PICK_UP)
                assert (reward > 0) == info["success"] == fits(rule, kind, colour)
                assert terminated
                paid.append(info["success"])
    assert 0.15 < np.mean(paid) < 0.35  # one of four


def test_every_room_has_one_object_that_pays_and_the_others_do_not():
    envs, _ = begun(FAMILY, *RULES)
    for one, rule in zip(envs._envs, RULES, strict=True):
        for _ in range(5):
            one.reset()
            assert [fits(rule, thing.type, thing.color) for *_, thing in things_in(one.env)].count(True) == 1
            assert len(things_in(one.env)) == FAMILY.objects


def test_a_rule_stays_while_the_room_changes():
    envs, first = begun(FAMILY, (2, 4))
    before = [(x, y) for x, y, _ in things_in(envs._envs[0].env)]
    outcomes = [step(envs, LEFT) for _ in range(10)]
    assert outcomes[-1].truncated.all()
    assert envs._envs[0].env.rule == (2, 4)
    assert [(x, y) for x, y, _ in things_in(envs._envs[0].env)] != before
    np.testing.assert_array_equal(first.shape, outcomes[-1].obs.shape)


def test_the_observation_is_the_view_and_does_not_show_the_rule():
    seen = [begun(FAMILY, rule)[1] for rule in ((1, 2), (0, 2))]
    for obs in seen:
        assert FAMILY.observation_space.contains(obs[0].astype(np.int64))
    envs, _ = begun(FAMILY, (1, 0))
    env = envs._envs[0].env
    (x, y, thing), *_ = [found for found in things_in(env) if stand_before(env, *found[:2])]
    stand_before(env, x, y)
    cells = env.gen_obs().reshape(VIEW, VIEW, 2)
    assert cells[VIEW // 2, VIEW - 2].tolist() == [2 + KINDS.index(thing.type), 1 + COLOURS.index(thing.color)]


def test_rules_that_are_tested_are_not_trained_on():
    drawn = [draw_tasks(FAMILY, jax.random.key(0), 400, split) for split in FAMILY.splits]
    rules = [set(zip(x.kind.tolist(), x.colour.tolist(), strict=True)) for x in drawn]
    assert FAMILY.splits == ("train", "validation", "test")
    assert [len(x) for x in rules] == [20, 2, 5]
    assert set.union(*rules) == set(RULES)


def test_it_costs_time():
    envs, _ = begun(FAMILY, (1, 0))
    env = envs._envs[0].env
    x, y, _ = next(found for found in things_in(env) if found[2].type == "key" and stand_before(env, *found[:2]))
    env.step(LEFT)
    env.step(RIGHT)
    assert stand_before(env, x, y)
    assert env.step(PICK_UP)[1] == pytest.approx(1 - 0.9 * 3 / 10)


def test_without_minigrid_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("rl_meta.tasks.minigrid.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'rl-meta\[minigrid\]'"):
        _ = FAMILY.observation_space
