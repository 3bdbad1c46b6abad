"""A value function fitted to one task's own returns in closed form: the linear feature baseline of rllab."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

RIDGE = 1e-5
"""Relative to the mean square of every feature: enough for single precision where features are collinear."""
LIMIT = 10.0
"""Observations are clipped to ± this."""


def time_features(obs: Float[Array, "... d"], time: Int[Array, "..."], *, horizon: int) -> Float[Array, "... features"]:
    """[o, o², τ, τ², τ³, 1] with o the observation, clipped, and τ = time / horizon (Duan et al. 2016, section 4.2).

    time: steps since the episode began. (The paper has τ = time / 100, for horizons of some hundreds.)
    """
    obs = jnp.clip(obs, -LIMIT, LIMIT)
    tau = (time / horizon)[..., None].astype(obs.dtype)
    return jnp.concatenate([obs, obs**2, tau, tau**2, tau**3, jnp.ones_like(tau)], -1)


def ridge_regression(
    features: Float[Array, "rows features"], target: Float[Array, " rows"], *, ridge: float = RIDGE
) -> Float[Array, " features"]:
    """The w that minimises mean (y − Φ w)² + ridge Σ_j s_j² w_j²,  s_j² = mean Φ_j².

    Measured against s_j, the penalty is the same in whatever units a feature is. Features are divided by s_j, so that
    the matrix of the normal equations has a diagonal of 1 + ridge and sums of squares as large as they may be
    are not rounded to an indefinite one.
    """
    scale = jnp.sqrt(jnp.mean(features**2, 0))
    scale = jnp.where(scale > 0, scale, 1.0)
    scaled = features / scale
    # in full precision on accelerators too: the matrix is nearly singular
    gram = jnp.matmul(scaled.T, scaled, precision="highest") / len(target)
    moment = jnp.matmul(target, scaled, precision="highest") / len(target)
    return solve_positive_definite(gram + ridge * jnp.eye(len(gram), dtype=gram.dtype), moment) / scale


def solve_positive_definite(matrix: Float[Array, "n n"], right: Float[Array, " n"]) -> Float[Array, " n"]:
    """A⁻¹ b of a small A, by Gauss-Jordan elimination, which needs no pivots where A is positive definite.

    Made of products and sums alone: unlike LAPACK's it is the same on every device, and can be exported.
    """

    def eliminate(system: Array, unit: Array) -> tuple[Array, None]:
        row, column = unit @ system, system[:, :-1] @ unit
        row = row / (row[:-1] @ unit)
        return system - jnp.outer(column - unit, row), None

    system = jnp.concatenate([matrix, right[:, None]], 1)
    system, _ = jax.lax.scan(eliminate, system, jnp.eye(len(right), dtype=matrix.dtype))
    return system[:, -1]
