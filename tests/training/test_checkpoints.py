import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_meta.errors import UserError
from rl_meta.training.checkpoints import KEPT, load_checkpoint, newest_checkpoint, save_checkpoint, write_whole
from rl_meta.types import Array, Key, PyTree


class State(NamedTuple):
    """A leaf of every kind that a run's state has; two seeds."""

    key: Key
    params: PyTree
    first: Array
    iteration: Array


def state(*, offset=0.0, width=3):
    params = {"weight": jnp.arange(2.0 * width).reshape(2, width) + offset, "layers": [jnp.ones((2, 0)), None]}
    return State(jax.random.split(jax.random.key(1), 2), params, jnp.array([True, False]), jnp.array([7, 7]))


def same(a, b):
    raw = lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(raw(x), raw(y))


def shapes(tree):
    return jax.eval_shape(lambda: tree)


def test_a_state_survives_a_round_trip(tmp_path):
    same(load_checkpoint(save_checkpoint(tmp_path, 1, state()), state()), state())


def test_shapes_are_enough_to_load_a_state(tmp_path):
    same(load_checkpoint(save_checkpoint(tmp_path, 1, state()), shapes(state())), state())


def test_keys_that_were_loaded_draw_the_same_numbers(tmp_path):
    loaded = load_checkpoint(save_checkpoint(tmp_path, 1, state()), state())
    np.testing.assert_array_equal(jax.random.bits(loaded.key[1]), jax.random.bits(state().key[1]))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(width=32), min_size=1, max_size=8))
def test_every_float_comes_back_bit_for_bit(tmp_path_factory, numbers):
    array = np.array(numbers, np.float32)
    saved = save_checkpoint(tmp_path_factory.getbasetemp() / "floats", 1, {"x": array})
    loaded = load_checkpoint(saved, {"x": array})["x"]
    np.testing.assert_array_equal(np.asarray(loaded).view(np.uint32), array.view(np.uint32))


def test_part_of_a_state_can_be_loaded_alone(tmp_path):
    saved = save_checkpoint(tmp_path, 1, state())
    same(load_checkpoint(saved, state().params, within=".params"), state().params)


def test_an_array_of_another_shape_is_refused_by_name(tmp_path):
    saved = save_checkpoint(tmp_path, 1, state(width=4))
    with pytest.raises(UserError, match=r"\.params\['weight'\] is float32\[2, 4\], expected float32\[2, 3\]"):
        load_checkpoint(saved, state())


def test_an_array_of_another_type_is_refused_by_name(tmp_path):
    saved = save_checkpoint(tmp_path, 1, state()._replace(first=jnp.array([1, 0])))
    with pytest.raises(UserError, match=r"\.first is int32\[2\], expected bool\[2\]"):
        load_checkpoint(saved, state())


@pytest.mark.parametrize("saved_as", [jnp.zeros((2, 4), jnp.uint32), jnp.zeros(2)])
def test_a_key_of_another_kind_is_refused_by_name(tmp_path, saved_as):
    saved = save_checkpoint(tmp_path, 1, state()._replace(key=saved_as))
    with pytest.raises(UserError, match=r"\.key is .* it was saved with other settings"):
        load_checkpoint(saved, state())


def test_an_array_that_is_missing_is_refused_by_name(tmp_path):
    saved = save_checkpoint(tmp_path, 1, state()._replace(params={}))
    with pytest.raises(UserError, match=r"lacks \.params\['layers'\]\[0\]: it was saved with other settings"):
        load_checkpoint(saved, state())


@pytest.mark.parametrize("kept_bytes", [0, 5, 100, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path, kept_bytes):
    saved = save_checkpoint(tmp_path, 1, state())
    saved.write_bytes(saved.read_bytes()[:kept_bytes])
    with pytest.raises(UserError, match="cannot read the checkpoint"):
        load_checkpoint(saved, state())


def test_a_file_of_another_kind_is_refused(tmp_path):
    saved = tmp_path / "000000001.safetensors"
    saved.write_text("no arrays, but a text that is longer than a header would be")
    with pytest.raises(UserError, match="cannot read the checkpoint"):
        load_checkpoint(saved, state())


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot read the checkpoint"):
        load_checkpoint(tmp_path / "000000001.safetensors", state())


def test_only_the_newest_checkpoints_stay(tmp_path):
    for iteration in (1, 2, 30, 100):
        save_checkpoint(tmp_path, iteration, state())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000030.safetensors", "000000100.safetensors"]
    assert KEPT == 2


def test_the_newest_checkpoint_is_the_one_with_the_most_iterations(tmp_path):
    for iteration in (10_000, 9_999):
        save_checkpoint(tmp_path, iteration, state())
    assert newest_checkpoint(tmp_path).name == "000010000.safetensors"


def test_saving_an_iteration_again_replaces_it(tmp_path):
    for offset in (0.0, 1.0):
        saved = save_checkpoint(tmp_path, 1, state(offset=offset))
    same(load_checkpoint(saved, state()), state(offset=1.0))


def test_a_directory_without_checkpoints_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint in .* train it again"):
        newest_checkpoint(tmp_path / "checkpoints")


def test_a_file_that_is_written_whole_replaces_the_old_one(tmp_path):
    for text in (b"old", b"new"):
        write_whole(tmp_path / "file", text)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


def test_the_old_file_stays_where_writing_fails_midway(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def fail(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        write_whole(path, b"new and longer")
    assert path.read_bytes() == b"old"


def test_what_a_failed_write_leaves_is_no_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, state())
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        save_checkpoint(tmp_path, 2, state(offset=1.0))
    assert newest_checkpoint(tmp_path).name == "000000001.safetensors"
