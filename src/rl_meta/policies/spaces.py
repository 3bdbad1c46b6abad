"""From Gymnasium's spaces to the vectors that networks read, and from their outputs to distributions.

Everything here accepts leading batch axes.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_meta.errors import UserError
from rl_meta.numerics.distributions import Categorical, DiagonalNormal, Distribution
from rl_meta.policies.layout import Layout, Picture
from rl_meta.types import Array, PyTree

LEAST_SIDE = 8
"""Of what is taken for a picture, in pixels."""


def flat_size(space: spaces.Space) -> int:
    """Length of `flatten`'s vector."""
    return len(is_continuous(space))


def flatten(space: spaces.Space, x: PyTree) -> Array:
    """One float32 vector per batch element: Box raveled, Discrete and MultiDiscrete one-hot, Dict joined by key.

    Pixels are scaled to [0, 1].
    """
    if isinstance(space, spaces.Dict):
        return jnp.concatenate([flatten(part, x[name]) for name, part in space.items()], -1)
    x = jnp.asarray(x)
    if isinstance(space, spaces.Discrete):
        return jax.nn.one_hot(x - space.start, int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        batch = x.shape[: x.ndim - space.nvec.ndim]
        x = x.reshape(*batch, space.nvec.size) - space.start.ravel()
        digits = [jax.nn.one_hot(x[..., i], int(n)) for i, n in enumerate(space.nvec.ravel())]
        return jnp.concatenate(digits, -1)
    if isinstance(space, spaces.Box):
        batch = x.shape[: x.ndim - len(space.shape)]
        x = x.reshape(*batch, math.prod(space.shape)).astype(jnp.float32)
        return x / max(int(space.high.max()), 1) if is_picture(space) else x
    raise _unsupported("observation", space)


def layout(space: spaces.Space) -> Layout:
    """Where pictures are in `flatten`'s vector."""
    if isinstance(space, spaces.Dict):
        return sum((layout(part) for part in space.values()), Layout(0))
    if not is_picture(space):
        return Layout(flat_size(space))
    shape = space.shape or ()
    orders = {2: (0, 1), 3: (1, 2, 0) if shape[0] < shape[-1] else (0, 1, 2), 4: (1, 2, 0, 3)}
    return Layout(math.prod(shape), (Picture(0, shape, orders[len(shape)]),))


def is_picture(space: spaces.Space) -> bool:
    """Are these pixels? A Box of uint8, 8 or more high and wide.

    Its axes are height and width; those and channels, before or after them, whichever are fewer; or frames, height,
    width and channels.
    """
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or not 2 <= len(space.shape) <= 4:
        return False
    sides = {2: space.shape, 3: sorted(space.shape, reverse=True)[:2], 4: space.shape[1:3]}
    return min(sides[len(space.shape)]) >= LEAST_SIDE


def blank(space: spaces.Space) -> PyTree:
    """Zeros of the shape and type of one observation."""
    if isinstance(space, spaces.Dict):
        return {name: blank(part) for name, part in space.items()}
    return jnp.zeros(space.shape or (), jax.dtypes.canonicalize_dtype(space.dtype))


def is_continuous(space: spaces.Space) -> np.ndarray:
    """[flat_size] bool: which entries of the vector are measurements (and may be normalised), not one-hot or pixels."""
    if isinstance(space, spaces.Dict):
        return np.concatenate([is_continuous(part) for part in space.values()])
    if isinstance(space, spaces.Discrete):
        return np.zeros(int(space.n), bool)
    if isinstance(space, spaces.MultiDiscrete):
        return np.zeros(int(np.sum(space.nvec)), bool)
    if isinstance(space, spaces.Box):
        return np.full(math.prod(space.shape), not is_picture(space))
    raise _unsupported("observation", space)


def flatten_action(space: spaces.Space, action: Array) -> Array:
    """What a network reads of an agent's action: one-hot, or scaled from the Box's bounds to [-1, 1].

    An action drawn outside of the bounds stays somewhat outside.
    """
    if isinstance(space, spaces.Discrete):
        return jax.nn.one_hot(action, int(space.n))
    if isinstance(space, spaces.Box):
        middle, half = _middle_and_half(space)
        return jnp.clip((action - middle) / half, -3.0, 3.0)
    raise _unsupported("action", space)


def from_unit(space: spaces.Box, action: Array) -> Array:
    """An action [..., d] in [-1, 1], scaled to the Box's bounds: the inverse of `flatten_action`."""
    middle, half = _middle_and_half(space)
    return middle + half * action


def no_action(space: spaces.Space) -> Array:
    """What stands for "none yet" in the first inputs of a lifetime: zeros, like an agent's action."""
    if isinstance(space, spaces.Discrete):
        return jnp.zeros((), jnp.int32)
    if isinstance(space, spaces.Box):
        return jnp.zeros(math.prod(space.shape), jnp.float32)
    raise _unsupported("action", space)


def into_space(space: spaces.Space, action: Array) -> Array:
    """The agent's action (an index; a vector) as the environment gets it: in the space, with its shape."""
    if isinstance(space, spaces.Discrete):
        return action + int(space.start)
    if isinstance(space, spaces.Box):
        batch = action.shape[:-1]
        return jnp.clip(action.reshape(*batch, *space.shape), space.low, space.high)
    raise _unsupported("action", space)


def head_sizes(space: spaces.Space) -> tuple[int, int]:
    """How many outputs a policy needs per state, and how many parameters that do not depend on the state."""
    if isinstance(space, spaces.Discrete):
        return int(space.n), 0
    if isinstance(space, spaces.Box):
        return math.prod(space.shape), math.prod(space.shape)
    raise _unsupported("action", space)


def distribution(space: spaces.Space, parameters: Array) -> Distribution:
    """The policy at one state. parameters: logits; or mean and log std in units of half the Box's width."""
    if isinstance(space, spaces.Discrete):
        return Categorical(parameters)
    if isinstance(space, spaces.Box):
        middle, half = _middle_and_half(space)
        mean, log_std = jnp.split(parameters, 2, -1)
        return DiagonalNormal(middle + half * mean, log_std + jnp.log(half))
    raise _unsupported("action", space)


def is_bounded(space: spaces.Space) -> bool:
    """Has every dimension of a Box finite bounds, one below the other? True of other spaces."""
    if not isinstance(space, spaces.Box):
        return True
    return bool((np.isfinite(space.low) & np.isfinite(space.high) & (space.low < space.high)).all())


def _middle_and_half(space: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half width [d]; 0 and 1 where there is no width to scale by, or an infinite one."""
    low, high = space.low.ravel(), space.high.ravel()
    bounded = np.isfinite(low) & np.isfinite(high) & (low < high)
    low, high = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
    return ((low + high) / 2).astype(np.float32), ((high - low) / 2).astype(np.float32)


def _unsupported(role: str, space: Any) -> UserError:
    known = "Box, Discrete, MultiDiscrete or Dict" if role == "observation" else "Box or Discrete"
    return UserError(f"{role} space must be {known}, got {space}")
