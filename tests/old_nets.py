"""One style net as exporters of each time wrote it: operators and their forms by opset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]


class _Net:
    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def const(self, name: str, values: Array) -> str:
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:  # noqa: ANN401
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def ints(self, name: str, *values: int) -> str:
        return self.const(name, np.array(values, np.int64))


def era_net(
    opset: int,
    ir: int,
    *,
    layout: str = "nchw",
    shape: Sequence[int | str] | None = None,
    mode: str = "nearest",
) -> onnx.ModelProto:
    """Reflect padding, a strided convolution, a norm, Dropout, a mean of the picture, upsampling,
    a Slice and a Clip, from ``in`` to ``out`` in [0, 1]; valid for onnx.checker."""
    net = _Net(opset)
    chance = np.random.default_rng(0)
    into = chance.normal(0, 0.05, (8, 3, 3, 3)).astype(np.float32)
    back = chance.normal(0, 0.02, (3, 8, 3, 3)).astype(np.float32)
    for plane in range(3):
        into[plane, plane, 1, 1] += 0.8
        back[plane, plane, 1, 1] += 1
    at = "in"
    if layout == "nhwc":
        at = net.add("Transpose", [at], "planes", perm=[0, 3, 1, 2])
    pads = [0, 0, 1, 1, 0, 0, 1, 1]
    if opset < 11:
        net.add("Pad", [at], "padded", mode="reflect", pads=pads)
    else:
        net.add("Pad", [at, net.ints("pads", *pads)], "padded", mode="reflect")
    zero = net.const("zero", np.zeros(8, np.float32))
    net.add("Conv", ["padded", net.const("into", into), zero], "small", strides=[2, 2])
    scale = net.const("scale", np.full(8, 0.25, np.float32))
    shift = net.const("shift", np.full(8, 0.45, np.float32))
    net.add("InstanceNormalization", ["small", scale, shift], "normal")
    net.add("Dropout", ["normal"], "kept", **({"ratio": 0.5} if opset < 12 else {}))
    net.add("Relu", ["kept"], "bright")
    _mean(net)
    _larger(net, mode)
    net.add("Conv", ["large", net.const("back", back)], "painted", pads=[1, 1, 1, 1])
    if opset < 10:
        net.add("Slice", ["painted"], "cut", axes=[1], starts=[0], ends=[3])
    else:
        ends = [net.ints("first", 0), net.ints("last", 3), net.ints("planes_axis", 1)]
        net.add("Slice", ["painted", *ends], "cut")
    last = "out" if layout == "nchw" else "rows"
    if opset < 11:
        net.add("Clip", ["cut"], last, min=0.0, max=1.0)
    else:
        bounds = [net.const(f"bound{n}", np.array(n, np.float32)) for n in (0, 1)]
        net.add("Clip", ["cut", *bounds], last)
    if layout == "nhwc":
        net.add("Transpose", ["rows"], "out", perm=[0, 2, 3, 1])
    free: Sequence[int | str] = ("n", 3, "h", "w") if layout == "nchw" else ("n", "h", "w", 3)
    return _model(net, ir, shape or free)


def _mean(net: _Net) -> None:
    """A mean that is squeezed, unsqueezed and added, with its axes where each time has them."""
    if net.opset < 18:
        net.add("ReduceMean", ["bright"], "mean", axes=[2, 3], keepdims=1)
    else:
        net.add("ReduceMean", ["bright", net.ints("sides", 2, 3)], "mean", keepdims=1)
    if net.opset < 13:
        net.add("Squeeze", ["mean"], "flat", axes=[3])
        net.add("Unsqueeze", ["flat"], "whole", axes=[3])
    else:
        axis = net.ints("axis", 3)
        net.add("Squeeze", ["mean", axis], "flat")
        net.add("Unsqueeze", ["flat", axis], "whole")
    net.add("Mul", ["whole", net.const("little", np.array(0.01, np.float32))], "part")
    net.add("Add", ["bright", "part"], "sum")


def _larger(net: _Net, mode: str) -> None:
    scales = np.array([1, 1, 2, 2], np.float32)
    if net.opset < 9:
        net.add("Upsample", ["sum"], "large", mode=mode, scales=scales.tolist())
        return
    by = net.const("by", scales)
    if net.opset < 11:
        kind = "Upsample" if net.opset < 10 else "Resize"
        net.add(kind, ["sum", by], "large", mode=mode)
        return
    roi = net.const("roi", np.zeros(0, np.float32))
    net.add(
        "Resize",
        ["sum", roi, by],
        "large",
        mode=mode,
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _model(net: _Net, ir: int, shape: Sequence[int | str]) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("in", TensorProto.FLOAT, list(shape))]
    if ir < 4:
        # All weights were inputs too.
        inputs += [
            helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in net.weights
        ]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, list(shape))
    graph = helper.make_graph(net.nodes, "style", inputs, [output], net.weights)
    opsets = [helper.make_opsetid("", net.opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir)
    onnx.checker.check_model(model)
    return model
