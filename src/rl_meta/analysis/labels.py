"""Labels beside the things they name, moved apart where they would overlap. A leaf: imports matplotlib."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox, ScaledTranslation

MOVES_POINTS = ((8, 0), (8, 11), (8, -11), (8, 22), (8, -22), (-8, 14), (-8, -14), (8, 33), (8, -33), (8, 44))
"""Where a label may go, seen from its anchor; in the order of preference."""
GAP_PIXELS = 2.0
MOST_DOTS = 1000
COVERED_LABEL, COVERED_CURVE, OUTSIDE, MOVED = 100.0, 1.0, 1000.0, 0.5


class Label(NamedTuple):
    """A text and the data coordinates of what it names."""

    text: str
    x: float
    y: float
    colour: str
    bold: bool = False


def place_labels(axes: Axes, labels: list[Label], curves: list[np.ndarray], size: float) -> None:
    """Put every label next to its anchor: off the other labels, inside the figure, and off the curves.

    Args:
        axes: with everything drawn and scaled.
        labels: the important ones first; they have the first choice.
        curves: [points, 2] data coordinates of what had better stay visible.
        size: of the text, in points.
    """
    axes.autoscale_view()
    obstacles = np.concatenate([_dots(axes, curve) for curve in curves])
    taken: list[Bbox] = []
    for label in labels:
        text = _text(axes, label, size)
        costs = [
            _cost(_moved(axes, text, move), rank, axes, taken, obstacles)
            for rank, move in enumerate(MOVES_POINTS)
        ]
        taken.append(_moved(axes, text, MOVES_POINTS[int(np.argmin(costs))]))


def _text(axes: Axes, label: Label, size: float) -> Text:
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


def _moved(axes: Axes, text: Text, move: tuple[int, int]) -> Bbox:
    """Move the text from its anchor; the pixels that it then covers."""
    figure = axes.get_figure(root=True)
    offset = ScaledTranslation(move[0] / 72, move[1] / 72, figure.dpi_scale_trans)
    text.set_transform(axes.transData + offset)
    text.set_horizontalalignment("left" if move[0] > 0 else "right")
    return text.get_window_extent().padded(GAP_PIXELS)


def _cost(box: Bbox, rank: int, axes: Axes, taken: list[Bbox], obstacles: np.ndarray) -> float:
    labels = sum(box.overlaps(other) for other in taken)
    inside = (obstacles > box.min).all(1) & (obstacles < box.max).all(1)
    frame = axes.get_figure(root=True).bbox
    outside = box.x0 < axes.bbox.x0 or box.x1 > frame.x1 or box.y0 < axes.bbox.y0 or box.y1 > frame.y1
    return COVERED_LABEL * labels + COVERED_CURVE * inside.sum() + OUTSIDE * outside + MOVED * rank


def _dots(axes: Axes, curve: np.ndarray) -> np.ndarray:
    """Pixels along a polyline, some six apart."""
    corners = axes.transData.transform(curve)
    length = np.concatenate([[0.0], np.hypot(*np.diff(corners, axis=0).T).cumsum()])
    at = np.linspace(0.0, length[-1], int(np.clip(length[-1] / 6, 2, MOST_DOTS)))
    return np.stack([np.interp(at, length, corners[:, axis]) for axis in (0, 1)], axis=1)
