"""Replay against a plain list per ring."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_meta.numerics.replay import Replay

RINGS, CAPACITY = 3, 5
ROW = {"number": jnp.array(0.0), "pair": jnp.zeros(2, jnp.int32)}
EMPTY = Replay.empty(RINGS, CAPACITY, ROW)
insert_each = jax.jit(Replay.insert_each)


def rows(numbers):
    """Rows that can be told apart, shaped like `numbers`."""
    numbers = jnp.asarray(numbers, float)
    return {"number": numbers, "pair": jnp.stack([numbers, -numbers], -1).astype(jnp.int32)}


def held(replay):
    """The numbers in each ring, sorted."""
    return [sorted(x[f].tolist()) for x, f in zip(replay.rows["number"], replay.is_filled(), strict=True)]


def test_nothing_is_filled_at_first():
    assert held(EMPTY) == [[], [], []]


@settings(max_examples=30, deadline=None)
@given(visits=st.lists(st.tuples(st.integers(0, RINGS - 1), st.integers(0, RINGS - 1)), max_size=6))
@pytest.mark.parametrize("length", [1, 2, 4, 7])
def test_every_ring_holds_the_newest_rows_of_its_own(length, visits):
    replay, expected, number = EMPTY, [[], [], []], 0
    for pair in visits:
        new = np.arange(number + 1, number + 1 + 2 * length).reshape(2, length)
        replay, number = insert_each(replay, jnp.array(pair), rows(new)), number + 2 * length
        for ring, numbers in zip(pair, new.tolist(), strict=True):
            expected[ring] = (expected[ring] + numbers)[-CAPACITY:]
    assert held(replay) == expected


def test_a_ring_that_is_visited_twice_at_once_keeps_both_batches():
    assert held(EMPTY.insert_each(jnp.array([1, 1]), rows([[1, 2], [3, 4]]))) == [[], [1, 2, 3, 4], []]


def test_the_parts_of_a_row_stay_together():
    replay = EMPTY.insert(jnp.array(2), rows([1, 2, 3, 4, 5, 6, 7]))
    number, pair = replay.rows["number"], replay.rows["pair"]
    np.testing.assert_array_equal(pair, np.stack([number, -number], -1))


def test_clearing_forgets_some_rings_and_leaves_the_others():
    replay = EMPTY.insert_each(jnp.array([0, 1, 2]), rows([[1, 2], [3, 4], [5, 6]]))
    assert held(replay.clear(jnp.array([0, 2, 0]))) == [[], [3, 4], []]


def test_a_cleared_ring_is_filled_from_its_start():
    replay = EMPTY.insert(jnp.array(0), rows([1, 2, 3])).clear(jnp.array([0])).insert(jnp.array(0), rows([7]))
    assert held(replay)[0] == [7]


def test_only_rings_with_data_are_drawn_and_all_alike():
    replay = EMPTY.insert_each(jnp.array([0, 2]), rows([[1], [2]]))
    drawn = np.bincount(replay.draw_rings(jax.random.key(0), 4000), minlength=RINGS)
    assert drawn[1] == 0
    assert abs(drawn[0] - 2000) < 160  # five standard errors


def test_only_filled_rows_are_drawn_and_all_alike():
    replay = EMPTY.insert_each(jnp.array([0, 2]), rows([[1, 2, 3], [4, 5, 6]]))
    drawn = replay.draw(jax.random.key(0), jnp.array([2, 0]), 3000)["number"]
    assert drawn.shape == (2, 3000)
    for got, numbers in zip(drawn, ([4, 5, 6], [1, 2, 3]), strict=True):
        count = np.array([(got == number).sum() for number in numbers])
        assert count.sum() == 3000
        assert (abs(count - 1000) < 130).all()  # five standard errors
