"""An agent as a SavedModel of TensorFlow: what XLA compiles here, it compiles there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_meta.errors import UserError
from rl_meta.exporting.programs import Program

MISSING = "TensorFlow export needs the package tensorflow ({error}): pip install 'rl-meta[tensorflow]'"


def write_tensorflow(programs: Sequence[Program], directory: Path) -> None:
    """saved_model/, with a signature for each of the programs.

    Raises:
        UserError: tensorflow is missing.
    """
    try:
        import tensorflow  # noqa: PLC0415 (an extra)
        from jax.experimental import jax2tf  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise UserError(MISSING.format(error=error)) from error
    module, signatures = tensorflow.Module(), {}
    for program in programs:
        converted = jax2tf.convert(
            program.function, with_gradient=False, native_serialization_platforms=("cpu", "cuda")
        )
        setattr(module, program.name, _by_name(tensorflow, program, converted))
        signatures[program.name] = getattr(module, program.name)
    tensorflow.saved_model.save(module, str(directory / "saved_model"), signatures=signatures)


def _by_name(tensorflow: Any, program: Program, converted: Any) -> Any:
    """The program as a function of TensorFlow, (inputs by name) -> outputs by name."""

    def call(**inputs: Any) -> dict[str, Any]:
        found = converted(*(inputs[tensor.name] for tensor in program.inputs))
        return {tensor.name: value for tensor, value in zip(program.outputs, found, strict=True)}

    specs = {t.name: tensorflow.TensorSpec(t.shape, t.dtype, name=t.name) for t in program.inputs}
    function = tensorflow.function(call, autograph=False)
    return function.get_concrete_function(**specs)
