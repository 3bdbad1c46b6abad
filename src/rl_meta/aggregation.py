"""Saved models made one, and the line between two of them: what `rl-meta aggregate` does."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rl_meta.algorithms.base import Method
from rl_meta.errors import UserError
from rl_meta.numerics.statistics import summarise
from rl_meta.tasks.base import Family
from rl_meta.training.catalogue import families, methods
from rl_meta.training.checkpoints import write_whole
from rl_meta.training.judging import Judge, greedy_soup
from rl_meta.training.merging import (
    Models,
    Trained,
    check_free,
    checked_weights,
    groups,
    merge,
    merge_runs,
    read_trained,
    write_merged,
)

SWEEP_FORMAT = 1
LINES = ("mean", "spherical")

Progress = Callable[[str, int, int], None]
"""(what, done, in all)"""


def aggregate(  # noqa: PLR0913 (all of them are the caller's to choose)
    runs: Sequence[str | Path],
    *,
    out: str | Path,
    how: str = "mean",
    weights: Sequence[float] | None = None,
    base: str | Path | None = None,
    split: str | None = None,
    tasks: int = 100,
    seed: int = 0,
    family: Family | None = None,
    method: Method | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Path:
    """Merge runs, seed by seed, or the seeds of one run, into a run directory that can be evaluated and loaded.

    Args:
        runs: run directories, of one family, method and architecture.
        out: the new run directory; its configuration is that of the first run.
        how: `mean`, `soup`, `arithmetic` or `spherical`; see `training.merging`.
        weights: of each model; None: equal ones with sum 1.
        base: the run that the others were trained on from, for `arithmetic`.
        split: whose tasks decide what is kept in a soup; None: `validation`, or `train` where there is none.
        tasks: how many of them.
        seed: decides which tasks are drawn, and all randomness in them.
        family: the family, where it is one of your own.
        method: the method, where it is one of your own.
        progress: called as models get judged.

    Raises:
        UserError: runs that do not belong together, weights that `how` cannot use, a directory that is not empty.
    """
    check_free(Path(out))
    found = read_trained(runs, family=family, method=method)
    foundation = read_trained([base], family=family, method=method)[0] if base else None
    choose = None
    if how == "soup":
        judge = Judge(found[0].config, split=split or _validation(found[0]), tasks=tasks, seed=seed)
        choose = lambda index, models: _soup(judge, index, models, progress)
    config, params, made_of = merge_runs(found, how=how, weights=weights, base=foundation, choose=choose)
    write_merged(Path(out), config, params, made_of)
    return Path(out)


def _validation(run: Trained) -> str:
    return "validation" if "validation" in run.config.family.splits else "train"


def _soup(judge: Judge, index: int, models: Models, progress: Progress) -> list[float]:
    """The weights of a soup of one seed's models."""
    judged = 0

    def score(weights: Sequence[float]) -> float:
        nonlocal judged
        reached = judge.score(merge(models, weights, "mean", judge.family), index)
        judged += 1
        progress(f"models judged (seed {index})", judged, 2 * len(models) - 1)
        return reached

    alone = [score([float(i == j) for j in range(len(models))]) for i in range(len(models))]
    return greedy_soup(alone, score)


def sweep(  # noqa: PLR0913 (all of them are the caller's to choose)
    first: str | Path,
    second: str | Path,
    *,
    out: str | Path,
    how: str = "mean",
    points: int = 11,
    split: str = "test",
    tasks: int = 100,
    seed: int = 0,
    family: Family | None = None,
    method: Method | None = None,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Returns of α θ₁ + (1 − α) θ₂ in held-out tasks, α from 0 to 1; write OUT/sweep.json and OUT/sweep.png.

    Args:
        first: run directory of θ₁.
        second: of θ₂.
        out: where to write.
        how: `mean`, the straight line, or `spherical`.
        points: how many values of α, ends included.
        split: whose tasks.
        tasks: how many of them.
        seed: decides which tasks are drawn, and all randomness in them.
        family: the family, where it is one of your own.
        method: the method, where it is one of your own.
        progress: called as models get judged.

    Returns:
        What is in sweep.json. `barrier`: by how much the return is below the straight line between those of the
        two models, where it is furthest below.

    Raises:
        UserError: runs that do not belong together, or fewer than two points.
    """
    if points < 2:
        raise UserError(f"points must be at least 2, the two models themselves, got {points}")
    if how not in LINES:
        raise UserError(f"a sweep goes along the line ({LINES[0]}) or the arc ({LINES[1]}), got {how!r}")
    runs = read_trained([first, second], family=family, method=method)
    config, together = runs[0].config, groups(runs)
    judge = Judge(config, split=split, tasks=tasks, seed=seed)
    rows = []
    for done, alpha in enumerate(np.linspace(0, 1, points).tolist()):
        weights = checked_weights(how, (alpha, 1 - alpha), 2)
        lived = [judge.live(merge(models, weights, how, judge.family), index) for index, models in enumerate(together)]
        stages = np.stack([one.stages for one in lived])
        returns = {"first": stages[..., 0], "last": stages[..., -1], "mean": stages.mean(-1)}
        rows.append({"alpha": alpha, **{name: summarise(x, same_tasks=True) for name, x in returns.items()}})
        progress("models on the line", done + 1, points)
    swept = {
        "format": SWEEP_FORMAT,
        "family": families.title_of(config.family),
        "method": methods.title_of(config.method),
        "how": how,
        "runs": [str(run.directory) for run in runs],
        "split": split,
        "tasks": tasks,
        "seeds": len(together),
        "barrier": _barrier(rows),
        "points": rows,
    }
    _write_sweep(Path(out), swept)
    return swept


def _barrier(rows: list[dict[str, Any]]) -> float:
    """Of the return in the last stage."""
    reached = np.array([row["last"]["mean"] for row in rows])
    straight = np.linspace(reached[0], reached[-1], len(rows))
    return float((straight - reached).max())


def _write_sweep(out: Path, swept: dict[str, Any]) -> None:
    from rl_meta.analysis.sweep import sweep_figure  # noqa: PLC0415 (plots are slow to import)

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the directory {out}: {error.strerror}") from None
    write_whole(out / "sweep.json", (json.dumps(swept, indent=1) + "\n").encode())
    sweep_figure(swept).savefig(out / "sweep.png", dpi=150)
