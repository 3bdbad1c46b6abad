"""What an iteration on slow simulators takes beside its parts: bare stepping, and learning, each measured apart.

    python benchmarks/throughput/simulators.py                  both simulators, RL² with a GRU of 256 units
    python benchmarks/throughput/simulators.py --only ml10

Meta-World's ML10 and MuJoCo's half-cheetah, 20 tasks at a time, in two worker processes. Bare stepping is that of the
same environments with random actions; learning is the compiled update alone, on lifetimes that were lived before. A
round measures each of them once, so that noise of the machine hits all alike; numbers are medians over rounds. The
ratio is the iteration's time over the sum of both. Memory is that of iterations alone, in a process of its own. A
peer of ML10, metaworld-algorithms, was measured at 533 steps per second and 4.7 GB on a machine like that of the
recorded results.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np
from ratios import machine

from rl_meta.algorithms.rl2 import RL2
from rl_meta.collection.host import HostLives
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.gymnasium_world import Simulated
from rl_meta.tasks.locomotion import HalfCheetahVelVariBAD
from rl_meta.tasks.measures import measures_of
from rl_meta.tasks.metaworld import MetaWorld
from rl_meta.training.config import RunConfig
from rl_meta.training.loop import improving
from rl_meta.training.program import HostProgram
from rl_meta.training.run import root_keys

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "throughput-simulators.json"
TASKS, WORKERS = 20, 2
WARM_UP = 2
"""Rounds that are not counted: the first ones compile."""
FAMILIES: dict[str, Simulated] = {
    "ml10": MetaWorld(workers=WORKERS),
    "halfcheetah": HalfCheetahVelVariBAD(workers=WORKERS),
}
METHOD = RL2(memory=256, encoder=(256, 256), epochs=10, lifetime_episodes=1, meta_batch_size=TASKS)


def bare_stepping(family: Simulated, steps: int) -> Callable[[], Any]:
    """So many random steps of each environment, in both halves at once."""
    halves = [family.make_envs(TASKS // 2) for _ in range(2)]
    for half in halves:
        tasks = jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(0), TASKS // 2))
        half.begin(np.ones(TASKS // 2, bool), tasks, np.arange(TASKS // 2, dtype=np.uint32), None)
    size = (steps, TASKS // 2, *family.action_space.shape)
    actions = np.random.default_rng(0).uniform(-1, 1, size).astype(np.float32)

    def work() -> None:
        for action in actions:
            for half in halves:
                half.send(action, None, cut=False)
            for half in halves:
                half.receive()

    return work


def learning(config: RunConfig, family: Simulated) -> Callable[[], Any]:
    """The compiled update of one iteration."""
    algorithm = config.method.build(family, config.iterations)
    meta = algorithm.init(jax.random.key(0))
    lives = HostLives(algorithm.adapter, family, config.shape)
    tasks = draw_tasks(family, jax.random.key(0), TASKS)
    live = lives.begin(jax.random.key(1), meta.params, tasks)
    _, lifetimes = lives.collect(jax.random.key(2), meta.params, live, tasks)
    lives.close()
    compiled = jax.jit(improving(algorithm, config.shape, measures_of(family)))
    return lambda: jax.block_until_ready(compiled(jax.random.key(3), meta, lifetimes))


def iteration(config: RunConfig, family: Simulated) -> Callable[[], Any]:
    """A whole one."""
    program, keys = HostProgram(config, family), root_keys(config)
    state = program.init(keys)

    def work() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(program.go_on(keys, state, 1))

    return work


def peak_memory_mb() -> int:
    """Of this process and its children, each at its own peak, MiB; memory that they share counts several times."""
    me = os.getpid()
    children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    status = [Path(f"/proc/{pid}/status").read_text().splitlines() for pid in (me, *children)]
    return round(sum(int(line.split()[1]) for lines in status for line in lines if line.startswith("VmHWM")) / 1024)


def memory_of_iterations(name: str) -> int:
    """`peak_memory_mb` after some of them."""
    work = iteration(RunConfig(FAMILIES[name], METHOD), FAMILIES[name])
    for _ in range(WARM_UP):
        work()
    return peak_memory_mb()


def measured(name: str, rounds: int) -> dict[str, Any]:
    """Seconds of each, and what follows from them."""
    in_its_own = subprocess.run([sys.executable, __file__, "--memory-of", name], check=True, capture_output=True)
    family = FAMILIES[name]
    config = RunConfig(family, METHOD)
    works = {
        "iteration": iteration(config, family),
        "bare_stepping": bare_stepping(family, config.steps_per_iteration // TASKS),
        "learning": learning(config, family),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + WARM_UP):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if number >= WARM_UP:
                seconds[name].append(round(time.perf_counter() - began, 4))
    middle = {name: median(of) for name, of in seconds.items()}
    by_round = [i / (b + l) for i, b, l in zip(*seconds.values(), strict=True)]
    return {
        "steps": config.steps_per_iteration,
        "steps_per_second": round(config.steps_per_iteration / middle["iteration"]),
        "bare_steps_per_second": round(config.steps_per_iteration / middle["bare_stepping"]),
        "ratio": round(middle["iteration"] / (middle["bare_stepping"] + middle["learning"]), 3),
        "ratio_by_round": [round(one, 3) for one in by_round],
        "seconds": seconds,
        "peak_memory_mb": int(in_its_own.stdout),
        "tasks": TASKS,
        "workers": WORKERS,
        "machine": machine(),
    }


def main() -> None:
    """Measure, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(FAMILIES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-of", choices=tuple(FAMILIES), help="print that alone, MiB")
    options = parser.parse_args()
    if options.memory_of:
        print(memory_of_iterations(options.memory_of))
        return
    results = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
    for name in [options.only] if options.only else FAMILIES:
        results[name] = measured(name, options.rounds)
        print(
            name, {key: value for key, value in results[name].items() if key not in ("seconds", "machine")}, flush=True
        )
        OUTPUT.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
