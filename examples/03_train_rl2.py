"""Meta-train RL² on two slot machines with ten pulls, to near the best that any agent can do."""

import argparse

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.bandit import Bandit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-03", help="run directory")
parser.add_argument("--steps", type=int, default=200_000, help="environment steps of training")
options = parser.parse_args()


def show(line):
    """Called about 200 times in a run, with one line of metrics; lists have one number per seed."""
    if line["iteration"] % 50 == 0:
        print(f"{line['env_steps']:>9,} steps   return {line['return'][0]:.2f}")


family, method = Bandit(arms=2, pulls=10), RL2(memory=32)
run = rl_meta.train(family, method, out=options.out, steps=options.steps, report=show)

evaluation = rl_meta.evaluate(run, tasks=10_000, baselines=())  # held-out tasks: `split="test"`
print(f"10 pulls in an unknown task: {evaluation['lifetime']['mean']:.2f} (should be about 6.02, Bayes-optimal)")
print("saved in", run)
