"""`rl-meta evaluate`: let the agents of a run adapt to held-out tasks."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from rl_meta import api
from rl_meta.commands.progress import jobs_bar


@dataclass(frozen=True)
class EvaluateOptions:
    """Let a run's agents adapt to tasks never seen in training; write DIR/evaluation.json."""

    run: Positional[Path]
    """The run directory."""
    tasks: int = 200
    """Held-out tasks."""
    split: str = "test"
    """train, validation, test, or extrapolation."""
    stages: int | None = None
    """Stages to live in every task; None: as many as in training."""
    acting: str = "sampled"
    """sampled (as in training), or deterministic (always the best action)."""
    baselines: tuple[str, ...] = ("scratch",)
    """Methods that need no meta-training, set beside it; none: --baselines with nothing after it."""
    baseline_tasks: int = 16
    """How many of the tasks the baselines are tried on."""
    against: tuple[Path, ...] = ()
    """Directories of other runs on the same family, set beside it on the same tasks."""
    seed: int = 0
    """Decides which tasks are drawn."""
    json: bool = False
    """Print the evaluation as one JSON object."""


def run(words: list[str]) -> None:
    """Evaluate, print what came of it."""
    options = tyro.cli(EvaluateOptions, args=words, prog="rl-meta evaluate")
    evaluation = evaluated(options)
    if options.json:
        print(json.dumps(evaluation))
    else:
        print_evaluation(evaluation)
        print(f"\nwritten: {options.run / 'evaluation.json'}   next: rl-meta report {options.run}")


def evaluated(options: EvaluateOptions) -> dict[str, Any]:
    """The evaluation, with a progress bar while it is made."""
    with jobs_bar("adapting ({})") as say:
        return api.evaluate(
            options.run,
            tasks=options.tasks,
            split=options.split,
            stages=options.stages,
            acting=options.acting,
            baselines=options.baselines,
            baseline_tasks=options.baseline_tasks,
            against=options.against,
            seed=options.seed,
            progress=say,
        )


def print_evaluation(evaluation: dict[str, Any]) -> None:
    """A table of the agent and what is beside it, and how many times fewer steps it needs."""
    table = Table(
        title=f"{evaluation['method']} on {evaluation['tasks']} {evaluation['split']} tasks of "
        f"{evaluation['family']}, {evaluation['seeds']} seed(s), {evaluation['acting']} acting"
    )
    for column in (
        "agent",
        "",
        "env steps in the task",
        "mean return",
        "IQM",
        "95 % interval",
        "20th percentile",
    ):
        table.add_column(column, justify="left" if column in ("agent", "") else "right")
    for name, curve in {evaluation["method"]: evaluation, **evaluation["baselines"]}.items():
        rows = [("episode", row) for row in curve["episodes"][:3]] if name == evaluation["method"] else []
        stages = curve["stages"]
        picked = stages if len(stages) <= 4 else [stages[round(i * (len(stages) - 1) / 3)] for i in range(4)]
        for what, row in [*rows, *(("stage", row) for row in picked)]:
            table.add_row(
                name,
                f"{what} {row[what] + 1}",
                f"{row['env_steps']:,.0f}",
                f"{row['mean']:.2f}",
                f"{row['iqm']:.2f}",
                f"{row['low']:.2f} to {row['high']:.2f}",
                f"{row['p20']:.2f}",
            )
    Console(width=110 if not sys.stdout.isatty() else None).print(table)
    for name, curve in {evaluation["method"]: evaluation, **evaluation["baselines"]}.items():
        for measure, rows in curve["measures"].items():
            print(f"{measure}, {name}: {_in_turn(rows['episodes'])}")
    for name, gain in evaluation["speedup"].items():
        needed = f"{gain['times'] * gain['steps']:,.0f}"
        more = f"never within {needed} steps: at least" if gain["at_least"] else f"after {needed} steps:"
        print(
            f"a return of {gain['return']:.2f}, reached within {gain['steps']:,.0f} steps in an unknown task, "
            f"{name} reaches {more} {gain['times']:,.0f} times as many"
        )


def _in_turn(rows: list[dict[str, Any]]) -> str:
    """A measure in the first three episodes and in the last one."""
    picked = rows if len(rows) <= 4 else [*rows[:3], rows[-1]]
    return ", ".join(
        f"{r['mean']:.3g} ({r['low']:.3g} to {r['high']:.3g}) in episode {r['episode'] + 1}" for r in picked
    )
