"""How fast the task families themselves are: environment steps per second with random actions, resets included.

python benchmarks/throughput/families.py
python benchmarks/throughput/families.py --only driving --envs 8192

Thousands of copies, each in a task of its own, step in a compiled loop; one that ends begins anew. They are split over
the given number of threads of one process. On a shared machine look at the steps per second of processor time as well:
waiting for others does not count there.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import jax
from gymnasium import spaces

from rl_meta.axes import select
from rl_meta.tasks.base import Family, draw_tasks
from rl_meta.training.catalogue import FAMILIES, families
from rl_meta.types import Array, Key, PyTree

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "throughput-families.json"
STEPS = 200


def random_action(space: spaces.Space, key: Key) -> PyTree:
    """Uniform over the space."""
    if isinstance(space, spaces.Discrete):
        return jax.random.randint(key, (), 0, int(space.n))
    return jax.random.uniform(key, space.shape, minval=space.low, maxval=space.high)


def play(family: Family, steps: int, key: Key, tasks: PyTree, state: PyTree) -> tuple[PyTree, Array]:
    """`steps` steps of all copies [envs]: the states after them, and the mean reward."""
    count = len(jax.tree.leaves(tasks)[0])

    def one(key: Key, state: PyTree, task: PyTree) -> tuple[PyTree, Array]:
        key_act, key_step, key_reset = jax.random.split(key, 3)
        transition = family.step(key_step, state, random_action(family.action_space, key_act), task)
        over = transition.terminated | transition.truncated
        return select(over, family.reset(key_reset, task)[0], transition.state), transition.reward

    def step(state: PyTree, key: Key) -> tuple[PyTree, Array]:
        state, reward = jax.vmap(one)(jax.random.split(key, count), state, tasks)
        return state, reward.mean()

    state, rewards = jax.lax.scan(step, state, jax.random.split(key, steps))
    return state, rewards.mean()


def measure(family: Family, envs: int, threads: int, repeats: int) -> dict[str, Any]:
    """Steps per second, by the clock and by processor time: the median and all repeats."""
    parts, run = [], jax.jit(partial(play, family, STEPS))
    for part in range(threads):
        key_tasks, key_reset = jax.random.split(jax.random.key(part))
        tasks = draw_tasks(family, key_tasks, envs // threads)
        state = jax.jit(jax.vmap(lambda key, task: family.reset(key, task)[0]))(
            jax.random.split(key_reset, envs // threads), tasks
        )
        parts.append((tasks, state))
    call: Callable = lambda part: jax.block_until_ready(run(jax.random.key(1), *part))
    call(parts[0])
    clock, processor = [], []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            began, used = time.perf_counter(), time.process_time()
            list(pool.map(call, parts))
            clock.append(envs * STEPS / (time.perf_counter() - began))
            processor.append(envs * STEPS / (time.process_time() - used))
    return {
        "steps_per_second": round(median(clock)),
        "steps_per_cpu_second": round(median(processor)),
        "all_steps_per_second": [round(one) for one in clock],
    }


def main() -> None:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[name for name in FAMILIES if name != "gymnax"])
    parser.add_argument("--envs", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    rows = {}
    for name in options.only:
        rows[name] = measure(families.make(name), options.envs, options.threads, options.repeats)
        clock, processor = rows[name]["steps_per_second"], rows[name]["steps_per_cpu_second"]
        print(f"{name:18} {clock:>12,} steps/s {processor:>12,} per processor second", flush=True)
    machine = {"machine": platform.machine(), "threads": options.threads, "jax": jax.__version__}
    content = {"envs": options.envs, "steps": STEPS, "machine": machine, "families": rows}
    options.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
