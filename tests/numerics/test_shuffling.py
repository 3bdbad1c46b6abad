import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from rl_meta.numerics.shuffling import shuffled

UNLIKELY = 1e-3
"""p-value below which counts are not taken to be from the distribution (the keys are fixed)."""
ORDERS = 2000
KEY = jax.random.key(0)
FAST_TO_COMPILE = "unsafe_rbg"
"""Random numbers for what holds whatever they are."""
KINDS = {"a square": 36, "oblong": 60, "large": 1024, "sorted, as it is twice a prime": 2 * 509}

few = settings(max_examples=5, deadline=None)
sixty = jax.jit(lambda key: shuffled(key, 60))


@cache
def many(count):
    """[ORDERS, count] by as many keys."""
    keys = jax.random.split(KEY, ORDERS)
    return np.asarray(jax.jit(jax.vmap(lambda key: shuffled(key, count)))(keys))


@few
@given(st.lists(st.integers(1, 5000), min_size=5, max_size=5), st.integers(0, 2**31 - 1))
@example([1, 2, 4900, 4998, 4999], 0)
def test_an_order_holds_every_number_once(counts, seed):
    key = jax.random.key(seed, impl=FAST_TO_COMPILE)
    orders = jax.jit(lambda key: [shuffled(key, count) for count in counts])(key)
    for count, order in zip(counts, orders, strict=True):
        np.testing.assert_array_equal(np.sort(order), np.arange(count))


@pytest.mark.parametrize("count", [5, 64])
def test_an_order_is_int32(count):
    assert jax.eval_shape(lambda key: shuffled(key, count), KEY).dtype == jnp.int32


def test_the_same_key_gives_the_same_order():
    np.testing.assert_array_equal(sixty(KEY), sixty(KEY))


@pytest.mark.parametrize("count", KINDS.values(), ids=KINDS)
def test_other_keys_give_other_orders(count):
    assert len(np.unique(many(count), axis=0)) == ORDERS


@pytest.mark.parametrize("count", KINDS.values(), ids=KINDS)
def test_the_first_place_is_everyones_alike(count):
    eighths = np.bincount(many(count)[:, 0] * 8 // count, minlength=8)
    expected = np.bincount(np.arange(count) * 8 // count) * ORDERS / count
    assert stats.chisquare(eighths, expected).pvalue > UNLIKELY


@pytest.mark.parametrize("count", KINDS.values(), ids=KINDS)
def test_the_mean_place_of_every_number_is_the_middle(count):
    mean = many(count).mean(0)
    standard_error = np.sqrt((count**2 - 1) / 12 / ORDERS)
    assert np.abs(mean - (count - 1) / 2).max() < 5 * standard_error


@pytest.mark.parametrize("count", KINDS.values(), ids=KINDS)
def test_a_minibatch_is_drawn_from_all_parts_alike(count):
    eighths = np.zeros(8)
    for order in many(count):
        eighths += np.bincount(order[: count // 4] * 8 // count, minlength=8)
    expected = np.bincount(np.arange(count) * 8 // count) * (ORDERS * (count // 4) / count)
    assert stats.chisquare(eighths, expected).pvalue > UNLIKELY


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_of_few_numbers_every_order_comes_up(count):
    assert len(np.unique(many(count), axis=0)) == math.factorial(count)


@pytest.mark.parametrize("count", [36, 7, 61, 62, 94, 67, 1024, 1018])
def test_neighbours_seldom_stay_neighbours(count):
    together = (np.diff(many(count), axis=1) == 1).mean()
    assert together < 4 / count


def test_under_vmap_every_key_has_its_own_order():
    keys = jax.random.split(KEY, ORDERS)
    np.testing.assert_array_equal(many(60)[:3], [sixty(key) for key in keys[:3]])


def test_an_order_is_the_same_compiled_and_not():
    np.testing.assert_array_equal(sixty(KEY), shuffled(KEY, 60))
