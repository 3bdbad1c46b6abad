"""What programs share that measure training at many points: settings along some axes, each in a process of its own.

Called with the names of some axes they measure the points of these, called without all of them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

CALLS = 5
"""That are timed, after one that is not."""
Point = dict[str, Any]
"""Settings by name, and after the measurement its results."""


class Compiled(NamedTuple):
    """A run that is compiled and has not begun."""

    go_on: Callable[[Any], tuple[Any, Any]]
    """(state) -> state after `iterations`, info. The state that it is given is used up."""
    state: Any
    """The first."""
    steps: int
    """Environment steps of one call."""
    seconds: float
    """That compiling took."""


def compiled_run(config: Any, steps: int) -> Compiled:
    """The run of a `RunConfig`, about so many environment steps per call."""
    import jax.numpy as jnp

    from rl_meta.training.run import build_trainer, compiled_calls, root_keys

    keys = root_keys(config)
    init, go_on = compiled_calls(config, build_trainer(config))
    state, count = init(keys), jnp.array(max(1, round(steps / config.steps_per_iteration)))
    began = time.perf_counter()
    compiled = go_on.lower(keys, state, count).compile()
    seconds = time.perf_counter() - began
    return Compiled(lambda state: compiled(keys, state, count), state, int(count) * config.steps_per_iteration, seconds)


def measured(config: Any, steps: int) -> Point:
    """Speed, compile seconds and peak memory of a run, in this process, about so many environment steps per call."""
    import jax

    sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
    from measurement import peak_memory_mb, timed

    run = compiled_run(config, steps)
    state, timings = run.state, []
    for _ in range(CALLS + 1):
        state, timing = timed(lambda state=state: jax.block_until_ready(run.go_on(state)[0]))
        timings.append(timing)
    return {
        "steps_per_second": round(run.steps / statistics.median(one.seconds for one in timings[1:])),
        "steps_per_cpu_second": round(run.steps / statistics.median(one.cpu_seconds for one in timings[1:])),
        "compile_seconds": round(run.seconds, 1),
        "peak_memory_mb": round(peak_memory_mb()),
    }


def measure_axes(
    program: str, description: str | None, axes: dict[str, list[Point]], measure: Callable[[Point], Point], output: Path
) -> None:
    """The main function: measure every point of the chosen axes, and write what came of it into `output`.

    Args:
        program: its file.
        description: what it is.
        axes: the points of each axis.
        measure: (point) -> point with its results; called in a process of its own.
        output: a JSON file of results by axis.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("axes", nargs="*", metavar="AXIS", help=f"of: {', '.join(axes)}; all by default")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        print(json.dumps(measure(json.loads(options.point))))
        return
    known = json.loads(output.read_text()) if output.exists() else {}
    for axis in options.axes or axes:
        if axis not in axes:
            parser.error(f"unknown axis {axis!r}; known: {', '.join(axes)}")
        known[axis] = []
        for point in axes[axis]:
            command = [sys.executable, program, "--point", json.dumps(point)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            known[axis].append(json.loads(done.stdout.splitlines()[-1]))
            print(axis, known[axis][-1], flush=True)
        output.write_text(json.dumps(known, indent=1) + "\n")
