"""Models made of models: lines, arcs, means and differences of parameter trees; merged running statistics.

Trees are pytrees of arrays with the same structure; N of them are one tree with a first axis [N, ...] in every leaf.
Arrays that are not floats (counters, random keys) cannot be mixed: they are those of the model with the largest
weight. Sums are written as sums, not as products of matrices, which accelerators round to ten bits by default.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rl_meta.numerics.moments import Moments
from rl_meta.numerics.surrogates import standardised
from rl_meta.types import PyTree

PARALLEL = 1e-4
"""Below this sine of the angle between them, two arrays are taken as parallel: the arc is a line."""
LEAST_VARIANCE = 0.1
"""Of the mean variance, added to every one, so that a model that seems certain by chance does not outweigh all."""

Number = float | Float[Array, ""]


def interpolate(a: PyTree, b: PyTree, alpha: Number) -> PyTree:
    """α a + (1 − α) b, leaf by leaf; bit for bit a where α is 1, and b where it is 0.

    Outside of [0, 1] the line goes on.
    """

    def mix(x: Array, y: Array) -> Array:
        if not _is_float(x):
            return jnp.where(alpha >= 0.5, x, y)
        return _between(x, y, alpha, y + jnp.asarray(alpha, x.dtype) * (x - y))

    return jax.tree.map(mix, a, b)


def weighted_mean(trees: PyTree, weights: Float[Array, " N"]) -> PyTree:
    """Σ wᵢ θᵢ / Σ wᵢ over the first axis. weights: not negative, not all zero."""
    share = weights / weights.sum()

    def mean(x: Array) -> Array:
        return _sum(share, x) if _is_float(x) else x[jnp.argmax(share)]

    return jax.tree.map(mean, trees)


def towards(theta: PyTree, others: PyTree, weights: Float[Array, " N"], rate: Number) -> PyTree:
    """θ + ε (Σ wᵢ θᵢ / Σ wᵢ − θ): the outer step of Reptile (Nichol et al. 2018, algorithm 2, "parallel").

    The same as `interpolate(mean, theta, rate)`: α is the rate. others: [N, ...].
    """
    return interpolate(weighted_mean(others, weights), theta, rate)


def arithmetic(base: PyTree, trees: PyTree, amounts: Float[Array, " N"]) -> PyTree:
    """θ₀ + Σ aᵢ (θᵢ − θ₀): adding, scaling and negating what was learned after θ₀ (Ilharco et al. 2023, section 2).

    trees: [N, ...]. Amounts may be negative and need not sum to one.
    """

    def add(x: Array, ys: Array) -> Array:
        return x + _sum(amounts, ys - x) if _is_float(x) else x

    return jax.tree.map(add, base, trees)


def spherical(a: PyTree, b: PyTree, alpha: Number) -> PyTree:
    """sin(α Ω)/sin Ω a + sin((1 − α) Ω)/sin Ω b, with Ω the angle between a and b (Shoemake 1985, section 3.3).

    Array by array, because layers have scales of their own: the norm of each goes from one model's to the other's
    without the dip that a line has where they point apart. Where arrays are parallel, opposite or zero there is
    no arc, and the line is taken. Bit for bit a where α is 1, and b where it is 0.
    """

    def mix(x: Array, y: Array) -> Array:
        if not _is_float(x):
            return jnp.where(alpha >= 0.5, x, y)
        share = jnp.asarray(alpha, x.dtype)
        norms = jnp.sqrt((x * x).sum() * (y * y).sum())
        cosine = jnp.clip((x * y).sum() / jnp.maximum(norms, jnp.finfo(x.dtype).tiny), -1.0, 1.0)
        sine = jnp.sqrt(1 - cosine**2)
        straight = (norms == 0) | (sine < PARALLEL)
        angle, divisor = jnp.arccos(cosine), jnp.where(straight, 1.0, sine)
        arc = (jnp.sin(share * angle) * x + jnp.sin((1 - share) * angle) * y) / divisor
        return _between(x, y, alpha, jnp.where(straight, y + share * (x - y), arc))

    return jax.tree.map(mix, a, b)


# ------------------------------------------------------------------------------------------------ weights


def return_weights(returns: Float[Array, " N"], *, temperature: Number) -> Float[Array, " N"]:
    """softmax(z / temperature), z the standardised returns: the better a model does, the more it counts.

    Uniform where all returns are equal, and ever closer to uniform the higher the temperature. Standardising makes
    the weights independent of the unit and the origin of rewards.
    """
    return jax.nn.softmax(standardised(returns) / temperature)


def precision_weights(variances: Float[Array, " N"]) -> Float[Array, " N"]:
    """∝ 1 / (σᵢ² + ε): the optimal weights of independent estimates of the same thing, with variances σᵢ².

    ε is `LEAST_VARIANCE` times the mean variance; uniform where all are zero.
    """
    floor = LEAST_VARIANCE * variances.mean()
    precision = 1 / jnp.maximum(variances + floor, jnp.finfo(variances.dtype).tiny)
    # ratios to the largest, for the sum may not overflow
    ratio = precision / precision.max()
    return ratio / ratio.sum()


# ------------------------------------------------------------------------------------------------ running statistics


def pooled(moments: Moments, shares: Float[Array, " N"]) -> Moments:
    """Moments [N, ...] of separate data, merged as if seen in one batch; of each, this share of its observations.

    n = Σ sᵢ nᵢ,  μ = Σ pᵢ μᵢ,  σ² = Σ pᵢ (σᵢ² + (μᵢ − μ)²),  pᵢ = sᵢ nᵢ / n  (Chan, Golub & LeVeque 1983).
    """
    counts = shares * moments.weight
    weight = counts.sum()
    part, first = counts / weight, moments.mean[0]
    mean = first + _sum(part, moments.mean - first)
    return Moments(weight, mean, _sum(part, moments.variance + (moments.mean - mean) ** 2))


def pooled_since(before: Moments, moments: Moments) -> Moments:
    """Moments [N, ...] that all began as `before`, and saw separate data since: merged, `before` counted once.

    The formula of `pooled` with −(N − 1) times the observations of `before` as one more part. Written as
    differences to `before`, so that nothing is lost where that has seen far more than was seen since.
    """
    extra = len(moments.weight) - 1
    weight = before.weight + (moments.weight - before.weight).sum()
    part = moments.weight / weight
    mean = before.mean + _sum(part, moments.mean - before.mean)
    spread = moments.variance - before.variance + (moments.mean - mean) ** 2
    variance = before.variance + _sum(part, spread) - extra * before.weight / weight * (before.mean - mean) ** 2
    return Moments(weight, mean, jnp.maximum(variance, 0.0))


def _sum(weights: Array, x: Array) -> Array:
    """Σ wᵢ xᵢ over the first axis, in the type of x."""
    return (weights.reshape(-1, *(1,) * (x.ndim - 1)).astype(x.dtype) * x).sum(0)


def _between(a: Array, b: Array, alpha: Number, mixed: Array) -> Array:
    """`mixed`, but for the ends, which no rounding may touch."""
    return jnp.where(alpha == 1, a, jnp.where(alpha == 0, b, mixed))


def _is_float(x: Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)
