"""Robots of MuJoCo with hidden tasks: the rewards of the papers, on Gymnasium's current bodies."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.errors import UserError
from rl_meta.tasks import locomotion
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.locomotion import AngleTask, BodyTask, DirectionTask, GoalTask, VelocityTask

pytest.importorskip("mujoco")

ROUNDING = 1e-5
"""Rewards are float32, and positions are differences of larger ones."""
NAMES = (
    *("HalfCheetahVelMAML", "HalfCheetahVelPEARL", "HalfCheetahVelVariBAD", "HalfCheetahDir"),
    *("AntDir", "AntGoal", "HopperBody", "Walker2dBody"),
)
every_family = pytest.mark.parametrize("name", NAMES)


def begun(family, task):
    """One environment in a task, the Gymnasium environment in it, and the first observation."""
    envs = family.make_envs(1)
    tasks = jax.tree.map(lambda x: np.asarray(x)[None], task)
    obs = envs.begin(np.ones(1, bool), tasks, np.zeros(1, np.uint32), None)
    return envs, envs._envs[0].env.unwrapped, obs


def step(envs, action):
    envs.send(action[None].astype(np.float32), None, cut=False)
    return envs.receive()


def actions(family, count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *family.action_space.shape)).astype(np.float32)


@every_family
def test_spaces_and_tasks_are_what_the_family_says(name):
    family = getattr(locomotion, name)(horizon=7)
    for split in family.splits:
        task = jax.tree.map(lambda x: np.asarray(x[0]), draw_tasks(family, jax.random.key(0), 1, split))
        assert family.task_space.contains(task._asdict())
    envs, env, obs = begun(family, task)
    assert env.observation_space.shape == family.observation_space.shape == obs.shape[1:]
    assert env.action_space == family.action_space
    ends = [step(envs, np.zeros_like(action)) for action in actions(family, 7)]
    assert [bool(end.truncated[0]) for end in ends] == [False] * 6 + [True]
    assert not any(end.terminated[0] for end in ends)
    assert set(ends[0].measured) == {entry.partition("=")[0] for entry in family.measures}


@every_family
def test_splits_share_no_task_and_tasks_follow_from_the_key(name):
    family = getattr(locomotion, name)()
    drawn = {split: np.asarray(draw_tasks(family, jax.random.key(0), 50, split)[0]) for split in family.splits}
    if name != "HalfCheetahDir":  # there are only two
        assert not set(drawn["train"].ravel().tolist()) & set(drawn["test"].ravel().tolist())
    np.testing.assert_array_equal(drawn["test"], draw_tasks(family, jax.random.key(0), 50, "test")[0])


@pytest.mark.parametrize(("name", "fastest"), [("HalfCheetahVelMAML", 2), ("HalfCheetahVelVariBAD", 3)])
def test_speeds_are_as_fast_as_in_the_paper(name, fastest):
    speeds = np.asarray(draw_tasks(getattr(locomotion, name)(), jax.random.key(0), 4000).velocity)
    assert speeds.min() == pytest.approx(0, abs=0.01)
    assert speeds.max() == pytest.approx(fastest, abs=0.01)


def test_conventions_differ_in_horizon_episodes_and_splits():
    maml, pearl, varibad = (getattr(locomotion, f"HalfCheetahVel{name}")() for name in ("MAML", "PEARL", "VariBAD"))
    assert [(family.horizon, family.episodes) for family in (maml, pearl, varibad)] == [(100, 2), (200, 3), (200, 2)]
    assert (pearl.splits, maml.splits) == (("train", "test"), ("train", "validation", "test"))


def test_pearls_speeds_are_the_hundred_and_the_thirty_of_its_seed():
    family = locomotion.HalfCheetahVelPEARL()
    train, test = (np.unique(draw_tasks(family, jax.random.key(0), 3000, split).velocity) for split in family.splits)
    assert (len(train), len(test)) == (100, 30)
    np.random.seed(1337)  # noqa: NPY002 (as they draw them)
    theirs = np.random.uniform(0.0, 3.0, size=(130,)).astype(np.float32)  # noqa: NPY002
    np.testing.assert_array_equal(train, np.sort(theirs[:100]))
    np.testing.assert_array_equal(test, np.sort(theirs[100:]))


def moved(family, task):
    """(velocity [2], action, step) of some steps, the velocity from positions before and after; torso at the end."""
    envs, env, _ = begun(family, task)
    found = []
    for action in actions(family, 4):
        before = env.data.qpos[:2].copy()
        outcome = step(envs, action)
        found.append(((env.data.qpos[:2] - before) / env.dt, action, outcome, env.data.qpos[:2].copy(), env))
    return found


def test_the_half_cheetah_pays_for_the_distance_from_the_wanted_speed():
    for (x, _), action, outcome, *_ in moved(locomotion.HalfCheetahVelMAML(), VelocityTask(jnp.float32(1.25))):
        assert outcome.reward[0] == pytest.approx(-abs(x - 1.25) - 0.05 * np.square(action).sum(), abs=ROUNDING)
        assert outcome.measured["velocity_error"][0] == pytest.approx(abs(x - 1.25), abs=ROUNDING)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_the_half_cheetah_is_paid_for_the_wanted_direction(direction):
    for (x, _), action, outcome, *_ in moved(locomotion.HalfCheetahDir(), DirectionTask(jnp.float32(direction))):
        assert outcome.reward[0] == pytest.approx(direction * x - 0.05 * np.square(action).sum(), abs=ROUNDING)


def contacts(env):
    return 5e-4 * np.square(np.clip(env.data.cfrc_ext, -1, 1)).sum()


def test_the_ant_is_paid_for_the_wanted_angle():
    *_, (_, action, outcome, _, env) = moved(locomotion.AntDir(), AngleTask(jnp.float32(2.0)))
    velocity = outcome.measured["velocity"][0]
    assert outcome.reward[0] == pytest.approx(
        velocity + 1 - 0.5 * np.square(action).sum() - contacts(env), abs=ROUNDING
    )
    towards = [moved(locomotion.AntDir(), AngleTask(jnp.float32(a)))[-1][2].measured["velocity"][0] for a in (0, np.pi)]
    assert towards[0] == pytest.approx(-towards[1], abs=ROUNDING)
    assert abs(towards[0]) > 100 * ROUNDING


def test_the_ant_pays_for_the_distance_from_its_goal():
    goal = np.array([1.0, -2.0], np.float32)
    for _, action, outcome, torso, env in moved(locomotion.AntGoal(), GoalTask(jnp.asarray(goal))):
        costs = 0.1 * np.square(action).sum() + contacts(env)
        assert outcome.measured["distance"][0] == pytest.approx(np.hypot(*(torso - goal)), abs=ROUNDING)
    assert outcome.reward[0] == pytest.approx(-np.abs(torso - goal).sum() - costs, abs=ROUNDING)
    np.testing.assert_allclose(outcome.next_obs[0, :2], torso, atol=ROUNDING)


def test_the_ants_goals_fill_a_disc():
    goals = np.asarray(draw_tasks(locomotion.AntGoal(), jax.random.key(0), 4000).goal)
    radius = np.hypot(*goals.T)
    assert radius.max() == pytest.approx(3, abs=0.01)
    assert np.mean(radius < 1.5) == pytest.approx(0.25, abs=0.03)
    np.testing.assert_allclose(goals.mean(0), 0, atol=0.1)


@pytest.mark.parametrize(("name", "plain"), [("HopperBody", "Hopper-v5"), ("Walker2dBody", "Walker2d-v5")])
def test_a_body_with_powers_of_zero_is_gymnasiums_own(name, plain):
    family = getattr(locomotion, name)()
    task = jax.tree.map(jnp.zeros_like, family.sample(jax.random.key(0)))
    envs, _, obs = begun(family, task)
    theirs = gymnasium.make(plain)
    np.testing.assert_array_equal(obs[0], theirs.reset(seed=0)[0].astype(np.float32))
    for action in actions(family, 5):
        outcome, expected = step(envs, action), theirs.step(action)
        np.testing.assert_array_equal(outcome.next_obs[0], expected[0].astype(np.float32))
        assert outcome.reward[0] == np.float32(expected[1])


def test_a_body_has_the_masses_of_its_task_also_after_a_reset_and_another_task():
    family = locomotion.HopperBody(horizon=3)
    zero = jax.tree.map(np.zeros_like, jax.tree.map(np.asarray, family.sample(jax.random.key(0))))
    one = zero._replace(mass=np.full(5, 2.0, np.float32), damping=np.full(6, -1.0, np.float32))
    envs, env, _ = begun(family, BodyTask(*zero))
    mass, damping, weight = (x.copy() for x in (env.model.body_mass, env.model.dof_damping, env.model.body_invweight0))
    for task, times in ((one, (1.5**2, 1 / 1.3)), (one, (1.5**2, 1 / 1.3)), (zero, (1.0, 1.0))):
        envs.begin(np.ones(1, bool), jax.tree.map(lambda x: x[None], task), np.zeros(1, np.uint32), None)
        for action in actions(family, 4):
            step(envs, action)
        np.testing.assert_allclose(env.model.body_mass, mass * times[0])
        np.testing.assert_allclose(env.model.dof_damping, damping * times[1])
    np.testing.assert_allclose(env.model.body_invweight0, weight)


def test_without_mujoco_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("rl_meta.tasks.robots.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'rl-meta\[mujoco\]'"):
        _ = locomotion.AntDir().observation_space
