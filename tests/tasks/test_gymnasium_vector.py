import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rl_meta.errors import UserError
from rl_meta.tasks.gymnasium_vector import VectorEnvs

COUNT = 6


def vector(mode):
    make = lambda: gymnasium.make("CartPole-v1", max_episode_steps=30)
    return SyncVectorEnv([make] * COUNT, autoreset_mode=mode)


def put(envs, index, task):
    envs.envs[index].unwrapped.force_mag = float(task["force"])


def outcomes(mode):
    """200 steps of random actions, cut after each 50."""
    envs, rng = VectorEnvs(vector(mode), put), np.random.default_rng(0)
    found = [
        envs.begin(np.ones(COUNT, bool), {"force": np.arange(COUNT) + 5.0}, np.arange(COUNT, dtype=np.uint32), None)
    ]
    for time in range(200):
        envs.send(rng.integers(0, 2, COUNT), None, cut=time % 50 == 49)
        found.append(envs.receive())
    return found


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_all_autoreset_modes_give_the_same_steps(mode):
    first, *ours = outcomes(mode)
    expected, *theirs = outcomes(AutoresetMode.DISABLED)
    np.testing.assert_array_equal(first, expected)
    assert sum(o.terminated.sum() for o in theirs) > 20
    assert sum(o.truncated.sum() for o in theirs) > 3 * COUNT
    for x, y in zip(ours, theirs, strict=True):
        for name in ("obs", "next_obs", "reward", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(x, name), getattr(y, name), err_msg=name)


def test_every_recorded_step_is_real():
    _, *steps = outcomes(AutoresetMode.NEXT_STEP)
    assert all((step.reward == 1).all() for step in steps)
    for step in steps:
        done = step.terminated | step.truncated
        np.testing.assert_array_equal((step.obs != step.next_obs).any(1), done)
        assert (np.abs(step.obs[done]) <= 0.05).all()


class Masked(SyncVectorEnv):
    """Does not know of masks."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)


def test_environments_that_cannot_be_reset_one_by_one_are_refused():
    by_gymnasium = gymnasium.make_vec("CartPole-v1", num_envs=4, vectorization_mode="vector_entry_point")
    with pytest.raises(UserError, match=r"reset_mask.*must be a python integer"):
        VectorEnvs(by_gymnasium, put)
    with pytest.raises(UserError, match=r"reset_mask.*resets all"):
        VectorEnvs(Masked([lambda: gymnasium.make("CartPole-v1")] * 3), put)
