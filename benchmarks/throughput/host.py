"""What living on the host costs beside bare stepping: CartPole-v1 in this process, RL² (GRU 64) and plain PPO.

    python benchmarks/throughput/host.py --envs 16 64

Prints, for each count of environments, steps per second of: Gymnasium's `SyncVectorEnv` with random actions; the
environments of `GymnasiumFamily` with random actions; collecting lifetimes; and whole iterations with learning.
"""

import argparse
import json
import time
from collections.abc import Callable

import gymnasium
import jax
import numpy as np

from rl_meta.algorithms.base import Method
from rl_meta.algorithms.multitask import MultiTask
from rl_meta.algorithms.rl2 import RL2
from rl_meta.collection.host import HostLives
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.gymnasium_env import GymnasiumFamily
from rl_meta.training.config import RunConfig
from rl_meta.training.program import HostProgram
from rl_meta.training.run import root_keys

HORIZON = 200


def rate(work: Callable[[], int], seconds: float) -> float:
    """Steps per second of `work`, which returns how many it did; the median of at least three calls."""
    work()
    rates: list[float] = []
    began = time.perf_counter()
    while len(rates) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        steps = work()
        rates.append(steps / (time.perf_counter() - start))
    return float(np.median(rates))


def bare(envs: int) -> Callable[[], int]:
    """Gymnasium's own vector environment."""
    vector = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * envs)
    vector.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 2, (HORIZON, envs))

    def work() -> int:
        for action in actions:
            vector.step(action)
        return actions.size

    return work


def ours(family: GymnasiumFamily, envs: int) -> Callable[[], int]:
    """Our environments without an agent."""
    tasks = jax.tree.map(np.asarray, draw_tasks(family, jax.random.key(0), envs))
    some = family.make_envs(envs)
    some.begin(np.ones(envs, bool), tasks, np.arange(envs, dtype=np.uint32), None)
    actions = np.random.default_rng(0).integers(0, 2, (HORIZON, envs))

    def work() -> int:
        for action in actions:
            some.send(action, None, cut=False)
            some.receive()
        return actions.size

    return work


def collecting(family: GymnasiumFamily, method: Method, envs: int) -> Callable[[], int]:
    """Lifetimes without learning."""
    algorithm, shape = method.build(family, 1), method.shape(family)
    lives, params = HostLives(algorithm.adapter, family, shape), algorithm.init(jax.random.key(0)).params
    tasks = draw_tasks(family, jax.random.key(0), envs)
    live = lives.begin(jax.random.key(1), params, tasks)

    def work() -> int:
        nonlocal live
        live, lifetimes = lives.collect(jax.random.key(2), params, live, tasks)
        return jax.block_until_ready(lifetimes).steps.reward.size

    return work


def training(family: GymnasiumFamily, method: Method) -> Callable[[], int]:
    """Whole iterations."""
    config = RunConfig(family, method)
    program, keys = HostProgram(config, family), root_keys(config)
    state = program.init(keys)

    def work() -> int:
        nonlocal state
        state, _ = jax.block_until_ready(program.go_on(keys, state, 1))
        return config.steps_per_iteration

    return work


def main() -> None:
    """Measure all, print one JSON object per count and method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=int, nargs="+", default=[16, 64], help="environments at once")
    parser.add_argument("--seconds", type=float, default=5.0, help="that each measurement takes at least")
    options = parser.parse_args()
    family = GymnasiumFamily("CartPole-v1", vary=("length=0.25:1.0", "gravity=5:15"), max_steps=HORIZON)
    for envs in options.envs:
        for method in (RL2(meta_batch_size=envs), MultiTask(meta_batch_size=envs)):
            works = {
                "sync_vector_env": bare(envs),
                "gymnasium_family": ours(family, envs),
                "collecting": collecting(family, method, envs),
                "training": training(family, method),
            }
            rates = {name: round(rate(work, options.seconds)) for name, work in works.items()}
            print(json.dumps({"envs": envs, "method": type(method).__name__, **rates}), flush=True)


if __name__ == "__main__":
    main()
