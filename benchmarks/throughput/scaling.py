"""How speed, compile time and memory grow with tasks, copies, stages, steps and width, and how near the limit they are.

    python benchmarks/throughput/scaling.py             every point, each in its own process
    python benchmarks/throughput/scaling.py width       the points of one axis

The arithmetic limit is what the machine reaches on the product of two large matrices; the arithmetic that is counted
is that of the networks' weight matrices alone, once for acting and three times for every epoch of learning.
"""

import sys
import time
from pathlib import Path
from typing import Any

from points import compiled_run, measure_axes

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "results" / "scaling.json"
BASE = {"method": "rl2", "meta_batch_size": 64, "horizon": 100, "episodes": 2, "memory": 64}
AXES: dict[str, list[dict[str, Any]]] = {
    "tasks": [{"meta_batch_size": n} for n in (16, 64, 256)],
    "width": [{"memory": n} for n in (32, 64, 128, 256)],
    "steps": [{"horizon": n} for n in (50, 100, 200)],
    "stages": [{"episodes": n} for n in (1, 2, 4)],
    "copies": [{"method": "scratch", "copies": n} for n in (4, 8, 16)],
}
CALLS = 3


def measure(point: dict[str, Any]) -> dict[str, Any]:
    """Speed, compile seconds, peak memory and fraction of the arithmetic limit of one point, in this process."""
    import jax

    sys.path.insert(0, str(HERE / "peers"))
    from measurement import peak_memory_mb

    from rl_meta.algorithms.rl2 import RL2
    from rl_meta.algorithms.scratch import Scratch
    from rl_meta.tasks.cartpole import CartPole
    from rl_meta.training.config import RunConfig

    family = CartPole(horizon=point["horizon"])
    if point["method"] == "rl2":
        lifetime = {"lifetime_episodes": point["episodes"], "meta_batch_size": point["meta_batch_size"]}
        method: RL2 | Scratch = RL2(memory=point["memory"], **lifetime)
        adapted = lambda state: state.meta.params.network
    else:
        method = Scratch(meta_batch_size=point["meta_batch_size"], copies=point["copies"], improvements=4)
        adapted = lambda state: jax.tree.map(lambda x: x[:, 0], state.live.adapted.params.network)
    config = RunConfig(family, method, steps=10**9)
    run = compiled_run(config, 60_000)
    state = run.state
    weights = sum(x[0].size for x in jax.tree.leaves(adapted(state)) if x.ndim == 3)
    rates = []
    for _ in range(CALLS + 1):
        began = time.perf_counter()
        state, _info = run.go_on(state)
        jax.block_until_ready(state.iteration)
        rates.append(run.steps / (time.perf_counter() - began))
    rate = sorted(rates[1:])[CALLS // 2]
    flops = 2 * weights * (1 + 3 * method.epochs)
    return {
        **point,
        "steps_per_second": round(rate),
        "compile_seconds": round(run.seconds, 1),
        "peak_memory_mb": round(peak_memory_mb()),
        "flop_per_step": flops,
        "fraction_of_limit": round(flops * rate / arithmetic_limit(), 3),
    }


def arithmetic_limit(size: int = 2048, repeats: int = 8) -> float:
    """FLOP/s of a product of two square matrices."""
    import jax
    import jax.numpy as jnp

    product = jax.jit(lambda a: a @ a / size)
    x = jax.block_until_ready(product(jnp.ones((size, size))))
    began = time.perf_counter()
    for _ in range(repeats):
        x = product(x)
    jax.block_until_ready(x)
    return repeats * 2 * size**3 / (time.perf_counter() - began)


if __name__ == "__main__":
    points = {axis: [BASE | change for change in changes] for axis, changes in AXES.items()}
    measure_axes(__file__, __doc__, points, measure, OUTPUT)
