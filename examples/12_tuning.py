"""Tuning: how fast should RL² learn on two slot machines? Eight learning rates, of which the bad ones are stopped early.

The Bayes-optimal agent earns 6.02 in ten pulls, random actions 5. This needs `pip install 'rl-meta[ray]'`.
"""

import argparse

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.bandit import Bandit
from rl_meta.tasks.distributions import LogUniform

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-12", help="directory")
parser.add_argument("--steps", type=int, default=400_000, help="environment steps of a trial that is not stopped")
parser.add_argument("--trials", type=int, default=8, help="learning rates to try")
options = parser.parse_args()

told = rl_meta.tune(
    Bandit(arms=2, pulls=10),
    RL2(memory=32, encoder=()),
    out=options.out,
    trials=options.trials,
    steps=options.steps,
    ranges={"method.learning_rate": LogUniform(1e-5, 1e-1)},
    tasks=1000,
)
for trial in sorted(told["trials"], key=lambda trial: trial["values"]["method.learning_rate"]):
    rate, steps = trial["values"]["method.learning_rate"], trial["scores"][-1]["env_steps"]
    print(f"learning rate {rate:.5f}, {trial['state']} after {steps:,} steps, score {trial['score']:.2f}")

best = told["trials"][told["best"]]
evaluation = rl_meta.evaluate(best["run"], tasks=2000, baselines=(), acting="deterministic")
print(f"the best one, on test tasks: {evaluation['lifetime']['mean']:.2f} (should be about 6.00)")
