"""`rl-meta report`: the page about a run."""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro
from tyro.conf import Positional

from rl_meta import api


@dataclass(frozen=True)
class ReportOptions:
    """Write DIR/report.html, a page that needs no network."""

    run: Positional[Path]
    """The run directory."""
    film: bool = False
    """Let the agent live in a held-out task, and show pictures of it there (of families that can be drawn)."""
    json: bool = False
    """Print where the page is as one JSON object."""


def run(words: list[str]) -> None:
    """Write the page, say where."""
    options = tyro.cli(ReportOptions, args=words, prog="rl-meta report")
    page = api.report(options.run, film=options.film)
    print(json.dumps({"report": str(page)}) if options.json else f"written: {page}")
