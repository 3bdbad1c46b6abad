"""`rl-meta aggregate`: make one model of several, or look along the line between two."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from rl_meta import api
from rl_meta.commands.progress import jobs_bar
from rl_meta.commands.train import free_directory
from rl_meta.errors import UserError


@dataclass(frozen=True)
class AggregateOptions:
    """Merge runs, seed by seed, or the seeds of one run, into a new run directory."""

    runs: Positional[tuple[Path, ...]]
    """Run directories, of one family, method and architecture."""
    out: Path | None = None
    """The new run directory, or where a sweep is written; default runs/aggregate-N or runs/sweep-N."""
    how: str = "mean"
    """mean, soup (keep what does not make it worse), arithmetic (add what was learned after --base), or spherical."""
    weights: tuple[float, ...] = ()
    """One for each model; nothing: equal ones with sum 1."""
    base: Path | None = None
    """The run that the others were trained on from, for --how arithmetic."""
    sweep: bool = False
    """Do not merge: evaluate α A + (1 − α) B for α from 0 to 1, write sweep.json and sweep.png."""
    points: int = 11
    """Values of α in a sweep."""
    split: str | None = None
    """Whose tasks judge; default test in a sweep, validation for a soup."""
    tasks: int = 100
    """How many of them."""
    seed: int = 0
    """Decides which tasks are drawn."""
    json: bool = False
    """Print where the result is as one JSON object."""


def run(words: list[str]) -> None:
    """Merge or sweep, say where the result is."""
    options = tyro.cli(AggregateOptions, args=words, prog="rl-meta aggregate")
    (_sweep if options.sweep else _merge)(options)


def _merge(options: AggregateOptions) -> None:
    out = options.out or free_directory("aggregate")
    with jobs_bar() as say:
        api.aggregate(
            options.runs,
            out=out,
            how=options.how,
            weights=options.weights or None,
            base=options.base,
            split=options.split,
            tasks=options.tasks,
            seed=options.seed,
            progress=say,
        )
    made_of = json.loads((out / "aggregation.json").read_text())
    if options.json:
        print(json.dumps({"run": str(out), **made_of}))
        return
    for index, weights in enumerate(made_of["weights_by_seed"]):
        print(f"seed {index}: weights {', '.join(f'{weight:.3g}' for weight in weights)}")
    print(f"written: {out}   next: rl-meta evaluate {out}")


def _sweep(options: AggregateOptions) -> None:
    if len(options.runs) != 2:
        raise UserError(f"a sweep goes from one run to another: give two, got {len(options.runs)}")
    if options.weights or options.base:
        raise UserError("a sweep tries all weights of two runs: leave out --weights and --base")
    out = options.out or free_directory("sweep")
    with jobs_bar() as say:
        swept = api.sweep(
            *options.runs,
            out=out,
            how=options.how,
            points=options.points,
            split=options.split or "test",
            tasks=options.tasks,
            seed=options.seed,
            progress=say,
        )
    if options.json:
        print(json.dumps(swept))
        return
    _print_sweep(swept)
    print(f"written: {out / 'sweep.json'} and {out / 'sweep.png'}")


def _print_sweep(swept: dict[str, Any]) -> None:
    first_run, second_run = (Path(run).name for run in swept["runs"])
    table = Table(title=f"α {first_run} + (1 − α) {second_run}")
    for column in ("α", "first stage", "last stage", "95 % interval"):
        table.add_column(column, justify="right")
    for row in swept["points"]:
        first, last = row["first"], row["last"]
        interval = f"{last['low']:.2f} to {last['high']:.2f}"
        table.add_row(f"{row['alpha']:.2f}", f"{first['iqm']:.2f}", f"{last['iqm']:.2f}", interval)
    Console().print(table)
    print(f"the return of the last stage is at most {swept['barrier']:.2f} below the straight line between the ends")
