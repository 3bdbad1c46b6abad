"""From what JAX traced to exported programs of PyTorch, for any process that has torch.

The operations of the trace are carried out in torch while `torch.export` looks on; loops are unrolled.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rl_meta.errors import UserError
from rl_meta.exporting.programs import Program
from rl_meta.exporting.walking import (
    Equation,
    Rule,
    UnknownError,
    check_sets_row,
    einsum_of,
    gathered_axis,
    walk,
)

MISSING = "PyTorch export needs the package torch ({error}): pip install 'rl-meta[torch]'"


def write_torch(programs: Sequence[Program], directory: Path) -> None:
    """begin.pt2, act.pt2, learn.pt2.

    Raises:
        UserError: a program computes something that there is no rule for, or torch is missing.
    """
    try:
        import torch  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise UserError(MISSING.format(error=error)) from error
    for program in programs:
        inputs = tuple(torch.zeros(x.shape, dtype=getattr(torch, x.dtype)) for x in program.inputs)
        with torch.no_grad():
            exported = torch.export.export(torch_module(program), inputs, strict=False)
        torch.export.save(exported, directory / f"{program.name}.pt2")


def torch_module(program: Program) -> Any:
    """The program as an `nn.Module`: (*inputs) -> tuple of outputs."""
    import torch  # noqa: PLC0415 (an extra)

    traced, rules, kept = program.traced, {name: rule(torch) for name, rule in RULES.items()}, _Kept(torch)

    class Traced(torch.nn.Module):
        def forward(self, *inputs: Any) -> tuple:
            found = walk(traced, list(inputs), rules, "torch")
            return tuple(kept(value).clone() for value in found)

    return Traced()


class _Kept:
    """Constants as tensors."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch

    def __call__(self, value: Any) -> Any:
        """A tensor, of a NumPy array or a tensor. Empty ones are made anew: torch cannot write them down."""
        if not isinstance(value, np.ndarray):
            return value
        make = self.torch.tensor if value.size else lambda empty: self.torch.zeros(empty.shape)
        return make(value)


# ------------------------------------------------------------------------------------------------
# Rules: each takes torch, and returns (equation, *inputs) -> output.

TorchRule = Callable[[Any], Rule]


def _of(function: Callable[..., Any]) -> TorchRule:
    """A function of (torch, equation, *tensors)."""

    def rule(torch: Any) -> Rule:
        as_tensor = _Kept(torch)
        return lambda eqn, *xs: function(torch, eqn, *map(as_tensor, xs))

    return rule


def _same(name: str) -> TorchRule:
    """An operation that torch has as it is."""
    return _of(lambda torch, eqn, *xs: getattr(torch, name)(*xs))


def _typed(torch: Any, eqn: Equation, x: Any) -> Any:
    return x.to(getattr(torch, str(eqn.outvars[0].aval.dtype)))


def _select(torch: Any, eqn: Equation, which: Any, *cases: Any) -> Any:
    if len(cases) != 2 or eqn.invars[0].aval.dtype != bool:
        raise UnknownError("it selects among more than two cases, which the export to torch does not know so far")
    return torch.where(which, cases[1], cases[0])


def _broadcast(torch: Any, eqn: Equation, x: Any) -> Any:  # noqa: ARG001
    thin = [1] * len(eqn.params["shape"])
    for axis, size in zip(eqn.params["broadcast_dimensions"], eqn.invars[0].aval.shape, strict=True):
        thin[axis] = size
    return x.reshape(thin).expand(eqn.params["shape"])


def _split(torch: Any, eqn: Equation, x: Any) -> tuple:
    return torch.split(x, [int(size) for size in eqn.params["sizes"]], eqn.params["axis"])


def _slice(torch: Any, eqn: Equation, x: Any) -> Any:  # noqa: ARG001
    starts, ends = eqn.params["start_indices"], eqn.params["limit_indices"]
    strides = eqn.params["strides"] or (1,) * len(starts)
    return x[tuple(slice(*map(int, bounds)) for bounds in zip(starts, ends, strides, strict=True))]


def _gather(torch: Any, eqn: Equation, x: Any, index: Any) -> Any:
    axis, each = gathered_axis(eqn, "torch")
    rows = index.squeeze(-1).long()
    if each:
        return torch.gather(x, axis, rows)
    return torch.index_select(x, axis, rows.reshape(-1)).reshape(eqn.outvars[0].aval.shape)


def _scatter(torch: Any, eqn: Equation, x: Any, index: Any, row: Any) -> Any:
    check_sets_row(eqn, "torch")
    return torch.index_copy(x, 0, index.long(), row[None])


