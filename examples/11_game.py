"""A game with a hidden rule: which cell of the board pays, the player has to find out.

Every step on the hidden goal pays 1, any other costs 0.1, and an episode has 15 steps. The agent searches the board in its
first episode, without going anywhere twice, and in its third it walks straight to the goal and stays. Games with more
to find out are the families `minigrid`, `xland` and `atari`: exchange one line.
"""

import argparse
from pathlib import Path

import rl_meta
from rl_meta.algorithms.rl2 import RL2
from rl_meta.analysis.film import film_of_run
from rl_meta.tasks.grid_navigation import GridNavigation

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="runs/example-11", help="run directory")
parser.add_argument("--steps", type=int, default=1_500_000, help="environment steps of training")
parser.add_argument("--tasks", type=int, default=500, help="held-out tasks")
options = parser.parse_args()

run = rl_meta.train(
    GridNavigation(), RL2(encoder=(), entropy_weight=0.01, lifetime_episodes=3), out=options.out, steps=options.steps
)
evaluation = rl_meta.evaluate(run, tasks=options.tasks, baselines=(), acting="deterministic")
first, _, third = (row["mean"] for row in evaluation["episodes"][:3])
print(f"first episode: {first:.1f} (should be about 4.0)")
print(f"third episode: {third:.1f} (should be about 11.1)")

strip = Path(options.out) / "film.png"
film_of_run(Path(run), seed=3).savefig(strip, dpi=90)  # of three episodes, the first and the last
print(f"the first and the third episode in a new task: {strip}")
