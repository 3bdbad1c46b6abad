"""Moving between the axes of `rl_meta.types`: N tasks, S stages, C copies, T time, features."""

import jax
import jax.numpy as jnp

from rl_meta.types import Array, PyTree


def select(condition: Array, yes: PyTree, no: PyTree) -> PyTree:
    """Leaf-wise `where`; `condition` [N] is broadcast over the trailing axes of each leaf."""

    def pick(y: Array, n: Array) -> Array:
        return jnp.where(condition.reshape(condition.shape + (1,) * (y.ndim - condition.ndim)), y, n)

    return jax.tree.map(pick, yes, no)


def tile(tree: PyTree, count: int) -> PyTree:
    """[...] -> [count, ...]."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), tree)


def as_sequences(steps: PyTree) -> PyTree:
    """[N, S, C, T, ...] -> [N C, S T, ...]: every copy's life as one sequence, stages joined."""

    def join(x: Array) -> Array:
        n, s, c, t, *rest = x.shape
        return jnp.moveaxis(x, 2, 1).reshape(n * c, s * t, *rest)

    return jax.tree.map(join, steps)


def per_copy(tree: PyTree) -> PyTree:
    """[N, C, ...] -> [N C, ...], in the order of `as_sequences`."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def strongly_typed(tree: PyTree) -> PyTree:
    """The same arrays without JAX's weak types, which would make the two ends of a loop differ."""

    def strong(x: Array) -> Array:
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return x if is_key else jax.lax.convert_element_type(x, x.dtype)

    return jax.tree.map(strong, tree)
