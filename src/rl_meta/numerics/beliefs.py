"""Gaussian beliefs in natural parameters: evidence multiplies densities, and so adds these numbers.

PEARL's posterior (Rakelly et al. 2019, eq. 2): q(z | c) ∝ Πₙ N(z; μₙ, σₙ²), one factor per transition. The product
does not depend on the order of the transitions, and all of them need never be held at once.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_meta.types import Array, Key


class GaussianProduct(NamedTuple):
    """A product of independent normal factors over z [..., d]. One of no factors is the prior N(0, 1).

    The prior is no factor itself: it is what is believed while there is no evidence.
    """

    precision: Array
    """Σₙ 1 / σₙ²; 0 where there is no factor."""
    weighted: Array
    """Σₙ μₙ / σₙ²"""

    @classmethod
    def of_none(cls, shape: tuple[int, ...]) -> "GaussianProduct":
        """No evidence yet."""
        return cls(jnp.zeros(shape), jnp.zeros(shape))

    @classmethod
    def of_factors(cls, mean: Array, variance: Array, *, axis: int = 0) -> "GaussianProduct":
        """The product over an axis of `mean` and `variance` [..., d]. Variances must be positive."""
        return cls((1 / variance).sum(axis), (mean / variance).sum(axis))

    def times(self, other: "GaussianProduct") -> "GaussianProduct":
        """With the other's evidence too."""
        return GaussianProduct(self.precision + other.precision, self.weighted + other.weighted)

    def moments(self) -> tuple[Array, Array]:
        """Mean and variance: σ² = 1 / Σ 1/σₙ², μ = σ² Σ μₙ/σₙ²; 0 and 1 without a factor."""
        unknown = self.precision == 0
        variance = 1 / jnp.where(unknown, 1.0, self.precision)
        return jnp.where(unknown, 0.0, self.weighted * variance), variance

    def sample(self, key: Key | None) -> Array:
        """One z, differentiable in the factors; the mean when `key` is None."""
        mean, variance = self.moments()
        return mean if key is None else mean + jnp.sqrt(variance) * jax.random.normal(key, mean.shape)

    def kl_from_prior(self) -> Array:
        """KL(q ‖ N(0, 1)) in nats, summed over the dimensions of z: ½ Σ (μ² + σ² − 1 − log σ²)."""
        mean, variance = self.moments()
        return 0.5 * (mean**2 + variance - 1 - jnp.log(variance)).sum(-1)
