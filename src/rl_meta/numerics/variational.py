"""Beliefs as diagonal normals, and what variational inference takes of them: the pieces of an ELBO.

Beliefs are `distributions.DiagonalNormal`, which has their samples; the last axis is the latent's.
"""

import jax
import jax.numpy as jnp

from rl_meta.numerics.distributions import DiagonalNormal
from rl_meta.types import Array, Key


def standard_normal(size: int) -> DiagonalNormal:
    """N(0, I): the belief before anything is known."""
    return DiagonalNormal(jnp.zeros(size), jnp.zeros(size))


def kl_divergence(q: DiagonalNormal, p: DiagonalNormal) -> Array:
    """KL(q ‖ p) [...] of q = N(μ, σ²) and p = N(m, s²), in nats, summed over the dimensions.

    KL = ½ Σ [e^δ − 1 − δ + (μ − m)² / s²],    δ = log σ² − log s².

    e^δ − 1 is computed as one function, so that nearly equal beliefs do not drown in rounding: the divergence is
    exactly 0 of a belief to itself.
    """
    delta = 2 * (q.log_std - p.log_std)
    apart = (q.mean - p.mean) * jnp.exp(-p.log_std)
    return 0.5 * (jnp.expm1(delta) - delta + apart**2).sum(-1)


def kl_to_previous(beliefs: DiagonalNormal) -> Array:
    """KL(q_t ‖ q_{t−1}) of beliefs [T, ..., d], with q_{−1} = N(0, I); [T, ...].

    The prior of every belief is the posterior before it (Zintgraf et al. 2020, section 3.2): what was already known
    costs nothing.
    """
    before = jax.tree.map(lambda x: jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]]), beliefs)
    return kl_divergence(beliefs, before)


def stratified_indices(key: Key, size: int, count: int) -> Array:
    """`count` of the indices 0 .. size − 1, int32 [count]: one of each of `count` equal parts, in order.

    The mean over them estimates the mean over all without bias; with count = size they are all of them.
    """
    position = (jnp.arange(count) + jax.random.uniform(key, (count,))) * (size / count)
    return jnp.clip(position.astype(jnp.int32), 0, size - 1)
