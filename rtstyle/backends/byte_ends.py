"""Bytes only at the ends of a graph: what TensorRT asks of a network that takes and gives uint8.

TensorRT computes nothing in uint8. An input of that type must be cast to floats at once and an
output be cast from floats at last, while our graphs may transpose bytes before and after.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from rtstyle.errors import ModelError

if TYPE_CHECKING:
    import onnx

_MOVING = """
Cast Clip Concat Constant ConstantOfShape DepthToSpace Expand Flatten Gather Identity Max MaxPool
Min Pad Reshape Resize Shape Slice SpaceToDepth Split Squeeze Transpose Unsqueeze Where
"""
MOVING = frozenset(_MOVING.split())
"""Operators that carry numbers about: bytes held as floats come out of them the same."""


def byte_ends(data: bytes, *, name: str) -> bytes:
    """The graph with every byte between its ends held as a float32, and the same results.

    ``data`` must have been admitted (rtstyle.styles.admission); ``name`` is what messages call it.
    Raises ModelError where the graph computes in bytes, not only carries them.
    """
    import onnx

    model = onnx.load_from_string(data)
    graph = model.graph
    result = graph.output[0].name
    held = {tensor.name for tensor in graph.initializer}
    source = next(value.name for value in graph.input if value.name not in held)
    bytes_inside = _byte_names(model, source)
    taken = _names(graph)
    floats, final = fresh(f"{source}_floats", taken), fresh(f"{result}_floats", taken)
    nodes = [_cast(source, floats, onnx.TensorProto.FLOAT)]
    for node in graph.node:
        touches = any(tensor in bytes_inside for tensor in (*node.input, *node.output))
        if touches and not _keeps_bytes(node):
            raise ModelError(
                f"{name} computes in bytes ({node.op_type}), which TensorRT cannot; "
                "take another --backend or export it again"
            )
        _rename(node, source, floats)
        for k, output in enumerate(node.output):
            if output == result:
                node.output[k] = final
        _rename(node, result, final)
        nodes += _without_bytes(node, taken, keep=final if _is_byte_cast(node) else None)
    nodes.append(_cast(final, result, onnx.TensorProto.UINT8))
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.UINT8:
            tensor.CopyFrom(_as_floats(tensor))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def fresh(wish: str, taken: set[str]) -> str:
    """A tensor's name that is not ``taken``, and from now on is."""
    name, number = wish, 0
    while name in taken:
        number += 1
        name = f"{wish}_{number}"
    taken.add(name)
    return name


def _names(graph: onnx.GraphProto) -> set[str]:
    return {
        *(value.name for value in (*graph.input, *graph.output)),
        *(tensor.name for tensor in graph.initializer),
        *(name for node in graph.node for name in (*node.input, *node.output)),
    }


def _byte_names(model: onnx.ModelProto, source: str) -> Collection[str]:
    """Names of the tensors of bytes, in order of computation; an operator carries its type on."""
    import onnx

    found = {source}
    byte = onnx.TensorProto.UINT8
    found |= {tensor.name for tensor in model.graph.initializer if tensor.data_type == byte}
    for node in model.graph.node:
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "Cast":
            carries = attributes["to"].i == byte
        elif node.op_type in ("Constant", "ConstantOfShape"):
            carries = "value" in attributes and attributes["value"].t.data_type == byte
        else:
            carries = node.op_type != "Shape" and any(name in found for name in node.input)
        if carries:
            found |= set(node.output)
    return found


def _keeps_bytes(node: onnx.NodeProto) -> bool:
    modes = [a.s for a in node.attribute if a.name == "mode"]
    blends = node.op_type == "Resize" and modes not in ([], [b"nearest"])
    return node.op_type in MOVING and not blends


def _rename(node: onnx.NodeProto, old: str, new: str) -> None:
    for k, name in enumerate(node.input):
        if name == old:
            node.input[k] = new


def _is_byte_cast(node: onnx.NodeProto) -> bool:
    import onnx

    return node.op_type == "Cast" and any(
        a.name == "to" and a.i == onnx.TensorProto.UINT8 for a in node.attribute
    )


def _without_bytes(
    node: onnx.NodeProto, taken: set[str], *, keep: str | None
) -> list[onnx.NodeProto]:
    """The node, or what stands for it, with floats where it had bytes."""
    import onnx

    if _is_byte_cast(node):
        # A cast to bytes cuts the fraction off; floats must lose it too. The last cast of all does
        # that itself.
        if node.output[0] == keep:
            return [_cast(node.input[0], node.output[0], onnx.TensorProto.FLOAT)]
        whole = fresh(f"{node.output[0]}_whole", taken)
        return [
            _cast(node.input[0], whole, onnx.TensorProto.INT32),
            _cast(whole, node.output[0], onnx.TensorProto.FLOAT),
        ]
    for attribute in node.attribute:
        if attribute.name == "value" and attribute.t.data_type == onnx.TensorProto.UINT8:
            attribute.t.CopyFrom(_as_floats(attribute.t))
    return [node]


def _cast(source: str, result: str, to: int) -> onnx.NodeProto:
    import onnx

    return onnx.helper.make_node("Cast", [source], [result], name=f"cast_{result}", to=to)


def _as_floats(tensor: onnx.TensorProto) -> onnx.TensorProto:
    import onnx

    values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
    return onnx.numpy_helper.from_array(values, tensor.name)
