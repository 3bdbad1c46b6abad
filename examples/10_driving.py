"""A car whose tyres, weight, wheelbase and steering are hidden, in traffic that is hidden, too.

The agent drives on curved roads among others, in a car and a traffic that it has never met. Its first and third episode are
drawn from above: its own car, the others and the road.
"""

import argparse
from pathlib import Path

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.analysis.film import film_of_run
from rl_meta.tasks.driving import Driving

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-10", help="run directory")
parser.add_argument("--steps", type=int, default=1_500_000, help="environment steps of training")
parser.add_argument("--tasks", type=int, default=500, help="held-out tasks")
options = parser.parse_args()

run = rl_meta.train(Driving(), RL2(), out=options.out, steps=options.steps)
evaluation = rl_meta.evaluate(run, tasks=options.tasks, baselines=(), acting="deterministic")
first, _, third = (row["mean"] for row in evaluation["episodes"][:3])
print(f"first episode: {first:.1f}, third episode: {third:.1f}")

strip = Path(options.out) / "film.png"
film_of_run(Path(run)).savefig(strip, dpi=90)  # of three episodes, the first and the last
print(f"the first and the third episode in a new task: {strip}")
