"""Columns of a training log: rows of JSON values, in which anything may be missing, as arrays.

Axes: M logged rows, then seeds, then K entries (stages, say) of a metric that is not a scalar.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

BOOKKEEPING = ("iteration", "env_steps", "total_env_steps", "seconds")
MOST_POINTS = 300
"""A curve on the page has some 800 pixels; longer logs are averaged down to this many points."""

Row = dict[str, Any]


class Column(NamedTuple):
    """One metric over the training."""

    name: str
    env_steps: np.ndarray
    """[M]"""
    values: np.ndarray
    """[M, seeds, K], NaN where unknown."""


def columns(rows: Sequence[Row]) -> dict[str, Column]:
    """Every metric that holds numbers, in the order in which they first appear."""
    names = dict.fromkeys(name for row in rows for name in row if name not in BOOKKEEPING)
    found = ((name, column(rows, name)) for name in names)
    return {name: measured for name, measured in found if measured is not None}


def column(rows: Sequence[Row], name: str) -> Column | None:
    """One metric, over the rows that have it in the shape of its last entry; None if it has no numbers."""
    pairs = [(row.get("env_steps"), _numbers(row.get(name))) for row in rows]
    known = [(steps, value) for steps, value in pairs if steps is not None and value is not None]
    if not known:
        return None
    shape = known[-1][1].shape
    alike = [(steps, value) for steps, value in known if value.shape == shape]
    values = np.stack([value for _, value in alike])
    if not np.isfinite(values).any():
        return None
    return Column(name, np.array([steps for steps, _ in alike], float), values)


def thinned(measured: Column, most: int = MOST_POINTS) -> Column:
    """At most `most` points, each the mean of equally many consecutive rows (the last one of fewer)."""
    rows = len(measured.env_steps)
    width = -(-rows // most)
    parts = [slice(start, start + width) for start in range(0, rows, width)]
    steps = np.array([measured.env_steps[part].mean() for part in parts])
    values = np.stack([mean_of_known(measured.values[part], axis=0) for part in parts])
    return Column(measured.name, steps, values)


def mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean along an axis of the entries that are not NaN; NaN where there is none."""
    known = ~np.isnan(values)
    count = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _numbers(value: Any) -> np.ndarray | None:
    """[seeds, K], with NaN for null and for what is not finite; None for what is not an array of numbers."""
    try:
        array = np.array(value, float)
    except (TypeError, ValueError):
        return None
    if value is None or not array.size:
        return None
    array = array.reshape(array.shape[0], -1) if array.ndim else array.reshape(1, 1)
    return np.where(np.isfinite(array), array, np.nan)
