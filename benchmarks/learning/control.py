"""RL² on machines with hidden physics: an arm that looks for its goal, a drone in the wind, a car in traffic.

python benchmarks/learning/control.py
python benchmarks/learning/control.py driving-rl2

The known values are those of hand-written controllers that know the task (see docs/families.md): no bounds.
"""

from experiment import Experiment, run_chosen

from rl_meta.algorithms.multitask import MultiTask
from rl_meta.algorithms.rl2 import RL2
from rl_meta.tasks.driving import Driving
from rl_meta.tasks.quadrotor import Quadrotor
from rl_meta.tasks.two_link_arm import TwoLinkArm

KNOWN = "a controller that knows the task, one episode"

EXPERIMENTS = {
    name: Experiment(family=family, method=method, steps=steps, tasks=500, known={KNOWN: informed}, acting="sampled")
    for name, family, method, steps, informed in [
        ("two-link-arm-rl2", TwoLinkArm(), RL2(), 2_500_000, -8.6),
        ("two-link-arm-multitask", TwoLinkArm(), MultiTask(), 2_500_000, -8.6),
        ("quadrotor-rl2", Quadrotor(), RL2(), 2_500_000, 87.9),
        ("quadrotor-multitask", Quadrotor(), MultiTask(), 2_500_000, 87.9),
        ("driving-rl2", Driving(), RL2(), 4_000_000, 89.0),
        ("driving-multitask", Driving(), MultiTask(), 4_000_000, 89.0),
    ]
}


if __name__ == "__main__":
    run_chosen(EXPERIMENTS)