def _logical(of_bools: str, of_integers: str) -> TorchRule:
    return _of(
        lambda torch, eqn, *xs: getattr(torch, of_bools if eqn.outvars[0].aval.dtype == bool else of_integers)(*xs)
    )


def _shift_right(torch: Any, eqn: Equation, x: Any, by: Any) -> Any:
    unsigned = x.long() & 0xFFFFFFFF  # torch shifts no uint32
    return _typed(torch, eqn, torch.bitwise_right_shift(unsigned, by.long()))


def _scan(torch: Any) -> Rule:
    as_tensor = _Kept(torch)

    def rule(eqn: Equation, *inputs: Any) -> tuple:
        params, inner = eqn.params, eqn.params["jaxpr"]
        consts, carried = params["num_consts"], params["num_consts"] + params["num_carry"]
        rules = {name: rule(torch) for name, rule in RULES.items()}
        carry, xs, ys = list(map(as_tensor, inputs[consts:carried])), list(map(as_tensor, inputs[carried:])), []
        order = range(params["length"])
        for index in reversed(order) if params["reverse"] else order:
            found = walk(inner, [*inputs[:consts], *carry, *(x[index] for x in xs)], rules, "torch")
            found = list(map(as_tensor, found))
            carry, row = found[: params["num_carry"]], found[params["num_carry"] :]
            ys.append(row)
        stacked = [torch.stack(rows) for rows in zip(*(reversed(ys) if params["reverse"] else ys), strict=True)]
        return (*carry, *stacked)

    return rule


RULES: dict[str, TorchRule] = {
    **{name: _same(name) for name in ("add", "sub", "mul", "neg", "abs", "sign", "exp", "log", "tanh", "sqrt", "sin")},
    **{name: _same(name) for name in ("cos", "floor", "erf", "pow", "log1p", "expm1", "rsqrt", "square")},
    **{name: _same(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **dict.fromkeys(("stop_gradient", "copy", "copy_p"), _of(lambda torch, eqn, x: x)),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), _of(lambda t, eqn, x: x.reshape(eqn.outvars[0].aval.shape))),
    "add_any": _same("add"),
    "div": _of(
        lambda torch, eqn, x, y: torch.div(
            x, y, rounding_mode=None if eqn.outvars[0].aval.dtype == np.float32 else "trunc"
        )
    ),
    "max": _same("maximum"),
    "min": _same("minimum"),
    "logistic": _same("sigmoid"),
    "rem": _same("fmod"),
    "integer_pow": _of(lambda torch, eqn, x: torch.pow(x, eqn.params["y"])),
    "shift_right_logical": _of(_shift_right),
    "and": _logical("logical_and", "bitwise_and"),
    "or": _logical("logical_or", "bitwise_or"),
    "xor": _logical("logical_xor", "bitwise_xor"),
    "not": _logical("logical_not", "bitwise_not"),
    "select_n": _of(_select),
    "convert_element_type": _of(_typed),
    "broadcast_in_dim": _of(_broadcast),
    "transpose": _of(lambda torch, eqn, x: x.permute(eqn.params["permutation"])),
    "concatenate": _of(lambda torch, eqn, *xs: torch.cat([x for x in xs if x.numel()], eqn.params["dimension"])),
    "stack": _of(lambda torch, eqn, *xs: torch.stack(xs, eqn.params["axis"])),
    "split": _of(_split),
    "slice": _of(_slice),
    "rev": _of(lambda torch, eqn, x: torch.flip(x, eqn.params["dimensions"])),
    "gather": _of(_gather),
    "scatter": _of(_scatter),
    "reduce_sum": _of(lambda torch, eqn, x: _typed(torch, eqn, torch.sum(x, eqn.params["axes"]))),
    "reduce_max": _of(lambda torch, eqn, x: torch.amax(x, eqn.params["axes"])),
    "reduce_min": _of(lambda torch, eqn, x: torch.amin(x, eqn.params["axes"])),
    "reduce_or": _of(lambda torch, eqn, x: torch.amax(x, eqn.params["axes"])),
    "reduce_and": _of(lambda torch, eqn, x: torch.amin(x, eqn.params["axes"])),
    "argmax": _of(lambda torch, eqn, x: _typed(torch, eqn, torch.argmax(x, eqn.params["axes"][0]))),
    "dot_general": _of(lambda torch, eqn, x, y: torch.einsum(einsum_of(eqn), x, y)),
    "scan": _scan,
}
