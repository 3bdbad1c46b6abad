"""A family of your own in one file: a hidden number to guess, with "higher" and "lower" for an answer.

The best agent halves what is left: the number is its first guess once in seven, its second twice, its third four
times. In 8 guesses, right ones paying 1, that is (8 + 2 * 7 + 4 * 6) / 7 = 6.57; in the second episode it is 8.
"""

import argparse
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnasium import spaces

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.settings import Count
from rl_meta.tasks.base import SPLITS, Transition, split_key


class Hidden(NamedTuple):
    """The task: what the agent is not shown."""

    number: jax.Array


@dataclass(frozen=True)
class HiddenNumber:
    """Reward 1 for every right guess; the observation answers the last guess."""

    numbers: Count = 7
    horizon: Count = 8

    splits = SPLITS[:3]
    episodes = 2
    observation_space = spaces.Discrete(4)  # 0: no guess yet, 1: right, 2: higher, 3: lower

    @property
    def action_space(self):
        """The guess."""
        return spaces.Discrete(self.numbers)

    @property
    def task_space(self):
        """The fields of `Hidden`."""
        return spaces.Dict([("number", spaces.Discrete(self.numbers))])

    def sample(self, key, split="train"):
        """A task."""
        return Hidden(jax.random.randint(split_key(key, split), (), 0, self.numbers))

    def reset(self, key, task):
        """The state is the count of guesses in this episode."""
        return jnp.array(0), jnp.array(0)

    def step(self, key, state, action, task):
        """One guess."""
        answer = 1 + (action < task.number) + 2 * (action > task.number)
        reward = (action == task.number).astype(float)
        return Transition(state + 1, answer, reward, jnp.zeros((), bool), state + 1 >= self.horizon)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-07", help="run directory")
parser.add_argument("--steps", type=int, default=300_000, help="environment steps of training")
options = parser.parse_args()

family = HiddenNumber()
run = rl_meta.train(family, RL2(memory=32, entropy_weight=0.1), out=options.out, steps=options.steps)
evaluation = rl_meta.evaluate(run, family=family, tasks=2000, baselines=())
for row, best in zip(evaluation["episodes"], (6.57, 8.00), strict=True):
    print(f"episode {row['episode'] + 1}: {row['mean']:.2f} (should be about {best:.2f})")
