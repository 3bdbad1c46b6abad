"""The figure of a sweep along the line between two models. A leaf: imports matplotlib."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rl_meta.analysis.canvas import COLOURS, SERIES, WIDE_INCHES, canvas, headline, room_for, shortened
from rl_meta.analysis.labels import Label, place_labels

NAME_LETTERS = 30
NAMES = {"last": "last stage", "first": "first stage"}
MARKERS = {"last": "o", "first": "s"}


def sweep_figure(swept: dict[str, Any]) -> Figure:
    """Return against α, at the beginning of the lifetime and at its end; dotted, the straight line between the ends.

    Args:
        swept: the content of `sweep.json`.
    """
    rows = swept["points"]
    alphas = np.array([row["alpha"] for row in rows])
    shown = [name for name in NAMES if name == "last" or _differ(rows)]
    figure, axes = canvas(WIDE_INCHES, right=room_for(NAMES.values()))
    path = "line" if swept["how"] == "mean" else "arc"
    seeds = f"{swept['seeds']} seed{'s' if swept['seeds'] > 1 else ''}"
    headline(
        figure,
        axes,
        f"Return along the {path} between two models, {swept['tasks']} {swept['split']} tasks, {seeds}: "
        "interquartile mean and 95 % interval",
        10,
    )
    labels, shapes = [], []
    for name, colour in zip(shown, SERIES, strict=False):
        iqm, low, high = (np.array([row[name][part] for row in rows]) for part in ("iqm", "low", "high"))
        straight = np.interp(alphas, alphas[[0, -1]], iqm[[0, -1]])
        axes.plot(alphas, straight, color=COLOURS["muted"], linewidth=1.1, linestyle=(0, (1, 2.5)))
        axes.fill_between(alphas, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(alphas, iqm, color=colour, linewidth=2.2, marker=MARKERS[name], markersize=6, clip_on=False)
        words = NAMES[name] if len(shown) > 1 else "return"
        labels.append(Label(words, 1.0, iqm[-1], colour, bold=name == "last"))
        shapes.append(np.stack([alphas, iqm], axis=1))
    axes.set_xlim(0, 1)
    axes.margins(y=0.12)
    ticks = np.linspace(0, 1, 6)
    axes.set_xticks(ticks, [f"{tick:.1f}" for tick in ticks])
    ends = [shortened(Path(run).name, NAME_LETTERS) for run in swept["runs"]]
    axes.set_xlabel(f"α, the share of {ends[0]}; at 0 it is {ends[1]}", parse_math=False)
    place_labels(figure, axes, labels, shapes, size=10)
    return figure


def _differ(rows: list[dict[str, Any]]) -> bool:
    """Is there more than one stage?"""
    return any(row["first"] != row["last"] for row in rows)
