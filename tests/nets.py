"""Tiny ONNX styles for tests: each keeps the contract of rtstyle/styles/spec.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from rtstyle.types import Pixels

OPSET = 18
IR_VERSION = 9
SHAPE = ("N", "H", "W", 3)

Floats = npt.NDArray[np.float32]


def build(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, npt.NDArray[np.generic]] | None = None,
    *,
    shape: Sequence[str | int] = SHAPE,
    kind: int = TensorProto.UINT8,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """A graph from ``frame`` to ``stylized`` as bytes; ``shape`` and ``kind`` are of both."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info("frame", kind, list(shape))],
        [helper.make_tensor_value_info("stylized", kind, list(shape))],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    helper.set_model_props(model, metadata or {})
    return bytes(model.SerializeToString())


def identity_net() -> bytes:
    """Gives back what it is given."""
    return build([helper.make_node("Identity", ["frame"], ["stylized"])])


def invert_net() -> bytes:
    """255 minus the picture."""
    nodes = [
        helper.make_node("Cast", ["frame"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["white", "floats"], ["inverted"]),
        helper.make_node("Cast", ["inverted"], ["stylized"], to=TensorProto.UINT8),
    ]
    return build(nodes, {"white": np.array(255.0, np.float32)})


def halving_net() -> bytes:
    """Shrinks to half and grows again: takes only even sizes."""
    nodes = [
        helper.make_node("Cast", ["frame"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["half", "", "scales"], ["whole"], mode="nearest"),
        helper.make_node("Transpose", ["whole"], ["rows"], perm=[0, 2, 3, 1]),
        helper.make_node("Round", ["rows"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["stylized"], to=TensorProto.UINT8),
    ]
    return build(nodes, {"scales": np.array([1, 1, 2, 2], np.float32)})


def conv_net(seed: int = 0, channels: int = 8) -> bytes:
    """Convolution, instance norm, ReLU, convolution: a transform net in small.

    Both convolutions are 3x3 with reflection padding, so pictures must be at least 2x2.
    """
    weights = conv_weights(seed, channels)
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    nodes = [
        helper.make_node("Cast", ["frame"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["unit"]),
        helper.make_node("Transpose", ["unit"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Pad", ["planes", "pads"], ["padded0"], mode="reflect"),
        helper.make_node("Conv", ["padded0", "weight0", "bias0"], ["features"]),
        helper.make_node("InstanceNormalization", ["features", "scale", "shift"], ["normal"]),
        helper.make_node("Relu", ["normal"], ["active"]),
        helper.make_node("Pad", ["active", "pads"], ["padded1"], mode="reflect"),
        helper.make_node("Conv", ["padded1", "weight1", "bias1"], ["colours"]),
        helper.make_node("Mul", ["colours", "white"], ["bright"]),
        helper.make_node("Clip", ["bright", "black", "white"], ["clamped"]),
        helper.make_node("Round", ["clamped"], ["rounded"]),
        helper.make_node("Transpose", ["rounded"], ["rows"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["rows"], ["stylized"], to=TensorProto.UINT8),
    ]
    constants: dict[str, npt.NDArray[np.generic]] = {
        **weights,
        "pads": pads,
        "black": np.array(0.0, np.float32),
        "white": np.array(255.0, np.float32),
    }
    return build(nodes, constants)


def conv_weights(seed: int = 0, channels: int = 8) -> dict[str, Floats]:
    """The weights of ``conv_net(seed, channels)``."""
    random = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 1.0, mean: float = 0.0) -> Floats:
        return (random.standard_normal(shape) * scale + mean).astype(np.float32)

    return {
        "weight0": normal(channels, 3, 3, 3, scale=0.3),
        "bias0": normal(channels, scale=0.1),
        "scale": normal(channels, scale=0.1, mean=1.0),
        "shift": normal(channels, scale=0.1),
        "weight1": normal(3, channels, 3, 3, scale=0.5 / channels),
        "bias1": normal(3, scale=0.05, mean=0.3),
    }


def conv_reference(batch: Pixels, seed: int = 0, channels: int = 8) -> Pixels:
    """What ``conv_net(seed, channels)`` gives for uint8 ``(N, H, W, 3)``, in numpy float64."""
    weights = {
        name: value.astype(np.float64) for name, value in conv_weights(seed, channels).items()
    }

    def convolve(
        planes: npt.NDArray[np.float64],
        weight: npt.NDArray[np.float64],
        bias: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float64]:
        padded = np.pad(planes, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        result: npt.NDArray[np.float64] = np.einsum("nchwij,ocij->nohw", windows, weight)
        return result + bias[:, None, None]

    features = convolve(batch.transpose(0, 3, 1, 2) / 255.0, weights["weight0"], weights["bias0"])
    mean = features.mean(axis=(2, 3), keepdims=True)
    deviation = np.sqrt(features.var(axis=(2, 3), keepdims=True) + 1e-5)
    normal = (features - mean) / deviation
    active = np.maximum(
        normal * weights["scale"][:, None, None] + weights["shift"][:, None, None], 0.0
    )
    colours = convolve(active, weights["weight1"], weights["bias1"])
    return np.rint(np.clip(colours * 255.0, 0.0, 255.0)).astype(np.uint8).transpose(0, 2, 3, 1)


def make_pack(
    folder: Path,
    name: str = "test",
    model: bytes | None = None,
    *,
    minimum: int = 4,
    multiple_of: int = 4,
) -> Path:
    """Write a pack into ``folder`` (made where missing) and return ``folder``.

    ``model`` is ``invert_net()`` unless given.
    """
    data = invert_net() if model is None else model
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(data)
    card = {
        "format": 1,
        "name": name,
        "title": name.replace("-", " ").title(),
        "family": "foreign",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_rule": {"minimum": minimum, "multiple_of": multiple_of},
        "licence": "CC0-1.0",
        "source": "built by the tests",
        "measured": {},
    }
    (folder / "style.json").write_text(json.dumps(card, indent=2), encoding="utf-8")
    return folder
