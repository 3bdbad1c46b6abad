"""Running mean and variance, merged rather than averaged (Chan, Golub & LeVeque 1983)."""

from typing import NamedTuple

import jax.numpy as jnp

from rl_meta.types import Array


class Moments(NamedTuple):
    """Of everything seen so far; `mean` and `variance` have the shape of one element."""

    weight: Array
    """How many observations."""
    mean: Array
    variance: Array

    @classmethod
    def unit(cls, shape: tuple[int, ...] = ()) -> "Moments":
        """Nothing seen yet: mean 0, variance 1, with the weight of almost no observation."""
        return cls(jnp.array(1e-4), jnp.zeros(shape), jnp.ones(shape))

    @classmethod
    def of(cls, batch: Array) -> "Moments":
        """Moments over the first axis."""
        return cls(jnp.array(float(len(batch))), batch.mean(0), batch.var(0))

    def merge(self, other: "Moments") -> "Moments":
        """Of both together, exactly as if seen in one batch."""
        weight = self.weight + other.weight
        share = other.weight / weight
        apart = other.mean - self.mean
        mean = self.mean + share * apart
        variance = (1 - share) * self.variance + share * other.variance + share * (1 - share) * apart**2
        return Moments(weight, mean, variance)

    @property
    def std(self) -> Array:
        """Never below 1e-4, so that a constant input is not blown up."""
        return jnp.sqrt(jnp.maximum(self.variance, 1e-8))

    def standardise(self, x: Array, limit: float = 10.0) -> Array:
        """(x − mean) / std, clipped to ±limit."""
        return jnp.clip((x - self.mean) / self.std, -limit, limit)
