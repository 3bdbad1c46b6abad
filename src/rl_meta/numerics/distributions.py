"""Distributions over actions. The last axis is the action's; leading axes are batches.

`sample(None)` is the mode. No operation indexes by an action, so that gradients hold no scatter: what is
made of these can be exported.
"""

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from rl_meta.types import Array, Key

LOG_TWO_PI = math.log(2 * math.pi)


@runtime_checkable
class Distribution(Protocol):
    """Over actions, in the units of the action space."""

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
