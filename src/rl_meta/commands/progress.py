"""Progress bars, and Ctrl-C."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def stoppable(work: Callable[[], Any], directory: Path) -> None:
    """Ctrl-C ends with the way to go on and exit status 130."""
    try:
        work()
    except KeyboardInterrupt:
        print(f"stopped; saved. Continue with: rl-meta train --resume {directory}", file=sys.stderr)
        sys.exit(130)


@contextlib.contextmanager
def training_bar() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A progress bar with rate, return and time left; where there is no terminal, a line for every tenth."""
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


@contextlib.contextmanager
def jobs_bar(words: str = "{}") -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each job that `say(job, done, total)` names; nothing where there is no terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        jobs: dict[str, Any] = {}

        def say(job: str, done: int, total: int) -> None:
            if job not in jobs:
                jobs[job] = bar.add_task(words.format(job), total=total)
            bar.update(jobs[job], completed=done)

        yield say
