"""`rl-meta export`: the agent of a run for programs without RL-Meta."""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro
from tyro.conf import Positional

from rl_meta import api


@dataclass(frozen=True)
class ExportOptions:
    """Write the agent of a run as programs that adapt where neither RL-Meta nor JAX is."""

    run: Positional[Path]
    """The run directory."""
    to: str = "onnx"
    """onnx, tensorflow or torch."""
    out: Path | None = None
    """The new directory; default DIR/export-TO."""
    seed_index: int = 0
    """Which of the run's seeds."""
    json: bool = False
    """Print where the agent is as one JSON object."""


def run(words: list[str]) -> None:
    """Export, say where to."""
    options = tyro.cli(ExportOptions, args=words, prog="rl-meta export")
    out = options.out or options.run / f"export-{options.to}"
    written = api.export(options.run, to=options.to, out=out, seed_index=options.seed_index)
    print(json.dumps({"export": str(written)}) if options.json else f"written: {written}   next: see its README.md")
