"""Distributions over actions. The last axis is the action's; leading axes are batches.

`sample(None)` is the mode. No operation indexes by an action, so that gradients hold no scatter: what is
made of these can be exported.
"""

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from rl_meta.types import Array, Key

LOG_TWO_PI = math.log(2 * math.pi)
NEAREST_TO_ONE = 1 - 2.0**-24
"""The largest float32 below 1."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
QUADRATURE_NODES = _NODES.astype(np.float32)
QUADRATURE_WEIGHTS = (_WEIGHTS / _WEIGHTS.sum()).astype(np.float32)
"""E[f(x)] ≈ Σ weight f(node) of a standard normal x."""


@runtime_checkable
class Distribution(Protocol):
    """Over actions, in the units of the action space (of `TanhNormal`: of half its width)."""

    def sample(self, key: Key | None) -> Array:
        """One action per batch element; the mode when `key` is None."""

    def log_prob(self, action: Array) -> Array:
        """Summed over the dimensions of the action."""

    def entropy(self) -> Array:
        """In nats, summed over the dimensions of the action."""

    def kl(self, other: Any) -> Array:
        """KL(self ‖ other) to a distribution of the same kind, in nats, summed over the dimensions of the action."""


class Categorical(NamedTuple):
    """Over 0 .. k − 1. `logits` [..., k] need not be normalised; actions are int32 [...]."""

    logits: Array

    def sample(self, key: Key | None) -> Array:
        """See `Distribution`."""
        if key is None:
            return self.logits.argmax(-1).astype(jnp.int32)
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        """See `Distribution`."""
        chosen = jax.nn.one_hot(action, self.logits.shape[-1], dtype=self.logits.dtype)
        return (jax.nn.log_softmax(self.logits) * chosen).sum(-1)

    def entropy(self) -> Array:
        """See `Distribution`."""
        log_probs = jax.nn.log_softmax(self.logits)
        return -(jnp.exp(log_probs) * log_probs).sum(-1)

    def kl(self, other: "Categorical") -> Array:
        """See `Distribution`."""
        own, others = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        return (jnp.exp(own) * (own - others)).sum(-1)


class DiagonalNormal(NamedTuple):
    """Independent normals; `mean` and `log_std` [..., d]."""

    mean: Array
    log_std: Array

    def sample(self, key: Key | None) -> Array:
        """See `Distribution`."""
        if key is None:
            return self.mean
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def log_prob(self, action: Array) -> Array:
        """See `Distribution`."""
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return -(0.5 * z**2 + self.log_std + 0.5 * LOG_TWO_PI).sum(-1)

    def entropy(self) -> Array:
        """See `Distribution`."""
        per_dimension = self.log_std + 0.5 * (LOG_TWO_PI + 1)
        return jnp.broadcast_to(per_dimension, self.mean.shape).sum(-1)

    def kl(self, other: "DiagonalNormal") -> Array:
        """See `Distribution`."""
        log_ratio = other.log_std - self.log_std
        z = (self.mean - other.mean) * jnp.exp(-other.log_std)
        return (0.5 * (jnp.exp(-2 * log_ratio) + z**2 - 1) + log_ratio).sum(-1)


class TanhNormal(NamedTuple):
    """tanh(u) with independent normal u: over (−1, 1)ᵈ (Haarnoja et al. 2018, appendix C).

    `mean` and `log_std` [..., d] are those of u.
    """

    mean: Array
    log_std: Array

    def sample(self, key: Key | None) -> Array:
        """See `Distribution`. Without a key it is tanh of the mean: the median."""
        return self.sample_and_log_prob(key)[0]

    def sample_and_log_prob(self, key: Key | None) -> tuple[Array, Array]:
        """An action and its log-density, differentiable in the parameters through both; exact near the bounds."""
        before = DiagonalNormal(self.mean, self.log_std)
        u = before.sample(key)
        return jnp.tanh(u), before.log_prob(u) - log_slope_of_tanh(u).sum(-1)

    def log_prob(self, action: Array) -> Array:
        """See `Distribution`. Actions closer to a bound than float32 resolves count as if they were there."""
        u = jnp.arctanh(jnp.clip(action, -NEAREST_TO_ONE, NEAREST_TO_ONE))
        return DiagonalNormal(self.mean, self.log_std).log_prob(u) - log_slope_of_tanh(u).sum(-1)

    def entropy(self) -> Array:
        """See `Distribution`. H[u] + E[log(1 − tanh² u)], the expectation by Gauss-Hermite quadrature."""
        u = self.mean[..., None] + jnp.exp(self.log_std)[..., None] * QUADRATURE_NODES
        lost = (log_slope_of_tanh(u) * QUADRATURE_WEIGHTS).sum((-1, -2))
        return DiagonalNormal(self.mean, self.log_std).entropy() + lost

    def kl(self, other: "TanhNormal") -> Array:
        """See `Distribution`. That of the two normals: an invertible map changes no divergence."""
        return DiagonalNormal(self.mean, self.log_std).kl(DiagonalNormal(other.mean, other.log_std))


def log_slope_of_tanh(u: Array) -> Array:
    """log(1 − tanh² u) = 2 (log 2 − u − softplus(−2 u)), which does not underflow for large |u|."""
    return 2 * (math.log(2.0) - u - jax.nn.softplus(-2 * u))
