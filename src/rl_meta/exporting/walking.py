"""Going through what JAX traced, equation by equation, to say it in the operations of another runtime."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.extend import core

from rl_meta.errors import UserError


class UnknownError(UserError):
    """What an agent does that an export has no words for."""


Equation = Any
"""A `JaxprEqn`; its declared types say less than is so."""
Rule = Callable[..., Any]
"""(equation, *inputs) -> what an operation's output is in the other runtime; a tuple where it has several.

Inputs are NumPy arrays where they are known now, and the runtime's own where they are not.
"""


def walk(traced: core.ClosedJaxpr, args: list, rules: Mapping[str, Rule], target: str) -> list:
    """The outputs of a traced function in another runtime. args: as a rule's inputs.

    What depends on no input is computed now, and what has no elements is an empty array.

    Raises:
        UnknownError: there is no rule for an operation.
    """
    values: dict[Any, Any] = dict(zip(traced.jaxpr.constvars, map(np.asarray, traced.consts), strict=True))
    values.update(zip(traced.jaxpr.invars, args, strict=True))
    for eqn in traced.jaxpr.eqns:
        inputs, inner = [read_with(values, atom) for atom in eqn.invars], called(eqn)
        if all(isinstance(x, np.ndarray) for x in inputs):
            outputs = [np.asarray(x) for x in bind(eqn, inputs)]
        elif inner is not None:
            outputs = walk(inner, inputs, rules, target)
        elif not any(var.aval.size for var in eqn.outvars):
            outputs = [np.zeros(var.aval.shape, var.aval.dtype) for var in eqn.outvars]
        elif eqn.primitive.name in rules:
            found = rules[eqn.primitive.name](eqn, *inputs)
            outputs = list(found) if eqn.primitive.multiple_results else [found]
        else:
            raise UnknownError(f"it computes `{eqn.primitive.name}`, which the export to {target} does not know so far")
        values.update(zip(eqn.outvars, outputs, strict=True))
    return [read_with(values, atom) for atom in traced.jaxpr.outvars]


def read_with(values: Mapping[Any, Any], atom: Any) -> Any:
    """The value of a variable or a literal."""
    if not isinstance(atom, core.Literal):
        return values[atom]
    of: Any = atom.aval
    return np.asarray(atom.val, of.dtype)


def bind(eqn: Equation, inputs: list) -> list:
    """Compute an equation's outputs with JAX."""
    params = eqn.primitive.get_bind_params(eqn.params)
    subfuns, params = params if isinstance(params, tuple) else ((), params)  # JAX before 0.10 has both
    found = eqn.primitive.bind(*subfuns, *map(_as_jax, inputs), **params)
    return list(found) if eqn.primitive.multiple_results else [found]


def _as_jax(value: Any) -> Any:
    return jax.numpy.asarray(value) if isinstance(value, np.ndarray) else value


def called(eqn: Equation) -> core.ClosedJaxpr | None:
    """The function that an equation calls once with its inputs, where it does nothing else."""
    names = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "remat2": "jaxpr", "checkpoint": "jaxpr"}
    names |= {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
    inner = eqn.params.get(names.get(eqn.primitive.name, ""))
    return core.ClosedJaxpr(inner, ()) if isinstance(inner, core.Jaxpr) else inner


# ------------------------------------------------------------------------------------------------
# What JAX says in a general form, in the common ones that other runtimes have a word for.


def einsum_of(eqn: Equation) -> str:
    """A `dot_general` as Einstein's sum."""
    (contract_x, contract_y), (batch_x, batch_y) = eqn.params["dimension_numbers"]
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    x = [next(letters) for _ in eqn.invars[0].aval.shape]
    y = [next(letters) for _ in eqn.invars[1].aval.shape]
    for i, j in zip((*contract_x, *batch_x), (*contract_y, *batch_y), strict=True):
        y[j] = x[i]
    kept_x = [letter for i, letter in enumerate(x) if i not in (*contract_x, *batch_x)]
    kept_y = [letter for i, letter in enumerate(y) if i not in (*contract_y, *batch_y)]
    return f"{''.join(x)},{''.join(y)}->{''.join([*(x[i] for i in batch_x), *kept_x, *kept_y])}"


def gathered_axis(eqn: Equation, target: str) -> tuple[int, bool]:
    """The axis that a `gather` takes elements along, and whether each of the rows has indices of its own.

    True: y[i, j] = x[i, index[i, j]]. False: y[i, j] = x[i, index[j]].
    """
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    shape, rows = eqn.invars[0].aval.shape, eqn.invars[1].aval.shape[:-1]
    axis, *more = map(int, numbers.start_index_map)
    one_index = not more and tuple(numbers.collapsed_slice_dims) == (axis,)
    before = tuple(range(axis))
    if one_index and tuple(numbers.operand_batching_dims) == before and axis == len(shape) - 1 and axis:
        return axis, True
    whole = all(size == (1 if i == axis else full) for i, (size, full) in enumerate(zip(sizes, shape, strict=True)))
    others = tuple(i for i in range(len(shape) - 1 + len(rows)) if not axis <= i < axis + len(rows))
    if not (one_index and whole and tuple(numbers.offset_dims) == others and not numbers.operand_batching_dims):
        raise UnknownError(f"it gathers by several indices, which the export to {target} does not know so far")
    return axis, False


def check_sets_row(eqn: Equation, target: str) -> None:
    """Refuse a `scatter` that does anything but set one row of an array."""
    numbers, shape = eqn.params["dimension_numbers"], eqn.invars[0].aval.shape
    first = tuple(numbers.inserted_window_dims) == tuple(numbers.scatter_dims_to_operand_dims) == (0,)
    if not first or eqn.invars[1].aval.shape != (1,) or eqn.invars[2].aval.shape != shape[1:]:
        raise UnknownError(f"it scatters by several indices, which the export to {target} does not know so far")
