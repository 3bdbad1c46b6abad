"""The road `highway-fast` in EnvPool and in highway-env: how fast either steps it, and whether both tell the same.

    python benchmarks/throughput/highway.py
    python benchmarks/throughput/highway.py --episodes 20 --rounds 2

Needs both extras, `driving` and `envpool`. Speed is that of the environments that meta-training makes, each in a task
of its own, with random actions and resets; rounds of all ways are taken in turn, so that noise of the machine hits all
alike, and numbers are medians over rounds. What they tell is compared over first episodes of scripted drivers in the
same tasks; intervals are of 95 %. A pool is what EnvPool makes for one environment.
"""

import argparse
import importlib
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np
from ratios import machine

from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.highway_fast import ENVPOOL, ROAD, HighwayFast

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "throughput-highway.json"
STEPS = {"envpool": 400, "highway-env": 4}
"""Of each environment in a round: about a second of work for either."""
WAYS = [("envpool", count, workers) for count in (1, 8, 32, 128) for workers in (0, 2) if count >= 8 or not workers]
WAYS += [("highway-env", count, workers) for count in (8, 32) for workers in (0, 2)]
POOLS = (32, 512)
EASE, IDLE, RIGHT, FASTER, SLOWER = 30 / 150, 1, 2, 3, 4
"""30 metres, as observations have them; manoeuvres."""


def careful(obs: np.ndarray) -> np.ndarray:
    """Slower [B] where a car of the own lane is close ahead, otherwise faster."""
    x, y = obs[:, 1:, 1], obs[:, 1:, 2]
    close = (obs[:, 1:, 0] > 0) & (x > 0) & (x < EASE) & (np.abs(y) < 2 / 16)
    return np.where(close.any(1), SLOWER, FASTER)


DRIVERS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "idle": lambda obs, rng: np.full(len(obs), IDLE),
    "right lane": lambda obs, rng: np.full(len(obs), RIGHT),
    "careful": lambda obs, rng: careful(obs),
    "random": lambda obs, rng: rng.integers(0, 5, len(obs)),
}


def begun(family: HighwayFast, count: int) -> tuple[Any, np.ndarray]:
    """Environments in tasks of the train split, the same for either simulator."""
    envs = family.make_envs(count)
    tasks = jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(0), count))
    return envs, envs.begin(np.ones(count, bool), tasks, np.arange(count, dtype=np.uint32), None)


def stepping(simulator: Any, count: int, workers: int) -> Callable[[], float]:
    """Steps per second of so many environments, in two halves as the collector has them where there are workers."""
    family = HighwayFast(simulator=simulator, workers=workers)
    halves = [begun(family, count // 2)[0] for _ in range(2)] if workers else [begun(family, count)[0]]
    rng, size = np.random.default_rng(0), count // len(halves)

    def work() -> float:
        began = time.perf_counter()
        for _ in range(STEPS[simulator]):
            for half in halves:
                half.send(rng.integers(0, 5, size).astype(np.int32), None, cut=False)
            for half in halves:
                half.receive()
        return STEPS[simulator] * count / (time.perf_counter() - began)

    return work


def speeds(rounds: int) -> list[dict[str, Any]]:
    """Of all ways."""
    works = [stepping(*way) for way in WAYS]
    every = [[work() for work in works] for _ in range(rounds + 1)][1:]  # the first one is not counted
    names = ("simulator", "environments", "workers")
    return [
        dict(zip(names, way, strict=True)) | {"steps_per_second": round(median(got)), "rounds": [round(x) for x in got]}
        for way, got in zip(WAYS, zip(*every, strict=True), strict=True)
    ]


def cost_of_pools(count: int) -> dict[str, Any]:
    """Of so many that live at once."""
    of_process = lambda: (len(os.listdir("/proc/self/task")), int(Path("/proc/self/statm").read_text().split()[1]))
    importlib.import_module("envpool")
    made = [ENVPOOL.make(ROAD, 40) for _ in range(count)]
    (threads, pages), began = of_process(), time.perf_counter()
    for seed, one in enumerate(made):
        one.values = {"lanes": 3, "vehicles": 16, "density": 1.0}  # type: ignore[attr-defined]
        one.reset(seed=seed)
    seconds, (more, grown) = time.perf_counter() - began, of_process()
    kilobytes = (grown - pages) * os.sysconf("SC_PAGE_SIZE") / 1024
    return {
        "pools": count,
        "milliseconds_each": round(1000 * seconds / count, 2),
        "threads_each": (more - threads) / count,
        "kilobytes_each": round(kilobytes / count),
    }


def told(simulator: Any, driver: str, episodes: int) -> dict[str, list[float]]:
    """Mean and half of its interval of what the first episodes in so many tasks tell."""
    family = HighwayFast(simulator=simulator)
    tasks = jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(0), episodes))
    envs, rng, rows = family.make_envs(1), np.random.default_rng(1), []
    for index in range(episodes):
        task = jax.tree.map(lambda x, row=index: x[row : row + 1], tasks)
        obs, steps, over = envs.begin(np.ones(1, bool), task, np.array([index], np.uint32), None), [], False
        while not over:
            envs.send(DRIVERS[driver](obs, rng).astype(np.int32), None, cut=False)
            outcome = envs.receive()
            steps.append((outcome.measured["speed"][0], outcome.reward[0]))
            obs, over = outcome.obs, bool(outcome.terminated[0] | outcome.truncated[0])
        rows.append((outcome.measured["crashed"][0], len(steps), *np.mean(steps, 0)))
    means, halves = np.mean(rows, 0), 1.96 * np.std(rows, 0, ddof=1) / np.sqrt(episodes)
    names = ("crashed", "steps", "speed", "reward of a step")
    return {name: [round(float(x), 4), round(float(h), 4)] for name, x, h in zip(names, means, halves, strict=True)}


def main() -> None:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    content: dict[str, Any] = {"pools": [cost_of_pools(count) for count in POOLS], "speeds": speeds(options.rounds)}
    for row in (*content["pools"], *content["speeds"]):
        print(row, flush=True)
    content["told"] = {}
    for driver in DRIVERS:
        content["told"][driver] = {name: told(name, driver, options.episodes) for name in STEPS}
        print(driver, content["told"][driver], flush=True)
    versions = {name: version(name) for name in ("envpool", "highway-env")}
    content |= {"episodes": options.episodes, "versions": versions, "machine": machine()}
    options.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
