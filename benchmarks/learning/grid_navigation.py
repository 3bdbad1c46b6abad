"""Meta-RL on VariBAD's GridNavi: four episodes of 15 steps; Bayes-optimal 37.214 (4.000, then 11.071 each).

python benchmarks/learning/grid_navigation.py                          all
python benchmarks/learning/grid_navigation.py grid-navigation-varibad  one of them
"""

from experiment import chosen, experiment

from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.varibad import VariBAD
from rl_meta.tasks.grid_navigation import GridNavigation

KNOWN = {"Bayes-optimal": 37.2143, "knowing the goal": 44.2857}
LIFETIME = {"meta_batch_size": 256, "discount": 0.97, "trace": 0.9}

EXPERIMENTS = {
    "grid-navigation-rl2": (RL2(encoder=(), **LIFETIME), 34.0),
    "grid-navigation-varibad": (VariBAD(transition_weight=0.0, entropy_weight=0.02, **LIFETIME), 36.0),
}


def main() -> None:
    """Train, evaluate, write the results."""
    for name in chosen(list(EXPERIMENTS)):
        method, target = EXPERIMENTS[name]
        experiment(name, GridNavigation(), method, steps=6_000_000, tasks=2_000, known={**KNOWN, "target": target})


if __name__ == "__main__":
    main()
