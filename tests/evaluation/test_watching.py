import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.algorithms.base import Adapter, Shape, keep_adapted
from rl_meta.evaluation.lifetimes import live_through
from rl_meta.evaluation.watching import watch
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.grid_navigation import GridNavigation, GridTask
from rl_meta.tasks.probes import Countdown

KEY = jax.random.key(5)
GRID = GridNavigation(horizon=6)


def wanderer(choices):
    """Acts at random, and differently in every stage: what it has adapted is the sum of all observations."""

    def act(key, params, adapted, memory, inputs):
        action = (jax.random.randint(key, (), 0, choices) + adapted + inputs.obs.astype(int).sum()) % choices
        return memory + inputs.last_result.astype(int).sum(), action, ()

    def learn(key, params, adapted, steps):
        return adapted + (steps.inputs.obs + steps.next_obs).astype(int).sum()

    return Adapter(lambda key, params: (jnp.array(0), jnp.array(0)), act, learn)


@pytest.mark.parametrize("restart", [True, False])
def test_the_episodes_are_those_of_the_evaluation(restart):
    shape = Shape(stages=4, copies=1, steps=6, restart=restart)
    tasks = draw_tasks(GRID, KEY, 1)
    lived = live_through(wanderer(5), (), GRID, shape, tasks, KEY)
    watched = watch(wanderer(5), (), GRID, shape, jax.tree.map(lambda x: x[0], tasks), jax.random.fold_in(KEY, 0))
    assert [one.number for one in watched] == [1, 2, 3, 4]
    np.testing.assert_allclose([one.rewards.sum() for one in watched], lived.episodes[0], rtol=1e-5)


def test_states_lead_from_the_first_of_an_episode_to_its_last():
    right = Adapter(lambda *_: ((), ()), lambda *_: ((), jnp.array(2), ()), keep_adapted)
    shape = Shape(stages=1, copies=2, steps=15)
    watched = watch(right, (), GRID, shape, GridTask(jnp.array([3, 3])), KEY)
    assert len(watched) == 3
    for one, steps in zip(watched, (6, 6, 3), strict=True):
        np.testing.assert_array_equal(one.states.position[:, 0], np.minimum(np.arange(steps + 1), 4))
        np.testing.assert_array_equal(one.states.time, np.arange(steps + 1))


def test_an_episode_that_did_not_end_is_left_out():
    stay = Adapter(lambda *_: ((), ()), lambda *_: ((), jnp.array(0), ()), keep_adapted)
    family = Countdown(death=0.0, limit=0.0)
    shape = Shape(stages=1, copies=1, steps=family.horizon + 3, restart=False)
    assert len(watch(stay, (), family, shape, family.sample(KEY), KEY)) == 1
