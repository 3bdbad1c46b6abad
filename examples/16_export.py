"""Export: an agent that still adapts, in a process that knows neither RL-Meta nor JAX.

RL² learns to play at two slot machines of unknown chances; the best agent earns 6.02 in ten pulls, one that pulls at
random 5. What is exported is the whole agent, with its memory as explicit state. This needs
`pip install 'rl-meta[onnx]'`; for `--to torch` or `--to tensorflow` another extra of that name.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.bandit import Bandit

PLAY = """
import random, sys
sys.modules["jax"] = sys.modules["rl_meta"] = None  # importing them is an error
from agent import Agent

agent, earned, tasks = Agent(), 0, int(sys.argv[1])
random.seed(0)
for seed in range(tasks):
    agent.begin_task(seed=seed)
    chances, reward = [random.random(), random.random()], 0.0
    for pull in range(10):
        arm = agent.act(0, reward, deterministic=True)
        reward = float(random.random() < chances[int(arm)])
        earned += reward
print(earned / tasks)
"""

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-16", help="run directory")
parser.add_argument("--steps", type=int, default=2_000_000, help="environment steps of training")
parser.add_argument("--tasks", type=int, default=2000, help="slot machines to play at")
parser.add_argument("--to", default="onnx", help="onnx, torch or tensorflow")
options = parser.parse_args()

run = rl_meta.train(Bandit(arms=2, pulls=10), RL2(memory=32, encoder=()), out=options.out, steps=options.steps)
agent = rl_meta.export(run, to=options.to, out=Path(options.out) / options.to)
play = [sys.executable, "-c", PLAY, str(options.tasks)]
earned = float(subprocess.run(play, cwd=agent, capture_output=True, text=True, check=True).stdout)
print(f"earned per task: {earned:.2f} (should be about 6.00)")
