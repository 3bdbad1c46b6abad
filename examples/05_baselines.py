"""What a claim needs beside it: no adaptation, perfect knowledge, and learning every task from scratch."""

import argparse

import rl_meta
from rl_meta.algorithms.multitask import MultiTask
from rl_meta.algorithms.oracle import Oracle
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.bandit import Bandit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-05", help="where the run directories go")
parser.add_argument("--steps", type=int, default=150_000, help="environment steps of training, each")
options = parser.parse_args()

family = Bandit(arms=2, pulls=10)
known = {"rl2": 6.02, "multitask": 5.00, "oracle": 6.67}
settings = (RL2(memory=32), MultiTask(hidden=(16,)), Oracle(hidden=(16,), learning_rate=5e-3))
runs = {}
for name, method in zip(known, settings, strict=True):
    runs[name] = rl_meta.train(family, method, out=f"{options.out}/{name}", steps=options.steps)

others = (runs["multitask"], runs["oracle"])
evaluation = rl_meta.evaluate(runs["rl2"], tasks=4000, baselines=("scratch",), baseline_tasks=8, against=others)
scratch = evaluation["baselines"].pop("scratch")
for name, curve in {"rl2": evaluation, **evaluation["baselines"]}.items():
    print(f"{name}, 10 pulls: {curve['lifetime']['mean']:.2f} (should be about {known[name]:.2f})")

# scratch learns for much longer, and so in the first 8 of the tasks only
for row in (scratch["stages"][0], scratch["stages"][-1]):
    print(f"    scratch, after {row['env_steps']:,.0f} pulls: {row['mean']:.2f}")
gain = evaluation["speedup"]["scratch"]
print(f"in the same 8 tasks rl2 earns {gain['return']:.2f} with its first {gain['steps']:.0f} pulls")
