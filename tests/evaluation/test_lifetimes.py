import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from known_answers import grid_navigation_plan, grid_navigation_values
from rl_meta.algorithms.base import Adapter, Shape, keep_adapted
from rl_meta.evaluation import lifetimes
from rl_meta.evaluation.lifetimes import MOST_EPISODES, live_through, summarise_episodes
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.grid_navigation import MOVES, GridNavigation, GridTask
from rl_meta.tasks.probes import ArmTask, OneArmPays

ROUNDING = 1e-4
"""Sums of float32 rewards."""
KEY = jax.random.key(5)
GRID = GridNavigation(horizon=5)
LIVED = ("stages", "stage_env_steps", "episodes", "episode_env_steps", "lifetime")


# ------------------------------------------------------------------------------------- against a plain reference


def random_steps(shape, *, tasks, horizon, overtime, seed):
    """Reward, first and done [N, C, L] of episodes of random length, the last of which may be cut off."""
    rng = np.random.default_rng(seed)
    length = (shape.stages + (math.ceil(horizon / shape.steps) if overtime else 0)) * shape.steps
    first, done = np.zeros((2, tasks, shape.copies, length), bool)
    for row in np.ndindex(tasks, shape.copies):
        time = 0
        while time < length:
            first[(*row, time)] = True
            time += rng.integers(1, horizon + 1)
            if shape.restart:
                time = min(time, math.ceil((np.flatnonzero(first[row])[-1] + 1) / shape.steps) * shape.steps)
            done[(*row, min(time, length) - 1)] = time <= length
    return rng.normal(size=first.shape).astype(np.float32), first, done


def episodes_of(reward, first, done):
    """(start, end, return) of every episode of one copy that was lived to its end."""
    found, start, total = [], 0, 0.0
    for time in range(len(reward)):
        if first[time]:
            start, total = time, 0.0
        total += float(reward[time])
        if done[time]:
            found.append((start, time, total))
    return found


def reference(reward, first, done, shape, horizon):
    """What `summarise_episodes` is to return, by plain loops."""
    tasks, copies, _ = reward.shape
    length = shape.stages * shape.steps
    window = shape.steps if shape.restart else shape.steps * math.ceil(horizon / shape.steps)
    all_of = lambda n, c: episodes_of(reward[n, c], first[n, c], done[n, c])
    counts = lambda e: e[0] % shape.steps == 0 if shape.restart else e[0] < length
    lived = [[[e for e in all_of(n, c) if counts(e)] for c in range(copies)] for n in range(tasks)]
    stages, stage_steps = [], []
    for begin in range(0, length, window):
        inside = [[e[2] for copy in task for e in copy if begin <= e[0] < begin + window] for task in lived]
        if all(inside):
            stages.append([np.mean(returns) for returns in inside])
            stage_steps.append(min(begin + window, length) * copies)
    most = min([MOST_EPISODES, *(len(copy) for task in lived for copy in task)])
    episodes = [[np.mean([copy[k][2] for copy in task]) for k in range(most)] for task in lived]
    ends = [np.mean([copies * (copy[k][1] + 1) for task in lived for copy in task]) for k in range(most)]
    total = reward[..., :length].astype(float).sum(-1).mean(1)
    return np.array(stages).T.reshape(tasks, -1), stage_steps, np.array(episodes).reshape(tasks, most), ends, total


