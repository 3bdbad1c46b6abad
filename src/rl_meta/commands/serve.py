"""`rl-meta serve`: the agent of a run over HTTP."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from rl_meta import api
from rl_meta.serving.settings import ServeSettings


@dataclass(frozen=True)
class ServeOptions:
    """Serve the agent of a run over HTTP to many clients, each with an adaptation of its own."""

    run: Positional[Path]
    """The run directory."""
    settings: OmitArgPrefixes[ServeSettings] = field(default_factory=ServeSettings)
    seed_index: int = 0
    """Which of the run's seeds."""


def run(words: list[str]) -> None:
    """Serve until Ctrl-C."""
    options = tyro.cli(ServeOptions, args=words, prog="rl-meta serve")
    api.serve(options.run, options.settings, seed_index=options.seed_index, say=_say)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
