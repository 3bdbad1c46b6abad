"""Random tabular MDPs (10 states, 5 actions): total reward over 10 episodes of 10 steps.

    python benchmarks/learning/tabular_mdp.py                    all
    python benchmarks/learning/tabular_mdp.py tabular-mdp-rl2    RL² with recall

Knowing the MDP brings 21.83 per episode; the other values are those of Duan et al. 2016, table 2.
"""

from typing import Any

from experiment import Experiment, run_chosen

from rl_meta.algorithms.hypernetwork import Hypernetwork
from rl_meta.algorithms.maml import MAML
from rl_meta.algorithms.rl2 import RL2
from rl_meta.algorithms.transformer import Transformer
from rl_meta.tasks.tabular_mdp import TabularMDP

KNOWN = {"random": 100.1, "PSRL": 138.1, "published RL²": 156.2, "knowing the MDP": 218.3, "target": 150.0}
RUN: dict[str, Any] = {
    "meta_batch_size": 256,
    "minibatches": 8,
    "discount": 1.0,
    "trace": 0.8,
    "entropy_weight": 0.02,
    "recall": 64,
}

EXPERIMENTS = {
    name: Experiment(
        family=TabularMDP(),
        method=method,
        steps=steps,
        tasks=2_000,
        known=KNOWN,
        acting="sampled",
        sum_copies=True,
    )
    for name, method, steps in [
        ("tabular-mdp-rl2", RL2(encoder=(), heads=(64, 64), **RUN), 2_000_000),
        ("tabular-mdp-hypernetwork", Hypernetwork(encoder=(), **RUN), 2_000_000),
        ("tabular-mdp-transformer", Transformer(heads=(64, 64), **RUN), 2_000_000),
        (
            "tabular-mdp-maml",
            MAML(copies=5, inner_rate=60.0, meta_batch_size=200, discount=0.5, trace=0.8, hidden=(), damping=1e-3),
            4_000_000,
        ),
        (
            "tabular-mdp-gru",
            RL2(
                meta_batch_size=512,
                minibatches=8,
                memory=128,
                memory_span=100.0,
                heads=(64,),
                trace=0.3,
                entropy_weight=0.03,
            ),
            4_000_000,
        ),
    ]
}


if __name__ == "__main__":
    run_chosen(EXPERIMENTS)
