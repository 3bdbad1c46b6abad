"""What policy-gradient methods descend: losses of batches of steps, each a mean over all elements."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def clipped_surrogate(
    log_prob: Float[Array, "..."],
    old_log_prob: Float[Array, "..."],
    advantage: Float[Array, "..."],
    *,
    clip: float | Array,
) -> Float[Array, ""]:
    """PPO's loss −E[min(r Â, clip(r, 1 − ε, 1 + ε) Â)],  r = π(a|s) / π_old(a|s)  (Schulman et al. 2017, eq. 7)."""
    ratio = jnp.exp(log_prob - old_log_prob)
    clipped = jnp.clip(ratio, 1 - clip, 1 + clip)
    return -jnp.minimum(ratio * advantage, clipped * advantage).mean()


def clipped_value_loss(
    value: Float[Array, "..."],
    old_value: Float[Array, "..."],
    target: Float[Array, "..."],
    *,
    clip: float | Array | None,
) -> Float[Array, ""]:
    """½ E[max((V − R)², (V_old + clip(V − V_old, ±ε) − R)²)]; without the second term where `clip` is None."""
    error = jnp.square(value - target)
    if clip is not None:
        near = old_value + jnp.clip(value - old_value, -clip, clip)
        error = jnp.maximum(error, jnp.square(near - target))
    return 0.5 * error.mean()


def approximate_kl(log_prob: Float[Array, "..."], old_log_prob: Float[Array, "..."]) -> Float[Array, ""]:
    """KL(π_old ‖ π) ≈ E[r − 1 − log r], never negative (Schulman 2020, http://joschu.net/blog/kl-approx.html)."""
    log_ratio = log_prob - old_log_prob
    return (jnp.expm1(log_ratio) - log_ratio).mean()


def standardised(x: Float[Array, "..."], least: float | Array = 0.0) -> Float[Array, "..."]:
    """Mean 0 and standard deviation (not variance) 1; zeros where all are equal.

    least: deviations smaller than this are not blown up, but count as this one.
    """
    centred = x - x.mean()
    centred = centred - centred.mean()  # what rounding left of the mean, which a tiny deviation would blow up
    return centred / (jnp.maximum(centred.std(), least) + 1e-8)
