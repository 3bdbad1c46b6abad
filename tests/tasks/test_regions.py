from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_meta.errors import UserError
from rl_meta.tasks.base import SPLITS
from rl_meta.tasks.regions import OUTSIDE, sample_box, sample_unit, split_of

POINTS = 8

seeds = st.integers(0, 2**31 - 1)
sizes = st.sampled_from([1, 3])
splits = st.sampled_from(SPLITS)
reproducible = settings(derandomize=True, deadline=None, max_examples=40)


@partial(jax.jit, static_argnums=(1, 2))
def unit_points(seed, size, split):
    keys = jax.random.split(jax.random.key(seed), POINTS)
    return jax.vmap(lambda key: sample_unit(key, size, split))(keys)


@reproducible
@given(seeds, sizes, splits)
def test_a_point_lies_in_the_region_of_its_split(seed, size, split):
    for point in np.asarray(unit_points(seed, size, split)):
        assert split_of(point, np.zeros(size), np.ones(size)) == split


@reproducible
@given(seeds, sizes)
def test_extrapolation_leaves_the_box_but_not_by_much(seed, size):
    points = np.asarray(unit_points(seed, size, "extrapolation"))
    assert ((points < 0) | (points > 1)).any(1).all()
    assert (points >= -OUTSIDE).all()
    assert (points <= 1 + OUTSIDE).all()


@reproducible
@given(seeds, st.floats(-100, 100), st.floats(0.5, 100))
def test_a_box_is_the_unit_box_stretched(seed, low, width):
    lows, highs = np.full(2, low, np.float32), np.full(2, low + width, np.float32)
    point = sample_box(jax.random.key(seed), lows, highs, "test")
    unit = sample_unit(jax.random.key(seed), 2, "test")
    np.testing.assert_allclose(point, lows + (highs - lows) * unit, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("split", SPLITS[:3])
def test_every_split_covers_the_whole_range_of_every_parameter(split):
    points = np.concatenate([unit_points(seed, 3, split) for seed in range(350)])
    for column in points.T:
        counts = np.histogram(column, bins=10, range=(0, 1))[0]
        assert counts.min() > 100


def test_the_splits_cells_make_up_the_box():
    cells = np.stack(np.meshgrid(*[(np.arange(10) + 0.5) / 10] * 2), -1).reshape(-1, 2)
    found = [split_of(cell, np.zeros(2), np.ones(2)) for cell in cells]
    assert [found.count(split) for split in SPLITS] == [70, 10, 20, 0]


def test_an_unknown_split_names_the_nearest_one():
    with pytest.raises(UserError, match="did you mean 'test'"):
        sample_unit(jax.random.key(0), 2, "tset")
