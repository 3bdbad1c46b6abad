"""MAML and ProMP on 2D navigation: return before adaptation, and after one to three gradient steps on 20 trajectories.

    python benchmarks/learning/point_goal.py                         all
    python benchmarks/learning/point_goal.py point-goal-maml         one of them

Finn et al. (2017, appendix) have -40.41, -11.68, -3.33 and -3.23 after 0, 1, 2 and 3 steps, as far as we remember;
walking straight to the goal earns -0.505, staying at the start -38.26.
"""

from experiment import Experiment, run_chosen

from rl_meta.algorithms.maml import MAML
from rl_meta.algorithms.promp import ProMP
from rl_meta.tasks.point_goal import PointGoal

KNOWN = {
    "staying at the start": -38.26,
    "MAML, one step (recalled)": -11.68,
    "straight to the goal": -0.505,
}
EXPERIMENTS = {
    name: Experiment(family=PointGoal(), method=method, steps=steps, tasks=200, known=KNOWN, acting="sampled", stages=4)
    for name, method, steps in [
        ("point-goal-maml", MAML(damping=1e-5), 2_000_000),
        ("point-goal-maml-3-steps", MAML(inner_steps=3, damping=1e-5), 6_000_000),
        ("point-goal-promp", ProMP(learning_rate=3e-3, inner_rate=0.3), 2_500_000),
    ]
}


if __name__ == "__main__":
    run_chosen(EXPERIMENTS)
