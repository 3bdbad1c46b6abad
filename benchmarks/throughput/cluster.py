"""What collectors cost and bring: messages, throughput with one and two of them, and a simulation of many machines.

    python benchmarks/throughput/cluster.py

Writes benchmarks/results/cluster.json. Measured on this machine: bytes and seconds of the meta-parameters out and the
lifetimes back, the time of collecting and of the update, iterations with 0, 1 and 2 collectors. Times are the fastest
of several, for others may be at work. Simulated from these: 10, 100 and 1,000 machines with a collector each and as
many times more tasks.
"""

import argparse
import contextlib
import json
import os
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import ray

from rl_meta.algorithms.rl2 import RL2
from rl_meta.collection.cluster import Cluster, Leaves, Lived, Part, collecting, crew_of, cut, packed, unpacked
from rl_meta.collection.crew import Work
from rl_meta.collection.device import device_collector
from rl_meta.tasks.base import draw_tasks
from rl_meta.tasks.cartpole import CartPole
from rl_meta.tasks.gymnasium_env import GymnasiumFamily
from rl_meta.training.config import RunConfig
from rl_meta.training.loop import improving
from rl_meta.training.run import DeviceProgram, program_of, root_keys

RESULTS = Path(__file__).parents[1] / "results" / "cluster.json"
CONFIG = RunConfig(CartPole(), RL2(meta_batch_size=64), steps=10_000_000)
MACHINES = (1, 10, 100, 1000)
NETWORK = 1.25e9
"""Assumed, for nothing here goes over a wire: bytes per second into the learner's machine (10 Gbit/s)."""
SLOW = 2_000
"""Assumed: steps per second of a slow simulator on a machine, about those of one of Meta-World's environments."""
FASTER = 20
"""Assumed of a learner on an accelerator."""


WAIT = 0.02
"""Seconds that a step of `Waiting` takes."""


