"""Figures of an evaluation and of a training log. A leaf: imports matplotlib, and leaves its state alone.

Every function returns a `matplotlib.figure.Figure`: `figure.savefig("curve.png", dpi=200)` saves it, `to_svg`
turns it into markup whose colours are CSS variables, so that it follows the page into dark mode.
Colours: Okabe & Ito's palette, made for colour-blind readers; every curve has its own marker and label too.
"""

import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from rl_meta.analysis.labels import Label, place_labels
from rl_meta.analysis.metrics import Column, mean_of_known, thinned
from rl_meta.analysis.wording import baseline, finest, number, plain, times

COLOURS = {
    "ink": "#1d2530",
    "muted": "#5d6878",
    "rule": "#dfe3e8",
    "series-0": "#0072b2",
    "series-1": "#d55e00",
    "series-2": "#00875f",
    "series-3": "#b0578d",
    "series-4": "#8a6d00",
    "series-5": "#5a5f99",
}
SERIES = [colour for name, colour in COLOURS.items() if name.startswith("series")]
MARKERS = "os^Dvp"
WIDE_INCHES = (9.6, 4.1)
PANEL_INCHES = (3.5, 2.3)
MARGINS_INCHES = {"left": 0.7, "bottom": 0.62, "top": 0.42}
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

    Args:
        evaluation: the content of `evaluation.json`.
    """
    unit, _ = finest(evaluation)
    figure, axes = _canvas(WIDE_INCHES, right=1.95)
    _headline(axes, f"Return per {unit} in a new task: interquartile mean and 95 % interval", 10)
    curves = _curves(evaluation)
    _scale_steps(axes, curves)
    for curve in reversed(curves):
        _draw(axes, curve)
    axes.set_xlabel("environment steps spent in the task")
    _label_curves(axes, curves, evaluation.get("speedup", {}))
    return figure


def distribution_figure(first: Sequence[float], last: Sequence[float], last_name: str) -> Figure:
    """Returns of all tasks, sorted from the worst task to the best, with the 20th percentile marked.

    Args:
        first: [tasks] of the first episode.
        last: [tasks] of the last one; the same as `first` where there is one only.
        last_name: what the last one is called.
    """
    figure, axes = _canvas(WIDE_INCHES, right=1.95)
    _headline(axes, "Return in each task, from the worst task to the best", 10)
    sides = [(last_name, SERIES[0], last), ("first episode", SERIES[1], first)]
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
    place_labels(axes, labels, shapes, size=10)
    return figure


def learning_figure(measured: Column) -> Figure:
    """Return in training against environment steps: every seed, and their mean."""
    seeds = measured.values.shape[1]
    figure, axes = _canvas(WIDE_INCHES, right=0.3)
    who = f"mean of {seeds} seeds, and each of them" if seeds > 1 else "one seed"
    _headline(axes, f"Return in the training tasks: {who}", 10)
    _draw_column(axes, Column(measured.name, measured.env_steps, measured.values.mean(-1, keepdims=True)))
    axes.set_xlabel("environment steps in training")
    return figure


def panel_figure(measured: Column) -> Figure:
    """A small multiple: one metric against environment steps in training.

    A metric with several entries per seed (returns by stage, say) is one curve per entry, averaged over the
    seeds; the first is the faintest.
    """
    figure, axes = _canvas(PANEL_INCHES, right=0.45)
    _headline(axes, _shortened(plain(measured.name), 34), 9)
    entries = measured.values.shape[-1]
    if entries == 1:
        _draw_column(axes, measured)
    else:
        _draw_entries(axes, measured)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=8)
    return figure


def to_svg(figure: Figure, description: str) -> str:
    """Markup for a page: no XML header, no size, unique ids, colours as CSS variables, text as text."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": description}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    markup = buffer.getvalue()
    markup = markup[markup.index("<svg") :]
    markup = re.sub(r"<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>", r'<svg \1 aria-hidden="true">', markup, count=1)
    markup = re.sub(r"<g id=\"[^\"]*\"", "<g", markup).replace("xlink:href", "href")
    for name, colour in COLOURS.items():
        markup = markup.replace(colour, f"var(--{name})")
    return markup


