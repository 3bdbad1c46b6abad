"""A lifetime, step by step: an agent that was never trained, in slot machines written in plain Python."""

import argparse

import jax
import numpy as np

from rl_meta.algorithms.rl2 import RL2
from rl_meta.collection.agent import Agent
from rl_meta.tasks.bandit import Bandit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--tasks", type=int, default=500, help="lifetimes to live")
tasks = parser.parse_args().tasks

family, method = Bandit(arms=2, pulls=10), RL2(memory=16)
algorithm = method.build(family, iterations=1)
meta_params = algorithm.init(jax.random.key(0)).params  # training would change these; nothing below does
agent = Agent(algorithm.adapter, meta_params, method.shape(family), family.observation_space, family.action_space)

chance = np.random.default_rng(0)
earned = []
for number in range(tasks):
    probabilities = chance.uniform(size=2)  # the task: hidden, and fixed for a lifetime
    agent.begin_task(seed=number)  # a new lifetime: the memory of the last one is gone
    reward, total = 0.0, 0.0
    for _ in range(family.pulls):
        arm = agent.act(0, reward)  # the outcome of an action comes with the next observation
        reward = float(chance.uniform() < probabilities[arm])
        total += reward
    earned.append(total)

print(f"the untrained agent: {np.mean(earned):.2f} (should be about 5.00, as random actions)")
