"""Graphs rewritten for TensorRT paint what they painted before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from rtstyle.backends.byte_ends import byte_ends
from rtstyle.backends.half import to_half
from rtstyle.backends.tensorrt import typed_graph
from rtstyle.cli.sample import Scene
from rtstyle.errors import ModelError
from rtstyle.export import to_onnx
from rtstyle.nets import JohnsonNet
from rtstyle.runtimes import import_onnxruntime
from rtstyle.styles import EQUAL_DB, SizeRule, bundled_styles, psnr
from rtstyle.types import Pixels, Size
from tests.nets import build, conv_net, halving_net, identity_net, invert_net

FLOAT, HALF, BYTE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8


def run(model: bytes, batch: Pixels) -> Pixels:
    """The model's output, every operator run as it stands."""
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    result: Pixels = session.run(None, {session.get_inputs()[0].name: batch})[0]
    return result


def noise(width: int = 24, height: int = 16, count: int = 2) -> Pixels:
    random = np.random.default_rng(1)
    return random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def kinds(model: bytes) -> dict[str, int]:
    """Element type of every tensor."""
    typed = onnx.shape_inference.infer_shapes(onnx.load_from_string(model), check_type=True)
    graph = typed.graph
    values = (*graph.input, *graph.output, *graph.value_info)
    return {
        **{value.name: value.type.tensor_type.elem_type for value in values},
        **{tensor.name: tensor.data_type for tensor in graph.initializer},
    }


def node(kind: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    made = helper.make_node(kind, inputs.split(), [output])
    made.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    return made


def in_bytes() -> bytes:
    """Moves and clamps bytes before it computes, and after."""
    return build(
        [
            node("Transpose", "frame", "planes", perm=[0, 3, 1, 2]),
            node("Pad", "planes pads grey", "padded"),
            node("Cast", "padded", "floats", to=FLOAT),
            node("Mul", "floats half", "dark"),
            node("Cast", "dark", "bytes", to=BYTE),
            node("Slice", "bytes starts ends axes", "cut"),
            node("Clip", "cut low grey", "clamped"),
            node("Transpose", "clamped", "stylized", perm=[0, 2, 3, 1]),
        ],
        {
            "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
            "grey": np.array(99, np.uint8),
            "low": np.array(7, np.uint8),
            "half": np.array(0.5, np.float32),
            "starts": np.array([1, 1], np.int64),
            "ends": np.array([-1, -1], np.int64),
            "axes": np.array([2, 3], np.int64),
        },
    )


def cut_inside() -> bytes:
    """Fractions are lost in the middle, not only at the end: 3 times the half of an odd number."""
    return build(
        [
            node("Cast", "frame", "floats", to=FLOAT),
            node("Mul", "floats half", "halves"),
            node("Cast", "halves", "bytes", to=BYTE),
            node("Cast", "bytes", "whole", to=FLOAT),
            node("Mul", "whole more", "bright"),
            node("Cast", "bright", "stylized", to=BYTE),
        ],
        {"half": np.array(0.5, np.float32), "more": np.array(1.5, np.float32)},
    )


NETS = [conv_net, halving_net, identity_net, invert_net, in_bytes, cut_inside]


@pytest.mark.parametrize("net", NETS)
def test_bytes_at_the_ends_only_and_the_same_picture(net: Callable[[], bytes]) -> None:
    before, batch = net(), noise()
    after = byte_ends(before, name="n")
    assert np.array_equal(run(after, batch), run(before, batch))
    types = kinds(after)
    assert {name for name, kind in types.items() if kind == BYTE} == {"frame", "stylized"}
    nodes = onnx.load_from_string(after).graph.node
    touching = [n for n in nodes if {"frame", "stylized"} & {*n.input, *n.output}]
    assert [n.op_type for n in touching] == ["Cast", "Cast"]


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Add", "frame frame", "stylized")],
        [node("Resize", "frame  sizes", "stylized", mode="linear")],
    ],
    ids=["overflow", "blend"],
)
def test_a_graph_that_computes_in_bytes_is_refused(nodes: list[onnx.NodeProto]) -> None:
    if nodes[0].op_type == "Resize":
        nodes[0].input[:] = ["frame", "", "scales"]
    model = build(nodes, {"scales": np.ones(4, np.float32)})
    with pytest.raises(ModelError, match=r"net.onnx computes in bytes \((Add|Resize)\).*--backend"):
        byte_ends(model, name="net.onnx")


def johnson(width: int = 8) -> bytes:
    """A net whose norms and biases are spread as training spreads them."""
    torch.manual_seed(4)
    net = JohnsonNet(width=width)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if weight.ndim == 1:
                weight.copy_(torch.randn_like(weight) * 0.4 + (1.0 if "norm.w" in name else 0.0))
    return to_onnx(net.eval(), SizeRule(minimum=16, multiple_of=4))


