"""The house look of figures: palette, margins, axes, and how one becomes a part of a page.

A leaf: imports matplotlib, and leaves its global state alone.
Colours: Okabe & Ito's palette, made for colour-blind readers, darkened where text has to be legible in it.
"""

import io
import re
from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, FuncFormatter
from numpy.typing import ArrayLike

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
WIDE_INCHES = (9.6, 4.1)
PANEL_INCHES = (3.5, 2.3)
WIDE_MARGINS_INCHES = (0.7, 0.52, 0.44)
PANEL_MARGINS_INCHES = (0.58, 0.32, 0.44)
"""To the left of the axes, below, and above."""
EDGE_INCHES = 0.08
LETTER_INCHES = 0.078
MOST_DECIMALS = 8


class ValueFormatter(Formatter):
    """Tick labels with thousands separators and as many decimals as tell the ticks apart."""

    def __call__(self, value: float, pos: int | None = None) -> str:  # noqa: ARG002
        """The label of a lonely tick."""
        return self.format_ticks([value])[0]

    def format_ticks(self, values: ArrayLike) -> list[str]:
        """The labels of all ticks of an axis."""
        ticks = np.asarray(values, float)
        largest = float(np.abs(ticks).max(initial=0.0))
        distance = float(np.diff(ticks).min()) if len(ticks) > 1 else largest
        exact = (d for d in range(MOST_DECIMALS) if np.allclose(ticks.round(d), ticks, 0, distance / 100))
        style = ".3g" if 0 < largest < 1e-3 or largest >= 1e6 else f",.{next(exact, MOST_DECIMALS)}f"
        texts = [format(value, style) if value else "0" for value in ticks]
        return [re.sub(r"e\+?(-?)0*", r"e\1", text).replace("-", "−") for text in texts]


def canvas(inches: tuple[float, float], right: float, left: float | None = None) -> tuple[Figure, Axes]:
    """A figure with fixed margins (inches), so that figures below one another line up."""
    width, height = inches
    usual_left, bottom, top = PANEL_MARGINS_INCHES if inches == PANEL_INCHES else WIDE_MARGINS_INCHES
    left = usual_left if left is None else left
    figure = Figure(figsize=inches, facecolor="white")
    box = (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    axes = figure.add_axes(box, facecolor="none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["muted"])
    axes.grid(axis="y", color=COLOURS["rule"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9.5, labelcolor=COLOURS["muted"], pad=6)
    axes.xaxis.label.set(color=COLOURS["muted"], fontsize=9.5)
    axes.xaxis.set_major_formatter(steps_formatter(axes))
    axes.yaxis.set_major_formatter(ValueFormatter())
    return figure, axes


def room_for(labels: Iterable[str]) -> float:
    """Inches that labels beside the axes take."""
    return 0.3 + LETTER_INCHES * max(len(label) for label in labels)


def headline(figure: Figure, axes: Axes, text: str, size: int | float) -> None:
    """What is drawn, on top and to the left, where the eye begins."""
    box, inches = axes.get_position(), figure.get_figwidth()
    start = (EDGE_INCHES / inches - box.x0) / box.width
    axes.set_title(
        text,
        loc="left",
        x=start,
        color=COLOURS["ink"],
        fontsize=size,
        fontweight="bold",
        pad=13,
        parse_math=False,
    )


def steps_formatter(axes: Axes) -> FuncFormatter:
    """Thousands separators, or millions on an axis that gets there."""

    def label(value: float, _: int | None = None) -> str:
        if value and axes.get_xlim()[1] >= 1e6:
            return f"{value / 1e6:g} M"
        return f"{value:,.0f}"

    return FuncFormatter(label)


def shortened(text: str, letters: int) -> str:
    """At most so many letters of a text."""
    return text if len(text) <= letters else text[: letters - 1] + "…"


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
