"""How speed, compile time and memory grow with tasks, copies, stages, steps and width, and how near the limit they are.

    python benchmarks/throughput/scaling.py             every point, each in its own process
    python benchmarks/throughput/scaling.py width       the points of one axis

The arithmetic limit is what the machine reaches on the product of two large matrices; the arithmetic that is counted
is that of the networks' weight matrices alone, once for acting and three times for every epoch of learning.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

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
    import jax.numpy as jnp

    sys.path.insert(0, str(HERE / "peers"))
    from measurement import peak_memory_mb

    from rl_meta.algorithms.rl2 import RL2
    from rl_meta.algorithms.scratch import Scratch
    from rl_meta.tasks.cartpole import CartPole
    from rl_meta.training.config import RunConfig
    from rl_meta.training.run import build_trainer, compiled_calls, root_keys

    family = CartPole(horizon=point["horizon"])
    if point["method"] == "rl2":
        lifetime = {"lifetime_episodes": point["episodes"], "meta_batch_size": point["meta_batch_size"]}
        method: RL2 | Scratch = RL2(memory=point["memory"], **lifetime)
        adapted = lambda state: state.meta.params.network
    else:
        method = Scratch(meta_batch_size=point["meta_batch_size"], copies=point["copies"], improvements=4)
        adapted = lambda state: jax.tree.map(lambda x: x[:, 0], state.live.adapted.params.network)
    config = RunConfig(family, method, steps=10**9)
    keys = root_keys(config)
    init, go_on = compiled_calls(config, build_trainer(config))
    state = init(keys)
    weights = sum(x[0].size for x in jax.tree.leaves(adapted(state)) if x.ndim == 3)
    count = jnp.array(max(1, 60_000 // config.steps_per_iteration))
    began = time.perf_counter()
    compiled = go_on.lower(keys, state, count).compile()
    compile_seconds = time.perf_counter() - began
    rates = []
    for _ in range(CALLS + 1):
        began = time.perf_counter()
        state, _info = compiled(keys, state, count)
        jax.block_until_ready(state.iteration)
        rates.append(int(count) * config.steps_per_iteration / (time.perf_counter() - began))
    rate = sorted(rates[1:])[CALLS // 2]
    flops = 2 * weights * (1 + 3 * method.epochs)
    return {
        **point,
        "steps_per_second": round(rate),
        "compile_seconds": round(compile_seconds, 1),
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
            command = [sys.executable, __file__, "--point", json.dumps(BASE | change)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            known[axis].append(json.loads(done.stdout.splitlines()[-1]))
            print(axis, known[axis][-1], flush=True)
        OUTPUT.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
