"""The directory in which an exported agent goes where RL-Meta is not.

agent.json   what it is: spaces, stages, and the names, shapes and types of all inputs and outputs
agent.py     an `Agent` in NumPy around the programs       README.md   how to use it
begin.onnx, act.onnx, learn.onnx    or saved_model/    or begin.pt2, act.pt2, learn.pt2
"""

import json
import math
import shutil
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from rl_meta.algorithms.base import Shape
from rl_meta.errors import UserError, unknown
from rl_meta.exporting.programs import Program, Programs
from rl_meta.tasks.base import Family
from rl_meta.training.checkpoints import write_whole

FORMAT = 1
WRITERS = {
    "onnx": "rl_meta.exporting.onnx_model:write_onnx",
    "tensorflow": "rl_meta.exporting.tensorflow_model:write_tensorflow",
    "torch": "rl_meta.exporting.torch_program:write_torch",
}
"""Each: (programs, directory) -> None."""
RUNTIMES = {"onnx": "onnxruntime", "tensorflow": "tensorflow", "torch": "torch"}

README = """\
# An agent that adapts: {method} on {family}

It learns a new task while it acts in it. It needs `pip install numpy {runtime}`, and nothing else.

```python
from agent import Agent

agent = Agent()
agent.begin_task(seed=0)  # a new task
action = agent.act({observation})  # the first observation
action = agent.act({observation}, reward=1.0, terminated=False, truncated=False)  # what came of the action, and so on
```
"""


def check_target(to: str) -> None:
    """Is there an export of this name?"""
    if to not in WRITERS:
        raise unknown("export", to, WRITERS)


def write_artefact(out: Path, programs: Programs, family: Family, shape: Shape, about: dict[str, Any]) -> None:
    """Write the whole directory, or nothing. family: as the agent sees it. about: `to`, and what else is worth knowing.

    Raises:
        UserError: the directory is not empty, an extra is missing, or there are no words for what the agent does.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty: choose another directory")
    part = out.absolute().with_name(out.absolute().name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # of an export that was stopped
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot make the directory {out}: {error.strerror}") from None
    try:
        _writer(about["to"])(programs.all, part)
        _write_description(part, programs, family, shape, about)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_description(
    directory: Path, programs: Programs, family: Family, shape: Shape, about: dict[str, Any]
) -> None:
    """agent.json, agent.py and README.md."""
    described = {
        "format": FORMAT,
        **about,
        "rl_meta": version("rl-meta"),
        "observation_space": plain_space(family.observation_space),
        "action_space": plain_space(family.action_space),
        "stage": {"copies": shape.copies, "steps": shape.steps, "restart": shape.restart},
        "stages": shape.stages,
        "resting_noise": [f"noise_{i}" for i in range(programs.kept_noise, len(programs.act.draws))],
        "programs": {program.name: plain_program(program) for program in programs.all},
    }
    write_whole(directory / "agent.json", (json.dumps(described, indent=1) + "\n").encode())
    write_whole(directory / "agent.py", Path(__file__).with_name("client.py").read_bytes())
    shown = _zeros(family.observation_space)
    readme = README.format(**about, runtime=RUNTIMES[about["to"]], observation=shown)
    write_whole(directory / "README.md", readme.encode())


def _writer(to: str) -> Callable[[tuple[Program, ...], Path], None]:
    check_target(to)
    module, _, name = WRITERS[to].partition(":")
    return getattr(import_module(module), name)


def plain_program(program: Program) -> dict[str, Any]:
    """Its inputs, the draws among them, and its outputs."""
    tensors = {"inputs": program.inputs, "outputs": program.outputs}
    plain: dict[str, Any] = {name: [tensor._asdict() for tensor in part] for name, part in tensors.items()}
    noise = zip(plain["inputs"][len(plain["inputs"]) - len(program.draws) :], program.draws, strict=True)
    return plain | {"noise": [{**tensor, "kind": draw.kind} for tensor, draw in noise]}


def plain_space(space: spaces.Space) -> dict[str, Any]:
    """A space as JSON; what has no bound is null."""
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "spaces": {name: plain_space(part) for name, part in space.items()}}
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    assert isinstance(space, spaces.Box)
    bounds = {"low": _bound(space.low.tolist()), "high": _bound(space.high.tolist())}
    return {"type": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}


def _bound(value: Any) -> Any:
    if isinstance(value, list):
        return [_bound(part) for part in value]
    return value if math.isfinite(value) else None


def _zeros(space: spaces.Space) -> str:
    """An observation, for the README."""
    if isinstance(space, spaces.Dict):
        return "{" + ", ".join(f"{name!r}: {_zeros(part)}" for name, part in space.items()) + "}"
    return str(np.zeros(space.shape or (), int if isinstance(space, spaces.Discrete) else float).tolist())
