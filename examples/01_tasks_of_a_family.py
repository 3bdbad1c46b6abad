"""A family and its tasks: what is hidden, and what random actions earn. Nothing is learned here."""

import argparse

import jax
import jax.numpy as jnp

from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.base import draw_tasks

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--tasks", type=int, default=50_000, help="tasks to draw")
count = parser.parse_args().tasks

family = Bandit(arms=2, pulls=10)
print("the agent sees ", family.observation_space)
print("the agent does ", family.action_space)
print("what is hidden ", family.task_space)

tasks = draw_tasks(family, jax.random.key(0), count, split="test")  # a NamedTuple of arrays [count, ...]
print("the first task ", {name: value[0].tolist() for name, value in tasks._asdict().items()})


def random_episode(key, task):
    """The return of one episode of random actions. `reset` and `step` are pure functions of one task."""
    key_reset, key_steps = jax.random.split(key)
    state, _ = family.reset(key_reset, task)

    def step(state, key):
        key_act, key_env = jax.random.split(key)
        transition = family.step(key_env, state, jax.random.randint(key_act, (), 0, family.arms), task)
        return transition.state, transition.reward

    return jax.lax.scan(step, state, jax.random.split(key_steps, family.pulls))[1].sum()


returns = jax.vmap(random_episode)(jax.random.split(jax.random.key(1), count), tasks)
best = family.pulls * tasks.probabilities.max(-1)
print(f"random actions: {jnp.mean(returns):.2f} (should be about 5.00)")
print(f"always the better arm: {jnp.mean(best):.2f} (should be about 6.67)")
