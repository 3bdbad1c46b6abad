"""JAX's operations in those of ONNX. Every loop is ONNX's `Scan`; nothing else has a body of its own."""

from collections.abc import Callable
from typing import Any

import numpy as np

from rl_meta.exporting.onnx_graph import Graph, onnx_type, value_info
from rl_meta.exporting.walking import Equation, Rule, UnknownError, check_sets_row, einsum_of, gathered_axis, walk

GraphRule = Callable[[Graph], Rule]
"""graph -> rule."""


def rules_of(graph: Graph) -> dict[str, Rule]:
    """How each operation is said in this graph."""
    return {name: rule(graph) for name, rule in RULES.items()}


def _ints(*values: Any) -> np.ndarray:
    return np.array(values, np.int64)


def _same(kind: str) -> GraphRule:
    """An operation that ONNX has as it is."""
    return lambda graph: lambda eqn, *xs: graph.op(kind, *xs)


def _logical(of_bools: str, of_integers: str) -> GraphRule:
    def rule(graph: Graph) -> Rule:
        return lambda eqn, *xs: graph.op(of_bools if eqn.outvars[0].aval.dtype == bool else of_integers, *xs)

    return rule


def _with_one(kind: str, other: str) -> GraphRule:
    """log1p and expm1: with an absolute error of float32's unit at 1."""

    def rule(graph: Graph) -> Rule:
        one = np.ones((), np.float32)
        if kind == "Log":
            return lambda eqn, x: graph.op("Log", graph.op(other, x, one))
        return lambda eqn, x: graph.op(other, graph.op("Exp", x), one)

    return rule


def _integer_pow(graph: Graph) -> Rule:
    return lambda eqn, x: graph.op("Pow", x, np.asarray(eqn.params["y"], eqn.outvars[0].aval.dtype))


def _convert(graph: Graph) -> Rule:
    return lambda eqn, x: graph.op("Cast", x, to=onnx_type(eqn.outvars[0].aval.dtype))


def _select(graph: Graph) -> Rule:
    def rule(eqn: Equation, which: Any, *cases: Any) -> str:
        if len(cases) != 2 or eqn.invars[0].aval.dtype != bool:
            raise UnknownError("it selects among more than two cases, which the export to ONNX does not know so far")
        return graph.op("Where", which, cases[1], cases[0])

    return rule


def _reshape(graph: Graph) -> Rule:
    return lambda eqn, x: graph.op("Reshape", x, _ints(*eqn.outvars[0].aval.shape))


def _broadcast(graph: Graph) -> Rule:
    def rule(eqn: Equation, x: Any) -> str:
        shape, where = eqn.params["shape"], eqn.params["broadcast_dimensions"]
        thin = [1] * len(shape)
        for axis, size in zip(where, eqn.invars[0].aval.shape, strict=True):
            thin[axis] = size
        return graph.op("Expand", graph.op("Reshape", x, _ints(*thin)), _ints(*shape))

    return rule


def _transpose(graph: Graph) -> Rule:
    return lambda eqn, x: graph.op("Transpose", x, perm=list(eqn.params["permutation"]))


def _concatenate(graph: Graph) -> Rule:
    def rule(eqn: Equation, *xs: Any) -> str:
        full = [x for x, var in zip(xs, eqn.invars, strict=True) if var.aval.size]
        return graph.op("Concat", *full, axis=eqn.params["dimension"])

    return rule


def _stack(graph: Graph) -> Rule:
    def rule(eqn: Equation, *xs: Any) -> str:
        axis = eqn.params["axis"]
        return graph.op("Concat", *(graph.op("Unsqueeze", x, _ints(axis)) for x in xs), axis=axis)

    return rule


def _split(graph: Graph) -> Rule:
    def rule(eqn: Equation, x: Any) -> tuple[Any, ...]:
        ends, axis = np.cumsum(eqn.params["sizes"]), _ints(eqn.params["axis"])
        pieces = zip(ends - eqn.params["sizes"], ends, eqn.outvars, strict=True)
        return tuple(
            graph.op("Slice", x, _ints(start), _ints(end), axis)
            if start < end
            else np.zeros(var.aval.shape, var.aval.dtype)
            for start, end, var in pieces
        )

    return rule


def _slice(graph: Graph) -> Rule:
    def rule(eqn: Equation, x: Any) -> str:
        starts, ends = eqn.params["start_indices"], eqn.params["limit_indices"]
        strides = eqn.params["strides"] or (1,) * len(starts)
        return graph.op("Slice", x, _ints(*starts), _ints(*ends), _ints(*range(len(starts))), _ints(*strides))

    return rule


def _reverse(graph: Graph) -> Rule:
    def rule(eqn: Equation, x: Any) -> str:
        for axis in eqn.params["dimensions"]:
            size = eqn.outvars[0].aval.shape[axis]
            x = graph.op("Gather", x, np.arange(size - 1, -1, -1), axis=axis)
        return x

    return rule


def _gather(graph: Graph) -> Rule:
    def rule(eqn: Equation, x: Any, index: Any) -> str:
        axis, each = gathered_axis(eqn, "ONNX")
        rows = graph.op("Reshape", index, _ints(*eqn.invars[1].aval.shape[:-1]))
        return graph.op("GatherElements" if each else "Gather", x, rows, axis=axis)

    return rule


