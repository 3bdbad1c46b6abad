"""The command `rl-meta`: demo, list, train, evaluate, report."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, make_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

from rl_meta.errors import UserError, unknown

USAGE = """\
usage: rl-meta COMMAND [OPTIONS]

  demo                    meta-train RL² on cartpole, adapt to 200 unseen tasks, compare with learning from scratch
  list                    families, methods, and what they are
  train FAMILY METHOD     meta-train; --family.FIELD and --method.FIELD set their fields
  train --resume DIR      continue a run that was stopped
  evaluate DIR            adapt to held-out tasks, write DIR/evaluation.json
  report DIR              write DIR/report.html

`rl-meta COMMAND --help` shows a command's options. Exit status: 0 done, 2 wrong input, 130 stopped by Ctrl-C.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; wrong input ends in one line on standard error and exit status 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands: dict[str, Callable[[list[str]], None]] = {
        "demo": _demo,
        "list": _list,
        "train": _train,
        "evaluate": _evaluate,
        "report": _report,
    }
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        sys.exit(0 if words else 2)
    if words[0] == "--version":
        print(f"rl-meta {version('rl-meta')}")
        return
    try:
        if words[0] not in commands:
            raise unknown("command", words[0], commands)
        _set_up_jax()
        commands[words[0]](words[1:])
    except UserError as error:
        print(f"rl-meta: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("rl-meta: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)


def _set_up_jax() -> None:
    """Keep compiled programs in the user's cache directory, for a fast second start; set what XLA needs to be sound."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rl-meta" / "jax"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # with products in several threads, adapting many networks at once was seen to wait for ever on two cores
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")


# ------------------------------------------------------------------------------------------------ list


@dataclass(frozen=True)
class ListOptions:
    """Families and methods, with the first line of what they are."""

    json: bool = False
    """Print one JSON object instead."""


def _list(words: list[str]) -> None:
    options = tyro.cli(ListOptions, args=words, prog="rl-meta list")
    from rl_meta.training.catalogue import families, methods

    found = {
        kind.name: {name: _first_line(kind.load(name)) for name in sorted(kind.table)} for kind in (families, methods)
    }
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for kind, entries in found.items():
        print(f"{kind} (`rl-meta train {'NAME rl2' if kind == 'family' else 'cartpole NAME'} --help` shows its fields)")
        for name, line in entries.items():
            print(f"  {name:20s} {line}")


def _first_line(cls: type) -> str:
    """What a family or method is: the headline of its module."""
    headline = (sys.modules[cls.__module__].__doc__ or cls.__doc__ or "").strip().splitlines()[0]
    return headline.split(": ", 1)[-1] if headline.startswith("`") else headline


# ------------------------------------------------------------------------------------------------ train


def _train(words: list[str]) -> None:
    from rl_meta import api

    if "--resume" in words or any(word.startswith("--resume=") for word in words):
        resumed = tyro.cli(ResumeOptions, args=words, prog="rl-meta train")
        with _training_bar() as say:
            _stoppable(lambda: api.resume(resumed.resume, report=say), resumed.resume)
        _say_trained(resumed.resume, as_json=resumed.json)
        return
    family, method, options = _train_options(words)
    out = options.out or _free_directory(f"{words[0]}-{words[1]}")
    with _training_bar() as say:
        _stoppable(
            lambda: api.train(
                family,
                method,
                out=out,
                steps=options.steps,
                seed=options.seed,
                seeds=options.seeds,
                report=say,
            ),
            out,
        )
    _say_trained(out, as_json=options.json)


def _say_trained(run: Path, *, as_json: bool) -> None:
    print(json.dumps({"run": str(run)}) if as_json else f"trained: {run}   next: rl-meta evaluate {run}")


@dataclass(frozen=True)
class ResumeOptions:
    """Continue a run that was stopped, to the same numbers as if it had not been."""

    resume: Path
    """The run directory."""
    json: bool = False
    """Print where the run is as one JSON object."""


def _train_options(words: list[str]) -> tuple[Any, Any, Any]:
    """Family, method and options; the fields of the first two are options of this command."""
    from rl_meta.training.catalogue import families, methods
    from rl_meta.training.config import RunConfig

    names = [word for word in words[:2] if not word.startswith("-")]
    if len(names) < 2:
        print(
            "usage: rl-meta train FAMILY METHOD [--out DIR] [--steps N] [--seed S] [--seeds K] "
            "[--family.FIELD V] [--method.FIELD V]\n       rl-meta train --resume DIR\n"
        )
        for kind in (families, methods):
            print(f"{kind.name}: {', '.join(sorted(kind.table))}")
        raise SystemExit(0 if {"-h", "--help"} & set(words) else 2)
    family, method = families.load(names[0]), methods.load(names[1])
    options = make_dataclass(
        "TrainOptions",
        [
            (
                "out",
                Annotated[Path | None, tyro.conf.arg(help="Run directory; default runs/FAMILY-METHOD-N.")],
                None,
            ),
            (
                "steps",
                Annotated[int, tyro.conf.arg(help="Environment steps over all lifetimes, per seed.")],
                RunConfig.steps,
            ),
            ("seed", Annotated[int, tyro.conf.arg(help="The first seed.")], 0),
            ("seeds", Annotated[int, tyro.conf.arg(help="Seeds to train at once.")], 1),
            ("json", Annotated[bool, tyro.conf.arg(help="Print where the run is as one JSON object.")], False),
            ("family", family, family()),
            ("method", method, method()),
        ],
        frozen=True,
    )
    parsed: Any = tyro.cli(
        options, args=words[2:], prog=f"rl-meta train {names[0]} {names[1]}", description="Meta-train."
    )
    return parsed.family, parsed.method, parsed


def _free_directory(stem: str) -> Path:
    """runs/STEM-N with the smallest N that is free."""
    index = 1
    while (path := Path("runs") / f"{stem}-{index}").exists():
        index += 1
    return path


def _stoppable(work: Callable[[], Any], directory: Path) -> None:
    """Ctrl-C ends with the way to go on and exit status 130."""
    try:
        work()
    except KeyboardInterrupt:
        print(f"stopped; saved. Continue with: rl-meta train --resume {directory}", file=sys.stderr)
        sys.exit(130)


@contextlib.contextmanager
def _training_bar() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A progress bar with rate, return and time left; where there is no terminal, a line for every tenth."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[rate]} steps/s"),
        TextColumn("return {task.fields[gain]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        job = bar.add_task("training", total=None, rate="compiling ...", gain="-")
        tenths = 0

        def say(line: dict[str, Any]) -> None:
            nonlocal tenths
            known = [x for x in line["return"] if x is not None]
            gain = f"{sum(known) / len(known):.2f}" if known else "-"
            done = 10 * line["env_steps"] // line["total_env_steps"]
            if not console.is_terminal and done > tenths:
                tenths = done
                told = f"{line['env_steps']:,} steps, {line['steps_per_second']:,.0f} steps/s, return {gain}"
                print(f"training {10 * done} %: {told}", file=sys.stderr)
            bar.update(
                job,
                completed=line["env_steps"],
                total=line["total_env_steps"],
                rate=f"{line['steps_per_second']:,.0f}",
                gain=gain,
            )

        yield say


# ------------------------------------------------------------------------------------------------ evaluate, report


@dataclass(frozen=True)
class EvaluateOptions:
    """Let a run's agents adapt to tasks never seen in training; write DIR/evaluation.json."""

    run: Positional[Path]
    """The run directory."""
    tasks: int = 200
    """Held-out tasks."""
    split: str = "test"
    """train, validation, test, or extrapolation."""
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


