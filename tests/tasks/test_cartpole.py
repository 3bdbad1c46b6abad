import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from rl_meta.tasks.cartpole import CartPole, CartPoleState, CartPoleTask
from tasks.playing import draw

SINGLE_PRECISION = 2e-6
"""Gymnasium computes in double precision; the numbers are up to 3 in size."""


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_step_equals_gymnasiums(direction):
    rng = np.random.default_rng(0)
    physics = rng.uniform(-1, 1, (50, 4)) * (2.5, 2.0, 0.22, 2.0)
    pushes = rng.integers(0, 2, 50)
    task = CartPoleTask(*map(jnp.array, (9.8, 0.5, 0.1, 10.0, direction)))
    states = CartPoleState(jnp.array(physics, jnp.float32), jnp.zeros(50, int))
    step = jax.jit(jax.vmap(CartPole().step, (None, 0, 0, None)))
    ours = step(jax.random.key(0), states, jnp.array(pushes), task)
    for i in range(50):
        env = CartPoleEnv()
        env.state = physics[i]
        obs, reward, terminated, *_ = env.step(int(pushes[i]) if direction == 1 else 1 - int(pushes[i]))
        np.testing.assert_allclose(ours.obs[i], obs, atol=SINGLE_PRECISION)
        assert ours.reward[i] == reward
        assert bool(ours.terminated[i]) == terminated
    assert 0 < int(ours.terminated.sum()) < 50


def test_the_direction_is_hidden_unless_told_otherwise():
    hidden = draw(CartPole(), 50).direction
    shown = draw(CartPole(hide_direction=False), 50).direction
    assert set(hidden.tolist()) == {-1.0, 1.0}
    assert set(shown.tolist()) == {1.0}
