"""Graphs exported for one size of picture, made to follow the size they are given.

Exporters write down what they have seen: where a net says "twice as large" or "as large as that",
the file says 256 and 512. Here such numbers become again what they must have meant. At the size
that the file declares nothing changes; whether other sizes work is found by running them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

_SEARCH = 400
"""How many tensors to go back for one that a shape can be told from."""

Shape = tuple[int, ...]


def unfix(model: onnx.ModelProto) -> int:
    """Rewrite ``model``, whose input has fixed lengths, in place; returns how many operators.

    A graph whose shapes cannot be inferred, or that contradicts them, stays as it is.
    """
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        changed = _Unfixer(rewritten, inferred).run()
    except Exception:  # numbers of no sense, in a file that nobody here made; running it will tell
        return 0
    model.CopyFrom(rewritten)
    return changed


class _Unfixer:
    def __init__(self, model: onnx.ModelProto, inferred: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._numbers = {t.name: t for t in model.graph.initializer}
        self._shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in model.graph.initializer}
        for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
            dims = value.type.tensor_type.shape.dim
            if value.type.tensor_type.HasField("shape") and all(d.dim_value > 0 for d in dims):
                self._shapes[value.name] = tuple(d.dim_value for d in dims)
        self._makers: dict[str, onnx.NodeProto] = {}
        for node in model.graph.node:
            self._makers.update(dict.fromkeys(node.output, node))
            if node.op_type == "Constant" and (tensor := _attribute(node, "value", None)):
                self._numbers[node.output[0]] = tensor
        self._nodes: list[onnx.NodeProto] = []
        self._fresh = 0

    def run(self) -> int:
        rules = {
            "Resize": self._resize,
            "Reshape": self._reshape,
            "ConvTranspose": self._conv_transpose,
            "AveragePool": self._average_pool,
            "Slice": self._slice,
        }
        changed = 0
        for node in self._graph.node:
            if (rule := rules.get(node.op_type)) is not None:
                changed += bool(rule(node))
            self._nodes.append(node)
        nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in self._nodes]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        # Runtimes complain of weights that nothing takes.
        used = {name for node in nodes for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)
        return changed

    def _resize(self, node: onnx.NodeProto) -> bool:
        """Sizes written down become scales, where those are whole or one over whole numbers."""
        sizes = self._value(node, 3)
        shape = self._shapes.get(node.input[0])
        policy = _attribute(node, "keep_aspect_ratio_policy", b"stretch")
        if sizes is None or shape is None or policy != b"stretch":
            return False
        axes = _attribute(node, "axes", list(range(len(shape))))
        before = [shape[axis] for axis in axes]
        if not all(
            to % length == 0 or length % to == 0 for to, length in zip(sizes, before, strict=True)
        ):
            return False
        scales = np.array(
            [to / length for to, length in zip(sizes, before, strict=True)], np.float32
        )
        del node.input[3:]
        node.input[2] = self._constant(scales)
        return True

    def _reshape(self, node: onnx.NodeProto) -> bool:
        """A shape written down becomes one that follows batch, height and width."""
        target = self._value(node, 1)
        before, after = self._shapes.get(node.input[0]), self._shapes.get(node.output[0])
        if target is None or before is None or after is None or len(target) != len(after):
            return False
        if _attribute(node, "allowzero", 0) or before[0] != after[0]:
            return False
        if len(after) == 4 and after[2] * after[3] > 1:
            return self._like_another(node, after)
        following = list(target)
        following[0] = 0
        if len(after) == 3 and -1 not in following:
            following[2] = -1
        if following == list(target):
            return False
        node.input[1] = self._constant(np.array(following, np.int64))
        return True

    def _like_another(self, node: onnx.NodeProto, after: Shape) -> bool:
        """Height and width of ``after`` as those of a tensor before it, or as a multiple."""
        like = self._before(node.input[0], after)
        if like is None:
            return False
        name, times = like
        whole, sides, head, last = (self._name() for _ in range(4))
        self._nodes.append(helper.make_node("Shape", [name], [whole]))
        ends = [self._constant(np.array([n], np.int64)) for n in (2, 4)]
        self._nodes.append(helper.make_node("Slice", [whole, *ends], [sides]))
        if times != (1, 1):
            by = self._constant(np.array(times, np.int64))
            self._nodes.append(helper.make_node("Mul", [sides, by], [head]))
            sides = head
        front = self._constant(np.array([0, after[1]], np.int64))
        self._nodes.append(helper.make_node("Concat", [front, sides], [last], axis=0))
        node.input[1] = last
        return True

    def _before(self, name: str, after: Shape) -> tuple[str, tuple[int, int]] | None:
        """The nearest tensor of four lengths that ``after`` is a whole multiple of."""
        waiting, seen = [name], {name}
        while waiting and len(seen) < _SEARCH:
            at = waiting.pop(0)
            shape = self._shapes.get(at)
            if shape is not None and len(shape) == 4 and at not in self._numbers:
                high, over_high = divmod(after[2], shape[2])
                wide, over_wide = divmod(after[3], shape[3])
                if shape[2] * shape[3] > 1 and high >= 1 and not (over_high or over_wide):
                    return (at, (high, wide)) if high == wide else None
            maker = self._makers.get(at)
            more = [n for n in (maker.input if maker else ()) if n and n not in seen]
            seen.update(more)
            waiting += more
        return None

    def _conv_transpose(self, node: onnx.NodeProto) -> bool:
        """The size of the output becomes what it cuts off, by the formula of the operator."""
        asked = _attribute(node, "output_shape", None)
        shape, weights = (self._shapes.get(name) for name in node.input[:2])
        if asked is None or shape is None or weights is None or len(shape) != 4:
            return False
        strides = _attribute(node, "strides", [1, 1])
        dilations = _attribute(node, "dilations", [1, 1])
        extra = _attribute(node, "output_padding", [0, 0])
        kernel = _attribute(node, "kernel_shape", list(weights[2:]))
        sides = zip(strides, shape[2:], extra, kernel, dilations, asked[-2:], strict=True)
        total = [s * (n - 1) + e + (k - 1) * d + 1 - to for s, n, e, k, d, to in sides]
        if any(cut < 0 for cut in total):
            return False
        less, more = [cut // 2 for cut in total], [cut - cut // 2 for cut in total]
        upper = _attribute(node, "auto_pad", b"NOTSET") == b"SAME_UPPER"
        kept = [a for a in node.attribute if a.name not in ("output_shape", "auto_pad", "pads")]
        pads = [*less, *more] if upper else [*more, *less]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("pads", pads)])
        return True

    def _average_pool(self, node: onnx.NodeProto) -> bool:
        """The mean over the whole picture stays that."""
        shape = self._shapes.get(node.input[0])
        kernel = _attribute(node, "kernel_shape", None)
        if shape is None or list(shape[2:]) != kernel or any(_attribute(node, "pads", [0])):
            return False
        node.op_type = "GlobalAveragePool"
        del node.attribute[:]
        return True

    def _slice(self, node: onnx.NodeProto) -> bool:
        """What ends where the picture ends goes on doing so."""
        starts, ends, axes = (self._value(node, k) for k in (1, 2, 3))
        shape = self._shapes.get(node.input[0])
        if starts is None or ends is None or shape is None:
            return False
        axes = list(range(len(starts))) if axes is None else axes
        # Both ends of a slice are of one type, of the two there are.
        kind = numpy_helper.to_array(self._numbers[node.input[2]]).dtype
        last = int(np.iinfo(kind).max)
        far = [last if end == shape[axis] else end for end, axis in zip(ends, axes, strict=True)]
        if far == list(ends):
            return False
        node.input[2] = self._constant(np.array(far, kind))
        return True

    def _value(self, node: onnx.NodeProto, place: int) -> list[int] | None:
        """The whole numbers of an input that is a constant."""
        tensor = self._numbers.get(node.input[place]) if len(node.input) > place else None
        if tensor is None or tensor.data_type not in (6, 7) or len(tensor.dims) != 1:  # INT32, 64
            return None
        return [int(n) for n in numpy_helper.to_array(tensor)]

    def _constant(self, values: npt.NDArray[Any]) -> str:
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def _name(self) -> str:
        self._fresh += 1
        return f"freed/{self._fresh}"


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:  # noqa: ANN401 - of any kind
    found = next((a for a in node.attribute if a.name == name), None)
    return default if found is None else helper.get_attribute_value(found)