def _canvas(inches: tuple[float, float], right: float) -> tuple[Figure, Axes]:
    """A figure with fixed margins (inches), so that figures below one another line up."""
    width, height = inches
    left, bottom, top = MARGINS_INCHES["left"], MARGINS_INCHES["bottom"], MARGINS_INCHES["top"]
    if inches == PANEL_INCHES:
        bottom = 0.36
    figure = Figure(figsize=inches, facecolor="white")
    box = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    axes = figure.add_axes(box, facecolor="none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["muted"])
    axes.grid(axis="y", color=COLOURS["rule"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9.5, labelcolor=COLOURS["muted"], pad=6)
    axes.xaxis.label.set(color=COLOURS["muted"], fontsize=9.5)
    axes.xaxis.set_major_formatter(FuncFormatter(_steps_tick))
    axes.yaxis.set_major_formatter(FuncFormatter(_value_tick))
    return figure, axes


def _headline(axes: Axes, text: str, size: float) -> None:
    """What is drawn, on top and to the left, where the eye begins."""
    left = -MARGINS_INCHES["left"] / (axes.get_position().width * axes.get_figure(root=True).get_figwidth())
    axes.set_title(text, loc="left", x=left, color=COLOURS["ink"], fontsize=size, pad=10, parse_math=False)


def _curves(evaluation: dict[str, Any]) -> list[Curve]:
    """The agent's curve first."""
    names = [(_shortened(evaluation["method"], LABEL_LETTERS), evaluation)]
    for name, curve in evaluation.get("baselines", {}).items():
        names.append((_shortened(baseline(name), LABEL_LETTERS), curve))
    curves = []
    for order, (name, curve) in enumerate(names):
        _, entries = finest(curve)
        parts = [
            np.array([entry[key] for entry in entries], float) for key in ("env_steps", "iqm", "low", "high")
        ]
        curves.append(Curve(name, SERIES[order % len(SERIES)], MARKERS[order % len(MARKERS)], *parts))
    return curves


def _scale_steps(axes: Axes, curves: list[Curve]) -> None:
    """Horizontal scale and limits."""
    steps = np.concatenate([curve.env_steps for curve in curves])
    low, high = steps.min(), steps.max()
    if low > 0 and high / low > LOG_FROM_RATIO:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
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


def _label_curves(axes: Axes, curves: list[Curve], speedup: dict[str, Any]) -> None:
    """Names at the ends of the curves, and how far a baseline trails behind."""
    axes.margins(y=0.14)
    shapes = [np.stack([curve.env_steps, curve.iqm], axis=1) for curve in curves]
    labels = [
        Label(curve.name, curve.env_steps[-1], curve.iqm[-1], curve.colour, bold=order == 0)
        for order, curve in enumerate(curves)
    ]
    entry = speedup.get("scratch") or next(iter(speedup.values()), None)
    if entry and entry["times"] and entry["times"] > 1:
        labels.append(_draw_speedup(axes, entry))
    place_labels(axes, labels, shapes, size=10)


def _draw_speedup(axes: Axes, entry: dict[str, Any]) -> Label:
    """A dotted line from where the agent has a return to where the baseline has it."""
    end = min(entry["baseline_steps"] or axes.get_xlim()[1], axes.get_xlim()[1])
    level = entry["return"]
    axes.plot(
        [entry["steps"], end], [level, level], color=COLOURS["muted"], linewidth=1.1, linestyle=(0, (1, 2.5))
    )
    middle = np.sqrt(entry["steps"] * end) if axes.get_xscale() == "log" else (entry["steps"] + end) / 2
    words = f"{'at least ' if entry['at_least'] else ''}{times(entry['times'])} times the steps"
    return Label(words, middle, level, COLOURS["muted"])


def _draw_column(axes: Axes, measured: Column) -> None:
    """A scalar metric: thin lines for the seeds and a thick one for their mean."""
    short = thinned(measured)
    seeds = short.values[..., 0]
    marker = "o" if len(short.env_steps) == 1 else None
    if seeds.shape[1] > 1:
        axes.plot(short.env_steps, seeds, color=SERIES[0], linewidth=0.8, alpha=0.35, marker=marker)
    axes.plot(short.env_steps, mean_of_known(seeds, axis=1), color=SERIES[0], linewidth=1.8, marker=marker)


def _draw_entries(axes: Axes, measured: Column) -> None:
    """A metric with several entries: one line each, the last one boldest and labelled like the first."""
    short = thinned(measured)
    means = mean_of_known(short.values, axis=1)
    entries = means.shape[1]
    for entry in range(entries):
        alpha = 0.25 + 0.75 * entry / (entries - 1)
        axes.plot(short.env_steps, means[:, entry], color=SERIES[0], linewidth=1.4, alpha=alpha)
    ends = [(entries - 1, SERIES[0]), (0, COLOURS["muted"])]
    shapes = [np.stack([short.env_steps, means[:, entry]], axis=1) for entry, _ in ends]
    labels = [
        Label(str(entry + 1), short.env_steps[-1], means[-1, entry], colour)
        for entry, colour in ends
        if np.isfinite(means[-1, entry])
    ]
    place_labels(axes, labels, [shape[np.isfinite(shape).all(1)] for shape in shapes], size=8)


def _steps_tick(value: float, _: int | None = None) -> str:
    """Thousands separators up to a million, millions beyond."""
    return f"{value / 1e6:g} M" if abs(value) >= 1e6 else f"{value:,.0f}"


def _value_tick(value: float, _: int | None = None) -> str:
    """As short as the number allows."""
    if value and abs(value) < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-").replace("-", "−")
    return f"{value:,.6g}".replace("-", "−") if abs(value) < 1e5 else f"{value:.3g}".replace("-", "−")


def _shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
