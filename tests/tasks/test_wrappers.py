import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.tasks.cartpole import CartPole, CartPoleTask
from rl_meta.tasks.point_goal import PointGoal
from rl_meta.tasks.probes import ArmTask, LookOrPull
from rl_meta.tasks.regions import split_of
from rl_meta.tasks.tabular_mdp import TabularMDP
from rl_meta.tasks.wrappers import FiniteTasks, reveal_task
from tasks.playing import draw


def revealed(family, task):
    return reveal_task(family).reset(jax.random.key(0), task)[1]["task"]


@pytest.mark.parametrize(("place", "expected"), [(0.0, -1.0), (0.5, 0.0), (1.0, 1.0), (1.25, 1.5)])
def test_bounded_parameters_are_scaled_to_plus_minus_one(place, expected):
    bounds = CartPole().task_space.values()
    task = CartPoleTask(*(jnp.array(box.low + place * (box.high - box.low)) for box in bounds))
    np.testing.assert_allclose(revealed(CartPole(), task), np.full(5, expected), atol=1e-6)


def test_discrete_parameters_are_one_hot():
    np.testing.assert_array_equal(revealed(LookOrPull(), ArmTask(jnp.array(2))), [0, 0, 1, 0])


def test_unbounded_parameters_are_as_they_are():
    task = jax.tree.map(lambda x: x[0], draw(TabularMDP(), 1))
    vector = revealed(TabularMDP(), task)
    assert vector.dtype == jnp.float32
    np.testing.assert_allclose(vector[:500], 2 * task.transitions.ravel() - 1, atol=1e-6)
    np.testing.assert_array_equal(vector[500:], task.reward_means.ravel())


def test_everything_else_is_the_familys():
    family, key = CartPole(), jax.random.key(0)
    shown, task = reveal_task(family), family.sample(key)
    state, obs = shown.reset(key, task)
    ours, theirs = shown.step(key, state, jnp.array(1), task), family.step(key, state, jnp.array(1), task)
    np.testing.assert_array_equal(ours.obs["observation"], theirs.obs)
    np.testing.assert_array_equal(ours.obs["task"], obs["task"])
    assert ours[2:] == theirs[2:]
    assert (shown.horizon, shown.episodes, shown.splits) == (200, 2, family.splits)


# ------------------------------------------------------------------------------------------------ FiniteTasks

TEN = FiniteTasks(CartPole(), 10)


def test_training_tasks_come_from_the_table_and_all_of_them_do():
    drawn = draw(TEN, 200)
    rows = jax.vmap(TEN.row_of)(drawn)
    assert set(rows.tolist()) == set(range(10))
    jax.tree.map(lambda table, x: np.testing.assert_array_equal(table[rows], x), TEN.table, drawn)


def test_the_table_is_the_same_inside_of_a_compiled_function():
    inside = jax.jit(lambda: jax.tree.map(jnp.asarray, FiniteTasks(CartPole(), 10).table))()
    jax.tree.map(np.testing.assert_array_equal, inside, TEN.table)


def test_another_seed_is_another_table():
    assert not np.array_equal(FiniteTasks(CartPole(), 10, seed=1).table.length, TEN.table.length)


def test_tasks_of_the_table_are_of_the_train_split():
    goals = FiniteTasks(PointGoal(), 10).table.goal
    assert {split_of(goal, (-0.5, -0.5), (0.5, 0.5)) for goal in goals} == {"train"}


def test_other_splits_are_the_familys():
    key = jax.random.key(3)
    jax.tree.map(np.testing.assert_array_equal, TEN.sample(key, "test"), CartPole().sample(key, "test"))


def test_of_equal_rows_the_first_is_found():
    two = FiniteTasks(LookOrPull(), 50)
    rows = jax.vmap(two.row_of)(two.table)
    assert len(set(rows.tolist())) == 4
    np.testing.assert_array_equal(two.table.arm[rows], two.table.arm)


def test_tasks_with_many_numbers_are_found():
    family = FiniteTasks(TabularMDP(), 3)
    task = jax.tree.map(lambda x: jnp.asarray(x)[2], family.table)
    assert family.row_of(task) == 2