class Waiting(gymnasium.Env):
    """Waits in every step, as one does that runs in another program: what it takes leaves the processor free."""

    observation_space = gymnasium.spaces.Box(0, 9, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, mark: float = 0.0) -> None:
        self.shown = np.full(1, mark, np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:  # noqa: ARG002
        """See Gymnasium."""
        super().reset(seed=seed)
        return self.shown, {}

    def step(self, action: int) -> tuple:
        """See Gymnasium."""
        time.sleep(WAIT)
        return self.shown, float(action), False, False, {}


MARKS = [{"mark": float(mark)} for mark in range(9)]
SLEEPY = RunConfig(GymnasiumFamily(Waiting, tasks=MARKS, max_steps=10), RL2(meta_batch_size=8), steps=10_000_000)


def seconds_of(work: Callable[[], Any], repeats: int) -> list[float]:
    """Of each call but the first."""
    work()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return found


def one_iteration() -> tuple[Leaves, Part, Any]:
    """Meta-parameters and the whole batch, as they are sent, and the state that they are of."""
    program, keys = DeviceProgram(CONFIG), root_keys(CONFIG)
    state = jax.tree.map(lambda x: x[0], program.init(keys))
    tasks = draw_tasks(CONFIG.family, jax.random.key(1), CONFIG.method.meta_batch_size)
    split = jax.random.split(jax.random.key(2), CONFIG.method.meta_batch_size)
    return packed(state.meta.params), Part(packed(split), packed(tasks), None), state


def echoing(answer: Leaves) -> Work:
    """A collector that has lived already: what is left is the message."""
    return lambda params, part: Lived(answer, 0)


def message_seconds(ray: str | None, params: Leaves, part: Part, answer: Leaves, repeats: int) -> float:
    """Of one exchange: parameters out, lifetimes back; the fastest."""
    with closing(crew_of(Cluster(1, ray), partial(echoing, answer))) as crew:
        return min(seconds_of(lambda: crew.do(params, [part]), repeats))


def messages(ray: str | None, params: Leaves, part: Part, answer: Leaves, repeats: int) -> dict[str, float]:
    """What a message costs, and how that grows with its bytes."""
    sent, returned = (sum(leaf.nbytes for leaf in leaves) for leaves in (params, answer))
    whole = message_seconds(ray, params, part, answer, repeats)
    empty = message_seconds(ray, [], part, [], repeats)
    return {
        "parameter_bytes": sent,
        "lifetime_bytes": returned,
        "seconds": whole,
        "empty_seconds": empty,
        "seconds_per_megabyte": max(whole - empty, 0.0) / (sent + returned) * 1e6,
    }


def steps_per_second(config: RunConfig, collectors: int, place: str | None, repeats: int) -> float:
    """Of whole iterations; the fastest."""
    program = program_of(config, Cluster(collectors, place) if collectors else None)
    keys = root_keys(config)
    with closing(program):
        state = program.init(keys)

        def go_on() -> None:
            nonlocal state
            state, info = program.go_on(keys, state, 1)
            jax.block_until_ready((state, info))

        return config.steps_per_iteration / min(seconds_of(go_on, repeats))


def simulate(machines: int, costs: dict[str, float], iterations: int = 50) -> dict[str, float]:
    """Iterations of a learner with so many collectors, each of which lives as many lifetimes as were measured.

    Parameters are sent to one collector after the other; all collect, some more slowly than others; lifetimes are taken
    in one after the other, in the order in which they come; the update takes as much longer as there are more tasks.
    """
    random, collecting_seconds = np.random.default_rng(0), costs["collecting_seconds"]
    collected = []
    for _ in range(iterations):
        slower = np.exp(np.abs(random.normal(0, costs["collecting_spread"], machines)))
        finished = np.arange(1, machines + 1) * costs["sending_seconds"] + collecting_seconds * slower
        free = 0.0
        for moment in np.sort(finished):
            free = max(free, moment) + costs["taking_seconds"]
        collected.append(free)
    updating = costs["update_seconds"] * machines
    length = float(np.mean(collected)) + updating
    return {
        "machines": machines,
        "steps_per_second": round(CONFIG.steps_per_iteration * machines / length),
        "iteration_seconds": round(length, 3),
        "collecting": round(collecting_seconds / length, 3),
        "messages_and_waiting": round(1 - (collecting_seconds + updating) / length, 3),
        "updating": round(updating / length, 3),
    }


def plan(costs: dict[str, float]) -> dict[str, Any]:
    """What so many machines reach, what no number of them exceeds, and how many reach half of that."""
    serial = max(costs["sending_seconds"], costs["taking_seconds"]) + costs["update_seconds"]  # the first two overlap
    return {
        **costs,
        "limit_steps_per_second": round(CONFIG.steps_per_iteration / serial),
        "machines_for_half_of_it": round(costs["collecting_seconds"] / serial, 1),
        "reached": [simulate(machines, costs) for machines in MACHINES],
    }


def plans(found: dict[str, Any]) -> dict[str, Any]:
    """A fast environment, a slow one, and a slow one with a faster learner."""
    told = found["messages"]["actors of Ray"]
    per_byte = max(1 / NETWORK, told["seconds_per_megabyte"] / 1e6)
    fast = {
        "collecting_seconds": found["collecting_seconds"],
        "collecting_spread": found["collecting_spread"],
        "sending_seconds": told["empty_seconds"] / 2 + told["parameter_bytes"] * per_byte,
        "taking_seconds": told["empty_seconds"] / 2 + told["lifetime_bytes"] * per_byte,
        "update_seconds": found["update_seconds"],
    }
    slow = {**fast, "collecting_seconds": CONFIG.steps_per_iteration / SLOW}
    return {
        "cartpole": plan(fast),
        f"an environment of {SLOW:,} steps per second": plan(slow),
        f"the same, a learner {FASTER} times as fast": plan(
            {**slow, "update_seconds": found["update_seconds"] / FASTER}
        ),
    }


def measure(repeats: int) -> dict[str, Any]:
    """Everything that is measured."""
    params, part, state = one_iteration()
    work = collecting(CONFIG.method, CONFIG.family, CONFIG.iterations)
    answer = work(params, part).lifetimes
    alone = seconds_of(lambda: work(params, part), repeats)
    low, high = np.percentile(alone, [25, 75])
    places = (("processes", None), ("actors of Ray", "local"))
    return {
        "what": "rl2 on cartpole, default settings",
        "cores": os.cpu_count(),
        "others_at_work": round(os.getloadavg()[1], 1),
        "tasks": CONFIG.method.meta_batch_size,
        "steps_per_iteration": CONFIG.steps_per_iteration,
        "collecting_seconds": min(alone),
        "collecting_spread": float(np.log(high / low) / 1.35),  # as of a normal distribution of the logarithm
        "collecting_half_seconds": min(seconds_of(lambda: work(params, cut(part, 2)[0]), repeats)),
        "update_seconds": min(seconds_of(updating(state, answer), repeats)),
        "messages": {name: messages(ray, params, part, answer, repeats) for name, ray in places},
        "steps_per_second": {
            "cartpole": speeds(CONFIG, places, repeats),
            f"an environment that waits {1000 * WAIT:g} ms in every step": speeds(SLEEPY, places, repeats),
        },
    }


def speeds(config: RunConfig, places: Any, repeats: int) -> dict[str, float]:
    """Without collectors, and with one and two."""
    with_collectors = {
        f"{count} {name}": steps_per_second(config, count, place, repeats) for name, place in places for count in (1, 2)
    }
    return {"none": steps_per_second(config, 0, None, repeats), **with_collectors}


def updating(state: Any, answer: Leaves) -> Callable[[], Any]:
    """An update by these lifetimes."""
    algorithm = CONFIG.method.build(CONFIG.family, CONFIG.iterations)
    collect = device_collector(algorithm.adapter, CONFIG.family, CONFIG.shape).collect
    key, live = jax.random.key(3), state.live
    lifetimes = unpacked(answer, jax.eval_shape(collect, key, state.meta.params, live, live.task)[1])
    update = jax.jit(improving(algorithm, CONFIG.shape))
    return lambda: jax.block_until_ready(update(key, state.meta, lifetimes))


def start_ray() -> None:
    """On this machine. On a busy one it may be too slow for itself at first."""
    for _ in range(4):
        with contextlib.suppress(Exception):
            ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=2 * 10**8, log_to_driver=False)
            return
        ray.shutdown()
    raise SystemExit("Ray did not start")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    start_ray()
    measured = measure(repeats)
    simulated = {"network_bytes_per_second": NETWORK, "plans": plans(measured)}
    RESULTS.write_text(json.dumps({"measured": measured, "simulated": simulated}, indent=1) + "\n")
    print(RESULTS.read_text())
