"""Speed of MAML-TRPO on 2D navigation, end to end, and what it grows with.

    python benchmarks/throughput/maml.py             every point, each in its own process
    python benchmarks/throughput/maml.py order       the points of one axis

The base is one inner step on 20 tasks x 20 trajectories x 100 steps, a policy of two layers of 64, second-order
gradients and 10 conjugate-gradient iterations. Steps are counted over all stages, and the time is that of collecting,
adapting and improving together. Steps per second of processor time say more where other programs run.
"""

from pathlib import Path
from typing import Any

from points import measure_axes, measured

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "results" / "throughput-maml.json"
AXES: dict[str, list[dict[str, Any]]] = {
    "order": [{"order": order} for order in ("second", "first")],
    "tasks": [{"meta_batch_size": n} for n in (5, 10, 20, 40)],
    "copies": [{"copies": n} for n in (5, 10, 20, 40)],
    "inner_steps": [{"inner_steps": n} for n in (1, 2, 3)],
    "outer": [{"outer": outer} for outer in ("trpo", "ppo")],
}


def measure(change: dict[str, Any]) -> dict[str, Any]:
    """Speed, compile seconds and peak memory of one point, in this process."""
    from rl_meta.algorithms.maml import MAML
    from rl_meta.tasks.point_goal import PointGoal
    from rl_meta.training.config import RunConfig

    return change | measured(RunConfig(PointGoal(), MAML(**change), steps=10**9), 200_000)


if __name__ == "__main__":
    measure_axes(__file__, __doc__, AXES, measure, OUTPUT)