def test_a_johnson_net_keeps_its_picture_in_half() -> None:
    picture = Scene(Size(160, 96)).frame(1.0)[None]
    before = johnson()
    after = typed_graph(before, name="n", precision="fp16")
    expected, got = run(before, picture), run(after, picture)
    assert expected.std() > 20, "a picture with something in it"
    assert 40 <= psnr(expected, got) < EQUAL_DB
    assert len(after) < 0.7 * len(before)
    types, model = kinds(after), onnx.load_from_string(after)
    for n in model.graph.node:
        got_types = {types[name] for name in n.input if types.get(name) in (FLOAT, HALF)}
        if n.op_type == "Conv":
            assert got_types == {HALF}, n.name
        elif n.op_type in ("InstanceNormalization", "Tanh", "Round", "Div", "Sub"):
            assert got_types == {FLOAT}, n.name
    relus = {types[n.output[0]] for n in model.graph.node if n.op_type == "Relu"}
    assert relus == {HALF}


def test_every_bundled_style_keeps_its_picture_in_half() -> None:
    picture = Scene(Size(320, 180)).frame(1.0)[None]
    for spec in bundled_styles():
        before = spec.file.read_bytes()
        assert (
            psnr(
                run(before, picture), run(typed_graph(before, name="n", precision="fp16"), picture)
            )
            >= 40
        )


def test_a_graph_without_convolutions_stays_as_it_is() -> None:
    before = byte_ends(invert_net(), name="n")
    assert HALF not in kinds(to_half(before, name="n")).values()


def spread_net(constant_nodes: bool = False, weight: float = 30.0) -> bytes:
    """Squares of activations in the thousands, as home-made norms have them, and their mean."""
    constants: dict[str, npt.NDArray[np.generic]] = {
        "weight": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1) * np.float32(weight),
        "back": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1) * np.float32(60.0),
        "axes": np.array([2, 3], np.int64),
        "tiny": np.array(1e-5, np.float32),
        "grey": np.array(128.0, np.float32),
        "low": np.array(0.0, np.float32),
        "high": np.array(255.0, np.float32),
        "one": np.array(1.0, np.float32),
    }
    nodes = [
        node("Cast", "frame", "floats", to=FLOAT),
        node("Transpose", "floats", "planes", perm=[0, 3, 1, 2]),
        node("Conv", "planes weight", "wide"),
        node("Mul", "wide one", "scaled"),
        node("ReduceMean", "scaled axes", "mean"),
        node("Sub", "scaled mean", "centred"),
        node("Mul", "centred centred", "square"),
        node("ReduceMean", "square axes", "variance"),
        node("Add", "variance tiny", "safe"),
        node("Sqrt", "safe", "spread"),
        node("Div", "centred spread", "normal"),
        node("Conv", "normal back", "colours"),
        node("Add", "colours grey", "bright"),
        node("Clip", "bright low high", "clamped"),
        node("Transpose", "clamped", "rows", perm=[0, 2, 3, 1]),
        node("Cast", "rows", "stylized", to=BYTE),
    ]
    if constant_nodes:
        made = [
            helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(value))
            for name, value in constants.items()
        ]
        return build([*made, *nodes])
    return build(nodes, constants)


@pytest.mark.parametrize("constant_nodes", [False, True])
def test_statistics_are_computed_in_full(constant_nodes: bool) -> None:
    before, batch = spread_net(constant_nodes), noise()
    after = typed_graph(before, name="n", precision="fp16")
    assert psnr(run(before, batch), run(after, batch)) >= 40
    types = kinds(after)
    assert types["scaled"] == HALF, "what only scales goes on in half"
    assert types["square"] == types["variance"] == FLOAT


def test_a_weight_that_half_cannot_hold_stays_in_full() -> None:
    before, batch = spread_net(weight=1e6), noise()
    after = typed_graph(before, name="n", precision="fp16")
    assert kinds(after)["weight"] == FLOAT
    assert psnr(run(before, batch), run(after, batch)) >= 40


def test_names_that_are_taken_are_not_taken_again() -> None:
    model = onnx.load_from_string(conv_net())
    renamed = {"features": "frame_floats", "active": "weight0_half", "padded1": "stylized_floats"}
    for n in model.graph.node:
        n.input[:] = [renamed.get(name, name) for name in n.input]
        n.output[:] = [renamed.get(name, name) for name in n.output]
    before, batch = model.SerializeToString(), noise()
    after = typed_graph(before, name="n", precision="fp16")
    assert psnr(run(before, batch), run(after, batch)) >= 40
