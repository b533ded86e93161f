from __future__ import annotations

import io
import json
import os
import pickle
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from rtstyle.backends import load_stylizer
from rtstyle.cli.main import main
from rtstyle.cli.sample import sample_picture
from rtstyle.nets.foreign import LengstromNet, TransformerNet
from rtstyle.styles import find_style, user_folder, user_styles
from rtstyle.types import Pixels

BYTES = {"0..1": (1 / 255, 0.0), "-1..1": (2 / 255, -1.0), "0..255": (1.0, 0.0)}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["styles", *map(str, arguments)])


@pytest.fixture
def folder() -> Path:
    return user_folder()


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def foreign(
    values: str,
    *,
    layout: str = "nchw",
    shape: Sequence[str | int] | None = None,
    halve: bool = False,
    turn: bool = False,
) -> onnx.ModelProto:
    """A float net that halves red, of any convention; takes even sizes only with ``halve``."""
    low, high = {"0..1": (0, 1), "-1..1": (-1, 1), "0..255": (0, 255)}[values]
    nchw = layout == "nchw"
    dims = shape or ([1, 3, "h", "w"] if nchw else [1, "h", "w", 3])
    shaped = (1, 3, 1, 1) if nchw else (1, 1, 1, 3)
    gain = np.array([0.5, 1, 1][:: -1 if turn else 1], np.float32).reshape(shaped)
    at = "x"
    nodes = []
    if halve:
        nodes += [
            helper.make_node("AveragePool", ["x"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Resize", ["half", "", "scales"], ["whole"], mode="nearest"),
        ]
        at = "whole"
    nodes += [
        helper.make_node("Clip", [at, "low", "high"], ["kept"]),
        helper.make_node("Sub", ["kept", "low"], ["above"]),
        helper.make_node("Mul", ["above", "gain"], ["dark"]),
        helper.make_node("Add", ["dark", "low"], ["y"]),
    ]
    constants = {
        "low": np.array(low, np.float32),
        "high": np.array(high, np.float32),
        "gain": gain,
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, dims)],
        [numpy_helper.from_array(v, k) for k, v in constants.items() if k in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def darkened(picture: Pixels) -> Pixels:
    expected: Pixels = np.rint(picture * np.array([0.5, 1, 1])).astype(np.uint8)
    return expected


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("values", list(BYTES))
def test_an_onnx_net_of_any_layout_and_range_paints_as_it_did(
    tmp_path: Path, values: str, layout: str
) -> None:
    file = tmp_path / "My net.onnx"
    onnx.save(foreign(values, layout=layout), str(file))
    result = run("import", file, "--licence", "CC0-1.0")
    assert result.exit_code == 0, result.output
    spec = find_style("my-net")
    assert (spec.licence, spec.size_rule.multiple_of) == ("CC0-1.0", 1)
    assert spec.measured["max_difference_fp32"] <= 1
    picture = sample_picture()[40:151, 30:183]
    with load_stylizer(spec, backend="onnxruntime") as stylizer:
        got = stylizer(picture[None])[0]
    assert np.abs(got.astype(int) - darkened(picture)).max() <= 1


def test_sizes_a_net_needs_are_found_and_a_declared_size_is_freed(tmp_path: Path) -> None:
    file = tmp_path / "even.onnx"
    onnx.save(foreign("0..1", halve=True, shape=[1, 3, 224, 224]), str(file))
    assert run("import", file).exit_code == 0
    assert find_style("even").size_rule.multiple_of == 2


def test_flags_are_believed(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    onnx.save(foreign("0..1", turn=True), str(file))
    flags = ("--order", "bgr", "--range", "0..1", "--output-range", "0..1", "--size-multiple", "8")
    assert run("import", file, "--layout", "nchw", *flags).exit_code == 0
    spec = find_style("net")
    assert spec.size_rule.multiple_of == 8
    picture = sample_picture()[:96, :64]
    with load_stylizer(spec, backend="onnxruntime") as stylizer:
        got = stylizer(picture[None])[0]
    assert np.abs(got.astype(int) - darkened(picture)).max() <= 1


def test_list_replace_and_remove(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "net.onnx"
    onnx.save(foreign("0..1"), str(file))
    assert run("import", file, "--as", "mine").exit_code == 0
    assert "mine" in run("list").output
    assert run("import", file, "--as", "mine").exit_code == 4
    assert run("import", file, "--as", "mine", "--overwrite").exit_code == 0
    assert run("import", file, "--as", "great-wave").exit_code == 2
    assert run("import", file, "--as", "../mine").exit_code == 2
    assert left(folder) == ["mine"]
    (folder / "mine" / "style.json").write_text("{")
    assert "remove mine" in user_styles().broken[0]
    assert run("list").exit_code == 0
    assert run("remove", "mine").exit_code == 0
    assert run("remove", "mine").exit_code == 5
    assert run("remove", "..").exit_code == 5
    assert left(folder) == []


@pytest.mark.parametrize("kind", ["file", "link", "folder", "the folder is a link"])
@pytest.mark.parametrize("command", ["remove", "import"])
def test_nothing_but_a_style_is_removed_or_replaced(
    tmp_path: Path, folder: Path, command: str, kind: str
) -> None:
    file, victim = tmp_path / "net.onnx", tmp_path / "victim"
    onnx.save(foreign("0..1"), str(file))
    assert run("import", file, "--as", "mine").exit_code == 0
    victim.mkdir()
    (victim / "thesis.txt").write_text("mine")
    pack = folder / "mine"
    if kind == "file":
        (pack / "thesis.txt").write_text("mine")
    elif kind == "link":
        (pack / "thesis.txt").symlink_to(victim / "thesis.txt")
    elif kind == "folder":
        (victim / "thesis.txt").unlink()
        victim.rename(pack / "more")
    else:
        pack.rename(victim / "mine")
        pack.symlink_to(victim / "mine")
    before = sorted(str(path) for path in folder.rglob("*"))
    arguments = ("remove", "mine") if command == "remove" else ("import", file, "--as", "mine")
    result = run(*arguments, *(("--overwrite",) if command == "import" else ()))
    assert result.exit_code == (5 if kind == "the folder is a link" and command == "remove" else 4)
    assert "\n" not in result.output.strip()
    assert sorted(str(path) for path in folder.rglob("*")) == before
    assert find_style("mine").name == "mine"
    assert kind == "folder" or (victim / "thesis.txt").read_text() == "mine"


def two_inputs() -> bytes:
    model = foreign("0..1")
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 3, 8, 8]))
    return bytes(model.SerializeToString())


def external(location: str, *, marked: bool = True) -> bytes:
    model = foreign("0..1")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    if marked:
        tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return bytes(model.SerializeToString())


def torn(header: dict[str, object], data: bytes = bytes(64)) -> bytes:
    """A safetensors file whose header says ``header``."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def floats(begin: int, end: int, *shape: int, kind: str = "F32") -> dict[str, object]:
    return {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}


def scripted() -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch gives this kind of file up
        torch.jit.save(torch.jit.script(torch.nn.Identity()), stream)
    return stream.getvalue()


def packed() -> bytes:
    """300 MB of zeros in a few hundred kB."""
    stream = io.BytesIO()
    np.savez_compressed(stream, Variable_47=np.zeros(300 * 2**20, np.uint8))
    return stream.getvalue()


def custom() -> bytes:
    model = foreign("0..1")
    model.graph.node[0].domain = "evil.corp"
    return bytes(model.SerializeToString())


def huge() -> bytes:
    model = foreign("0..1")
    model.graph.initializer[-1].dims[:] = [1, 3, 200000, 200000]
    return bytes(model.SerializeToString())


def absurd() -> bytes:
    return bytes(foreign("0..1", shape=[1, 3, 10**6, 10**6]).SerializeToString())


def growing() -> bytes:
    """Asks for 400 GB on its way."""
    model = foreign("0..1")
    shape = numpy_helper.from_array(np.array([100_000_000_000, 1], np.int64), "vast")
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["vast"], ["zeros"]))
    return bytes(model.SerializeToString())


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("canary", "w")


def saved(state: object) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def zipped(values: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, Variable_47=values)
    return stream.getvalue()


BAD: dict[str, Callable[[], bytes]] = {
    "two.onnx": two_inputs,
    "external.onnx": lambda: external("../secret"),
    "absolute.onnx": lambda: external("/etc/passwd"),
    "beside.onnx": lambda: external("secret"),
    "memory.onnx": lambda: external("*/_ORT_MEM_ADDR_/*"),
    "unmarked.onnx": lambda: external("secret", marked=False),
    "custom.onnx": custom,
    "huge.onnx": huge,
    "absurd.onnx": absurd,
    "growing.onnx": growing,
    "rank.onnx": lambda: bytes(foreign("0..1", shape=[3, "h", "w"]).SerializeToString()),
    "channels.onnx": lambda: bytes(foreign("0..1", shape=[1, 7, 9, 9]).SerializeToString()),
    "cut.onnx": lambda: bytes(foreign("0..1").SerializeToString())[:120],
    "empty.onnx": lambda: b"",
    "bomb.pth": lambda: saved(_Bomb()),
    "old-bomb.pth": lambda: pickle.dumps(_Bomb()),
    "bomb.npz": lambda: pickle.dumps(_Bomb()),
    "other.pth": lambda: saved({"weight": torch.ones(3, 3, 3, 3)}),
    "list.pth": lambda: saved([1, 2]),
    "cut.pth": lambda: saved(TransformerNet(4).state_dict())[:2000],
    "wrong.pth": lambda: saved({**TransformerNet(4).state_dict(), "in1.weight": torch.ones(7)}),
    "cut.safetensors": lambda: b"\x10\0\0\0\0\0\0\0{",
    "vast-header.safetensors": lambda: (2**62).to_bytes(8, "little") + b"{}",
    "overlap.safetensors": lambda: torn({"a": floats(0, 64, 16), "b": floats(32, 64, 8)}),
    "hole.safetensors": lambda: torn({"a": floats(0, 16, 4), "b": floats(32, 64, 8)}),
    "negative.safetensors": lambda: torn({"a": floats(-64, 0, 16)}),
    "kind.safetensors": lambda: torn({"a": floats(0, 64, 16, kind="F33")}),
    "longer.safetensors": lambda: torn({"a": floats(0, 64, 1000)}),
    "script.pt": scripted,
    "nan.pth": lambda: saved({**TransformerNet(4).state_dict(), "in1.weight": torch.ones(4) / 0}),
    "wrapped-bomb.pth": lambda: saved({"state_dict": {"conv1.conv2d.weight": _Bomb()}}),
    "bomb.ckpt": lambda: pickle.dumps(_Bomb(), protocol=0),
    "bomb.safetensors": lambda: pickle.dumps(_Bomb()),
    "bomb.onnx": lambda: pickle.dumps(_Bomb()),
    "objects.npz": lambda: zipped(np.array([_Bomb()], dtype=object)),
    "packed.npz": packed,
    "text.ckpt": lambda: b"model_checkpoint_path: nothing here",
    "none.pth": lambda: b"",
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_files_are_refused_in_one_line_with_nothing_left(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(bytes(4096))
    (tmp_path / name).write_bytes(BAD[name]())
    result = run("import", tmp_path / name)
    assert result.exit_code == 5, result.output
    assert len(result.output.splitlines()) == 1
    assert name in result.output
    assert "weights_only" not in result.output
    assert left(folder) == []
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["missing.onnx", "missing.pth", "folder.onnx", "pipe.pth"])
def test_what_is_no_file_is_refused(tmp_path: Path, folder: Path, name: str) -> None:
    if name.startswith("folder"):
        (tmp_path / name).mkdir()
    elif name.startswith("pipe"):
        os.mkfifo(tmp_path / name)
    result = run("import", tmp_path / name)
    assert result.exit_code == 5, result.output
    assert len(result.output.splitlines()) == 1
    assert left(folder) == []


def test_transformer_weights_with_old_keys_paint_as_their_net(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = TransformerNet(4)
    state = dict(net.state_dict())
    state["in1.running_mean"] = torch.zeros(4)
    state["res1.in1.running_var"] = torch.ones(16)
    file = tmp_path / "tiny.pth"
    torch.save({f"module.{k}": v for k, v in state.items()}, file)
    result = run("import", file)
    assert result.exit_code == 0, result.output
    spec = find_style("tiny")
    assert spec.family == "johnson"
    picture = sample_picture()[:64, :96]
    with torch.no_grad():
        planes = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
        expected = net(planes)[0].permute(1, 2, 0).clamp(0, 255).round().numpy()
    with load_stylizer(spec, backend="onnxruntime") as stylizer:
        got = stylizer(picture[None])[0]
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_lengstrom_transposed_convolution_is_the_gradient_of_the_same_one() -> None:
    torch.manual_seed(0)
    layer = LengstromNet(2).layers[13]
    weight = torch.randn(8, 4, 3, 3)
    small = torch.randn(1, 8, 5, 6)
    large = torch.zeros(1, 4, 10, 12, requires_grad=True)
    forward = torch.nn.functional.conv2d(
        torch.nn.functional.pad(large, [0, 1, 0, 1]), weight, stride=2
    )
    (expected,) = torch.autograd.grad(forward, large, small)
    layer.load_state_dict({"weight": weight, "shift": torch.zeros(4), "scale": torch.ones(4)})
    normed = torch.nn.functional.instance_norm(expected, eps=1e-3)
    assert torch.allclose(layer(small), normed, atol=1e-5)


@pytest.mark.assets
@pytest.mark.parametrize(
    ("file", "multiple"),
    [
        ("johnson/candy.pth", 4),
        ("johnson/mosaic.pth", 4),
        ("johnson/rain_princess.pth", 4),
        ("johnson/wave_tf.npz", 4),
        ("johnson/scream_tf.npz", 4),
        ("onnx/animeganv3_tiny_cute.onnx", 16),
    ],
)
def test_published_weights_are_imported(assets: Path, file: str, multiple: int) -> None:
    result = run("import", assets / file, "--as", "asked")
    assert result.exit_code == 0, result.output
    spec = find_style("asked")
    assert spec.size_rule.multiple_of == multiple
    assert spec.measured["max_difference_fp32"] <= 1
    assert spec.file.is_relative_to(user_folder())
