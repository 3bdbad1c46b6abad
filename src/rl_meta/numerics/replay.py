"""Replay on the device: one ring of rows per task, as a pytree of arrays that a training state can hold."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_meta.types import Array, Key, PyTree


class Replay(NamedTuple):
    """K rings of R rows. Rows are pytrees; those of a ring that were never written hold zeros."""

    rows: PyTree
    """[K, R, ...]"""
    next_slot: Array
    """[K] Where the next row of the ring goes."""
    filled: Array
    """[K] How many of its rows hold data: the first ones."""

    @classmethod
    def empty(cls, rings: int, capacity: int, row: PyTree) -> "Replay":
        """row: one row, or its shapes (as `jax.eval_shape` returns them)."""
        blank = jax.tree.map(lambda x: jnp.zeros((rings, capacity, *x.shape), x.dtype), row)
        return cls(blank, jnp.zeros(rings, jnp.int32), jnp.zeros(rings, jnp.int32))

    @property
    def capacity(self) -> int:
        """R of them in a ring."""
        return jax.tree.leaves(self.rows)[0].shape[1]

    def is_filled(self) -> Array:
        """[K, R] bool: which rows hold data."""
        return jnp.arange(self.capacity) < self.filled[:, None]

    def clear(self, rings: Array) -> "Replay":
        """Forget all rows of these rings [...]."""
        return self._replace(next_slot=self.next_slot.at[rings].set(0), filled=self.filled.at[rings].set(0))

    def insert(self, ring: Array, rows: PyTree) -> "Replay":
        """Append rows [L, ...] to one ring; they overwrite its oldest ones. Of more than R, the last R are kept."""
        capacity, length = self.capacity, len(jax.tree.leaves(rows)[0])
        last = min(length, capacity)
        slots = (self.next_slot[ring] + jnp.arange(length - last, length)) % capacity
        put = lambda all_rows, new: all_rows.at[ring, slots].set(new[length - last :])
        return Replay(
            jax.tree.map(put, self.rows, rows),
            self.next_slot.at[ring].set((self.next_slot[ring] + length) % capacity),
            self.filled.at[ring].set(jnp.minimum(self.filled[ring] + length, capacity)),
        )

    def insert_each(self, rings: Array, rows: PyTree) -> "Replay":
        """Append rows [N, L, ...] to the rings [N], one after another.

        Not all at once: a ring that occurs twice would get only one of its two batches.
        """
        go = lambda replay, batch: (replay.insert(*batch), None)
        return jax.lax.scan(go, self, (rings, rows))[0]

    def draw_rings(self, key: Key, count: int) -> Array:
        """`count` rings [count] with replacement, uniformly among those that hold data."""
        return jax.random.categorical(key, jnp.where(self.filled > 0, 0.0, -jnp.inf), shape=(count,))

    def draw(self, key: Key, rings: Array, count: int) -> PyTree:
        """`count` rows of each of the rings [M], uniformly with replacement: [M, count, ...]. None may be empty."""
        shape = (*rings.shape, count)
        slots = jax.random.randint(key, shape, 0, jnp.maximum(self.filled[rings], 1)[:, None])
        return jax.tree.map(lambda x: x[rings[:, None], slots], self.rows)
