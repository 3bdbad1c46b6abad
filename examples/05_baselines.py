"""What a claim needs beside it: no adaptation, perfect knowledge, and learning every task from scratch."""

import argparse

import rl_meta
from rl_meta.algorithms.multitask import MultiTask
from rl_meta.algorithms.oracle import Oracle
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.bandit import Bandit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-05", help="where the run directories go")
parser.add_argument("--steps", type=int, default=300_000, help="environment steps of training, each")
options = parser.parse_args()

family = Bandit(arms=2, pulls=10)
known = {"rl2": 6.02, "multitask": 5.00, "oracle": 6.67}
settings = (RL2(memory=32, learning_rate=3e-3), MultiTask(hidden=(16,)), Oracle(hidden=(16,), learning_rate=3e-3))
runs = {}
for name, method in zip(known, settings, strict=True):
    runs[name] = rl_meta.train(family, method, out=f"{options.out}/{name}", steps=options.steps)

others = (runs["multitask"], runs["oracle"])
evaluation = rl_meta.evaluate(runs["rl2"], tasks=4000, baselines=("scratch",), baseline_tasks=16, against=others)
beside = evaluation["baselines"]
for name, curve in {"rl2": evaluation, "multitask": beside["multitask"], "oracle": beside["oracle"]}.items():
    print(f"{name}: {curve['lifetime']['mean']:.2f} (should be about {known[name]:.2f})")
first, last = beside["scratch"]["stages"][0], beside["scratch"]["stages"][-1]
print(f"scratch, first {first['env_steps']:,.0f} pulls: {first['mean']:.2f}")
print(f"scratch, after {last['env_steps']:,.0f} pulls: {last['mean']:.2f}")
gain = evaluation["speedup"]["scratch"]
print(
    f"the return of rl2's first {gain['steps']:.0f} pulls takes scratch {gain['baseline_steps'] or 'more than all its'}"
)
