"""ONNX files of every operator set from 7 on, and of every IR version: imported, or refused with
the reason and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from rtstyle.backends import load_stylizer
from rtstyle.cli.main import main
from rtstyle.cli.sample import sample_picture
from rtstyle.errors import UnsafeModel
from rtstyle.importers import converted
from rtstyle.importers import measure as measuring
from rtstyle.importers.confined import Confinement, RunError
from rtstyle.importers.wrap import read_graph
from rtstyle.runtimes import import_onnxruntime
from rtstyle.styles import find_style, user_folder
from rtstyle.types import Size
from tests.old_nets import Array, era_net

OPSETS = range(7, 26)
IR_VERSIONS = range(3, 15)
PICTURE = np.random.default_rng(1).random((1, 3, 64, 96), np.float32)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_SIZE", Size(96, 64))
    monkeypatch.setattr(converted, "_PARITY_SIZE", Size(96, 64))


def run(model: onnx.ModelProto, picture: Array = PICTURE) -> Array:
    """The graph's own maths; nothing of the importers."""
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    got: Array = session.run(None, {session.get_inputs()[0].name: picture})[0]
    return got


def as_written(model: onnx.ModelProto) -> Array:
    """What the file paints; IR is a number that runtimes may not know yet."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = min(copy.ir_version, 10)
    return run(copy)


def bring(file: Path, model: onnx.ModelProto, *flags: str) -> Result:
    file.write_bytes(model.SerializeToString())
    return CliRunner().invoke(main, ["styles", "import", str(file), *flags])


@pytest.mark.parametrize("opset", OPSETS)
def test_a_graph_of_any_opset_and_ir_paints_as_it_did(opset: int) -> None:
    wanted = as_written(era_net(opset, 8))
    for ir in IR_VERSIONS:
        read = read_graph(era_net(opset, ir).SerializeToString(), "net.onnx").model
        assert read.opset_import[0].version >= 13
        assert [value.name for value in read.graph.input] == ["net/in"]
        assert np.abs(run(read) - wanted).max() < 1e-6


@pytest.mark.parametrize("opset", range(7, 13))
def test_pictures_are_enlarged_as_in_their_time(opset: int) -> None:
    """Onnx's converter turns linear Upsample and Resize into ones that place samples otherwise."""
    model = era_net(opset, 8, mode="linear")
    read = read_graph(model.SerializeToString(), "net.onnx").model
    assert np.abs(run(read) - as_written(model)).max() < 1e-5


@pytest.mark.parametrize(("opset", "ir"), [(7, 3), (10, 5), (11, 6), (12, 7), (17, 14), (25, 13)])
def test_the_command_imports_it_and_the_style_paints_the_same(
    tmp_path: Path, opset: int, ir: int
) -> None:
    model = era_net(opset, ir)
    result = bring(tmp_path / "old.onnx", model, "--range", "0..1", "--output-range", "0..1")
    assert result.exit_code == 0, result.output
    spec = find_style("old")
    assert {"psnr_bf16_db", "psnr_fp16_db"} <= spec.measured.keys()
    shown = sample_picture()[:64, :96]
    with load_stylizer(spec, backend="onnxruntime") as stylizer:
        got = stylizer(shown[None])[0]
    copy = era_net(opset, 8)
    wanted = run(copy, shown[None].transpose(0, 3, 1, 2).astype(np.float32) / 255)
    rows = np.rint(wanted[0].transpose(1, 2, 0) * 255)
    assert np.abs(got.astype(int) - rows).max() <= 1


@pytest.mark.parametrize("opset", [9, 11])
def test_rows_first_and_of_one_size(tmp_path: Path, opset: int) -> None:
    model = era_net(opset, 8, layout="nhwc", shape=(1, 64, 96, 3))
    result = bring(tmp_path / "rows.onnx", model)
    assert result.exit_code == 0, result.output
    assert "NHWC" in result.output


def changed(model: onnx.ModelProto, opset: int, ir: int) -> onnx.ModelProto:
    model.opset_import[0].version, model.ir_version = opset, ir
    return model


@pytest.mark.parametrize(
    ("opset", "ir", "words"),
    [
        (6, 8, "are those of opset 6, expected 7 or above"),
        (99, 8, "it is of opset 99, IR 8, newer than the package onnx here knows"),
        (17, 99, "it is of opset 17, IR 99, newer than the package onnx here knows"),
    ],
)
def test_what_is_too_old_or_too_new_says_so_and_what_to_do(
    tmp_path: Path, opset: int, ir: int, words: str
) -> None:
    result = bring(tmp_path / "net.onnx", changed(era_net(17, 8), opset, ir))
    assert result.exit_code == 5
    assert len(result.output.splitlines()) == 1
    assert words in result.output
    assert "torch.onnx.export(..., opset_version=17)" in result.output
    assert not user_folder().is_dir() or list(user_folder().iterdir()) == []


def test_what_the_runtime_does_not_take_names_its_opset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> object:
        raise RunError("Opset 25 is under development")

    monkeypatch.setattr(Confinement, "open", refuse)
    result = bring(tmp_path / "net.onnx", era_net(25, 13))
    assert result.exit_code == 5
    assert "found one of opset 25 that it does not: Opset 25 is under dev" in result.output
    assert "pip install -U onnxruntime" in result.output


def test_what_cannot_be_measured_is_left_out_of_the_card_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_REDUCED", {"psnr_fp16_db": TensorProto.FLOAT16})
    result = bring(tmp_path / "net.onnx", era_net(17, 8))
    assert result.exit_code == 0, result.output
    assert "note: what bf16 does to it could not be measured here" in result.output
    assert "psnr_bf16_db" not in find_style("net").measured


def dropping() -> onnx.ModelProto:
    """A Dropout that is told to train."""
    on = numpy_helper.from_array(np.array(True), "on")
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    node = helper.make_node("Dropout", ["in", "half", "on"], ["out"])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, "h", "w"])
        for name in ("in", "out")
    ]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [half, on])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_a_net_in_training_is_refused() -> None:
    with pytest.raises(UnsafeModel, match=r"it is a net in training .* net\.eval\(\)"):
        read_graph(dropping().SerializeToString(), "net.onnx")
