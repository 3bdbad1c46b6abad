"""RL² on VariBAD's GridNavi: four episodes of 15 steps; Bayes-optimal 37.214 (4.000, then 11.071 each).

python benchmarks/learning/grid_navigation.py
"""

from experiment import chosen, experiment

from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.grid_navigation import GridNavigation

KNOWN = {"Bayes-optimal": 37.2143, "knowing the goal": 44.2857, "target": 34.0}


def main() -> None:
    """Train, evaluate, write the result."""
    for name in chosen(["grid-navigation-rl2"]):
        method = RL2(meta_batch_size=256, discount=0.97, trace=0.9, encoder=())
        experiment(name, GridNavigation(), method, steps=6_000_000, tasks=2_000, known=KNOWN)


if __name__ == "__main__":
    main()
