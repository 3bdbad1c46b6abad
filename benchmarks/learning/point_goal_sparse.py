"""VariBAD on the sparse point robot, with and without HyperX's bonuses: no reward farther than 0.2 from the goal.

python benchmarks/learning/point_goal_sparse.py                           both
python benchmarks/learning/point_goal_sparse.py point-goal-sparse-hyperx  one of them
"""

from experiment import Experiment, run_chosen

from rl_meta.algorithms.varibad import VariBAD
from rl_meta.tasks.point_goal import SparsePointGoal

LIFETIME = {"discount": 0.97, "trace": 0.9, "transition_weight": 0.0}

EXPERIMENTS = {
    name: Experiment(family=SparsePointGoal(), method=method, steps=2_000_000, tasks=1_000)
    for name, method in [
        ("point-goal-sparse-varibad", VariBAD(**LIFETIME)),
        ("point-goal-sparse-hyperx", VariBAD(novelty_weight=0.1, error_weight=0.1, **LIFETIME)),
    ]
}


if __name__ == "__main__":
    run_chosen(EXPERIMENTS)
