"""A step of trust-region policy optimisation (Schulman et al. 2015), on pytrees of parameters.

A policy is known here by its outputs: what it says about every recorded step (the parameters of its distributions).
The loss and the divergence from the old policy are functions of the outputs alone. So the outputs are linearised in
the parameters once; the gradient of the loss and every Fisher-vector product are then made of that linear map and its
transpose, and nothing is differentiated three times where the outputs contain a gradient themselves (as MAML's do).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from rl_meta.types import Array, PyTree

Product = Callable[[PyTree], PyTree]
"""v -> A v, with A symmetric and positive definite."""


class TrustRegion(NamedTuple):
    """How far, and with how much work."""

    limit: float | Array
    """δ, of the divergence from the old policy."""
    iterations: int
    """Of conjugate gradients."""
    damping: float | Array
    """Added to the Fisher matrix's diagonal."""
    backtrack: float | Array
    """By which factor a step that went too far is shortened."""
    tries: int
    """How often, before nothing is changed."""


class Solution(NamedTuple):
    """Of A x = b, up to what is left of b."""

    x: PyTree
    residual: PyTree
    """b − A x"""


class Step(NamedTuple):
    """New parameters, and how they were found."""

    params: PyTree
    loss_before: Array
    loss: Array
    divergence: Array
    """From the old policy, after the step."""
    scale: Array
    """Of the full step; 0 where every try was refused."""
    gradient_norm: Array


def conjugate_gradient(product: Product, b: PyTree, *, iterations: int) -> Solution:
    """Solve A x = b by conjugate gradients from x = 0 (Hestenes & Stiefel 1952; Nocedal & Wright 2006, algorithm 5.2).

    Exact after as many iterations as A has distinct eigenvalues, up to rounding; stands still once it has converged.
    """
    enough = jnp.finfo(optax.tree.dtype(b)).eps ** 2 * optax.tree.vdot(b, b)

    def iterate(carry: tuple[PyTree, PyTree, PyTree, Array], _: None) -> tuple[tuple, None]:
        x, residual, direction, square = carry
        image = product(direction)
        curvature = optax.tree.vdot(direction, image)
        goes_on = (square > enough) & (curvature > 0)
        alpha = jnp.where(goes_on, square / jnp.where(goes_on, curvature, 1.0), 0.0)
        x = optax.tree.add_scale(x, alpha, direction)
        residual = optax.tree.add_scale(residual, -alpha, image)
        after = optax.tree.vdot(residual, residual)
        beta = jnp.where(goes_on, after / jnp.where(goes_on, square, 1.0), 0.0)
        return (x, residual, optax.tree.add_scale(residual, beta, direction), after), None

    start = optax.tree.zeros_like(b), b, b, optax.tree.vdot(b, b)
    (x, residual, _, _), _ = jax.lax.scan(iterate, start, length=iterations)
    return Solution(x, residual)


def divergence_product(push: Product, pull: Product, divergence: Callable[[PyTree], Array], outputs: PyTree) -> Product:
    """The product v -> Jᵀ M J v: the Hessian of the divergence in the parameters, where the divergence has its minimum.

    J is the Jacobian of the outputs in the parameters (push: v -> J v, pull: u -> Jᵀ u), M the Hessian of the
    divergence in the outputs. The other term of the Hessian is a product with the divergence's gradient, which is
    zero at the minimum. With the KL divergence of policies it is the Fisher-vector product.
    """
    _, metric = jax.linearize(jax.grad(divergence), outputs)
    return lambda v: pull(metric(push(v)))


def trust_region_step(
    outputs_of: Callable[[PyTree], PyTree],
    loss: Callable[[PyTree], Array],
    divergence: Callable[[PyTree], Array],
    params: PyTree,
    region: TrustRegion,
) -> Step:
    """Lower the loss as far as the divergence from the old policy stays below a limit δ.

    Along x ≈ (F + damping)⁻¹ g the quadratic model of the divergence reaches δ at β x, β = √(2 δ / xᵀ F x)
    (appendix C of the paper, with the damping inside of F). From there the step is shortened until the loss has fallen
    and the divergence is at most δ.

    outputs_of: (params) -> outputs. loss, divergence: (outputs) -> scalar; the divergence is zero at the old outputs.
    """
    outputs, push = jax.linearize(outputs_of, params)
    transposed = jax.linear_transpose(push, params)
    pull: Product = lambda u: transposed(u)[0]
    loss_before, slope = jax.value_and_grad(loss)(outputs)
    gradient = pull(slope)
    fisher = divergence_product(push, pull, divergence, outputs)
    damped: Product = lambda v: optax.tree.add_scale(fisher(v), region.damping, v)
    solution = conjugate_gradient(damped, gradient, iterations=region.iterations)
    square = optax.tree.vdot(solution.x, optax.tree.sub(gradient, solution.residual))  # xᵀ A x, as A x = b − residual
    full = optax.tree.scale(-jnp.sqrt(2 * region.limit / jnp.maximum(square, jnp.finfo(square.dtype).tiny)), solution.x)

    def attempt(scale: Array) -> tuple[Array, Array, Array]:
        outputs = outputs_of(optax.tree.add_scale(params, scale, full))
        return scale, loss(outputs), divergence(outputs)

    def refused(state: tuple[Array, tuple[Array, Array, Array]]) -> Array:
        tried, (_, loss_now, divergence_now) = state
        return ~((loss_now < loss_before) & (divergence_now <= region.limit)) & (tried < region.tries)

    def shorten(state: tuple[Array, tuple[Array, Array, Array]]) -> tuple[Array, tuple[Array, Array, Array]]:
        tried, _ = state
        return tried + 1, attempt(jnp.asarray(region.backtrack, loss_before.dtype) ** tried)

    nothing = jnp.zeros_like(loss_before), jnp.full_like(loss_before, jnp.inf), jnp.full_like(loss_before, jnp.inf)
    state = jax.lax.while_loop(refused, shorten, (jnp.array(0), nothing))
    accepted = ~refused((jnp.array(0), state[1]))
    scale, loss_now, divergence_now = (
        jnp.where(accepted, x, kept) for x, kept in zip(state[1], (0.0, loss_before, 0.0), strict=True)
    )
    return Step(
        optax.tree.add_scale(params, scale, full),
        loss_before,
        loss_now,
        divergence_now,
        scale,
        optax.tree.norm(gradient),
    )