def _evaluate(words: list[str]) -> None:
    options = tyro.cli(EvaluateOptions, args=words, prog="rl-meta evaluate")
    evaluation = _evaluated(options)
    if options.json:
        print(json.dumps(evaluation))
    else:
        _print_evaluation(evaluation)
        print(f"\nwritten: {options.run / 'evaluation.json'}   next: rl-meta report {options.run}")


def _evaluated(options: EvaluateOptions) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import Progress

    from rl_meta import api

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        jobs: dict[str, Any] = {}

        def say(what: str, done: int, total: int) -> None:
            if what not in jobs:
                jobs[what] = bar.add_task(f"adapting ({what})", total=total)
            bar.update(jobs[what], completed=done)

        return api.evaluate(
            options.run,
            tasks=options.tasks,
            split=options.split,
            acting=options.acting,
            baselines=options.baselines,
            baseline_tasks=options.baseline_tasks,
            against=options.against,
            seed=options.seed,
            progress=say,
        )


def _print_evaluation(evaluation: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

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
    for name, gain in evaluation["speedup"].items():
        needed = f"{gain['times'] * gain['steps']:,.0f}"
        more = f"never within {needed} steps: at least" if gain["at_least"] else f"after {needed} steps:"
        print(
            f"a return of {gain['return']:.2f}, reached within {gain['steps']:,.0f} steps in an unknown task, "
            f"{name} reaches {more} {gain['times']:,.0f} times as many"
        )


@dataclass(frozen=True)
class ReportOptions:
    """Write DIR/report.html, a page that needs no network."""

    run: Positional[Path]
    """The run directory."""
    json: bool = False
    """Print where the page is as one JSON object."""


def _report(words: list[str]) -> None:
    options = tyro.cli(ReportOptions, args=words, prog="rl-meta report")
    from rl_meta import api

    page = api.report(options.run)
    print(json.dumps({"report": str(page)}) if options.json else f"written: {page}")


# ------------------------------------------------------------------------------------------------ demo


@dataclass(frozen=True)
class DemoOptions:
    """Meta-train RL² on cartpole, adapt to 200 unseen tasks, compare with learning each of them from scratch."""

    out: Path | None = None
    """Run directory; default runs/demo-N."""
    steps: int = 3_000_000
    """Environment steps of training."""


def _demo(words: list[str]) -> None:
    options = tyro.cli(DemoOptions, args=words, prog="rl-meta demo")
    from rl_meta import api

    out = options.out or _free_directory("demo")
    print("Poles with hidden gravity, length, mass, push strength and push direction: learning how to learn them.")
    with _training_bar() as say:
        _stoppable(lambda: api.train("cartpole", "rl2", out=out, steps=options.steps, report=say), out)
    _print_evaluation(_evaluated(EvaluateOptions(run=out)))
    print(f"\nlook at: {api.report(out)}")
