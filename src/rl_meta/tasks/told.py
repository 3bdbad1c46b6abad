"""What environments tell, as arrays, and whether it is what they said that they would tell."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.tasks.envs import batched
from rl_meta.types import PyTree


def observations_of(space: spaces.Space, observations: list[Any]) -> PyTree:
    """See `batched`.

    Raises:
        UserError: one of them is not of the space's shape, lacks an entry, or is a number that it does not have.
    """
    try:
        arrays = batched(space, observations)
        right = _are_of(space, arrays)
    except (KeyError, TypeError, ValueError, OverflowError):
        right = False
    if not right:
        for obs in observations:
            check_observation(space, obs)
        raise UserError(f"observations are not of the environment's space {space}: {observations}")
    return arrays


def _are_of(space: spaces.Space, arrays: PyTree) -> bool:
    """Have arrays [B, ...] the shapes of the space, and numbers that it has?"""
    if isinstance(space, spaces.Dict):
        return all(_are_of(part, arrays[name]) for name, part in space.items())
    if arrays.shape[1:] != (space.shape or ()):
        return False
    if isinstance(space, spaces.Box):
        return True
    numbered: Any = space
    start, count = (numbered.start, numbered.n) if isinstance(space, spaces.Discrete) else (0, numbered.nvec)
    return bool(((arrays >= start) & (arrays < start + count)).all())


def check_observation(space: spaces.Space, obs: Any) -> None:
    """An observation must be of its space; what a Box bounds is not looked at.

    Raises:
        UserError: it is not, with what it is.
    """
    if isinstance(space, spaces.Dict):
        for name, part in space.items():
            if not isinstance(obs, Mapping) or name not in obs:
                raise UserError(f"an observation lacks {name!r} of the environment's space {space}")
            check_observation(part, obs[name])
    elif np.shape(obs) != space.shape:
        raise UserError(f"an observation of shape {np.shape(obs)} is not in the environment's space {space}")
    elif not _are_of(space, batched(space, [obs])):
        raise UserError(f"the observation {obs} is not in the environment's space {space}")


def finite(arrays: PyTree) -> np.ndarray:
    """[B] bool: where all numbers of arrays [B, ...] are."""
    leaves = jax.tree.leaves(arrays)
    told = [np.isfinite(x).reshape(len(x), -1).all(1) for x in leaves if x.dtype.kind == "f"]
    return np.logical_and.reduce(told) if told else np.ones(len(leaves[0]), bool)


def rewards_of(rewards: list[Any]) -> np.ndarray:
    """Rewards [B].

    Raises:
        UserError: one of them is not a number.
    """
    found: np.ndarray
    try:
        found = np.array(rewards, np.float32)
    except (TypeError, ValueError):
        found = np.zeros((), np.float32)
    if found.ndim != 1:
        wrong = [x for x in rewards if np.ndim(x) or not isinstance(x, int | float | np.number)]
        raise UserError(f"a reward must be a number, the environment's step told {wrong[0] if wrong else rewards!r}")
    return found
