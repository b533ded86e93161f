"""Graphs that must not reach a runtime, and those that must."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rtstyle.errors import ModelError, UnsafeModel
from rtstyle.styles import SizeRule, admit, find_style
from tests.nets import (
    SHAPE,
    build,
    conv_net,
    halving_net,
    identity_net,
    invert_net,
)


def parsed(data: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.ParseFromString(data)
    return model


def refusal(data: bytes) -> str:
    """The message ``data`` is refused with; always one line that names the file."""
    with pytest.raises(UnsafeModel) as caught:
        admit(data, name="evil.onnx")
    message = str(caught.value)
    assert "evil.onnx" in message
    assert message.isprintable()
    return message


@pytest.mark.parametrize("net", [identity_net, invert_net, halving_net, conv_net])
def test_the_nets_of_the_tests_are_admitted(net: Callable[[], bytes]) -> None:
    facts = admit(net(), name="net.onnx")
    assert (facts.input, facts.output, facts.opset) == ("frame", "stylized", 18)
    assert facts.size_rule is None


def test_facts_are_those_of_the_graph() -> None:
    facts = admit(conv_net(channels=4), name="net.onnx")
    weights = 4 * 3 * 9 + 4 + 4 + 4 + 3 * 4 * 9 + 3
    assert facts.parameters == weights + 8 + 2  # the paddings, black and white
    assert "InstanceNormalization" in facts.operators
    assert list(facts.operators) == sorted(facts.operators)


def test_metadata_gives_the_size_rule() -> None:
    node = helper.make_node("Identity", ["frame"], ["stylized"])
    keys = {"rtstyle.minimum": "16", "rtstyle.multiple_of": "4"}
    assert admit(build([node], metadata=keys), name="n").size_rule == SizeRule(16, 4)
    only = admit(build([node], metadata={"rtstyle.multiple_of": "2"}), name="n").size_rule
    assert only == SizeRule(1, 2)
    for wrong in ("0", "-4", "four", "99999", "", "²"):
        assert "size" in refusal(build([node], metadata={"rtstyle.multiple_of": wrong}))


def external(location: str, marker: bool = True) -> bytes:
    """``conv_net`` whose first weight points at another file."""
    model = parsed(conv_net())
    tensor = next(t for t in model.graph.initializer if t.name == "weight0")
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    if marker:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "link", "hard", "*/_ORT_MEM_ADDR_/*", ""]
)
@pytest.mark.parametrize("marker", [True, False])
def test_external_data_is_refused_in_every_guise(location: str, marker: bool) -> None:
    assert "external data" in refusal(external(location, marker))


def test_external_data_is_never_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    os.mkfifo(secret)  # opening it for reading would block for ever
    folder = tmp_path / "style"
    folder.mkdir()
    (folder / "link").symlink_to(secret)
    os.link(secret, folder / "hard")
    for location in ("../secret", str(secret), "link", "hard"):
        (folder / "evil.onnx").write_bytes(external(location))
        with pytest.raises(UnsafeModel, match="external data"):
            find_style(folder / "evil.onnx")


def test_external_data_in_a_constant_is_refused() -> None:
    tensor = numpy_helper.from_array(np.zeros(3, np.float32))
    tensor.data_location = TensorProto.EXTERNAL
    nodes = [
        helper.make_node("Constant", [], ["c"], value=tensor),
        helper.make_node("Identity", ["frame"], ["stylized"]),
    ]
    assert "external data" in refusal(build(nodes))


def test_a_marker_without_a_location_is_refused() -> None:
    model = parsed(conv_net())
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    assert "external data" in refusal(bytes(model.SerializeToString()))


def test_foreign_domains_are_refused() -> None:
    node = helper.make_node("Identity", ["frame"], ["stylized"], domain="com.evil")
    assert "com.evil" in refusal(build([node]))
    model = parsed(identity_net())
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    assert admit(bytes(model.SerializeToString()), name="unused").opset == 18
    del model.opset_import[:]
    assert "operator set" in refusal(bytes(model.SerializeToString()))


def test_functions_are_refused() -> None:
    model = parsed(identity_net())
    body = [helper.make_node("Identity", ["x"], ["y"])]
    opset = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("", "Relu", ["x"], ["y"], body, opset))
    assert "functions" in refusal(bytes(model.SerializeToString()))


def test_loops_and_branches_are_refused() -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )
    for kind in ("Loop", "Scan", "If"):
        nodes = [
            helper.make_node(kind, ["", ""], [], body=body),
            helper.make_node("Identity", ["frame"], ["stylized"]),
        ]
        assert kind in refusal(build(nodes))
    hidden = helper.make_node("Identity", ["frame"], ["stylized"], body=body)
    assert "graph of its own" in refusal(build([hidden]))


@pytest.mark.parametrize("kind", ["NonZero", "RandomNormal", "Einsum", "Evil\nLine", "Loop"])
def test_operators_outside_the_list_are_refused(kind: str) -> None:
    nodes = [
        helper.make_node(kind, ["frame"], ["x"]),
        helper.make_node("Identity", ["frame"], ["stylized"]),
    ]
    assert kind.split("\n")[0] in refusal(build(nodes))


def test_too_many_operators_are_refused() -> None:
    names = ["frame", *(f"x{i}" for i in range(5000)), "stylized"]
    pairs = pairwise(names)
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in pairs]
    assert "operators" in refusal(build(nodes))


@pytest.mark.parametrize(
    ("shape", "kind", "found"),
    [
        (("N", 3, "H", "W"), TensorProto.UINT8, "uint8 (N, 3, H, W)"),
        (("N", 3, "H", "W"), TensorProto.FLOAT, "float (N, 3, H, W)"),
        (("N", "H", "W", 3), TensorProto.FLOAT, "float (N, H, W, 3)"),
        (("N", "H", "W", 4), TensorProto.UINT8, "uint8 (N, H, W, 4)"),
        (("N", "H", "W", "C"), TensorProto.UINT8, "uint8 (N, H, W, C)"),
        (("H", "W", 3), TensorProto.UINT8, "uint8 (H, W, 3)"),
        ((1, 256, 256, 3), TensorProto.UINT8, "uint8 (1, 256, 256, 3)"),
        ((1, "H", "W", 3), TensorProto.UINT8, "uint8 (1, H, W, 3)"),
    ],
)
def test_a_wrong_input_is_refused_saying_what_was_found(
    shape: tuple[str | int, ...], kind: int, found: str
) -> None:
    node = helper.make_node("Identity", ["frame"], ["stylized"])
    message = refusal(build([node], shape=shape, kind=kind))
    assert "uint8 (N, H, W, 3)" in message
    assert f"found the input {found}; a net of others is imported first: " in message
    assert message.endswith("rtstyle styles import evil.onnx")


def test_a_wrong_output_is_refused() -> None:
    model = parsed(identity_net())
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    assert "the output float" in refusal(bytes(model.SerializeToString()))


def test_a_shapeless_or_tensorless_input_is_refused() -> None:
    model = parsed(identity_net())
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert "without a shape" in refusal(bytes(model.SerializeToString()))
    model.graph.input[0].ClearField("type")
    assert "no tensor" in refusal(bytes(model.SerializeToString()))


def test_more_than_one_input_or_output_is_refused() -> None:
    more = parsed(identity_net())
    more.graph.input.append(helper.make_tensor_value_info("two", TensorProto.UINT8, SHAPE))
    assert "2 inputs" in refusal(bytes(more.SerializeToString()))
    more = parsed(identity_net())
    more.graph.output.append(helper.make_tensor_value_info("frame", TensorProto.UINT8, SHAPE))
    assert "2 outputs" in refusal(bytes(more.SerializeToString()))
    fewer = parsed(identity_net())
    del fewer.graph.output[:]
    assert "0 outputs" in refusal(bytes(fewer.SerializeToString()))


def test_an_initializer_listed_as_an_input_is_none() -> None:
    model = parsed(invert_net())
    model.graph.input.append(helper.make_tensor_value_info("white", TensorProto.FLOAT, []))
    assert admit(bytes(model.SerializeToString()), name="old.onnx").input == "frame"


@pytest.mark.parametrize("dims", [[2**40], [-1], [2**62] * 200])
def test_a_tensor_larger_than_the_file_is_refused(dims: list[int]) -> None:
    model = parsed(invert_net())
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    assert "larger than the file" in refusal(bytes(model.SerializeToString()))


def test_sparse_tensors_are_refused() -> None:
    model = parsed(invert_net())
    model.graph.sparse_initializer.add()
    assert "sparse" in refusal(bytes(model.SerializeToString()))


def bomb(*nodes: onnx.NodeProto, **constants: npt.NDArray[np.generic]) -> bytes:
    return build([*nodes, helper.make_node("Identity", ["frame"], ["stylized"])], constants)


def test_graphs_that_blow_up_in_memory_are_refused() -> None:
    shape = np.array([10**6, 10**5], np.int64)
    expand = helper.make_node("Expand", ["one", "shape"], ["huge"])
    grown = bomb(expand, one=np.ones(1, np.float32), shape=shape)
    assert "100000000000 numbers" in refusal(grown)
    fill = helper.make_node("ConstantOfShape", ["shape"], ["huge"])
    assert "100000000000 numbers" in refusal(bomb(fill, shape=shape))
    resize = [
        helper.make_node("Cast", ["frame"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["floats", "", "scales"], ["huge"], mode="nearest"),
    ]
    scales = np.array([1, 100, 100, 1], np.float32)
    assert "numbers at once" in refusal(bomb(*resize, scales=scales))
    pads = np.array([0, 50_000, 0, 0, 0, 50_000, 0, 0], np.int64)
    padding = helper.make_node("Pad", ["frame", "pads"], ["huge"])
    assert "numbers at once" in refusal(bomb(padding, pads=pads))


def test_malformed_graphs_are_refused() -> None:
    dangling = build([helper.make_node("Identity", ["nowhere"], ["stylized"])])
    assert "malformed" in refusal(dangling)
    attribute = build([helper.make_node("Conv", ["frame"], ["stylized"], nonsense=1)])
    assert "malformed" in refusal(attribute)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.99])
def test_truncated_files_are_refused(share: float) -> None:
    data = conv_net()
    refusal(data[: int(len(data) * share)])


def test_files_that_are_no_graphs_are_refused() -> None:
    assert "empty" in refusal(b"")
    assert "no ONNX file" in refusal(b"This is only a text.\n" * 40)
    assert "it is a web page" in refusal(b"<html><body>404</body></html>")
    assert "64 MB" in refusal(bytes(64 * 2**20 + 1))


def test_mutated_files_are_admitted_or_refused_and_nothing_else() -> None:
    random = np.random.default_rng(7)
    data = np.frombuffer(conv_net(), np.uint8)
    outcomes = set()
    for _ in range(1000):
        changed = data.copy()
        places = random.integers(0, len(data), 1 + random.integers(0, 8))
        changed[places] = random.integers(0, 256, len(places), dtype=np.uint8)
        try:
            admit(changed.tobytes(), name="evil.onnx")
            outcomes.add("admitted")
        except UnsafeModel as error:
            assert str(error).isprintable()
            outcomes.add("refused")
    assert outcomes == {"admitted", "refused"}


class Canary:
    """Unpickling one writes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".onnx"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_checkpoint_is_refused_unread_with_the_way_out(
    tmp_path: Path, suffix: str, zipped: bool
) -> None:
    canary = tmp_path / "canary"
    file = tmp_path / f"style{suffix}"
    payload = pickle.dumps(Canary(canary))
    if zipped:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", payload)
    else:
        file.write_bytes(payload)
    with pytest.raises(UnsafeModel, match="rtstyle export onnx"):
        find_style(file)
    assert not canary.exists()


def test_without_the_onnx_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = identity_net()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r'pip install "onnx>=1\.21"'):
        admit(data, name="net.onnx")


@pytest.mark.assets
def test_a_net_of_others_is_refused_for_what_it_takes_and_gives(assets: Path) -> None:
    with pytest.raises(UnsafeModel, match=r"expected one uint8 .* found the input float \("):
        find_style(assets / "onnx" / "animeganv3_tiny_cute.onnx")


@pytest.mark.assets
@pytest.mark.parametrize("name", ["candy.pth", "wave_tf.npz"])
def test_checkpoints_of_others_are_refused_with_the_way_out(assets: Path, name: str) -> None:
    with pytest.raises(UnsafeModel, match="rtstyle export onnx"):
        find_style(assets / "johnson" / name)
