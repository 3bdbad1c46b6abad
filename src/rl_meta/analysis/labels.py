"""Labels beside the things they name, moved apart where they would overlap. A leaf: imports matplotlib."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox, ScaledTranslation

MOVES_POINTS = ((8, 0), (8, 11), (8, -11), (8, 22), (8, -22), (-8, 14), (-8, -14), (8, 33), (8, -33), (8, 44))
"""Where a label may go, seen from its anchor; in the order of preference."""
GAP_PIXELS = 2.0
MOST_DOTS = 1000
ANCHOR_PIXELS = (60.0, 7.0)
"""Beside an anchor, to the right and to either side: a text there is read as that anchor's label."""
OUTSIDE, COVERED_LABEL, MISLEADING, COVERED_DOT, MOVED = 1000.0, 100.0, 6.0, 1.0, 0.5
"""How bad it is to leave the figure, to cover another label, to be read as one, to cover 6 pixels of a curve,
and to be one move further down the list."""


class Label(NamedTuple):
    """A text and the data coordinates of what it names."""

    text: str
    x: int | float
    y: int | float
    colour: str
    bold: bool = False


class Surroundings(NamedTuple):
    """What a label has to fit in with; in pixels."""

    frame: Bbox
    """From the left end of the axes to the right end of the figure."""
    dots: np.ndarray
    """[dots, 2] along the curves."""
    anchors: list[Bbox]
    """Of the other labels."""
    placed: list[Bbox]


def place_labels(figure: Figure, axes: Axes, labels: list[Label], curves: list[np.ndarray], size: int | float) -> None:
    """Put every label next to its anchor: off the other labels, inside the figure, and off the curves.

    Args:
        figure: whose edges no label leaves.
        axes: with everything drawn and scaled.
        labels: the important ones first; they have the first choice.
        curves: [points, 2] data coordinates of what had better stay visible.
        size: of the text, in points.
    """
    axes.autoscale_view()
    dots = np.concatenate([_dots(axes, curve) for curve in curves])
    anchors = [_anchor_box(axes, label) for label in labels]
    frame = Bbox.from_extents(axes.bbox.x0, figure.bbox.y0, figure.bbox.x1, figure.bbox.y1)
    placed: list[Bbox] = []
    for order, label in enumerate(labels):
        text = _text(axes, label, size)
        surroundings = Surroundings(frame, dots, anchors[:order] + anchors[order + 1 :], placed)
        costs = [_cost(_moved(figure, axes, text, move), surroundings) for move in MOVES_POINTS]
        best = int(np.argmin(np.array(costs) + MOVED * np.arange(len(costs))))
        placed.append(_moved(figure, axes, text, MOVES_POINTS[best]))


def _anchor_box(axes: Axes, label: Label) -> Bbox:
    x, y = axes.transData.transform((label.x, label.y))
    return Bbox.from_extents(x, y - ANCHOR_PIXELS[1], x + ANCHOR_PIXELS[0], y + ANCHOR_PIXELS[1])


def _text(axes: Axes, label: Label, size: int | float) -> Text:
    return axes.text(
        label.x,
        label.y,
        label.text,
        color=label.colour,
        fontsize=size,
        fontweight="bold" if label.bold else "normal",
        va="center",
        parse_math=False,
        zorder=5,
    )


def _moved(figure: Figure, axes: Axes, text: Text, move: tuple[int, int]) -> Bbox:
    """Move the text from its anchor; the pixels that it then covers."""
    offset = ScaledTranslation(move[0] / 72, move[1] / 72, figure.dpi_scale_trans)
    text.set_transform(axes.transData + offset)
    text.set_horizontalalignment("left" if move[0] > 0 else "right")
    return text.get_window_extent().padded(GAP_PIXELS)


def _cost(box: Bbox, surroundings: Surroundings) -> float:
    frame, dots, anchors, placed = surroundings
    outside = box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1
    covered = ((dots > box.min) & (dots < box.max)).all(1).sum()
    return (
        OUTSIDE * outside
        + COVERED_LABEL * box.count_overlaps(placed)
        + MISLEADING * box.count_overlaps(anchors)
        + COVERED_DOT * float(covered)
    )


def _dots(axes: Axes, curve: np.ndarray) -> np.ndarray:
    """Pixels along a polyline, some six apart."""
    corners = axes.transData.transform(curve)
    length = np.concatenate([[0.0], np.hypot(*np.diff(corners, axis=0).T).cumsum()])
    at = np.linspace(0.0, length[-1], int(np.clip(length[-1] / 6, 2, MOST_DOTS)))
    return np.stack([np.interp(at, length, corners[:, axis]) for axis in (0, 1)], axis=1)
