"""Speed of methods with a memory on grid navigation, end to end: collecting and learning together.

    python benchmarks/throughput/memories.py

Four episodes of 15 steps, a GRU of 64 units: with other settings as by default, and with those of the learning results
in benchmarks/learning/grid_navigation.py (like its authors, VariBAD predicts rewards alone there). The code published
with VariBAD (github.com/lmzintgraf/varibad) is no package that could be installed beside; on a machine like that of
the recorded results it was measured at 660 steps per second for RL² and 700 for VariBAD.
"""

import sys
from pathlib import Path
from typing import Any

from points import measure_axes, measured

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "results" / "throughput-memories.json"
AXES: dict[str, list[dict[str, Any]]] = {
    "by default": [{"method": name} for name in ("rl2", "rl2, recall", "varibad", "hypernetwork", "transformer")],
    "as it learned": [{"learned": f"grid-navigation-{name}"} for name in ("rl2", "varibad", "hypernetwork")],
}


def measure(point: dict[str, Any]) -> dict[str, Any]:
    """Speed, compile seconds and peak memory of one point, in this process."""
    from rl_meta.tasks.grid_navigation import GridNavigation
    from rl_meta.training.catalogue import methods
    from rl_meta.training.config import RunConfig

    if "learned" in point:
        sys.path.insert(0, str(HERE.parent / "learning"))
        from grid_navigation import EXPERIMENTS

        method = EXPERIMENTS[point["learned"]].method
    else:
        name, _, recall = point["method"].partition(", ")
        method = methods.load(name)(**({"recall": 64} if recall else {}))
    return point | measured(RunConfig(GridNavigation(), method, steps=10**9), 200_000)


if __name__ == "__main__":
    measure_axes(__file__, __doc__, AXES, measure, OUTPUT)
