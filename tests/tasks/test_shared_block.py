import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from rl_meta.tasks.shared_block import ALIGNMENT_BYTES, arrays_in, copied, layout_of, nameless_file, write


class Told(NamedTuple):
    obs: dict
    reward: np.ndarray
    cut: np.ndarray


def told(number):
    """Arrays of every kind that steps have: of bytes, of odd lengths, empty, of one number."""
    obs = {
        "picture": np.full((3, 5, 5), number, np.uint8),
        "inner": {"place": np.full((3, 2), number, np.float64), "none": np.zeros((3, 0), np.float32)},
    }
    return Told(obs, np.full(3, number, np.float32), np.array(bool(number)))


def leaves(tree):
    return [tree.obs["picture"], tree.obs["inner"]["place"], tree.obs["inner"]["none"], tree.reward, tree.cut]


def assert_equal(ours, theirs):
    for x, y in zip(leaves(ours), leaves(theirs), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.fixture(params=["in memory", "on disk"])
def file(request, monkeypatch):
    if request.param == "on disk":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    with nameless_file() as opened:
        yield opened


def test_what_is_written_through_one_view_is_read_through_another(file):
    ours, theirs = (arrays_in(file.fileno(), layout_of(told(0))) for _ in range(2))
    assert_equal(theirs, told(0))
    write(ours, told(7))
    assert_equal(theirs, told(7))


def test_arrays_do_not_overlap_and_are_aligned(file):
    block = arrays_in(file.fileno(), layout_of(told(0)))
    for number, array in enumerate(leaves(block)):
        array[...] = number
    for number, array in enumerate(leaves(block)):
        assert (array == array.dtype.type(number)).all()
        assert array.ctypes.data % ALIGNMENT_BYTES == 0


def test_another_process_reads_and_writes_them(file):
    block = arrays_in(file.fileno(), layout_of(np.zeros(4, np.int32)))
    block[:] = [1, 2, 3, 4]
    code = (
        "import numpy as np; from rl_meta.tasks.shared_block import arrays_in, layout_of; "
        f"block = arrays_in({file.fileno()}, layout_of(np.zeros(4, np.int32))); block *= 10"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], check=True, pass_fds=[file.fileno()], env=environment)
    assert block.tolist() == [10, 20, 30, 40]


def test_no_name_leads_to_the_file_so_that_none_can_be_left_behind(file):
    assert os.fstat(file.fileno()).st_nlink == 0


def test_arrays_outlive_the_descriptor_and_copies_are_the_own(file):
    block = arrays_in(file.fileno(), layout_of(told(0)))
    write(block, told(3))
    file.close()
    before = copied(block)
    write(block, told(4))
    assert_equal(before, told(3))
    assert_equal(block, told(4))


def test_values_of_other_shapes_are_refused(file):
    block = arrays_in(file.fileno(), layout_of(np.zeros(4, np.int32)))
    with pytest.raises(ValueError, match="broadcast"):
        write(block, np.zeros(3, np.int32))
