import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.tasks.cartpole import CartPole, CartPoleTask
from rl_meta.tasks.probes import ArmTask, LookOrPull
from rl_meta.tasks.tabular_mdp import TabularMDP
from rl_meta.tasks.wrappers import reveal_task
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
    assert (ours.reward, ours.terminated, ours.truncated) == theirs[2:]
    assert (shown.horizon, shown.episodes, shown.splits) == (200, 2, family.splits)
