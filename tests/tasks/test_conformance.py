"""What every family promises, over one list of families."""

import inspect
from functools import cache

import jax
import numpy as np
import pytest
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.base import SPLITS, DeviceFamily, draw_tasks
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.dark_room import DarkRoom
from rl_meta.tasks.driving import Driving
from rl_meta.tasks.grid_navigation import GridNavigation
from rl_meta.tasks.gymnax_adapter import Gymnax
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.tasks.point_goal import PointGoal, SparsePointGoal
from rl_meta.tasks.probes import AimAt, Countdown, LookOrPull, OneArmPays
from rl_meta.tasks.quadrotor import Quadrotor
from rl_meta.tasks.tabular_mdp import TabularMDP
from rl_meta.tasks.two_link_arm import TwoLinkArm
from rl_meta.tasks.wrappers import reveal_task
from tasks.playing import play_all, random_policy

FAMILIES = (
    Bandit(),
    TabularMDP(),
    GridNavigation(held_out=5),
    PointGoal(horizon=40),
    SparsePointGoal(),
    DarkRoom(),
    CartPole(horizon=12),
    Pendulum(horizon=30),
    TwoLinkArm(horizon=20),
    Quadrotor(horizon=20),
    Driving(horizon=20),
    OneArmPays(),
    Countdown(),
    LookOrPull(),
    AimAt(),
    reveal_task(OneArmPays()),
    reveal_task(AimAt()),
    Gymnax(max_steps=12),
    Gymnax("Pendulum-v1", vary=("g=5:15",), max_steps=30),
)
TASKS = 16

every_family = pytest.mark.parametrize("family", FAMILIES, ids=repr)


@cache
def tasks_of(family):
    """Tasks of every split, drawn twice from one key and once from another."""

    @jax.jit
    def draw(key):
        return {split: draw_tasks(family, key, TASKS, split) for split in family.splits}

    return jax.tree.map(np.asarray, [draw(jax.random.key(seed)) for seed in (0, 0, 1)])


@cache
def episodes_of(family):
    """A random agent's episodes, one in each of the train tasks."""
    episodes = play_all(family, tasks_of(family)[0]["train"], random_policy(family))
    return jax.tree.map(np.asarray, episodes)


def single(batch, index):
    """One row of a batch."""
    return jax.tree.map(lambda x: np.asarray(x[index]), batch)


def same(a, b):
    """Are all leaves equal?"""
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@every_family
def test_a_family_has_the_methods_of_the_protocol(family):
    for name in ("sample", "reset", "step"):
        expected = inspect.signature(getattr(DeviceFamily, name)).parameters
        assert list(inspect.signature(getattr(type(family), name)).parameters) == list(expected)
    assert isinstance(family.task_space, spaces.Dict)
    assert family.horizon >= 1
    assert family.episodes >= 1
    assert hash(family) == hash(family)


@every_family
def test_splits_are_known_and_include_train_and_test(family):
    assert {"train", "test"} <= set(family.splits) <= set(SPLITS)


@every_family
def test_an_unknown_split_names_the_nearest_one(family):
    for draw in (family.sample, lambda key, split: draw_tasks(family, key, 2, split)):
        with pytest.raises(UserError, match="did you mean 'train'"):
            draw(jax.random.key(0), "trian")


@every_family
def test_a_task_has_the_fields_of_the_task_space(family):
    task = jax.eval_shape(family.sample, jax.random.key(0))
    assert list(task._fields) == list(family.task_space)
    for name, leaf in task._asdict().items():
        assert leaf.shape == family.task_space[name].shape


@every_family
def test_tasks_lie_within_the_task_space_unless_extrapolating(family):
    for split, tasks in tasks_of(family)[0].items():
        inside = [family.task_space.contains(single(tasks, i)._asdict()) for i in range(TASKS)]
        assert all(inside) if split != "extrapolation" else not any(inside)


@every_family
def test_every_split_has_tasks_of_its_own(family):
    draws = list(tasks_of(family)[0].values())
    for i, first in enumerate(draws):
        assert not any(same(first, other) for other in draws[i + 1 :])


@every_family
def test_a_key_determines_the_task(family):
    first, again, other = tasks_of(family)
    assert same(first, again)
    assert not same(first, other)


@every_family
def test_observations_lie_in_the_observation_space(family):
    episodes = episodes_of(family)
    for i in range(4):
        assert family.observation_space.contains(single(episodes.first_obs, i))
        for t in np.flatnonzero(episodes.real[i]):
            assert family.observation_space.contains(single(episodes.obs, (i, t)))


@every_family
def test_observations_have_the_type_of_the_space_from_the_start(family):
    episodes = episodes_of(family)
    for first, later in zip(jax.tree.leaves(episodes.first_obs), jax.tree.leaves(episodes.obs), strict=True):
        assert first.dtype == later.dtype
        assert first.shape[1:] == later.shape[2:]
    if isinstance(family.observation_space, spaces.Box):
        assert episodes.obs.dtype == family.observation_space.dtype


@every_family
def test_a_step_keeps_the_structure_of_the_state(family):
    task = jax.eval_shape(family.sample, jax.random.key(0))
    state, obs = jax.eval_shape(family.reset, jax.random.key(0), task)
    action = jax.ShapeDtypeStruct(family.action_space.shape, jax.dtypes.canonicalize_dtype(family.action_space.dtype))
    after = jax.eval_shape(family.step, jax.random.key(0), state, action, task)
    assert jax.tree.structure(after.state) == jax.tree.structure(state)
    shapes = [(x.shape, x.dtype) for x in jax.tree.leaves(state)]
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(after.state)] == shapes
    assert jax.tree.structure(after.obs) == jax.tree.structure(obs)


@every_family
def test_rewards_are_finite_float_scalars(family):
    reward = episodes_of(family).reward
    assert reward.shape == (TASKS, family.horizon)
    assert reward.dtype == np.float32
    assert np.isfinite(reward).all()


@every_family
def test_an_episode_never_both_terminates_and_is_truncated(family):
    episodes = episodes_of(family)
    assert episodes.terminated.dtype == episodes.truncated.dtype == bool
    assert not (episodes.terminated & episodes.truncated & episodes.real).any()


@every_family
def test_an_episode_ends_at_the_horizon_at_the_latest(family):
    episodes = episodes_of(family)
    assert ((episodes.terminated | episodes.truncated) & episodes.real).any(1).all()
