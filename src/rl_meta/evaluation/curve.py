"""The adaptation curve: return on held-out tasks against environment steps spent in the task."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rl_meta.evaluation.lifetimes import Lived
from rl_meta.numerics.statistics import bootstrap_interval, paired_difference, summarise

Row = dict[str, Any]


@dataclass(frozen=True)
class Scores:
    """Lifetimes of several seeds in the same tasks, [seeds, N, ...]."""

    lived: Sequence[Lived]

    def matrix(self, field: str, index: int | None = None) -> np.ndarray:
        """[seeds, N] of one stage or episode, or of the lifetime."""
        arrays = [getattr(one, field) for one in self.lived]
        return np.stack(arrays if index is None else [a[:, index] for a in arrays])

    def length(self, field: str) -> int:
        """How many stages or episodes every seed has."""
        return min(getattr(one, field).shape[1] for one in self.lived)

    def of_first(self, tasks: int) -> "Scores":
        """In the first so many tasks only."""
        cut = lambda one: replace(
            one, stages=one.stages[:tasks], episodes=one.episodes[:tasks], lifetime=one.lifetime[:tasks], measures={}
        )
        return Scores([cut(one) for one in self.lived])

    def measured(self, name: str, field: str) -> np.ndarray:
        """[seeds, N, G or K] of a measure of the family."""
        return np.stack([getattr(one.measures[name], field)[:, : self.length(field)] for one in self.lived])


def summary(scores: Scores) -> dict[str, Any]:
    """`stages`, `episodes`, `lifetime` and `measures`, as in evaluation.json."""
    return {
        "stages": _rows(scores, "stages", "stage"),
        "episodes": _rows(scores, "episodes", "episode"),
        "lifetime": summarise(scores.matrix("lifetime"), same_tasks=True),
        "measures": {name: _measure(scores, name) for name in scores.lived[0].measures},
    }


def _measure(scores: Scores, name: str) -> dict[str, list[Row]]:
    """A row per stage and per episode: the mean, which of a flag is how often it was raised, and its interval."""

    def row(matrix: np.ndarray) -> Row:
        low, high = bootstrap_interval(matrix, np.mean, same_tasks=True)
        return {"mean": float(matrix.mean()), "low": low, "high": high}

    rows = lambda field, unit: [
        {unit: i, **row(matrix)} for i, matrix in enumerate(np.moveaxis(scores.measured(name, field), -1, 0))
    ]
    return {"stages": rows("stages", "stage"), "episodes": rows("episodes", "episode")}


def _rows(scores: Scores, field: str, name: str) -> list[Row]:
    """One row per stage or episode, from the start of the task."""
    env_steps = np.mean([getattr(one, f"{name}_env_steps")[: scores.length(field)] for one in scores.lived], 0)
    return [
        {
            name: i,
            "env_steps": round(float(env_steps[i]), 2),
            **summarise(scores.matrix(field, i), same_tasks=True),
        }
        for i in range(scores.length(field))
    ]


def adaptation(scores: Scores) -> dict[str, Any]:
    """`delta` (last less first stage, paired by task), and both ends per task for plots of their distribution."""
    first, last = scores.matrix("stages", 0), scores.matrix("stages", scores.length("stages") - 1)
    return {
        "delta": paired_difference(last, first, same_tasks=True),
        "scores": {"first": first.mean(0).tolist(), "last": last.mean(0).tolist()},
    }


def speedup(stages: list[Row], baseline: list[Row]) -> dict[str, Any]:
    """How many times fewer environment steps in the task than the baseline, for the agent's return of stage 0.

    Both are curves over the same tasks. Steps are counted to the end of the stage, for both. Where the baseline
    never gets there, all its steps are a lower bound (`at_least`).
    """
    level, steps = stages[0]["mean"], stages[0]["env_steps"]
    reached = next((row["env_steps"] for row in baseline if row["mean"] >= level), None)
    return {
        "return": level,
        "steps": steps,
        "baseline_steps": reached,
        "times": (baseline[-1]["env_steps"] if reached is None else reached) / steps,
        "at_least": reached is None,
    }
