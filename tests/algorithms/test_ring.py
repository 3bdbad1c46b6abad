import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.algorithms.ring import Ring


def numbered(*numbers):
    return {"a": jnp.array(numbers, jnp.int32), "b": jnp.array(numbers, jnp.float32)[:, None] * jnp.ones(2)}


def filled_with(*batches, capacity):
    ring = Ring.like(jax.tree.map(lambda x: x[0], numbered(0)), capacity)
    for batch in batches:
        ring = jax.jit(Ring.put)(ring, numbered(*batch))
    return ring


def drawn(ring, count=2000):
    rows = ring.draw(jax.random.key(0), count)
    np.testing.assert_array_equal(rows["b"], rows["a"][:, None] * np.ones(2))  # a row stays together
    return np.asarray(rows["a"])


def test_nothing_is_drawn_that_was_not_put_in():
    assert set(drawn(filled_with([5, 6], capacity=8))) == {5, 6}


def test_the_newest_rows_take_the_places_of_the_oldest():
    ring = filled_with([1, 2, 3], [4, 5, 6], capacity=5)
    assert set(drawn(ring)) == {2, 3, 4, 5, 6}


def test_a_full_ring_stays_full_however_often_it_is_written():
    batches = [[3 * i, 3 * i + 1, 3 * i + 2] for i in range(20)]
    ring = filled_with(*batches, capacity=5)
    assert set(drawn(ring)) == {55, 56, 57, 58, 59}
    assert int(ring.written) < 10


def test_every_row_is_drawn_equally_often():
    counts = np.bincount(drawn(filled_with([0, 1, 2, 3], capacity=4), count=40_000))
    expected, deviation = 10_000, 10_000**0.5
    assert np.abs(counts - expected).max() < 5 * deviation
