"""What stands where in the vectors that networks read: where pictures are, and what they looked like."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from rl_meta.types import Array


class Picture(NamedTuple):
    """A picture, raveled into a vector."""

    start: int
    """Where it begins."""
    shape: tuple[int, ...]
    """Before it was raveled."""
    order: tuple[int, ...]
    """Its axes as height, width, and then all that are channels."""

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + math.prod(self.shape)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        height, width = (self.shape[axis] for axis in self.order[:2])
        return height, width, math.prod(self.shape) // (height * width)

    def image(self, x: Array) -> Array:
        """[..., in] -> [..., height, width, channels]."""
        batch = x.shape[:-1]
        image = x[..., self.start : self.end].reshape(*batch, *self.shape)
        if self.order != tuple(range(len(self.shape))):
            image = image.transpose(*range(len(batch)), *(len(batch) + axis for axis in self.order))
        return image.reshape(*batch, *self.image_shape)


@dataclass(frozen=True)
class Layout:
    """Of a vector: its length, and the pictures in it. `+` is for vectors that are joined."""

    size: int
    pictures: tuple[Picture, ...] = ()

    def __add__(self, other: "Layout | int") -> "Layout":
        """With another vector after it; an int is one without pictures."""
        if isinstance(other, int):
            return Layout(self.size + other, self.pictures)
        moved = (picture._replace(start=self.size + picture.start) for picture in other.pictures)
        return Layout(self.size + other.size, (*self.pictures, *moved))

    @property
    def others(self) -> np.ndarray:
        """Indices of the entries that are no pixels."""
        is_other = np.ones(self.size, bool)
        for picture in self.pictures:
            is_other[picture.start : picture.end] = False
        return np.flatnonzero(is_other)

    def without_pictures(self, x: Array) -> Array:
        """[..., size] -> [..., len(others)]."""
        if not self.pictures:
            return x
        ends = [0, *(end for picture in self.pictures for end in (picture.start, picture.end)), self.size]
        parts = [x[..., start:end] for start, end in zip(ends[::2], ends[1::2], strict=True) if start < end]
        return jnp.concatenate(parts, -1) if parts else jnp.zeros((*x.shape[:-1], 0), x.dtype)


def as_layout(size: "int | Layout") -> Layout:
    """A length alone is that of a vector without pictures."""
    return size if isinstance(size, Layout) else Layout(size)
