"""Saved states: arrays by name in a safetensors file, which holds no code. Written whole or not at all.

Seeds are the first axis of every array, also where there is only one.
"""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rl_meta.errors import UserError
from rl_meta.types import PyTree

KEPT = 2


def save_checkpoint(directory: Path, iteration: int, state: PyTree) -> Path:
    """Write `state` as the checkpoint of an iteration; all but the newest `KEPT` are removed."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{iteration:09d}.safetensors"
    arrays = {name: np.asarray(_raw(leaf), order="C") for name, leaf in _named(state).items()}
    write_whole(path, save(arrays))
    for old in sorted(directory.glob("*.safetensors"))[:-KEPT]:
        old.unlink()
    return path


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file in one step: a reader, or a machine that stops, sees the old file or the new one."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def newest_checkpoint(directory: Path) -> Path:
    """The checkpoint with the most iterations."""
    found = sorted(directory.glob("*.safetensors"))
    if not found:
        raise UserError(f"no checkpoint in {directory}: the run was stopped before its first one; train it again")
    return found[-1]


def load_checkpoint(path: Path, like: PyTree, *, within: str = "") -> PyTree:
    """The arrays of a checkpoint in the form of `like` (arrays or shapes).

    within: where `like` sits in the saved state, as in `.meta.params`; nothing else is read.

    Raises:
        UserError: the file cannot be read, or its arrays are not those of `like`.
    """
    leaves = []
    try:
        with safe_open(path, framework="numpy") as file:
            names = set(file.keys())
            for name, leaf in _named(like).items():
                if within + name not in names:
                    raise UserError(f"{path} lacks {within + name}: it was saved with other settings")
                leaves.append(_fitting(file.get_tensor(within + name), leaf, f"{path}: {within + name}"))
    except (OSError, SafetensorError) as error:
        older = sorted(other.name for other in path.parent.glob("*.safetensors") if other.name < path.name)
        hint = f"; without this file, {older[-1]} is taken" if older else ""
        raise UserError(f"cannot read the checkpoint {path}: {error}{hint}") from None
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _named(tree: PyTree) -> dict[str, Any]:
    """Leaves by path, as in `.meta.params.network.policy`."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _fitting(array: np.ndarray, like: Any, where: str) -> jax.Array:
    """The array, if it has the shape and type of `like`."""
    expected = jax.eval_shape(jax.random.key_data, like) if _is_key(like) else like
    if array.shape != expected.shape or array.dtype != expected.dtype:
        raise UserError(
            f"{where} is {array.dtype}{list(array.shape)}, expected {expected.dtype}{list(expected.shape)}: "
            "it was saved with other settings"
        )
    found = jnp.asarray(array)
    return jax.random.wrap_key_data(found) if _is_key(like) else found
