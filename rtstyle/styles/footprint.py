"""How much a graph holds in memory while it runs, told from the graph alone.

A runtime keeps an intermediate result until the last operator that reads it has run, and lets
operators on single numbers write over what they read. So the most numbers that are held at once
follow from the shapes; runtimes' own plans come within some percent of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rtstyle.styles.spec import SizeRule
from rtstyle.types import Size

if TYPE_CHECKING:
    import onnx

KEY = "numbers_a_pixel"
"""Of ``StyleSpec.measured``: how many numbers a pixel of the picture are held at once."""

_SIZE = Size(256, 256)
_ROUNDS = 12
_FEW = 64
"""Numbers that a shape is computed with."""
_BYTE_KINDS = (2, 3, 9)
_IN_PLACE_OPERATORS = """
Abs Add Cast Ceil Clip Div Elu Erf Exp Flatten Floor Gelu HardSigmoid HardSwish Identity LeakyRelu
Max Min Mul Neg PRelu Pow Relu Reshape Round Sigmoid Sqrt Squeeze Sub Sum Tanh Unsqueeze
"""
_IN_PLACE = frozenset(_IN_PLACE_OPERATORS.split())

Known = dict[str, npt.NDArray[np.int64]]
Shapes = Mapping[str, tuple[int, ...]]


def numbers_a_pixel(model: onnx.ModelProto, rule: SizeRule) -> float | None:
    """The most numbers that are held at once for one picture, for each of its pixels.

    ``model`` keeps the contract. A byte counts as a fourth of a number; weights do not count. None
    where shapes depend on what is in the picture, or do not fit.
    """
    size = rule.fit(_SIZE)
    found = most_numbers(model, size)
    return None if found is None else round(found / (size.width * size.height), 2)


def most_numbers(model: onnx.ModelProto, size: Size) -> float | None:
    """As ``numbers_a_pixel``, for one whole picture of ``size``."""
    try:
        shapes, kinds = _shapes(model, size)
    except Exception:  # a checker's own kinds; whether the graph can be run is not judged here
        return None
    if any(output not in shapes for node in model.graph.node for output in node.output if output):
        return None
    return _most_held(model.graph, shapes, kinds)


def _most_held(graph: onnx.GraphProto, shapes: Shapes, kinds: Mapping[str, int]) -> float:
    last: dict[str, int] = {}
    for number, node in enumerate(graph.node):
        last.update(dict.fromkeys(node.input, number))
    for value in graph.output:
        last[value.name] = len(graph.node)
    constants = {tensor.name for tensor in graph.initializer}
    held = {v.name: _weight(v.name, shapes, kinds) for v in graph.input if v.name not in constants}
    most = 0.0
    for number, node in enumerate(graph.node):
        read = [name for name in set(node.input) if name in held]
        done = [name for name in read if last[name] == number]
        made = {name: _weight(name, shapes, kinds) for name in node.output if name}
        needed = sum(made.values())
        if node.op_type in _IN_PLACE and any(held[name] >= needed for name in done):
            needed = 0.0
        most = max(most, sum(held.values()) + needed)
        for name in done:
            del held[name]
        held.update({name: size for name, size in made.items() if last.get(name, -1) > number})
    return most


def _weight(name: str, shapes: Shapes, kinds: Mapping[str, int]) -> float:
    return prod(shapes[name]) * (0.25 if kinds.get(name) in _BYTE_KINDS else 1.0)


def _shapes(model: onnx.ModelProto, size: Size) -> tuple[Shapes, Mapping[str, int]]:
    """The shapes and kinds of all tensors for a picture of ``size``, as far as they can be told.

    Inference follows what is computed from shapes only part of the way; that is computed here, and
    written down for the next round.
    """
    import onnx
    import onnx.shape_inference

    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    lengths = (1, size.height, size.width, 3)
    for value in probe.graph.input:
        if value.name not in constants:
            for dim, length in zip(value.type.tensor_type.shape.dim, lengths, strict=True):
                dim.dim_value = length
    for value in probe.graph.output:
        for dim in value.type.tensor_type.shape.dim[:3]:
            dim.Clear()
    del probe.graph.value_info[:]
    known = _written_down(probe.graph)
    for _ in range(_ROUNDS):
        inferred = onnx.shape_inference.infer_shapes(probe, data_prop=True)
        shapes, kinds = _told(inferred.graph)
        if not _compute(probe.graph, shapes, known):
            break
    return shapes, kinds


def _told(graph: onnx.GraphProto) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    shapes: dict[str, tuple[int, ...]] = {t.name: tuple(t.dims) for t in graph.initializer}
    kinds: dict[str, int] = {t.name: t.data_type for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        kinds[value.name] = tensor.elem_type
        dims = tensor.shape.dim
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes, kinds


def _written_down(graph: onnx.GraphProto) -> Known:
    """The few whole numbers that stand in the file."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                tensors[node.output[0]] = attribute.t
    return {
        name: numpy_helper.to_array(tensor).astype(np.int64)
        for name, tensor in tensors.items()
        if tensor.data_type in (6, 7) and prod(tensor.dims) <= _FEW
    }


