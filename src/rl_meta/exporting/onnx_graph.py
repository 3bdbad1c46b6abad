"""A graph of ONNX in the making."""

from typing import Any

import numpy as np


class Graph:
    """A graph in the making. Values are names; constants are shared by all bodies of loops."""

    def __init__(self, outer: "Graph | None" = None) -> None:
        """outer: the graph around a loop's body."""
        self.nodes: list[Any] = []
        self.root: Graph = outer.root if outer else self
        self._constants: dict[tuple, str] = {}
        self._count = 0
        self.initializers: list[Any] = []

    def fresh(self) -> str:
        """A name that no other value has."""
        self.root._count += 1
        return f"v{self.root._count}"

    def op(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operation; its output's name, or a list of names where there are several."""
        from onnx import helper  # noqa: PLC0415 (an extra)

        names = [self.fresh() for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, [self.name(x) for x in inputs], names, **attributes))
        return names if outputs > 1 else names[0]

    def name(self, value: Any) -> str:
        """The name of a value; a known one becomes a constant."""
        from onnx import numpy_helper  # noqa: PLC0415 (an extra)

        if isinstance(value, str):
            return value
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        key = (str(array.dtype), array.shape, array.tobytes())
        root = self.root
        if key not in root._constants:
            root._constants[key] = f"c{len(root._constants)}"
            root.initializers.append(numpy_helper.from_array(array, root._constants[key]))
        return root._constants[key]

    def named(self, value: Any, name: str) -> None:
        """Give a value this very name."""
        from onnx import helper  # noqa: PLC0415 (an extra)

        self.nodes.append(helper.make_node("Identity", [self.name(value)], [name]))


def onnx_type(dtype: Any) -> int:
    """ONNX's number for a type of NumPy's."""
    from onnx import helper  # noqa: PLC0415 (an extra)

    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def value_info(name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
    """A value's name, type and shape."""
    from onnx import helper  # noqa: PLC0415 (an extra)

    return helper.make_tensor_value_info(name, onnx_type(dtype), shape)
