"""Any environment of Gymnasium as a family: an oven whose hidden setting the agent has to find out.

The oven bakes best at a temperature that differs from task to task; a loaf takes one step, and pays one minus twice how
far off the temperature was. What a loaf pays tells how far off it was, but not in which direction. The best agent bakes
the first of five loaves at 0.25, where half of the time only one direction is left: 4.25 in the mean
(the first pays 0.375, the second 0.875, the others 1). In later episodes it knows: 5. A strip of pictures shows the loaves
of the first and the third episode with an oven that is best at 0.3: green is the best temperature, black the agent's.
"""

import argparse
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces
from matplotlib.image import imsave

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.distributions import Uniform
from rl_meta.tasks.gymnasium_env import GymnasiumFamily


class Oven(gymnasium.Env):
    """An ordinary environment, which knows nothing of RL-Meta."""

    observation_space = spaces.Box(0, 1, (1,))
    action_space = spaces.Box(0, 1, (1,))

    def __init__(self, best=0.5):
        self.best, self.last = best, 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.last = float(action[0])
        return np.zeros(1, np.float32), 1 - 2 * abs(self.last - self.best), False, False, {}

    def render(self):
        picture = np.full((30, 120, 3), 255, np.uint8)
        for at, colour in ((self.best, (0, 160, 90)), (self.last, (0, 0, 0))):
            picture[:, int(117 * at) : int(117 * at) + 3] = colour
        return np.pad(picture, ((6, 6), (6, 6), (0, 0)), constant_values=210)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-08", help="run directory")
parser.add_argument("--steps", type=int, default=400_000, help="environment steps of training")
parser.add_argument("--tasks", type=int, default=500, help="held-out tasks")
options = parser.parse_args()

family = GymnasiumFamily(Oven, vary={"best": Uniform(0, 1)}, max_steps=5, episodes=3)
method = RL2(memory=32, learning_rate=3e-3, discount=0.9, trace=0.9)  # what a loaf teaches pays with the next ones
run = rl_meta.train(family, method, out=options.out, steps=options.steps)
evaluation = rl_meta.evaluate(run, family=family, tasks=options.tasks, baselines=(), acting="deterministic")
for row, good in zip(evaluation["episodes"], (4.25, 5.0, 5.0), strict=True):
    print(f"episode {row['episode'] + 1}: {row['mean']:.2f} (should be about {good:.2f})")

agent, oven, rows = rl_meta.load(run, family=family), Oven(best=0.3), []
agent.begin_task(seed=0)
obs, reward = oven.reset(seed=0)[0], 0.0
for episode in range(3):
    rows.append([])
    for loaf in range(5):
        action = agent.act(obs, reward, truncated=loaf == 0 and episode > 0, deterministic=True)
        obs, reward, *_ = oven.step(action)
        rows[-1].append(oven.render())
strip = Path(options.out) / "film.png"
imsave(strip, np.concatenate([np.concatenate(rows[episode], 1) for episode in (0, 2)]))
print(f"the first and the third episode in a new task: {strip}")
