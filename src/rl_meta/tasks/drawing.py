"""How a family shows a state to people: marks in world coordinates, which any canvas can put on paper.

Optional: a family that has `window` and `draw` beside the methods of `Family` is `Drawable`, and films of its episodes
can be made (`analysis.film`). Both run on the host, outside of compiled code.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from rl_meta.types import PyTree

Role = Literal["agent", "goal", "other", "scene"]
"""What a mark stands for: the agent, what it should reach or find, others that move, or where all this happens."""

Point = np.ndarray | tuple[float, float]
"""[2]"""


class Line(NamedTuple):
    """Straight from point to point."""

    points: np.ndarray | Sequence[Point]
    """[K, 2]"""
    role: Role = "agent"


class Polygon(NamedTuple):
    """Filled."""

    corners: np.ndarray | Sequence[Point]
    """[K, 2]"""
    role: Role = "agent"


class Disc(NamedTuple):
    """Filled."""

    centre: Point
    radius: float
    role: Role = "agent"


Mark = Line | Polygon | Disc


@runtime_checkable
class Drawable(Protocol):
    """What a family has beside `Family` if its states can be drawn."""

    @property
    def window(self) -> tuple[float, float, float, float]:
        """Left, right, lower and upper end of what is to be seen; both axes have one scale."""

    def draw(self, state: PyTree, task: PyTree) -> list[Mark]:
        """A state (NumPy arrays) in its task; later marks lie on earlier ones."""


def box(centre: Point, length: float, width: float, angle: float = 0.0) -> np.ndarray:
    """Corners [4, 2] of a rectangle whose length lies along `angle` (rad, counter-clockwise from the first axis)."""
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) / 2 * (length, width)
    cos, sin = np.cos(angle), np.sin(angle)
    return corners @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(centre)
