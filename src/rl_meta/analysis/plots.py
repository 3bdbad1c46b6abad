"""Figures of an evaluation and of a training log. A leaf: imports matplotlib.

Every function returns a `matplotlib.figure.Figure`: `figure.savefig("curve.png", dpi=200)` saves it,
`canvas.to_svg` turns it into markup for a page. Every curve has its own colour, marker and label.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from rl_meta.analysis.canvas import (
    COLOURS,
    PANEL_INCHES,
    SERIES,
    WIDE_INCHES,
    ValueFormatter,
    canvas,
    headline,
    room_for,
    shortened,
    steps_formatter,
)
from rl_meta.analysis.labels import Label, place_labels
from rl_meta.analysis.metrics import Column, mean_of_known, thinned
from rl_meta.analysis.wording import baseline, main_curve, number, plain, times

MARKERS = "os^Dvp"
PANEL_POINTS = 100
MOST_ENTRIES = 8
"""Lines in a panel of a metric with several entries; of more, these are evenly spaced."""
MOST_MARKERS = 24
LOG_FROM_RATIO = 30
"""A horizontal axis is logarithmic where the curves' steps span more than this."""
LABEL_LETTERS = 26


class Curve(NamedTuple):
    """Return against environment steps in the task, with its interval."""

    name: str
    colour: str
    marker: str
    env_steps: np.ndarray
    iqm: np.ndarray
    low: np.ndarray
    high: np.ndarray


def adaptation_figure(evaluation: dict[str, Any]) -> Figure:
    """Return against environment steps spent in the task, the agent's and every baseline's.

    Where nobody has more than one stage and episode, it is the returns beside one another.

    Args:
        evaluation: the content of `evaluation.json`.
    """
    unit, _ = main_curve(evaluation)
    curves = _curves(evaluation)
    what = "of each episode in a new task" if unit == "episode" else "per episode in a new task, stage by stage"
    title = f"Return {what}: interquartile mean and 95 % interval"
    if all(len(curve.iqm) == 1 for curve in curves):
        return _levels_figure(curves, title)
    figure, axes = canvas(WIDE_INCHES, right=room_for(curve.name for curve in curves))
    headline(figure, axes, title, 10)
    _scale_steps(axes, curves)
    for curve in reversed(curves):
        _draw(axes, curve)
    axes.set_xlabel("environment steps spent in the task")
    _label_curves(figure, axes, curves, evaluation.get("speedup", {}))
    return figure


def _levels_figure(curves: list[Curve], title: str) -> Figure:
    """One row per curve of a single point."""
    names = [curve.name for curve in curves]
    size = (WIDE_INCHES[0], 1.3 + 0.42 * len(curves))
    figure, axes = canvas(size, right=0.3, left=room_for(names))
    headline(figure, axes, title, 10)
    for row, curve in enumerate(curves):
        axes.plot([curve.low[0], curve.high[0]], [row, row], color=curve.colour, linewidth=2)
        axes.plot(curve.iqm, [row], curve.marker, color=curve.colour, markersize=8)
        words = number(curve.iqm[0], curve.high[0] - curve.low[0])
        axes.text(curve.iqm[0], row - 0.22, words, color=curve.colour, fontsize=9.5, ha="center", va="bottom")
    axes.set_yticks(range(len(names)), names)
    for order, text in enumerate(axes.get_yticklabels()):
        text.set(color=curves[order].colour, fontsize=10, fontweight="bold" if order == 0 else "normal")
        text.set_parse_math(False)
    axes.set_ylim(len(names) - 0.5, -0.7)
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(ValueFormatter())
    axes.set_xlabel("return")
    return figure


