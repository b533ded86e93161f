"""Files that are given for nets and are none: each is named, with what to do; and checkpoints that
hold the weights beside other things."""

from __future__ import annotations

import argparse
import collections
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from rtstyle.cli.main import main
from rtstyle.importers import converted
from rtstyle.importers import measure as measuring
from rtstyle.importers.tensors import read_tensors
from rtstyle.nets.foreign import TransformerNet
from rtstyle.styles import other_kind, user_folder
from rtstyle.types import Size
from tests.clips import make_clip
from tests.old_nets import era_net

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 6715000\n"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_SIZE", Size(96, 64))
    monkeypatch.setattr(converted, "_PARITY_SIZE", Size(96, 64))


def bring(file: Path, data: bytes) -> Result:
    file.write_bytes(data)
    return CliRunner().invoke(main, ["styles", "import", str(file), "--as", "t"])


def saved(value: object, **options: Any) -> bytes:  # noqa: ANN401 - torch.save's
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def weights(width: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = TransformerNet(width).state_dict()
    return state


def scripted() -> bytes:
    """An archive as TorchScript's are; to make a real one is deprecated, and warns."""
    return zipped(
        net__data_dot_pkl=b"\x80\x02}.", net__constants_dot_pkl=b"x", net__code__net_dot_py=b"x"
    )


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("net.pth")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    return stream.getvalue()


CASES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "empty": (lambda: b"", "the file is empty", "download it again"),
    "pointer": (lambda: POINTER, "it is a Git LFS pointer", "git lfs pull"),
    "page": (lambda: b"\n<!DOCTYPE html><html></html>", "it is a web page", "in a browser"),
    "json": (lambda: b'{"error": "not found"}', "it is JSON text", "export or download"),
    "module": (
        lambda: saved(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3))),
        "a whole pickled module or object (torch.nn.modules.container.Sequential)",
        "net.state_dict()",
    ),
    "old module": (
        lambda: saved(torch.nn.Conv2d(3, 3, 3), _use_new_zipfile_serialization=False),
        "a whole pickled module or object (torch.nn.modules.conv.Conv2d)",
        "net.state_dict()",
    ),
    "arguments": (
        lambda: saved({"args": argparse.Namespace(lr=1), "state_dict": weights()}),
        "it holds other things beside its tensors (argparse.Namespace)",
        "torch.save(torch.load(file, weights_only=False)",
    ),
    "script": (scripted, "it is TorchScript", "torch.jit.load(file).state_dict()"),
    "lua": (
        lambda: b"\4\0\0\0\1\0\0\0\3\0\0\0V 1\r\0\0\0nn.Sequential" + bytes(500),
        "it is a .t7 file of Lua Torch",
        "export it to ONNX",
    ),
    "lua text": (lambda: b"4\n1\n3\nV 1\n13\nnn.Sequential\n", "Lua Torch", "ONNX"),
    "saved model": (
        lambda: zipped(m__saved_model_dot_pb=b"x"),
        "an archive of a TensorFlow SavedModel",
        "tf2onnx",
    ),
    "frozen graph": (
        lambda: b"\x0a\x3a\x0a\x05input\x12\x0bPlaceholder" + bytes(80),
        "it is a graph of TensorFlow (.pb)",
        "tf2onnx",
    ),
    "keras": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(80), "it is a Keras file (HDF5)", "tf2onnx"),
    "lite": (lambda: b"\x1c\0\0\0TFL3" + bytes(80), "it is a TensorFlow Lite file", "tf2onnx"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(80), "it is a gzip archive", "unpack it"),
    "rar": (lambda: b"Rar!\x1a\x07" + bytes(80), "it is a RAR archive", "unpack it"),
    "tar": (tarred, "it is a tar archive", "unpack it"),
    "zip": (lambda: zipped(a__net_dot_pth=b"x"), "it is a zip archive", "unpack it"),
    "broken zip": (lambda: saved(weights())[:2000], "it is a damaged archive", "download it again"),
    "picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(80), "it is a picture", "the file of the net"),
    "onnx": (lambda: era_net(17, 8).SerializeToString(), "it is an ONNX file", "ends in .onnx"),
    "optimizer": (
        lambda: saved({"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1}]}),
        "it is the state of an optimizer",
        "the model's state_dict",
    ),
    "two nets": (
        lambda: saved({"net_a": weights(), "net_b": weights()}),
        "it holds several sets of weights (net_a, net_b)",
        "save the one that paints",
    ),
    "numbers": (lambda: saved({"loss": 1.5}), "found other things (loss)", "net.state_dict()"),
    "no tensors": (lambda: saved([1, 2]), "found a list", "net.state_dict()"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_file_of_weights_is_named_with_a_remedy(tmp_path: Path, case: str) -> None:
    make, found, remedy = CASES[case]
    result = bring(tmp_path / "net.pth", make())
    assert result.exit_code == 5, result.output
    assert len(result.output.splitlines()) == 1
    assert result.output.startswith("rtstyle: net.pth is refused: ")
    assert found in result.output
    assert remedy in result.output
    assert "Error)" not in result.output
    assert not user_folder().is_dir() or list(user_folder().iterdir()) == []


@pytest.mark.parametrize("case", ["empty", "pointer", "page", "json", "gzip", "keras", "script"])
def test_what_is_no_onnx_file_is_named_too(tmp_path: Path, case: str) -> None:
    make, found, _ = CASES[case]
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    for line in (
        ["styles", "import", str(tmp_path / "net.onnx"), "--as", "t"],
        [
            "image",
            str(tmp_path / "x.png"),
            "-o",
            str(tmp_path / "o.png"),
            "--style",
            str(tmp_path / "net.onnx"),
        ],
    ):
        (tmp_path / "net.onnx").write_bytes(make())
        result = CliRunner().invoke(main, line)
        assert result.exit_code == 5, result.output
        assert found in result.output


def test_weights_by_an_onnx_name_are_sent_to_the_import(tmp_path: Path) -> None:
    result = bring(tmp_path / "net.onnx", saved(weights()))
    assert result.exit_code == 5
    assert "rtstyle styles import FILE.pth" in result.output


def test_a_net_of_floats_given_as_a_style_is_sent_to_the_import(tmp_path: Path) -> None:
    onnx.save(era_net(17, 8), str(tmp_path / "plain.onnx"))
    clip = make_clip(tmp_path / "a.mp4", frames=2)
    line = ["video", str(clip), "-o", str(tmp_path / "o.mp4")]
    result = CliRunner().invoke(main, [*line, "--style", str(tmp_path / "plain.onnx")])
    assert result.exit_code == 5
    assert result.stderr.rstrip().endswith("imported first: rtstyle styles import plain.onnx")
    assert not (tmp_path / "o.mp4").exists()


def test_a_saved_model_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"\x08\x01")
    result = CliRunner().invoke(main, ["styles", "import", str(tmp_path / "model"), "--as", "t"])
    assert result.exit_code == 5
    assert "it is a TensorFlow SavedModel; convert it to ONNX" in result.output


def optimizer() -> dict[str, Any]:
    return {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-3}]}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"epoch": 3, "model_state_dict": s, "optimizer_state_dict": optimizer()},
        lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}, "loss": 1.5},
        lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}, "hyper": {"lr": 1}},
        lambda s: {"my_own_name": s, "optimizer": optimizer(), "step": 7},
        lambda s: {"model": {"state_dict": s, "name": "x"}, "optimizer": optimizer()},
        lambda s: {"G": s, "D": {"other.weight": torch.zeros(4)}},
        lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
        lambda s: collections.OrderedDict(s),
    ],
)
def test_the_weights_in_a_checkpoint_of_a_training_script_are_found(
    wrap: Callable[[dict[str, torch.Tensor]], Any],
) -> None:
    found = read_tensors(saved(wrap(weights())), "net.pth")
    assert found.keys() == weights().keys()
    assert all(torch.equal(found[key], value) for key, value in weights().items())


def test_a_checkpoint_as_the_tutorial_saves_it_is_imported(tmp_path: Path) -> None:
    whole = {"epoch": 3, "model_state_dict": weights(), "optimizer_state_dict": optimizer()}
    result = bring(tmp_path / "net.pth", saved(whole))
    assert result.exit_code == 0, result.output
    assert "pytorch/examples TransformerNet" in result.output


def test_safetensors_by_another_name_are_read() -> None:
    from safetensors.torch import save

    data = save(weights())
    assert read_tensors(data, "net.pth").keys() == weights().keys()
    assert "it is a file of weights (safetensors)" in (other_kind(data, onnx=True) or "")


def test_nothing_in_a_pickle_is_called(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.write_text, (tmp_path / "called", "x"))

    for data in (pickle.dumps(Evil()), saved({"a": np.zeros(2)}), pickle.dumps(Evil(), 2)):
        result = bring(tmp_path / "net.pth", data)
        assert result.exit_code == 5, result.output
        assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "called").exists()
