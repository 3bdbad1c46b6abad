"""Any environment of Gymnasium as a family: an oven whose hidden setting the agent has to find out.

The oven bakes best at a temperature that differs from task to task; a loaf takes one step, and pays one minus twice how
far off the temperature was. What a loaf pays tells how far off it was, but not in which direction. The best agent bakes
the first of five loaves at 0.25, where half of the time only one direction is left: 4.25 in the mean
(the first pays 0.375, the second 0.875, the others 1). In the second episode it knows: 5.
"""

import argparse

import gymnasium
import numpy as np
from gymnasium import spaces

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.distributions import Uniform
from rl_meta.tasks.gymnasium_env import GymnasiumFamily


class Oven(gymnasium.Env):
    """An ordinary environment, which knows nothing of RL-Meta."""

    observation_space = spaces.Box(0, 1, (1,))
    action_space = spaces.Box(0, 1, (1,))

    def __init__(self, best=0.5):
        self.best = best

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1 - 2 * abs(float(action[0]) - self.best), False, False, {}


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-08", help="run directory")
parser.add_argument("--steps", type=int, default=400_000, help="environment steps of training")
parser.add_argument("--tasks", type=int, default=500, help="held-out tasks")
options = parser.parse_args()

family = GymnasiumFamily(Oven, vary={"best": Uniform(0, 1)}, max_steps=5, episodes=2)
run = rl_meta.train(family, RL2(memory=32), out=options.out, steps=options.steps)
evaluation = rl_meta.evaluate(run, family=family, tasks=options.tasks, baselines=(), acting="deterministic")
for row, good in zip(evaluation["episodes"], (4.25, 5.0), strict=True):
    print(f"episode {row['episode'] + 1}: {row['mean']:.2f} (should be about {good:.2f})")
