"""Meta-RL on VariBAD's GridNavi: four episodes of 15 steps; Bayes-optimal 37.214 (4.000, then 11.071 each).

python benchmarks/learning/grid_navigation.py                               all
python benchmarks/learning/grid_navigation.py grid-navigation-hypernetwork  one of them
"""

from experiment import Experiment, run_chosen

from rl_meta.algorithms.hypernetwork import Hypernetwork
from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.transformer import Transformer
from rl_meta.algorithms.varibad import VariBAD
from rl_meta.tasks.grid_navigation import GridNavigation

KNOWN = {"Bayes-optimal": 37.2143, "knowing the goal": 44.2857}
RUN = {"meta_batch_size": 128, "discount": 0.97, "trace": 0.9}

EXPERIMENTS = {
    name: Experiment(
        family=GridNavigation(), method=method, steps=steps, tasks=2_000, known={**KNOWN, "target": target}
    )
    for name, method, steps, target in [
        (
            "grid-navigation-rl2",
            RL2(encoder=(), entropy_weight=0.01, **RUN | {"meta_batch_size": 256}),
            6_000_000,
            34.0,
        ),
        (
            "grid-navigation-varibad",
            VariBAD(transition_weight=0.0, entropy_weight=0.02, vae_lifetimes=64, **RUN | {"meta_batch_size": 256}),
            6_000_000,
            36.0,
        ),
        ("grid-navigation-hypernetwork", Hypernetwork(encoder=(), **RUN), 4_000_000, 35.0),
        ("grid-navigation-transformer", Transformer(blocks=1, **RUN), 4_000_000, 34.0),
        ("grid-navigation-recall", RL2(encoder=(), recall=64, **RUN), 4_000_000, 34.0),
        ("grid-navigation-linear-recurrence", Transformer(layer="linear-recurrence", blocks=1, **RUN), 4_000_000, 34.0),
    ]
}


if __name__ == "__main__":
    run_chosen(EXPERIMENTS)
