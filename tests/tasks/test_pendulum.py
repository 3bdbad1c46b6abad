import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.envs.classic_control.pendulum import PendulumEnv

from rl_meta.tasks.pendulum import Pendulum, PendulumState, PendulumTask

SINGLE_PRECISION = 2e-5
"""Gymnasium computes in double precision; rewards are up to 16 in size."""


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_step_equals_gymnasiums(direction):
    rng = np.random.default_rng(0)
    thetas, speeds = rng.uniform(-9, 9, 50).astype(np.float32), rng.uniform(-8, 8, 50).astype(np.float32)
    torques = rng.uniform(-2, 2, (50, 1)).astype(np.float32)
    task = PendulumTask(*map(jnp.array, (10.0, 1.0, 1.0, direction)))
    states = PendulumState(jnp.array(thetas), jnp.array(speeds), jnp.zeros(50, int))
    step = jax.jit(jax.vmap(Pendulum().step, (None, 0, 0, None)))
    ours = step(jax.random.key(0), states, jnp.array(torques), task)
    env = PendulumEnv()
    for i in range(50):
        env.state = np.array([thetas[i], speeds[i]], np.float64)
        obs, reward, *_ = env.step(direction * torques[i])
        np.testing.assert_allclose(ours.obs[i], obs, atol=SINGLE_PRECISION)
        np.testing.assert_allclose(ours.reward[i], reward, atol=SINGLE_PRECISION)


def test_gravity_mass_and_length_are_used():
    env = PendulumEnv(g=7.0)
    env.m, env.l = 0.6, 1.3
    env.state = np.array([0.4, -1.0])
    obs, reward, *_ = env.step(np.array([1.5]))
    state = PendulumState(jnp.array(0.4), jnp.array(-1.0), jnp.array(0))
    task = PendulumTask(*map(jnp.array, (7.0, 0.6, 1.3, 1.0)))
    ours = Pendulum().step(jax.random.key(0), state, jnp.array([1.5]), task)
    np.testing.assert_allclose(ours.obs, obs, atol=SINGLE_PRECISION)
    np.testing.assert_allclose(ours.reward, reward, atol=SINGLE_PRECISION)