def _scatter(graph: Graph) -> Rule:
    def rule(eqn: Equation, x: Any, index: Any, row: Any) -> str:
        check_sets_row(eqn, "ONNX")
        row = graph.op("Reshape", row, _ints(1, *eqn.invars[2].aval.shape))
        index = graph.op("Cast", graph.op("Reshape", index, _ints(1, 1)), to=onnx_type(np.int64))
        return graph.op("ScatterND", x, index, row)

    return rule


def _reduce(kind: str) -> GraphRule:
    def rule(graph: Graph) -> Rule:
        return lambda eqn, x: graph.op(kind, x, _ints(*eqn.params["axes"]), keepdims=0)

    return rule


def _reduce_flags(kind: str) -> GraphRule:
    """Any and all: of integers."""

    def rule(graph: Graph) -> Rule:
        def reduce(eqn: Equation, x: Any) -> str:
            numbers = graph.op("Cast", x, to=onnx_type(np.int32))
            return graph.op("Cast", graph.op(kind, numbers, _ints(*eqn.params["axes"]), keepdims=0), to=onnx_type(bool))

        return reduce

    return rule


def _argmax(graph: Graph) -> Rule:
    def rule(eqn: Equation, x: Any) -> str:
        (axis,) = eqn.params["axes"]
        return graph.op("Cast", graph.op("ArgMax", x, axis=axis, keepdims=0), to=onnx_type(eqn.outvars[0].aval.dtype))

    return rule


def _dot(graph: Graph) -> Rule:
    return lambda eqn, x, y: graph.op("Einsum", x, y, equation=einsum_of(eqn))


def _scan(graph: Graph) -> Rule:
    def rule(eqn: Equation, *inputs: Any) -> tuple[str, ...]:
        from onnx import helper  # noqa: PLC0415 (an extra)

        params, length = eqn.params, eqn.params["length"]
        consts, carried = params["num_consts"], params["num_consts"] + params["num_carry"]
        inner, body = params["jaxpr"], Graph(graph)
        own = inner.jaxpr.invars[consts:]
        rows = list(inputs[carried:]) or [np.zeros(length, np.float32)]  # a loop has something to go over
        names = [body.fresh() for _ in range(params["num_carry"] + len(rows))]
        given = [*inputs[:consts], *names][: len(inputs)]
        found = walk(inner, given, rules_of(body), "ONNX")
        infos = [value_info(name, var.aval.dtype, var.aval.shape) for name, var in zip(names, own, strict=False)]
        infos += [value_info(name, np.float32, ()) for name in names[len(infos) :]]
        ends = []
        for var, value in zip(inner.jaxpr.outvars, found, strict=True):
            ends.append(value_info(body.fresh(), var.aval.dtype, var.aval.shape))
            body.named(value, ends[-1].name)
        directions = [int(params["reverse"])]
        outputs = graph.op(
            "Scan",
            *inputs[consts:carried],
            *rows,
            outputs=len(ends),
            body=helper.make_graph(body.nodes, body.fresh(), infos, ends),
            num_scan_inputs=len(rows),
            scan_input_directions=directions * len(rows),
            **({"scan_output_directions": directions * left} if (left := len(ends) - params["num_carry"]) else {}),
        )
        return tuple(outputs) if len(ends) > 1 else (outputs,)

    return rule


RULES: dict[str, GraphRule] = {
    **{name: _same(name.capitalize()) for name in ("add", "sub", "mul", "div", "max", "min", "neg", "abs", "sign")},
    **{name: _same(name.capitalize()) for name in ("exp", "log", "tanh", "sqrt", "sin", "cos", "floor", "erf", "pow")},
    **dict.fromkeys(("stop_gradient", "copy", "copy_p"), _same("Identity")),
    "add_any": _same("Add"),
    "logistic": _same("Sigmoid"),
    "rsqrt": lambda graph: lambda eqn, x: graph.op("Reciprocal", graph.op("Sqrt", x)),
    "log1p": _with_one("Log", "Add"),
    "expm1": _with_one("Exp", "Sub"),
    "square": lambda graph: lambda eqn, x: graph.op("Mul", x, x),
    "integer_pow": _integer_pow,
    "rem": lambda graph: lambda eqn, x, y: graph.op("Mod", x, y, fmod=1),
    "shift_right_logical": lambda graph: lambda eqn, x, y: graph.op("BitShift", x, y, direction="RIGHT"),
    "and": _logical("And", "BitwiseAnd"),
    "or": _logical("Or", "BitwiseOr"),
    "xor": _logical("Xor", "BitwiseXor"),
    "not": _logical("Not", "BitwiseNot"),
    "eq": _same("Equal"),
    "ne": lambda graph: lambda eqn, x, y: graph.op("Not", graph.op("Equal", x, y)),
    "lt": _same("Less"),
    "le": _same("LessOrEqual"),
    "gt": _same("Greater"),
    "ge": _same("GreaterOrEqual"),
    "select_n": _select,
    "convert_element_type": _convert,
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), _reshape),
    "broadcast_in_dim": _broadcast,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "stack": _stack,
    "split": _split,
    "slice": _slice,
    "rev": _reverse,
    "gather": _gather,
    "scatter": _scatter,
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_max": _reduce("ReduceMax"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_or": _reduce_flags("ReduceMax"),
    "reduce_and": _reduce_flags("ReduceMin"),
    "argmax": _argmax,
    "dot_general": _dot,
    "scan": _scan,
}
