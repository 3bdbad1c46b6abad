"""PEARL beside RL² on five times as many steps: a goal that is only seen from near, a pendulum with hidden physics.

python benchmarks/learning/pearl.py

By the convention of the paper the last of the three episodes counts: `episodes_by_seed` in the results.
"""

from experiment import SWING_UP, Experiment, run_chosen

from rl_meta.algorithms.pearl import PEARL
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.pendulum import Pendulum
from rl_meta.tasks.point_goal import SparsePointGoal

SPARSE = PEARL(
    discount=0.95,
    kl_weight=5e-3,
    temperature=0.1,
    target_entropy=-0.3,
    warm_up_steps=200_000,
    steps_per_gradient=30,
    batch_steps=32,
)
SWING = PEARL(meta_batch_size=8, discount=0.95, kl_weight=1e-5, temperature=0.1, batch_steps=32)

EXPERIMENTS = {
    name: Experiment(family=family, method=method, steps=steps, tasks=1_000)
    for name, family, method, steps in [
        ("point-goal-sparse-pearl", SparsePointGoal(), SPARSE, 600_000),
        ("point-goal-sparse-rl2", SparsePointGoal(), RL2(), 3_000_000),
        ("pendulum-pearl", Pendulum(), SWING, 300_000),
        ("pendulum-rl2", Pendulum(), RL2(**SWING_UP), 3_000_000),
    ]
}


if __name__ == "__main__":
    run_chosen(EXPERIMENTS)
