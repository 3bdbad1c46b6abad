"""A random order without sorting: `jax.random.permutation` sorts, and took a third of PPO's time on a CPU."""

import math

import jax
import jax.numpy as jnp

from rl_meta.types import Array, Key

ROUNDS = 4


def shuffled(key: Key, count: int) -> Array:
    """The numbers 0 .. count − 1 in a random order, int32 [count].

    A Feistel network with random round functions (Luby & Rackoff 1988), on pairs (l, r) with l < a, r < b and
    a b = count: every round adds a random function of one half to the other, modulo its size, which is a
    bijection whatever the functions are. Four rounds cannot be told from a random order by looking at fewer than
    about √count elements of it. Where `count` has no divisors near its root, it is sorted after all.
    """
    left_size = _middle_divisor(count)
    right_size = count // left_size
    if left_size < max(8, math.isqrt(count) // 8):
        return jax.random.permutation(key, count).astype(jnp.int32)
    index = jnp.arange(count, dtype=jnp.int32)
    left, right = index // right_size, index % right_size
    tables = jax.random.bits(key, (ROUNDS // 2, left_size + right_size)) >> 1
    for table in tables.astype(jnp.int32):
        left = (left + table[right] % left_size) % left_size
        right = (right + table[right_size + left] % right_size) % right_size
    return left * right_size + right


def _middle_divisor(count: int) -> int:
    """The largest divisor that is at most the root of `count`."""
    return next(d for d in range(math.isqrt(count), 0, -1) if count % d == 0)
