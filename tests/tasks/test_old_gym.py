"""Environments written for old Gym."""

import sys

import jax
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from rl_meta.errors import UserError
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.distributions import Uniform
from rl_meta.tasks.gymnasium_env import GymnasiumFamily
from rl_meta.tasks.old_gym import in_new_api

gym = pytest.importorskip("gym")
pytest.importorskip("shimmy")


class Before26(gym.Env):
    """`reset` gives an observation, and `step` four values. The observation is the goal, its scale, and a draw."""

    observation_space = gym.spaces.Box(-9, 9, (3,))
    action_space = gym.spaces.Discrete(2)
    scale = 1.0

    def __init__(self, goal=0.0):
        self.goal, self.time = goal, 0

    def seed(self, seed=None):
        self.draws = np.random.default_rng(seed)

    def seen(self):
        return np.array([self.goal, self.scale, self.draws.random()], np.float32)

    def reset(self):
        self.time = 0
        return self.seen()

    def step(self, action):
        self.time += 1
        return self.seen(), float(action), self.time == 3 and action == 1, {}


class Gym26(Before26):
    """As Gymnasium's, but for classes and spaces."""

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.seed(seed)
        return super().reset(), {}

    def step(self, action):
        obs, reward, done, info = super().step(action)
        return obs, reward, done, False, info


VARY = {"goal": Uniform(-1, 1), "unwrapped.scale": Uniform(2, 3)}


@pytest.mark.parametrize("env", [Before26, Gym26])
def test_an_environment_of_old_gym_is_a_family(env):
    family = GymnasiumFamily(env, vary=VARY, max_steps=4)
    assert (family.horizon, family.observation_space.shape, family.action_space.n) == (4, (3,), 2)
    tasks = jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(0), 2))
    envs = family.make_envs(2)
    first = envs.begin(np.ones(2, bool), tasks, np.arange(2, dtype=np.uint32), None)
    np.testing.assert_allclose(first[:, 0], tasks.goal)
    np.testing.assert_allclose(first[:, 1], tasks[1])
    outcomes = []
    for _ in range(4):
        envs.send(np.array([0, 1], np.int32), None, cut=False)
        outcomes.append(envs.receive())
    assert [list(x.terminated) for x in outcomes] == [[False, False]] * 2 + [[False, True], [False, False]]
    assert list(outcomes[3].truncated) == [True, False]
    assert list(outcomes[0].reward) == [0, 1]


def test_its_draws_follow_the_seed():
    family = GymnasiumFamily(Before26, vary=VARY, max_steps=4)
    tasks = jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(0), 2))
    born = lambda: family.make_envs(2).begin(np.ones(2, bool), tasks, np.array([7, 8], np.uint32), None)
    np.testing.assert_array_equal(born(), born())
    assert born()[0, 2] != born()[1, 2]


def test_one_of_gymnasium_stays_as_it_is():
    env = CartPoleEnv()
    assert in_new_api(env) is env


def test_without_shimmy_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "shimmy", None)
    with pytest.raises(UserError, match=r"Before26 is written for old Gym.*pip install 'rl-meta\[gym\]'"):
        in_new_api(Before26())
