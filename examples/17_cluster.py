"""A Ray cluster that lives the lifetimes: to the same numbers as processes of this machine, whoever lives what.

RL² learns to play at two slot machines of unknown chances. Two actors live its lifetimes, then two processes: the same
seeds give the same metrics and the same agent. On a cluster of several machines, give its address instead of `local`.
This needs `pip install 'rl-meta[ray]'`.
"""

import argparse
from pathlib import Path

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.bandit import Bandit
from rl_meta.training.metrics import read_lines

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-17", help="directory")
parser.add_argument("--steps", type=int, default=500_000, help="environment steps of training")
parser.add_argument("--ray", default="local", help="ADDRESS of a cluster, auto, or local")
options = parser.parse_args()

family, method = Bandit(arms=2, pulls=10), RL2(memory=32, encoder=(), meta_batch_size=64)
returns = {}
for who, ray in (("actors", options.ray), ("processes", None)):
    cluster = rl_meta.Cluster(2, ray)
    run = rl_meta.train(family, method, out=Path(options.out) / who, steps=options.steps, cluster=cluster)
    lines = read_lines(run / "metrics.jsonl")
    returns[who] = [line["return"][0] for line in lines]
    speed = sorted(line["steps_per_second"] for line in lines)[len(lines) // 2]
    deaths = sum(line["collector_deaths"][0] for line in lines)
    print(f"two {who}: {speed:,.0f} steps/s, {deaths:.0f} died, return in training {returns[who][-1]:.2f}")

same = sum(map(float.__eq__, *returns.values())) / len(lines)
print(f"iterations with the same return: {same:.2f} (should be about 1.00)")
