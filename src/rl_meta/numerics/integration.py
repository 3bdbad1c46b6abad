"""Ordinary differential equations, one step at a time."""

from collections.abc import Callable

import jax

from rl_meta.types import Array, PyTree


def runge_kutta_4(rates: Callable[[PyTree], PyTree], state: PyTree, seconds: float | Array) -> PyTree:
    """The state after a step of the classical fourth-order method of Runge and Kutta (1901).

    x + h/6 (k₁ + 2 k₂ + 2 k₃ + k₄) with k₁ = f(x), k₂ = f(x + h/2 k₁), k₃ = f(x + h/2 k₂), k₄ = f(x + h k₃).

    Args:
        rates: f, the time derivative of a state, of the state's structure.
        state: x.
        seconds: h.
    """

    def ahead(slopes: PyTree, time: float | Array) -> PyTree:
        return jax.tree.map(lambda x, k: x + time * k, state, slopes)

    first = rates(state)
    second = rates(ahead(first, seconds / 2))
    third = rates(ahead(second, seconds / 2))
    fourth = rates(ahead(third, seconds))
    mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, first, second, third, fourth)
    return ahead(mean, seconds)
