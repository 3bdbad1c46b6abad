"""What programs share that measure training at many points: settings along some axes, each in a process of its own.

Called with the names of some axes they measure the points of these, called without all of them.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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
