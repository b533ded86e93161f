"""Nets of others in small: ONNX graphs as exporters write them for one size, and slow ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 64
"""Height and width of the graphs for one size."""


def model_of(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, npt.NDArray[np.generic]],
    *,
    shape: Sequence[str | int],
    result: Sequence[str | int] | None = None,
) -> onnx.ModelProto:
    """From ``x`` of ``shape`` to ``y``, float32."""
    graph = helper.make_graph(
        list(nodes),
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(result or shape))],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def fixed_net() -> onnx.ModelProto:
    """Of 64x64 in [0, 1]: every way in which exporters write that size down, and red halved.

    A strided convolution, a group norm by two Reshapes, an upsampling to a size, a transposed
    convolution that names its output, a mean by a pool of the whole picture, and a Slice to the
    end.
    """
    half = SIDE // 2
    eye = np.zeros((3, 3, 2, 2), np.float32)
    eye[[0, 1, 2], [0, 1, 2]] = 0.25
    spread = np.zeros((3, 3, 3, 3), np.float32)
    spread[[0, 1, 2], [0, 1, 2], :2, :2] = 1
    nodes = [
        helper.make_node("Conv", ["x", "eye"], ["small"], strides=[2, 2]),
        helper.make_node("Reshape", ["small", "grouped"], ["groups"]),
        helper.make_node("InstanceNormalization", ["groups", "one", "zero"], ["normal"]),
        helper.make_node("Reshape", ["normal", "planes"], ["back"]),
        helper.make_node("Resize", ["back", "", "", "whole"], ["large"], mode="nearest"),
        helper.make_node(
            "ConvTranspose",
            ["small", "spread"],
            ["blocks"],
            strides=[2, 2],
            output_shape=[SIDE, SIDE],
            auto_pad="SAME_UPPER",
        ),
        helper.make_node("Slice", ["blocks", "begin", "end", "axes"], ["cut"]),
        helper.make_node("AveragePool", ["cut"], ["mean"], kernel_shape=[SIDE, SIDE]),
        helper.make_node("Mul", ["large", "little"], ["texture"]),
        helper.make_node("Mul", ["mean", "little"], ["tone"]),
        helper.make_node("Add", ["cut", "texture"], ["both"]),
        helper.make_node("Add", ["both", "tone"], ["all"]),
        helper.make_node("Mul", ["all", "gain"], ["y"]),
    ]
    constants: dict[str, npt.NDArray[np.generic]] = {
        "eye": eye,
        "spread": spread,
        "grouped": np.array([1, 1, 3 * half * half], np.int64),
        "planes": np.array([1, 3, half, half], np.int64),
        "one": np.ones(1, np.float32),
        "zero": np.zeros(1, np.float32),
        "whole": np.array([1, 3, SIDE, SIDE], np.int64),
        "begin": np.array([0, 0], np.int64),
        "end": np.array([SIDE, SIDE], np.int64),
        "axes": np.array([2, 3], np.int64),
        "little": np.array(0.01, np.float32),
        "gain": np.array([0.5, 1, 1], np.float32).reshape(1, 3, 1, 1),
    }
    return model_of(nodes, constants, shape=[1, 3, SIDE, SIDE])


def bound_net() -> onnx.ModelProto:
    """Of 64x64 alone: adds a picture of that size."""
    veil = np.linspace(0, 0.1, SIDE * SIDE, dtype=np.float32).reshape(1, 1, SIDE, SIDE)
    nodes = [helper.make_node("Add", ["x", "veil"], ["y"])]
    return model_of(nodes, {"veil": veil}, shape=[1, 3, SIDE, SIDE])


def counting_net() -> onnx.ModelProto:
    """Of 64x64: divides a sum over the picture by its number of pixels, written down."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["sum"]),
        helper.make_node("Mul", ["sum", "each"], ["mean"]),
        helper.make_node("Mul", ["x", "half"], ["dim"]),
        helper.make_node("Mul", ["mean", "half"], ["glow"]),
        helper.make_node("Add", ["dim", "glow"], ["y"]),
    ]
    constants: dict[str, npt.NDArray[np.generic]] = {
        "axes": np.array([2, 3], np.int64),
        "each": np.array(1 / SIDE**2, np.float32),
        "half": np.array(0.5, np.float32),
    }
    return model_of(nodes, constants, shape=[1, 3, SIDE, SIDE])


def doubling_net() -> onnx.ModelProto:
    """Gives back a picture twice as large."""
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")]
    scales = np.array([1, 1, 2, 2], np.float32)
    return model_of(nodes, {"scales": scales}, shape=[1, 3, "h", "w"], result=[1, 3, "H", "W"])


def slow_net(layers: int = 3000, channels: int = 64) -> onnx.ModelProto:
    """Minutes of convolutions for any picture, in a small file."""
    chance = np.random.default_rng(0)
    constants: dict[str, npt.NDArray[np.generic]] = {
        "first": chance.normal(0, 0.2, (channels, 3, 3, 3)).astype(np.float32),
        "inner": chance.normal(0, 0.03, (channels, channels, 3, 3)).astype(np.float32),
        "last": chance.normal(0, 0.1, (3, channels, 3, 3)).astype(np.float32),
    }
    names = ["x", *(f"t{k}" for k in range(layers + 1)), "y"]
    weights = ["first", *["inner"] * layers, "last"]
    nodes = [
        helper.make_node("Conv", [a, weight], [b], pads=[1, 1, 1, 1])
        for a, b, weight in zip(names, names[1:], weights, strict=False)
    ]
    return model_of(nodes, constants, shape=[1, 3, "h", "w"])