def distribution_figure(first: Sequence[float], last: Sequence[float], first_name: str, last_name: str) -> Figure:
    """Returns of all tasks, sorted from the worst task to the best, with the 20th percentile marked.

    Args:
        first: [tasks] of the first episode.
        last: [tasks] of the last one; the same as `first` where there is one only.
        first_name: what the first one is called.
        last_name: what the last one is called.
    """
    figure, axes = canvas(WIDE_INCHES, right=room_for([last_name, first_name]))
    headline(figure, axes, "Return in each task (mean over seeds), from the worst task to the best", 10)
    sides = [(last_name, SERIES[0], last), (first_name, SERIES[1], first)]
    sides = sides[:1] if list(first) == list(last) else sides
    axes.axvline(20, color=COLOURS["muted"], linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
    axes.set_xlim(0, 100)
    labels, shapes = [], []
    for name, colour, scores in sides:
        values, lowest_fifth = np.sort(scores), float(np.quantile(scores, 0.2))
        share = 100 * (np.arange(len(values)) + 0.5) / len(values)
        axes.plot(share, values, color=colour, linewidth=2, marker="o" if len(values) == 1 else None)
        axes.plot([20], [lowest_fifth], "o", color=colour, markersize=6)
        labels.append(Label(name, share[-1], values[-1], colour, bold=True))
        labels.append(Label(f"a fifth stays below {number(lowest_fifth)}", 20, lowest_fifth, colour))
        shapes.append(np.stack([share, values], axis=1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
    axes.set_xlabel("share of tasks")
    axes.margins(y=0.12)
    place_labels(figure, axes, labels, shapes, size=10)
    return figure


def learning_figure(measured: Column) -> Figure:
    """Return in training against environment steps: every seed, and their mean."""
    seeds = measured.values.shape[1]
    figure, axes = canvas(WIDE_INCHES, right=0.3)
    who = f"mean of {seeds} seeds, and each of them" if seeds > 1 else "one seed"
    headline(figure, axes, f"Return in the training tasks: {who}", 10)
    short = thinned(measured)
    _draw_column(axes, short._replace(values=mean_of_known(short.values, axis=-1)[..., None]))
    axes.set_xlabel("environment steps in training")
    return figure


def panel_figure(measured: Column) -> Figure:
    """A small multiple: one metric against environment steps in training.

    A metric with several entries per seed (returns by stage, say) is one curve per entry, averaged over the
    seeds; the first is the faintest.
    """
    entries = measured.values.shape[-1]
    figure, axes = canvas(PANEL_INCHES, right=0.15 if entries == 1 else 0.4)
    headline(figure, axes, shortened(plain(measured.name), 34), 9.5)
    short = thinned(measured, PANEL_POINTS)
    if entries == 1:
        _draw_column(axes, short)
    else:
        _draw_entries(figure, axes, short)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=8.5)
    return figure


def _curves(evaluation: dict[str, Any]) -> list[Curve]:
    """The agent's curve first."""
    names = [(shortened(evaluation["method"], LABEL_LETTERS), evaluation)]
    for name, curve in evaluation.get("baselines", {}).items():
        names.append((shortened(baseline(name), LABEL_LETTERS), curve))
    curves = []
    for order, (name, curve) in enumerate(names):
        _, entries = main_curve(curve)
        parts = [np.array([entry[key] for entry in entries], float) for key in ("env_steps", "iqm", "low", "high")]
        curves.append(Curve(name, SERIES[order % len(SERIES)], MARKERS[order % len(MARKERS)], *parts))
    return curves


def _scale_steps(axes: Axes, curves: list[Curve]) -> None:
    """Horizontal scale and limits."""
    steps = np.concatenate([curve.env_steps for curve in curves])
    low, high = steps.min(), steps.max()
    if low > 0 and high / low > LOG_FROM_RATIO:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 3e4 else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(steps_formatter(axes))
        axes.set_xlim(low / 1.3, high)
    else:
        axes.set_xlim(0, high if len(steps) > len(curves) else 1.6 * high)


def _draw(axes: Axes, curve: Curve) -> None:
    main = curve.colour == SERIES[0]
    marker = curve.marker if len(curve.env_steps) <= MOST_MARKERS else None
    axes.fill_between(curve.env_steps, curve.low, curve.high, color=curve.colour, alpha=0.16, linewidth=0)
    axes.plot(
        curve.env_steps,
        curve.iqm,
        color=curve.colour,
        linewidth=2.6 if main else 1.7,
        marker=marker,
        markersize=6,
        clip_on=False,
        zorder=4 if main else 3,
    )
    if len(curve.env_steps) == 1:
        axes.vlines(curve.env_steps, curve.low, curve.high, color=curve.colour, linewidth=1.6, clip_on=False)


def _label_curves(figure: Figure, axes: Axes, curves: list[Curve], speedup: dict[str, Any]) -> None:
    """Names at the ends of the curves, and how far a baseline trails behind."""
    axes.margins(y=0.14)
    shapes = [np.stack([curve.env_steps, curve.iqm], axis=1) for curve in curves]
    labels = [
        Label(curve.name, curve.env_steps[-1], curve.iqm[-1], curve.colour, bold=order == 0)
        for order, curve in enumerate(curves)
    ]
    entry = speedup.get("scratch") or next(iter(speedup.values()), None)
    if entry and entry["times"] and entry["times"] > 1:
        label, shape = _draw_speedup(axes, entry)
        labels.append(label)
        shapes.append(shape)
    place_labels(figure, axes, labels, shapes, size=10)


def _draw_speedup(axes: Axes, entry: dict[str, Any]) -> tuple[Label, np.ndarray]:
    """A dotted line from where the agent has a return to where the baseline has it."""
    end = min(entry["baseline_steps"] or axes.get_xlim()[1], axes.get_xlim()[1])
    level = entry["return"]
    axes.plot([entry["steps"], end], [level, level], color=COLOURS["muted"], linewidth=1.1, linestyle=(0, (1, 2.5)))
    middle = np.sqrt(entry["steps"] * end) if axes.get_xscale() == "log" else (entry["steps"] + end) / 2
    words = f"{'at least ' if entry['at_least'] else ''}{times(entry['times'])} times the steps"
    line = np.array([[entry["steps"], level], [end, level]])
    return Label(words, middle, level, COLOURS["muted"]), line


def _draw_column(axes: Axes, measured: Column) -> None:
    """A scalar metric: thin lines for the seeds and a thick one for their mean."""
    steps, seeds = measured.env_steps, measured.values[..., 0]
    marker = "o" if len(steps) == 1 else None
    if seeds.shape[1] > 1:
        axes.plot(steps, seeds, color=SERIES[0], linewidth=0.8, alpha=0.35, marker=marker)
    axes.plot(steps, mean_of_known(seeds, axis=1), color=SERIES[0], linewidth=1.8, marker=marker)
    _start_at_zero(axes, steps)


def _draw_entries(figure: Figure, axes: Axes, measured: Column) -> None:
    """A metric with several entries: one line each, the last one boldest and labelled like the first."""
    steps, means = measured.env_steps, mean_of_known(measured.values, axis=1)
    entries = means.shape[1]
    for entry in np.unique(np.linspace(0, entries - 1, MOST_ENTRIES).round().astype(int)):
        alpha = 0.25 + 0.75 * entry / (entries - 1)
        axes.plot(steps, means[:, entry], color=SERIES[0], linewidth=1.4, alpha=alpha)
    _start_at_zero(axes, steps)
    labels, shapes = [], []
    for entry, colour in ((entries - 1, SERIES[0]), (0, COLOURS["muted"])):
        known = np.isfinite(means[:, entry])
        if known.any():
            shape = np.stack([steps, means[:, entry]], axis=1)[known]
            shapes.append(shape)
            labels.append(Label(str(entry + 1), shape[-1, 0], shape[-1, 1], colour))
    place_labels(figure, axes, labels, shapes, size=8.5)


def _start_at_zero(axes: Axes, steps: np.ndarray) -> None:
    axes.set_xlim(0, steps.max() if len(steps) > 1 else 2 * steps.max() + 1)
