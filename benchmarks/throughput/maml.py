"""Speed of MAML-TRPO on 2D navigation, end to end, and what it grows with.

    python benchmarks/throughput/maml.py             every point, each in its own process
    python benchmarks/throughput/maml.py order       the points of one axis

The base is one inner step on 20 tasks x 20 trajectories x 100 steps, a policy of two layers of 64, second-order
gradients and 10 conjugate-gradient iterations. Steps are counted over all stages, and the time is that of collecting,
adapting and improving together. Steps per second of processor time say more where other programs run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "results" / "throughput-maml.json"
AXES: dict[str, list[dict[str, Any]]] = {
    "order": [{"order": order} for order in ("second", "first")],
    "tasks": [{"meta_batch_size": n} for n in (5, 10, 20, 40)],
    "copies": [{"copies": n} for n in (5, 10, 20, 40)],
    "inner_steps": [{"inner_steps": n} for n in (1, 2, 3)],
    "outer": [{"outer": outer} for outer in ("trpo", "ppo")],
}
CALLS = 5


def measure(change: dict[str, Any]) -> dict[str, Any]:
    """Speed, compile seconds and peak memory of one point, in this process."""
    import jax
    import jax.numpy as jnp

    sys.path.insert(0, str(HERE / "peers"))
    from measurement import peak_memory_mb, timed

    from rl_meta.algorithms.maml import MAML
    from rl_meta.tasks.point_goal import PointGoal
    from rl_meta.training.config import RunConfig
    from rl_meta.training.run import build_trainer, compiled_calls, root_keys

    config = RunConfig(PointGoal(), MAML(**change), steps=10**9)
    keys = root_keys(config)
    init, go_on = compiled_calls(config, build_trainer(config))
    state, count = init(keys), jnp.array(max(1, round(200_000 / config.steps_per_iteration)))
    began = time.perf_counter()
    compiled = go_on.lower(keys, state, count).compile()
    compile_seconds = time.perf_counter() - began
    timings = []
    for _ in range(CALLS + 1):
        state, timing = timed(lambda state=state: jax.block_until_ready(compiled(keys, state, count)[0]))
        timings.append(timing)
    steps = int(count) * config.steps_per_iteration
    return {
        **change,
        "steps_per_second": round(steps / statistics.median(one.seconds for one in timings[1:])),
        "steps_per_cpu_second": round(steps / statistics.median(one.cpu_seconds for one in timings[1:])),
        "compile_seconds": round(compile_seconds, 1),
        "peak_memory_mb": round(peak_memory_mb()),
    }


def main() -> None:
    """Measure every point of the chosen axes in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("axes", nargs="*", metavar="AXIS", help=f"of: {', '.join(AXES)}; all by default")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        print(json.dumps(measure(json.loads(options.point))))
        return
    known = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
    for axis in options.axes or AXES:
        if axis not in AXES:
            parser.error(f"unknown axis {axis!r}; known: {', '.join(AXES)}")
        known[axis] = []
        for change in AXES[axis]:
            command = [sys.executable, __file__, "--point", json.dumps(change)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            known[axis].append(json.loads(done.stdout.splitlines()[-1]))
            print(axis, known[axis][-1], flush=True)
        OUTPUT.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
