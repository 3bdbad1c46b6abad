"""Random orthogonal matrices, by products alone.

A library's QR would do, but the one that XLA calls on a CPU shares a batch of matrices among the threads of XLA's own
pool and waits for them there: where several such calls meet, as when many networks are begun at once, all threads wait
and none works (jaxlib 0.10.2).
"""

from functools import partial

import jax
import jax.numpy as jnp

from rl_meta.types import Array, Key


def orthogonal(key: Key, shape: tuple[int, int], *, gain: float = 1.0) -> Array:
    """A matrix with orthonormal rows or columns, whichever are fewer, times `gain`; uniform (Haar) among all of them.

    The factor Q of a normal matrix Q R, with R's diagonal positive, which makes it unique (Mezzadri 2007): columns are
    made orthogonal to those before them one by one, twice, which is as good as it gets in floating point (Giraud et al.
    2005).
    The same numbers as `jax.nn.initializers.orthogonal` makes of the key, up to rounding.
    """
    rows = _orthonormal_rows(key, min(shape), max(shape))
    return gain * (rows if shape[0] < shape[1] else rows.T)


@partial(jax.jit, static_argnums=(1, 2))
def _orthonormal_rows(key: Key, count: int, length: int) -> Array:
    """[count, length]. Compiled once for all matrices of a size, where networks are made step by step."""
    columns = jax.random.normal(key, (length, count)).T

    def add(done: Array, column: tuple[Array, Array]) -> tuple[Array, None]:
        index, vector = column
        for _ in range(2):
            vector = vector - (done @ vector) @ done
        return done.at[index].set(vector / jnp.linalg.norm(vector)), None

    return jax.lax.scan(add, jnp.zeros((count, length)), (jnp.arange(count), columns))[0]
