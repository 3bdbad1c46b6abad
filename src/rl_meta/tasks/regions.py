"""Disjoint splits of a box of task parameters, by region.

Every side of the box is cut into ten bins. The cell that a task lies in has one bin index per parameter;
their sum modulo ten says which split the cell belongs to, so that no two splits share a cell, a test task always
has train tasks around it (interpolation), and with two parameters or more each split covers the whole range of
every one:

    train 0, 2, 3, 5, 6, 8, 9     validation 1     test 4, 7

The `extrapolation` split lies outside of the box: at least one parameter exceeds its range, by up to a
quarter of the range on either side.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.errors import unknown
from rl_meta.tasks.base import SPLITS
from rl_meta.types import Array, Key

ArrayLike = Array | np.ndarray | Sequence[float]

BINS = 10
RESIDUES = {"train": (0, 2, 3, 5, 6, 8, 9), "validation": (1,), "test": (4, 7)}
MARGIN = 1e-3
"""Of a bin's width, kept free on both sides, so that rounding moves no point into another cell."""
OUTSIDE = 0.25
"""How far the extrapolation split reaches beyond the box, as a fraction of each side."""


def sample_unit(key: Key, size: int, split: str) -> Array:
    """A point [size] of the unit box, uniform in the split's cells; for extrapolation, outside of the box."""
    if split == "extrapolation":
        return _sample_outside(key, size)
    if split not in RESIDUES:
        raise unknown("split", split, SPLITS)
    key_bins, key_residue, key_inside = jax.random.split(key, 3)
    bins = jax.random.randint(key_bins, (size,), 0, BINS)
    residue = jax.random.choice(key_residue, jnp.array(RESIDUES[split]))
    bins = bins.at[-1].set((residue - bins[:-1].sum()) % BINS)
    return (bins + jax.random.uniform(key_inside, (size,), minval=MARGIN, maxval=1 - MARGIN)) / BINS


def _sample_outside(key: Key, size: int) -> Array:
    """Uniform in the enlarged box, with one coordinate, chosen at random, moved outside of the unit box."""
    key_wide, key_which, key_side, key_far = jax.random.split(key, 4)
    wide = jax.random.uniform(key_wide, (size,), minval=-OUTSIDE, maxval=1 + OUTSIDE)
    far = jnp.maximum(jax.random.uniform(key_far) * OUTSIDE, 1e-6)
    outside = jnp.where(jax.random.bernoulli(key_side), 1 + far, -far)
    return wide.at[jax.random.randint(key_which, (), 0, size)].set(outside)


def named_box(names: Sequence[str], low: Sequence[float], high: Sequence[float]) -> spaces.Dict:
    """The box [low, high] as a space of tasks: one number per name."""
    return spaces.Dict([(name, spaces.Box(a, b, ())) for name, a, b in zip(names, low, high, strict=True)])


def sample_box(key: Key, low: ArrayLike, high: ArrayLike, split: str) -> Array:
    """A point of the box [low, high], each of shape [size], in the split's region."""
    low, high = jnp.asarray(low, float), jnp.asarray(high, float)
    return low + (high - low) * sample_unit(key, low.size, split)


def split_of(point: ArrayLike, low: ArrayLike, high: ArrayLike) -> str:
    """Which split a point belongs to (on the host; for tests and for users who bring their own tasks)."""
    low, high = jnp.asarray(low), jnp.asarray(high)
    unit = (jnp.asarray(point) - low) / (high - low)
    if bool(((unit < 0) | (unit > 1)).any()):
        return "extrapolation"
    residue = int(jnp.minimum(jnp.floor(unit * BINS), BINS - 1).sum()) % BINS
    return next(name for name, residues in RESIDUES.items() if residue in residues)
