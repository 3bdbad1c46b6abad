"""RL² on poles whose physics and push direction are hidden: how long does the first episode in a new task last?

python benchmarks/learning/cartpole.py
"""

from experiment import Experiment, run_chosen

from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.cartpole import CartPole

KNOWN = {"longest episode": 200.0, "target, first episode": 180.0, "target, second episode": 190.0}
EXPERIMENTS = {
    "cartpole-rl2": Experiment(
        family=CartPole(), method=RL2(), steps=4_000_000, tasks=1_000, known=KNOWN, acting="sampled"
    )
}


if __name__ == "__main__":
    run_chosen(EXPERIMENTS)
