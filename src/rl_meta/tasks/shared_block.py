"""Arrays that several processes see: a block of memory in which one of them writes what another reads.

The block is a file without a name in main memory, handed to other processes by its descriptor. Where its arrays lie
follows from their shapes and types alone, so that all processes that know these see the same arrays. The memory is let
go with the last process that has it, however that ends: there is nothing to clean up after one that is killed.

Nothing here waits or locks: who writes and who reads is for the processes to agree on, over a socket.
"""

import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import IO

import jax
import numpy as np

from rl_meta.types import PyTree

ALIGNMENT_BYTES = 64
"""Every array begins at a multiple of this: a line of the cache, and more than any type asks for."""


def nameless_file() -> IO[bytes]:
    """An empty file that no name leads to. In main memory on Linux, in the directory for temporary files elsewhere."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("rl-meta"), "r+b")
    return tempfile.TemporaryFile(buffering=0)  # its name is gone as soon as it is open


def layout_of(tree: PyTree) -> PyTree:
    """The shapes and types of arrays, for `arrays_in`; small, and made to be sent."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def arrays_in(descriptor: int, layout: PyTree) -> PyTree:
    """Arrays of this layout in the file, which is made long enough; a new file holds zeros.

    They may be used after the descriptor is closed. To write is to write for all processes that have the file.
    """
    leaves, structure = jax.tree.flatten(layout)
    *offsets, size = _offsets(leaves)
    if os.fstat(descriptor).st_size < size:
        os.ftruncate(descriptor, size)
    memory = mmap.mmap(descriptor, size)
    arrays = [np.ndarray(x.shape, x.dtype, memory, offset) for x, offset in zip(leaves, offsets, strict=True)]
    return jax.tree.unflatten(structure, arrays)


def _offsets(leaves: Sequence[jax.ShapeDtypeStruct]) -> list[int]:
    """Where the arrays begin, in bytes, and where the last of them ends."""
    ends = [0]
    for leaf in leaves:
        lines = -(-leaf.size * np.dtype(leaf.dtype).itemsize // ALIGNMENT_BYTES)
        ends.append(ends[-1] + lines * ALIGNMENT_BYTES)
    return ends


def copied(arrays: PyTree) -> PyTree:
    """The arrays as they are now, in memory of this process's own."""
    return jax.tree.map(np.array, arrays)


def write(arrays: PyTree, values: PyTree) -> None:
    """Write values into arrays of the same structure and shapes."""
    for array, value in zip(jax.tree.leaves(arrays), jax.tree.leaves(values), strict=True):
        np.copyto(array, value)