@settings(deadline=None, max_examples=150)
@given(
    tasks=st.integers(1, 4),
    copies=st.integers(1, 3),
    stages=st.integers(1, 5),
    steps=st.integers(1, 9),
    horizon=st.integers(1, 12),
    restart=st.booleans(),
    overtime=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_stages_and_episodes_are_those_of_a_plain_reference(
    tasks, copies, stages, steps, horizon, restart, overtime, seed
):
    shape = Shape(stages, copies, steps, restart=restart)
    lived = random_steps(shape, tasks=tasks, horizon=horizon, overtime=overtime and not restart, seed=seed)
    found = summarise_episodes(*lived, shape, horizon=horizon)
    for name, expected in zip(LIVED, reference(*lived, shape, horizon), strict=True):
        np.testing.assert_allclose(getattr(found, name), expected, atol=ROUNDING, err_msg=name)


@pytest.mark.parametrize(("how", "of"), [("max", max), ("mean", np.mean), ("sum", sum), ("last", lambda x: x[-1])])
def test_a_measure_is_summed_up_over_the_steps_of_every_episode(how, of):
    shape = Shape(3, 2, 7, restart=False)
    reward, first, done = random_steps(shape, tasks=4, horizon=6, overtime=True, seed=1)
    numbers = np.random.default_rng(2).normal(size=reward.shape)
    lived = summarise_episodes(reward, first, done, shape, horizon=6, measured={"speed": (how, numbers)})
    found = lived.measures["speed"]
    for task in range(4):
        copies = [episodes_of(*(x[task, copy] for x in (reward, first, done))) for copy in range(2)]
        summed = [[of(numbers[task, c, b : e + 1].tolist()) for b, e, _ in own] for c, own in enumerate(copies)]
        firsts = [np.mean([own[k] for own in summed]) for k in range(found.episodes.shape[1])]
        np.testing.assert_allclose(found.episodes[task], firsts, atol=ROUNDING)
        for stage in range(3):
            inside = [
                x for c, own in enumerate(copies) for x, e in zip(summed[c], own, strict=True) if e[0] // 7 == stage
            ]
            assert found.stages[task, stage] == pytest.approx(np.mean(inside), abs=ROUNDING)


def marks(length, *at):
    """[1, 1, length] bool: true at some steps."""
    return np.isin(np.arange(length), at)[None, None]


def test_the_return_of_a_stage_is_of_the_episodes_that_began_in_it():
    first, done = marks(12, 0, 3, 7, 11), marks(12, 2, 6, 10)
    lived = summarise_episodes(np.ones((1, 1, 12)), first, done, Shape(2, 1, 4, restart=False), horizon=4)
    np.testing.assert_array_equal(lived.stages, [[(3 + 4) / 2, 4]])


def test_overtime_counts_for_nothing_but_the_episodes_that_it_ends():
    first, done = marks(12, 0, 3, 7, 11), marks(12, 2, 6, 10)
    lived = summarise_episodes(np.ones((1, 1, 12)), first, done, Shape(2, 1, 4, restart=False), horizon=4)
    assert (lived.lifetime.tolist(), lived.stage_env_steps.tolist()) == ([8.0], [4, 8])


def test_episodes_that_the_end_of_a_stage_may_cut_do_not_count():
    first, done = marks(12, 0, 4, 6, 10), marks(12, 3, 5, 9, 11)  # every episode would last four steps
    lived = summarise_episodes(np.ones((1, 1, 12)), first, done, Shape(2, 1, 6), horizon=6)
    np.testing.assert_array_equal(lived.stages, [[4, 4]])
    np.testing.assert_array_equal(lived.episodes, [[4, 4]])
    assert lived.episode_env_steps.tolist() == [4, 10]


def test_environment_steps_are_those_of_all_copies_together():
    first, done = np.repeat(marks(8, 0, 4), 3, 1), np.repeat(marks(8, 3, 7), 3, 1)
    lived = summarise_episodes(np.ones((1, 3, 8)), first, done, Shape(2, 3, 4), horizon=4)
    assert (lived.stage_env_steps.tolist(), lived.episode_env_steps.tolist()) == ([12, 24], [12.0, 24.0])


def test_stages_shorter_than_an_episode_are_joined():
    first, done = marks(12, 0, 5), marks(12, 4, 9)
    lived = summarise_episodes(np.ones((1, 1, 12)), first, done, Shape(6, 1, 2, restart=False), horizon=5)
    assert (lived.stages.tolist(), lived.stage_env_steps.tolist()) == ([[5.0]], [6])


def test_only_episodes_that_every_task_completed_are_compared():
    first = np.concatenate([marks(8, 0, 2, 4, 6), marks(8, 0, 4)])
    done = np.concatenate([marks(8, 1, 3, 5, 7), marks(8, 3, 7)])
    lived = summarise_episodes(np.ones((2, 1, 8)), first, done, Shape(2, 1, 4), horizon=4)
    np.testing.assert_array_equal(lived.episodes, [[2, 2], [4, 4]])


# ---------------------------------------------------------------------------------------- living through tasks


def always(action):
    """An agent that knows nothing and does one thing."""
    return Adapter(lambda k, p: ((), ()), lambda k, p, a, m, i: (m, jnp.array(action), ()), keep_adapted)


def at_random():
    """Acts, and remembers, by chance."""

    def act(key, params, adapted, memory, inputs):
        memory = (0.7 * memory + inputs.obs.sum() + 5 * jax.random.uniform(key)) % 5
        return memory, memory.astype(jnp.int32), ()

    return Adapter(lambda key, params: ((), jax.random.uniform(key)), act, keep_adapted)


def same(one, two):
    for name in LIVED:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


@pytest.fixture(scope="module")
def seven_at_once():
    tasks = draw_tasks(GRID, KEY, 7, "test")
    return tasks, live_through(at_random(), (), GRID, Shape(3, 2, 5), tasks, KEY)


@pytest.mark.parametrize("at_once", [3])
def test_the_numbers_do_not_depend_on_how_many_tasks_are_lived_in_at_once(at_once, seven_at_once, monkeypatch):
    tasks, expected = seven_at_once
    monkeypatch.setattr(lifetimes, "STEPS_AT_ONCE", at_once * 2 * 5)
    done = []
    same(live_through(at_random(), (), GRID, Shape(3, 2, 5), tasks, KEY, report=done.append), expected)
    assert done == sorted({min(k, 7) for k in range(at_once, 7 + at_once, at_once)})


def test_the_numbers_of_a_task_do_not_depend_on_how_many_follow(seven_at_once):
    tasks, expected = seven_at_once
    few = jax.tree.map(lambda x: x[:3], tasks)
    found = live_through(at_random(), (), GRID, Shape(3, 2, 5), few, KEY)
    np.testing.assert_array_equal(found.lifetime, expected.lifetime[:3])
    np.testing.assert_array_equal(found.stages, expected.stages[:3])


def test_segments_are_for_training_alone(seven_at_once):
    tasks, expected = seven_at_once
    same(live_through(at_random(), (), GRID, Shape(3, 2, 5, segment=1), tasks, KEY), expected)


def test_every_episode_that_began_in_the_lifetime_is_lived_to_its_end():
    family, shape = OneArmPays(end=0.0, horizon=6), Shape(2, 1, 8, restart=False)
    lived = live_through(always(0), (), family, shape, ArmTask(jnp.array([0, 1])), KEY)
    assert lived.episodes.tolist() == [[6, 6, 6], [0, 0, 0]]
    assert lived.lifetime.tolist() == [16, 0]


# -------------------------------------------------------------------------------- an agent whose value is known


def moves_along(cells):
    """The actions that visit the cells one after the other from the start, then stay."""
    actions = [MOVES.index(tuple(move)) for move in np.diff([(0, 0), *cells], axis=0).tolist()]
    return jnp.array(actions + [0] * (15 - len(actions)), jnp.int32)


def straight_to(goal, position):
    """Along the first axis, then along the second; stay there."""
    dx, dy = goal - position
    upright = jnp.where(dy > 0, 1, jnp.where(dy < 0, 3, 0))
    return jnp.where(dx > 0, 2, jnp.where(dx < 0, 4, upright))


def bayes_optimal():
    """Searches 14 goals in the first episode and the others in the second; remembers where it was paid."""
    searched, left = grid_navigation_plan(5, 15)
    plans = jnp.stack([moves_along(searched), moves_along([(1, 0), *left])])

    def begin(key, params):
        nowhere = jnp.zeros(2, jnp.int32)
        return (), (jnp.int32(-1), jnp.int32(0), jnp.array(False), nowhere)

    def act(key, params, adapted, memory, inputs):
        episode, time, known, goal = memory
        paid = inputs.last_reward > 0
        known, goal = known | paid, jnp.where(paid, inputs.last_result, goal)
        episode, time = episode + inputs.first, jnp.where(inputs.first, 0, time + 1)
        action = jnp.where(known, straight_to(goal, inputs.obs), plans[jnp.minimum(episode, 1), time])
        return (episode, time, known, goal), action.astype(jnp.int32), ()

    return Adapter(begin, act, keep_adapted)


@pytest.fixture(scope="module")
def optimal():
    goals = GridTask(jnp.array(GridNavigation().goals))
    return live_through(bayes_optimal(), (), GridNavigation(), Shape(4, 1, 15, restart=False), goals, KEY)


def test_the_bayes_optimal_agent_of_grid_navigation_gets_its_value_in_every_episode(optimal):
    np.testing.assert_allclose(optimal.episodes.mean(0), grid_navigation_values(5, 15, 4), atol=ROUNDING)


def test_that_value_is_the_published_one(optimal):
    np.testing.assert_allclose(optimal.stages.mean(0), [4.0, 11.0714, 11.0714, 11.0714], atol=ROUNDING)
    assert optimal.stage_env_steps.tolist() == [15, 30, 45, 60]


def test_the_lifetime_of_the_bayes_optimal_agent_is_the_sum_of_its_episodes(optimal):
    assert abs(optimal.lifetime.mean() - sum(grid_navigation_values(5, 15, 4))) < ROUNDING
