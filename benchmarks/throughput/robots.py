"""MuJoCo's robots stepped by EnvPool and by worker processes of ours: is EnvPool worth it there?

    python benchmarks/throughput/robots.py

Needs `pip install 'rl-meta[mujoco,envpool]'`. Random actions in 20 environments, EnvPool with two threads, ours in two
workers; both in alternation, medians over rounds.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import envpool
import jax
import numpy as np
from ratios import machine

from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.gymnasium_world import Simulated
from rl_meta.tasks.locomotion import AntDir, HalfCheetahVelVariBAD

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "throughput-robots.json"
ENVS, THREADS, STEPS, ROUNDS = 20, 2, 200, 7
ROBOTS: dict[str, tuple[str, Simulated]] = {
    "halfcheetah": ("HalfCheetah-v5", HalfCheetahVelVariBAD(workers=THREADS)),
    "ant": ("Ant-v5", AntDir(workers=THREADS)),
}


def of_envpool(name: str, actions: np.ndarray) -> Callable[[], None]:
    """A round of steps."""
    envs = envpool.make_gymnasium(name, num_envs=ENVS, num_threads=THREADS, seed=0)
    envs.reset()

    def work() -> None:
        for action in actions:
            envs.step(action)

    return work


def of_ours(family: Simulated, actions: np.ndarray) -> Callable[[], None]:
    """A round of steps, in both halves at once."""
    size = ENVS // 2
    halves = [family.make_envs(size) for _ in range(2)]
    for half in halves:
        tasks = jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(0), size))
        half.begin(np.ones(size, bool), tasks, np.arange(size, dtype=np.uint32), None)

    def work() -> None:
        for action in actions:
            for half, part in zip(halves, np.split(action, 2), strict=True):
                half.send(part, None, cut=False)
            for half in halves:
                half.receive()

    return work


def main() -> None:
    """Measure, and write what came of it."""
    results: dict[str, object] = {"environments": ENVS, "threads_or_workers": THREADS, "machine": machine()}
    for robot, (name, family) in ROBOTS.items():
        size = (STEPS, ENVS, *family.action_space.shape)
        actions = np.random.default_rng(0).uniform(-1, 1, size).astype(np.float32)
        works = {"envpool": of_envpool(name, actions), "workers": of_ours(family, actions)}
        speeds: dict[str, list[int]] = {who: [] for who in works}
        for _ in range(ROUNDS):
            for who, work in works.items():
                began = time.perf_counter()
                work()
                speeds[who].append(round(STEPS * ENVS / (time.perf_counter() - began)))
        results[robot] = {
            who: {"median_steps_per_second": median(of), "steps_per_second": of} for who, of in speeds.items()
        }
        print(robot, {who: median(of) for who, of in speeds.items()}, flush=True)
        OUTPUT.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
