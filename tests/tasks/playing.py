"""One episode of a family, lived by any policy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnasium import spaces

from rl_meta.tasks.base import draw_tasks


class Episode(NamedTuple):
    """Everything that `step` returned, [T, ...], the first observation, and which steps were real, [T]."""

    first_obs: object
    obs: object
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    real: jax.Array

    @property
    def total(self):
        return (self.reward * self.real).sum(-1)


def draw(family, count, split="train", seed=0):
    """Tasks [count, ...] of a split."""
    return jax.jit(lambda key: draw_tasks(family, key, count, split))(jax.random.key(seed))


def play(family, key, task, policy):
    """`policy(key, state, time, task)` gives the action; steps after the end of the episode are not real."""
    key_reset, key_steps = jax.random.split(key)
    state, first_obs = family.reset(key_reset, task)

    def step(carry, time):
        state, real = carry
        key_act, key_env = jax.random.split(jax.random.fold_in(key_steps, time))
        transition = family.step(key_env, state, policy(key_act, state, time, task), task)
        ends = transition.terminated | transition.truncated
        return (transition.state, real & ~ends), (*transition[1:5], real)

    _, trace = jax.lax.scan(step, (state, jnp.ones((), bool)), jnp.arange(family.horizon))
    return Episode(first_obs, *trace)


def play_all(family, tasks, policy):
    """One episode in each of the tasks [N, ...]."""
    keys = jax.random.split(jax.random.key(0), len(jax.tree.leaves(tasks)[0]))
    return jax.jit(jax.vmap(lambda k, task: play(family, k, task, policy)))(keys, tasks)


def random_policy(family):
    """Uniform over the action space."""
    space = family.action_space
    if isinstance(space, spaces.Discrete):
        return lambda key, *_: jax.random.randint(key, (), 0, int(space.n))
    return lambda key, *_: jax.random.uniform(key, space.shape, minval=space.low, maxval=space.high)


def towards(goal, position):
    """The grid action that goes one cell nearer to the goal, along the first axis first."""
    dx, dy = goal - position
    vertical = jnp.where(dy > 0, 1, jnp.where(dy < 0, 3, 0))
    return jnp.where(dx > 0, 2, jnp.where(dx < 0, 4, vertical))