def _compute(graph: onnx.GraphProto, shapes: Shapes, known: Known) -> bool:
    """Compute what follows from ``shapes``, put it in ``known`` and the graph; whether that is new.

    What was computed replaces its operator by the numbers, which inference then knows.
    """
    from onnx import numpy_helper

    fresh = False
    kept = []
    for node in graph.node:
        value = None if node.op_type == "Constant" else _value(node, shapes, known)
        if value is None or value.size > _FEW:
            kept.append(node)
            continue
        known[node.output[0]] = value
        graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
        fresh = True
    if fresh:
        nodes = [type(node).FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(nodes)
    return fresh


_Given = list[npt.NDArray[np.int64]]
_RULES: dict[str, Callable[[_Given, dict[str, Any]], npt.NDArray[np.int64]]] = {
    "Add": lambda given, said: given[0] + given[1],
    "Sub": lambda given, said: given[0] - given[1],
    "Mul": lambda given, said: given[0] * given[1],
    "Div": lambda given, said: given[0] // given[1],
    "Identity": lambda given, said: given[0],
    "Concat": lambda given, said: np.concatenate(given, axis=said["axis"]),
    "Gather": lambda given, said: np.take(given[0], given[1], axis=said.get("axis", 0)),
    "Unsqueeze": lambda given, said: np.expand_dims(given[0], tuple(map(int, given[1]))),
    "Squeeze": lambda given, said: (
        np.squeeze(given[0], tuple(map(int, given[1]))) if len(given) > 1 else np.squeeze(given[0])
    ),
    "Reshape": lambda given, said: given[0].reshape(tuple(map(int, given[1]))),
    "Slice": lambda given, said: _slice(given),
    "Cast": lambda given, said: given[0],
}


def _value(node: onnx.NodeProto, shapes: Shapes, known: Known) -> npt.NDArray[np.int64] | None:
    """What an operator gives, where that is a few whole numbers that follow from the shapes."""
    from onnx import helper

    said = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Shape":
        shape = shapes.get(node.input[0])
        if shape is None:
            return None
        return np.array(shape[said.get("start", 0) : said.get("end")], np.int64)
    rule = _RULES.get(node.op_type)
    if rule is None or not all(name in known for name in node.input):
        return None
    if node.op_type == "Cast" and said["to"] not in (6, 7):
        return None
    try:
        return np.asarray(rule([known[name] for name in node.input], said), np.int64)
    except (ValueError, IndexError, KeyError, ZeroDivisionError):
        return None


def _slice(given: _Given) -> npt.NDArray[np.int64]:
    data, starts, ends = given[:3]
    axes = given[3] if len(given) > 3 else np.arange(len(starts))
    steps = given[4] if len(given) > 4 else np.ones(len(starts), np.int64)
    cut = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[int(axis)] = slice(int(start), int(end), int(step))
    return data[tuple(cut)]
