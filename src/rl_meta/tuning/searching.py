"""What the package offers for tuning: try settings, or go on with that."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_meta.algorithms.base import Method
from rl_meta.errors import UserError
from rl_meta.tasks.base import Family
from rl_meta.tasks.distributions import Choice, Distribution
from rl_meta.training.catalogue import families, methods
from rl_meta.training.config import RunConfig
from rl_meta.tuning.ranges import as_written, default_ranges, draw, read_ranges
from rl_meta.tuning.results import Results, Search, begin, read

MISSING = "tuning needs Ray Tune, an extra ({error}): pip install 'rl-meta[ray]'"
Report = Callable[[dict[str, Any]], None]


def tune(  # noqa: PLR0913 (all of them are the caller's to choose)
    family: str | Family,
    method: str | Method = "rl2",
    *,
    out: str | Path,
    trials: int = 20,
    steps: int = RunConfig.steps,
    ranges: Mapping[str, Distribution | Sequence[Any] | str] | None = None,
    tasks: int = 100,
    schedule: str = "asha",
    seed: int = RunConfig.seed,
    seeds: int = RunConfig.seeds,
    parallel: int | None = None,
    gpus: int = 0,
    report: Report = lambda told: None,
) -> dict[str, Any]:
    """Look for good settings: train with many, score them in validation tasks, stop those that fall behind.

    Args:
        family: a name, or settings, or a family of your own.
        method: a name, or settings, or a method of your own. What is not tuned is as here.
        out: the directory. If it holds this very search, unfinished, that is continued.
        trials: how many settings to try.
        steps: environment steps of a trial that is not stopped, per seed.
        ranges: by field, as `method.learning_rate`: `LogUniform(1e-4, 1e-2)`, `Uniform(0.3, 0.95)`, a list of values,
            or text as on the command line. None: what the method's settings declare.
        tasks: of the validation split, the same for all trials.
        schedule: `asha`, or `none`: no trial is stopped.
        seed: the first seed of every trial, and what values are drawn with.
        seeds: how many seeds to train in every trial.
        parallel: trials at a time; None: one for each core.
        gpus: of each trial, which limits how many run at a time as well.
        report: called with what is in trials.json whenever it changes.

    Returns:
        What is in OUT/trials.json: all trials with their values, state and scores, and which is the best.

    Raises:
        UserError: unknown names or fields, values that are not allowed, a missing extra.
    """
    base = RunConfig(families.make(family), methods.make(method), steps=steps, seed=seed, seeds=seeds)
    parts = {"family": base.family, "method": base.method}
    if ranges:
        drawn = read_ranges([f"{name}={_written(given)}" for name, given in ranges.items()], parts)
    else:
        drawn = default_ranges(base.method)
    written = {name: as_written(distribution) for name, distribution in drawn.items()}
    search = Search(base, trials, written, tasks, schedule)
    _check_ray()
    return _go_on(begin(Path(out), search, draw(drawn, parts, trials, seed)), parallel, gpus, report)


def resume_tuning(
    out: str | Path,
    *,
    parallel: int | None = None,
    gpus: int = 0,
    report: Report = lambda told: None,
    family: Family | None = None,
    method: Method | None = None,
) -> dict[str, Any]:
    """Go on with a search that was stopped: trials that are over are not run again, interrupted ones go on.

    A family or method of your own has to be given again. See `tune`.
    """
    results = read(Path(out), family=family, method=method)
    _check_ray()
    return _go_on(results, parallel, gpus, report)


def _written(given: Distribution | Sequence[Any] | str) -> str:
    if isinstance(given, str):
        return given
    return as_written(Choice(tuple(given)) if isinstance(given, Sequence) else given)


def _check_ray() -> None:
    try:
        from ray import tune  # noqa: F401, PLC0415 (an extra)
    except ImportError as error:
        raise UserError(MISSING.format(error=error)) from error


def _go_on(results: Results, parallel: int | None, gpus: int, report: Report) -> dict[str, Any]:
    from rl_meta.tuning.ray_tune import run_trials  # noqa: PLC0415 (it needs the extra)

    at_once = os.cpu_count() or 1 if parallel is None else parallel
    if at_once < 1:
        raise UserError(f"parallel must be at least 1, got {at_once}")
    if gpus < 0:
        raise UserError(f"gpus must be at least 0, got {gpus}")
    run_trials(results, parallel=at_once, gpus=gpus, report=lambda found: report(found.to_plain()))
    return results.to_plain()
