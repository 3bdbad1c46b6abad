"""`rl-meta tune`: look for good settings."""

import json
import re
import sys
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from rl_meta import api
from rl_meta.commands.progress import jobs_bar
from rl_meta.commands.train import VARY, family_named, free_directory
from rl_meta.errors import UserError
from rl_meta.training.catalogue import families, methods
from rl_meta.training.config import RunConfig

USAGE = """\
usage: rl-meta tune FAMILY METHOD [--trials N] [--steps N] [--range method.FIELD=LOW:HIGH] [--out DIR] [--json]
       rl-meta tune --resume DIR
"""
OVER = ("finished", "stopped", "failed")


def run(words: list[str]) -> None:
    """Try, say which settings were the best."""
    if any(word.split("=")[0] == "--resume" for word in words):
        resumed = tyro.cli(ResumeOptions, args=words, prog="rl-meta tune")
        told = _tried(
            lambda say: api.resume_tuning(resumed.resume, parallel=resumed.parallel, gpus=resumed.gpus, report=say),
            resumed.resume,
        )
        _say(told, as_json=resumed.json)
        return
    family, options = _options(words)
    out = options.out or free_directory(re.sub(r"[^\w.-]", "-", f"tune-{words[0]}-{words[1]}"))
    told = _tried(
        lambda say: api.tune(
            family,
            options.method,
            out=out,
            trials=options.trials,
            steps=options.steps,
            ranges=_by_field(options.range),
            tasks=options.tasks,
            schedule=options.schedule,
            seed=options.seed,
            seeds=options.seeds,
            parallel=options.parallel,
            gpus=options.gpus,
            report=say,
        ),
        out,
    )
    _say(told, as_json=options.json)


@dataclass(frozen=True)
class ResumeOptions:
    """Go on with a search that was stopped; trials that are over are not run again."""

    resume: Path
    """The directory."""
    parallel: int | None = None
    """Trials at a time; None: one for each core."""
    gpus: int = 0
    """Of each trial."""
    json: bool = False
    """Print all trials as one JSON object."""


def _options(words: list[str]) -> tuple[Any, Any]:
    """Family and options; the fields of family and method are options of this command, for what is not tuned."""
    names = [word for word in words[:2] if not word.startswith("-")]
    if len(names) < 2:
        print(USAGE)
        for kind in (families, methods):
            print(f"{kind.name}: {', '.join(sorted(kind.table))}{' or gym:ID' if kind is families else ''}")
        raise SystemExit(0 if {"-h", "--help"} & set(words) else 2)
    family, method = family_named(names[0]), methods.load(names[1])
    text = lambda kind, about: Annotated[kind, tyro.conf.arg(help=about)]
    ranged = (
        "A field and what to draw it from: method.learning-rate=log:1e-4:1e-2, method.trace=0.3:0.95, "
        "method.memory=choice:64,128, family.horizon=50:100. None: what the method declares."
    )
    fields = [
        ("range", Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(help=ranged)], ()),
        ("trials", text(int, "Settings to try."), 20),
        ("steps", text(int, "Environment steps of a trial that is not stopped, per seed."), RunConfig.steps),
        ("tasks", text(int, "Validation tasks that trials are scored in."), 100),
        ("schedule", text(str, "asha: stop trials that fall behind; none: run all to the end."), "asha"),
        ("parallel", text(int | None, "Trials at a time; None: one for each core."), None),
        ("gpus", text(int, "GPUs of each trial."), 0),
        ("out", text(Path | None, "Directory; default runs/tune-FAMILY-METHOD-N."), None),
        ("seed", text(int, "The first seed of every trial, and what values are drawn with."), 0),
        ("seeds", text(int, "Seeds to train in every trial."), 1),
        ("json", text(bool, "Print all trials as one JSON object."), False),
        ("family", type(family), family),
        ("method", method, method()),
        *(VARY if hasattr(family, "set_task") else ()),
    ]
    options: Any = make_dataclass("TuneOptions", fields, frozen=True)
    parsed = tyro.cli(options, args=words[2:], prog=f"rl-meta tune {names[0]} {names[1]}", description="Tune settings.")
    varied = {"vary": parsed.vary} if getattr(parsed, "vary", ()) else {}
    return replace(parsed.family, **varied), parsed


def _by_field(entries: tuple[str, ...]) -> dict[str, str]:
    """FIELD=RANGE by field."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        if not equals:
            raise UserError(f"--range must be like method.learning-rate=log:1e-4:1e-2, got {entry!r}")
        if name in found:
            raise UserError(f"{name} has two ranges: give it one")
        found[name] = text
    return found


def _tried(work: Any, out: Path) -> dict[str, Any]:
    """What came of the trials; Ctrl-C ends with the way to go on and exit status 130."""
    with jobs_bar("trials over") as bar:

        def say(told: dict[str, Any]) -> None:
            over = sum(trial["state"] in OVER for trial in told["trials"])
            bar("trials", over, len(told["trials"]))

        try:
            return work(say)
        except KeyboardInterrupt:
            print(f"stopped; saved. Continue with: rl-meta tune --resume {out}", file=sys.stderr)
            sys.exit(130)


def _say(told: dict[str, Any], *, as_json: bool) -> None:
    """All trials, the best first, and what to do next."""
    if as_json:
        print(json.dumps(told))
        return
    names = list(told["ranges"])
    table = Table(title=f"{len(told['trials'])} trials, scored in {told['tasks']} validation tasks")
    for column in ("trial", "state", "env steps", "score", *(name.replace("_", "-") for name in names)):
        table.add_column(column, justify="left" if column == "state" else "right")
    for trial in sorted(told["trials"], key=_rank):
        steps = trial["scores"][-1]["env_steps"] if trial["scores"] else 0
        score = "-" if trial["score"] is None else f"{trial['score']:.2f}"
        values = (str(trial["values"][name]) for name in names)
        table.add_row(str(trial["number"]), trial["state"], f"{steps:,}", score, *values)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    for trial in told["trials"]:
        if trial["error"]:
            print(f"trial {trial['number']} failed: {trial['error']}")
    if told["best"] is None:
        raise UserError("no trial has a score")
    best = told["trials"][told["best"]]
    print(f"best: trial {best['number']}   next: rl-meta evaluate {best['run']}")


def _rank(trial: dict[str, Any]) -> tuple[int, float]:
    """Those at the end of their steps first, then by score."""
    score = -float("inf") if trial["score"] is None else trial["score"]
    return (0 if trial["state"] == "finished" else 1, -score)
