"""The adaptation curve: what the agent earns in its first and in its second episode in an unknown task.

A grid of 3 x 3 cells hides one of 5 goals. All of them can be visited in one episode of 8 steps, so the best
agent searches in the first episode (4.70 on average) and goes straight to the goal in the second (6.02).
"""

import argparse

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.grid_navigation import GridNavigation

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-04", help="run directory")
parser.add_argument("--steps", type=int, default=300_000, help="environment steps of training")
options = parser.parse_args()

family, method = GridNavigation(size=3, horizon=8), RL2(lifetime_episodes=2, memory=32)
run = rl_meta.train(family, method, out=options.out, steps=options.steps)
evaluation = rl_meta.evaluate(run, tasks=1000, baselines=())

for row, best in zip(evaluation["episodes"], (4.70, 6.02), strict=True):
    print(f"episode {row['episode'] + 1}, done after {row['env_steps']:.0f} steps in the task")
    print(f"    mean: {row['mean']:.2f} (should be about {best:.2f})")
    print(f"    IQM {row['iqm']:.2f}, 95 % interval {row['low']:.2f} to {row['high']:.2f}")
    print(f"    20th percentile {row['p20']:.2f}")
delta = evaluation["delta"]
print(f"gain from the first to the second: {delta['mean']:.2f} (should be about 1.32)")
print("page with plots:", rl_meta.report(run))
