"""A random function of a key, as a function of what it draws.

What is drawn by a key can be repeated only where JAX's generator is. A program for other runtimes is given its random
numbers instead: every draw becomes an input from a standard distribution, which any generator can make. The function
is traced, and each draw in the trace is replaced.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from rl_meta.exporting.walking import Equation, UnknownError, bind, called, read_with
from rl_meta.types import Array, Key, PyTree

STANDARD = {"_gumbel": "gumbel", "_normal_real": "normal"}
"""JAX's compiled functions that draw from a standard distribution, and its name: nothing but the key varies in them."""
BITS = "bits"
"""Random bits, uint32: every other draw begins with them."""

Take = Callable[[Equation, list], Array]


class Draw(NamedTuple):
    """What is drawn at one place."""

    kind: str
    """`gumbel` or `normal`, standard and float32; or `bits`, uniform uint32."""
    shape: tuple[int, ...]

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        """Shape and type of the input that stands for it."""
        return jax.ShapeDtypeStruct(self.shape, jnp.uint32 if self.kind == BITS else jnp.float32)


class Explicit(NamedTuple):
    """A random function, made a function of its draws."""

    draws: tuple[Draw, ...]
    function: Callable[..., PyTree]
    """(noise, *args) -> what the function returns; noise: an array for each of the draws."""
    drawn: Callable[..., tuple[Array, ...]]
    """(key, *args) -> the noise with which `function` returns what the random function does with this key."""
    like: tuple[PyTree, ...]
    """Shapes of the args."""


def explicit(function: Callable[..., PyTree], *args: PyTree) -> Explicit:
    """`function(key, *args)`, for arguments like these (arrays or shapes).

    Raises:
        UnknownError: it draws inside a loop.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    traced, out = jax.make_jaxpr(function, return_shape=True)(key, *args)
    draws: list[Draw] = []

    def run(take: Take, key: Key | None, args: tuple) -> PyTree:
        found = _run(traced, [key, *jax.tree.leaves(args)], take)
        return jax.tree.unflatten(jax.tree.structure(out), found)

    def note(eqn: Equation, values: list) -> Array:  # noqa: ARG001
        like = eqn.outvars[0].aval
        draws.append(Draw(_kind(eqn), like.shape))
        return jnp.zeros(like.shape, like.dtype)

    jax.eval_shape(lambda *args: run(note, None, args), *args)

    def with_noise(noise: tuple[Array, ...], *args: PyTree) -> PyTree:
        left = iter(noise)
        return run(lambda eqn, values: next(left), None, args)

    def drawn(key: Key, *args: PyTree) -> tuple[Array, ...]:
        taken: list[Array] = []

        def draw(eqn: Equation, values: list) -> Array:
            taken.extend(bind(eqn, values))
            return taken[-1]

        run(draw, key, args)
        return tuple(taken)

    return Explicit(tuple(draws), with_noise, drawn, args)


def _run(traced: core.ClosedJaxpr, args: list, take: Take) -> list:
    """Evaluate a trace with `take` in the place of every draw. Keys may be None where `take` does not look at them."""
    values: dict[Any, Any] = dict(zip(traced.jaxpr.constvars, traced.consts, strict=True))
    values.update(zip(traced.jaxpr.invars, args, strict=True))
    for eqn in traced.jaxpr.eqns:
        inputs, inner = [read_with(values, atom) for atom in eqn.invars], called(eqn)
        if not any(map(_is_key, eqn.invars)):
            outputs = bind(eqn, inputs)
        elif _name(eqn) in STANDARD or eqn.primitive.name == "random_bits":
            outputs = [take(eqn, inputs)]
        elif inner is not None:
            outputs = _run(inner, inputs, take)
        elif all(map(_is_key, eqn.outvars)):  # keys made of keys
            outputs = [None] * len(eqn.outvars) if None in inputs else bind(eqn, inputs)
        else:
            raise UnknownError(
                f"it draws random numbers inside a `{eqn.primitive.name}`, which no export can repeat so far"
            )
        values.update(zip(eqn.outvars, outputs, strict=True))
    return [jnp.asarray(read_with(values, atom)) for atom in traced.jaxpr.outvars]


def _is_key(atom: Any) -> bool:
    return jnp.issubdtype(atom.aval.dtype, jax.dtypes.prng_key)


def _name(eqn: Equation) -> str:
    return str(eqn.params.get("name", ""))


def _kind(eqn: Equation) -> str:
    return STANDARD.get(_name(eqn), BITS)
