"""What every measured program shares: its workload, its arguments, its clock and its one line of JSON.

Standard library only: it runs under the interpreters of all peers and of RL-Meta.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

ENVIRONMENT = "CartPole-v1"
ROLLOUT_STEPS = 128
"""Steps of each environment between two updates."""
EPOCHS = 4
MINIBATCHES = 4
HIDDEN_WIDTH = 64
"""Of both layers of the policy network and of both layers of the value network."""
RECURRENT_WIDTH = 128
LEARNING_RATE = 3e-4
REPTILE_TASKS = 8
"""Between two steps of the meta-model."""
REPTILE_UPDATES = 4
"""Of PPO in each task, before that."""
REPTILE_UPDATE_STEPS = 4 * ROLLOUT_STEPS
"""Environment steps of each of them."""
REPTILE_STEPS = REPTILE_TASKS * REPTILE_UPDATES * REPTILE_UPDATE_STEPS
"""Environment steps per step of the meta-model."""


@dataclass(frozen=True)
class Workload:
    """How much is timed: `repeats` trainings of `updates` whole updates each."""

    envs: int
    repeats: int
    updates: int
    seed: int
    evaluate: bool
    """Report the mean return after training too: shows that what is timed learns."""

    @property
    def steps(self) -> int:
        """Environment steps of one repeat, summed over the environments."""
        return self.updates * self.update_steps

    @property
    def update_steps(self) -> int:
        """Environment steps per update, summed over the environments."""
        return self.envs * ROLLOUT_STEPS

    @property
    def minibatch_size(self) -> int:
        """Environment steps per gradient step."""
        return self.update_steps // MINIBATCHES


def argument_parser(description: str | None, *, envs: int, steps: int) -> argparse.ArgumentParser:
    """The arguments every measured program takes, with this program's defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--envs", type=int, default=envs, help="parallel environments")
    parser.add_argument("--repeats", type=int, default=3, help="timed repeats, after one that is not timed")
    parser.add_argument(
        "--steps", type=int, default=steps, help="environment steps per repeat, rounded to whole updates"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluate", action="store_true", help="report the mean return after training too")
    return parser


def workload(options: argparse.Namespace) -> Workload:
    """The workload that the arguments ask for."""
    updates = max(1, round(options.steps / (options.envs * ROLLOUT_STEPS)))
    return Workload(options.envs, options.repeats, updates, options.seed, options.evaluate)


class Timing(NamedTuple):
    """What one call cost."""

    seconds: float
    cpu_seconds: float
    """Summed over all threads: what is left of the truth when other people use the same cores."""


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Timing]:
    """The function's result and what it cost."""
    start, cpu_start = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return result, Timing(time.perf_counter() - start, time.process_time() - cpu_start)


def repeat(function: Callable[[Any], Any], arguments: Iterable[Any]) -> tuple[Any, list[Timing]]:
    """Call once for each argument: the last result, and what every call cost but the first, a warm-up."""
    result, timings = None, []
    for argument in arguments:
        result = None  # only one result in memory at a time
        result, timing = timed(function, argument)
        timings.append(timing)
    return result, timings[1:]


def peak_memory_mb() -> float:
    """The most memory this process has held, MiB.

    Linux's VmHWM rather than `ru_maxrss`, which a child process inherits from the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def report(
    peer: str,
    work: Workload,
    timings: Sequence[Timing],
    *,
    compile_seconds: float,
    settings: dict[str, Any],
    packages: Sequence[str],
    mean_return: float | None = None,
) -> None:
    """Print the one line of JSON that `ratios.py` reads."""
    line = {
        "peer": peer,
        "envs": work.envs,
        "steps_per_second": [round(work.steps / timing.seconds, 1) for timing in timings],
        "steps_per_cpu_second": [round(work.steps / timing.cpu_seconds, 1) for timing in timings],
        "compile_seconds": round(compile_seconds, 2),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "steps_per_repeat": work.steps,
        "settings": settings,
        "versions": {name: metadata.version(name) for name in packages},
    }
    if mean_return is not None:
        line["mean_return"] = round(mean_return, 1)
    print(json.dumps(line), flush=True)
