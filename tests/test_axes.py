import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_meta.axes import as_sequences, per_copy, select, strongly_typed, tile

N, S, C, T = 2, 3, 4, 5


def numbered(*shape):
    """Every element is its own place."""
    return jnp.arange(np.prod(shape)).reshape(shape)


@pytest.mark.parametrize("features", [(), (3,), (3, 2)])
def test_selecting_takes_whole_elements_of_the_first_axis(features):
    yes = numbered(4, *features)
    got = np.asarray(select(jnp.array([True, False, False, True]), yes, -yes - 1))
    np.testing.assert_array_equal((got >= 0).reshape(4, -1).all(1), [True, False, False, True])


def test_selecting_goes_leaf_by_leaf():
    yes, no = {"a": jnp.ones(2), "b": (jnp.ones((2, 3)),)}, {"a": jnp.zeros(2), "b": (jnp.zeros((2, 3)),)}
    got = select(jnp.array([True, False]), yes, no)
    assert [leaf.reshape(2, -1).mean(1).tolist() for leaf in jax.tree.leaves(got)] == [[1, 0], [1, 0]]


def test_a_single_condition_selects_whole_trees():
    np.testing.assert_array_equal(select(jnp.array(True), jnp.ones((2, 3)), jnp.zeros((2, 3))), np.ones((2, 3)))


def test_keys_are_selected_like_numbers():
    yes, no = jax.random.split(jax.random.key(0), 2), jax.random.split(jax.random.key(1), 2)
    got = select(jnp.array([True, False]), yes, no)
    assert bool((got == jnp.stack([yes[0], no[1]])).all())


@pytest.mark.parametrize("shape", [(), (3,), (3, 2)])
def test_tiling_adds_a_first_axis_of_equals(shape):
    tiled = tile({"x": numbered(*shape)}, 4)["x"]
    np.testing.assert_array_equal(tiled, np.stack([numbered(*shape)] * 4))


def test_tiling_takes_plain_numbers():
    assert tile(1.5, 2).tolist() == [1.5, 1.5]


@pytest.mark.parametrize("features", [(), (2,)])
def test_a_sequence_is_the_stages_of_one_copy_in_order(features):
    steps = numbered(N, S, C, T, *features)
    sequences = as_sequences(steps)
    for n in range(N):
        for c in range(C):
            life = np.concatenate([steps[n, s, c] for s in range(S)])
            np.testing.assert_array_equal(sequences[n * C + c], life)


def test_sequences_are_made_leaf_by_leaf():
    got = as_sequences({"a": numbered(N, S, C, T), "b": numbered(N, S, C, T, 2)})
    assert jax.tree.map(jnp.shape, got) == {"a": (N * C, S * T), "b": (N * C, S * T, 2)}


def test_copies_are_in_the_order_of_sequences():
    of_copy = numbered(N, C)
    steps = jnp.broadcast_to(of_copy[:, None, :, None], (N, S, C, T))
    np.testing.assert_array_equal(per_copy(of_copy), as_sequences(steps)[:, 0])


def test_copies_keep_their_features():
    assert per_copy({"a": numbered(N, C, 7)})["a"].shape == (N * C, 7)


def test_strongly_typed_arrays_are_not_weak():
    weak = jnp.asarray(1.0)
    assert (weak.weak_type, strongly_typed(weak).weak_type) == (True, False)


def test_strong_types_change_neither_value_nor_type():
    before = {
        "f": jnp.asarray(1.5),
        "i": jnp.asarray(3),
        "b": jnp.array(True),
        "h": jnp.ones(2, jnp.bfloat16),
    }
    after = strongly_typed(before)
    as_pairs = lambda tree: jax.tree.map(lambda x: (x.dtype, x.tolist()), tree)
    assert as_pairs(after) == as_pairs(before)


def test_keys_are_left_as_they_are():
    key = jax.random.key(3)
    assert bool(strongly_typed((key,))[0] == key)
