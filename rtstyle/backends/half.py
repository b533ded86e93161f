"""A float32 graph rewritten to float16 where that is safe.

Convolutions and what stands between them work in half. Statistics (norms, means, powers) do not:
sums over a picture overflow or lose their digits there. Nor do the ends of the graph, before the
first and after the last convolution, where bytes become numbers and numbers bytes.

The converters there are (of ONNX Runtime and of onnxconverter-common) take the ends along unless
every node of them is named, and the first comes with a runtime that has no place beside TensorRT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rtstyle.backends.byte_ends import fresh
from rtstyle.errors import ModelError
from rtstyle.styles.admission import brief

if TYPE_CHECKING:
    import onnx

HEAVY = frozenset(("Conv", "ConvTranspose", "MatMul", "Gemm"))
"""Always in half: they take the time."""
_NORMS = """
BatchNormalization GroupNormalization InstanceNormalization LayerNormalization
MeanVarianceNormalization
"""
NORMS = frozenset(_NORMS.split())
"""Computed in float32, handed on in half: the normal range of their results is small."""
_WIDE = """
ConstantOfShape Erf Exp GlobalAveragePool Pow ReduceMean ReduceSum Softmax Sqrt
"""
WIDE = frozenset(_WIDE.split())
"""Computed in float32 and handed on so; what follows stays in float32 until a HEAVY one."""
_UNTYPED_INPUTS = {"Resize": (1, 2)}
"""Inputs that are float32 whatever the operator computes in: region and scales."""
_LARGEST = 65504.0


def to_half(data: bytes, *, name: str) -> bytes:
    """The graph with weights and activations in float16 between its first and last convolution.

    ``data`` is an admitted graph; ``name`` is what messages call it. Raises ModelError where the
    types within the graph cannot be told.
    """
    import onnx

    model = onnx.load_from_string(data)
    try:
        _constants_to_weights(model.graph)
        typed = onnx.shape_inference.infer_shapes(model, check_type=True, data_prop=True)
        rewritten = _Rewriter(typed).run()
        onnx.checker.check_model(rewritten, full_check=True)
    except Exception as error:
        raise ModelError(
            f"{name} cannot be rewritten to fp16: {brief(str(error))}; take --precision fp32"
        ) from error
    return rewritten


def _constants_to_weights(graph: onnx.GraphProto) -> None:
    """Some exporters write every number as a node; as a weight it can change its type."""
    kept = []
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            tensor = graph.initializer.add()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


class _Rewriter:
    """Walks the nodes in order and keeps, of each float tensor, the types it is there in."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnx

        self._onnx = onnx
        self._model = model
        graph = model.graph
        self._weights = {
            tensor.name: tensor
            for tensor in graph.initializer
            if tensor.data_type == onnx.TensorProto.FLOAT
        }
        self._floats = set(self._weights) | {
            value.name
            for value in (*graph.input, *graph.value_info, *graph.output)
            if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        }
        self._taken = {
            *(value.name for value in (*graph.input, *graph.output)),
            *(tensor.name for tensor in graph.initializer),
            *(n for node in graph.node for n in (*node.input, *node.output)),
        }
        self._half: dict[str, str] = {}
        """float tensor -> its name in half; of a tensor that is there in half alone, itself."""
        self._whole: dict[str, str] = {}
        """tensor that is there in half -> its name in float32."""
        self._nodes: list[onnx.NodeProto] = []
        self._middle = self._between_convolutions()

    def run(self) -> bytes:
        for index, node in enumerate(list(self._model.graph.node)):
            if index in self._middle:
                self._inside(node)
            else:
                self._at_an_end(node)
        graph = self._model.graph
        del graph.node[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        used = {name for node in graph.node for name in node.input}
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        return bytes(self._model.SerializeToString())

    def _between_convolutions(self) -> set[int]:
        """Places of the nodes that come after the first and before the last HEAVY ones, and these.

        After and before along the edges of the graph, not in the order of the list.
        """
        nodes = list(self._model.graph.node)
        after, before = set[str](), set[str]()
        later, earlier = set[int](), set[int]()
        for k, node in enumerate(nodes):
            if node.op_type in HEAVY or any(name in after for name in node.input):
                later.add(k)
                after |= set(node.output)
        for k, node in reversed(list(enumerate(nodes))):
            if node.op_type in HEAVY or any(name in before for name in node.output):
                earlier.add(k)
                before |= {name for name in node.input if name}
        return later & earlier

    def _inside(self, node: onnx.NodeProto) -> None:
        kind = node.op_type
        if kind in ("Cast", "Constant"):
            self._at_an_end(node)
        elif kind in NORMS and not self._too_large(node):
            self._at_an_end(node)
            # The name goes to the result in half: it is what the next ones take.
            name = node.output[0]
            node.output[0] = self._whole[name] = fresh(f"{name}_whole", self._taken)
            self._nodes.append(self._cast(node.output[0], name, half=True))
            self._half[name] = name
        elif kind in WIDE or not self._wants_half(node) or self._too_large(node):
            self._at_an_end(node)
        else:
            for k in self._places(node):
                node.input[k] = self._in_half(node.input[k])
            self._nodes.append(node)
            self._half |= {name: name for name in node.output if name in self._floats}

    def _at_an_end(self, node: onnx.NodeProto) -> None:
        """Keep the node in float32."""
        for k, name in enumerate(node.input):
            if name in self._half and self._half[name] == name:
                node.input[k] = self._in_whole(name)
        self._nodes.append(node)

    def _places(self, node: onnx.NodeProto) -> list[int]:
        """Which inputs follow the type that the node computes in."""
        skipped = _UNTYPED_INPUTS.get(node.op_type, ())
        return [k for k, n in enumerate(node.input) if n in self._floats and k not in skipped]

    def _wants_half(self, node: onnx.NodeProto) -> bool:
        if node.op_type in HEAVY:
            return True
        names = [node.input[k] for k in self._places(node)]
        moving = [name for name in names if name not in self._weights]
        return bool(moving) and all(self._half.get(name) == name for name in moving)

    def _too_large(self, node: onnx.NodeProto) -> bool:
        """Whether a weight of the node would be infinite in half."""
        held = [self._weights[name] for name in node.input if name in self._weights]
        return any(
            np.abs(self._onnx.numpy_helper.to_array(tensor)).max(initial=0) > _LARGEST
            for tensor in held
        )

    def _in_half(self, name: str) -> str:
        if name not in self._half:
            half = self._half[name] = fresh(f"{name}_half", self._taken)
            if name in self._weights:
                values = self._onnx.numpy_helper.to_array(self._weights[name]).astype(np.float16)
                self._model.graph.initializer.append(
                    self._onnx.numpy_helper.from_array(values, half)
                )
            else:
                self._nodes.append(self._cast(name, half, half=True))
        return self._half[name]

    def _in_whole(self, name: str) -> str:
        if name not in self._whole:
            whole = self._whole[name] = fresh(f"{name}_whole", self._taken)
            self._nodes.append(self._cast(name, whole, half=False))
        return self._whole[name]

    def _cast(self, source: str, result: str, *, half: bool) -> onnx.NodeProto:
        kinds = self._onnx.TensorProto
        to = kinds.FLOAT16 if half else kinds.FLOAT
        return self._onnx.helper.make_node("Cast", [source], [result], name=f"cast_{result}", to=to)
