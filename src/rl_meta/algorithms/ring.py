"""Replay on the device: a ring of the newest rows, of any pytree."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_meta.types import Array, Key, PyTree


class Ring(NamedTuple):
    """The newest `capacity` rows that were put in."""

    rows: PyTree
    """[capacity, ...]"""
    written: Array
    """Rows put in; counted on from `capacity` again where it would reach twice that."""

    @classmethod
    def like(cls, row: PyTree, capacity: int) -> "Ring":
        """Empty, for rows of these shapes and types."""
        return cls(jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), row), jnp.array(0))

    @property
    def capacity(self) -> int:
        """The most rows it holds."""
        return len(jax.tree.leaves(self.rows)[0])

    @property
    def filled(self) -> Array:
        """Rows in it now."""
        return jnp.minimum(self.written, self.capacity)

    def put(self, rows: PyTree) -> "Ring":
        """Add rows [n, ...], n at most the capacity; they take the places of the oldest."""
        count = len(jax.tree.leaves(rows)[0])
        # a counter of all rows would overflow in a long run
        place = (self.written + jnp.arange(count)) % self.capacity
        written = self.written + count
        written = jnp.where(written >= 2 * self.capacity, written - self.capacity, written)
        return Ring(jax.tree.map(lambda old, new: old.at[place].set(new), self.rows, rows), written)

    def draw(self, key: Key, count: int) -> PyTree:
        """Rows [count, ...], each any of those in it with the same probability. It must not be empty."""
        row = jax.random.randint(key, (count,), 0, self.filled)
        return jax.tree.map(lambda x: x[row], self.rows)
