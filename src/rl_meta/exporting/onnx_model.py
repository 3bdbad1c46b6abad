"""Programs as models of ONNX, for any runtime that reads opset 18. Shapes are static."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_meta.errors import UserError
from rl_meta.exporting.onnx_graph import Graph, value_info
from rl_meta.exporting.onnx_rules import rules_of
from rl_meta.exporting.programs import Program
from rl_meta.exporting.walking import walk
from rl_meta.training.checkpoints import write_whole

OPSET = 18
IR_VERSION = 8
MISSING = "ONNX export needs the packages onnx and onnxruntime ({error}): pip install 'rl-meta[onnx]'"


def onnx_model(program: Program) -> Any:
    """The program as an `onnx.ModelProto`, with the names of its inputs and outputs.

    Raises:
        UserError: it computes something that there is no rule for, or onnx is missing.
    """
    try:
        from onnx import checker, helper  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise UserError(MISSING.format(error=error)) from error
    graph, traced = Graph(), program.traced
    found = walk(traced, [tensor.name for tensor in program.inputs], rules_of(graph), "ONNX")
    for tensor, value in zip(program.outputs, found, strict=True):
        graph.named(value, tensor.name)
    inputs, outputs = (
        [value_info(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors]
        for tensors in (program.inputs, program.outputs)
    )
    made = helper.make_graph(graph.nodes, program.name, inputs, outputs, initializer=graph.initializers)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opset, producer_name="rl-meta", ir_version=IR_VERSION)
    checker.check_model(model)
    return model


def write_onnx(programs: Sequence[Program], directory: Path) -> None:
    """begin.onnx, act.onnx, learn.onnx."""
    for program in programs:
        write_whole(directory / f"{program.name}.onnx", onnx_model(program).SerializeToString())
