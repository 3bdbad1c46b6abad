"""A robot arm that finds out what it holds and where the goal is, and draws how.

The arm has two links. Hidden are how heavy the links are and what the hand holds, how much the joints rub, and where the
goal is; what a step pays tells only how near the hand is to it. In its first episode the agent has to look for the goal,
later it goes there at once.
"""

import argparse
from pathlib import Path

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.analysis.film import film_of_run
from rl_meta.tasks.two_link_arm import TwoLinkArm

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-09", help="run directory")
parser.add_argument("--steps", type=int, default=1_500_000, help="environment steps of training")
parser.add_argument("--tasks", type=int, default=500, help="held-out tasks")
options = parser.parse_args()

method = RL2(meta_batch_size=32, epochs=8, learning_rate=1e-3, discount=0.97, trace=0.9)  # many small updates
run = rl_meta.train(TwoLinkArm(), method, out=options.out, steps=options.steps)
evaluation = rl_meta.evaluate(run, tasks=options.tasks, baselines=(), acting="deterministic")
first, _, third = (row["mean"] for row in evaluation["episodes"][:3])
print(f"first episode: {first:.1f} (should be about -15.0)")
print(f"third episode: {third:.1f} (should be about -10.0)")

strip = Path(options.out) / "film.png"
film_of_run(Path(run), seed=4).savefig(strip, dpi=90)  # of three episodes, the first and the last
print(f"the first and the third episode in a new task: {strip}")
