"""ONNX nets of one size, slow ones, and what the card of an import measures."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import helper, numpy_helper

from rtstyle.backends import load_stylizer
from rtstyle.cli.main import main
from rtstyle.cli.sample import sample_picture
from rtstyle.errors import UnsafeModel
from rtstyle.importers import confined, converted
from rtstyle.importers import measure as measuring
from rtstyle.importers.confined import Confinement, RunError
from rtstyle.importers.measure import measure
from rtstyle.importers.unfix import unfix
from rtstyle.styles import SizeRule, find_style, user_folder
from rtstyle.types import Size
from tests.foreign import (
    SIDE,
    bound_net,
    counting_net,
    doubling_net,
    fixed_net,
    model_of,
    slow_net,
)
from tests.nets import build, conv_net, identity_net

UNIT = ("--range", "0..1", "--output-range", "0..1", "--order", "rgb")
"""These nets paint nothing that a range could be told from."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_SIZE", Size(96, 64))
    monkeypatch.setattr(converted, "_PARITY_SIZE", Size(96, 64))


def bring(file: Path, model: onnx.ModelProto | bytes, *flags: str) -> Result:
    file.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return CliRunner().invoke(main, ["styles", "import", str(file), *flags])


def left() -> list[Path]:
    return list(user_folder().iterdir()) if user_folder().is_dir() else []


def test_a_net_of_one_size_is_freed_and_says_so(tmp_path: Path) -> None:
    result = bring(tmp_path / "fixed.onnx", fixed_net(), *UNIT)
    assert result.exit_code == 0, result.output
    assert "note: the file declares pictures of 64x64 alone" in result.output
    spec = find_style("fixed")
    assert "declared for 64x64 alone and freed" in spec.source
    assert spec.size_rule.multiple_of == 2
    assert spec.measured["max_difference_fp32"] <= 1
    picture = sample_picture()
    with load_stylizer(spec, backend="onnxruntime") as stylizer:
        got = stylizer(picture[None, 100:223, 100:301])[0].astype(float)
    ratio = got.mean(axis=(0, 1)) / picture[100:223, 100:301].mean(axis=(0, 1))
    assert ratio[0] == pytest.approx(ratio[1] / 2, rel=0.15)


@pytest.mark.parametrize(("place", "number"), [("whole", 0), ("axes", 9), ("grouped", 0)])
def test_a_graph_of_senseless_numbers_stays_as_it_is(place: str, number: int) -> None:
    net = fixed_net()
    tensor = next(t for t in net.graph.initializer if t.name == place)
    lengths = numpy_helper.to_array(tensor).copy()
    lengths[-1] = number
    tensor.CopyFrom(numpy_helper.from_array(lengths, place))
    before = net.SerializeToString()
    if unfix(net) == 0:
        assert net.SerializeToString() == before


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (bound_net, f"runs at {SIDE}x{SIDE} only"),
        (counting_net, f"paints otherwise at sizes other than {SIDE}x{SIDE}"),
        (doubling_net, "expected a picture as large as the one it was given"),
    ],
)
def test_what_cannot_be_freed_is_refused(
    tmp_path: Path, net: Callable[[], onnx.ModelProto], words: str
) -> None:
    result = bring(tmp_path / "bound.onnx", net(), *UNIT)
    assert result.exit_code == 5, result.output
    assert len(result.output.splitlines()) == 1
    assert words in result.output
    assert left() == []


def test_a_net_that_takes_minutes_is_ended_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "RUN_SECONDS", 0.2)
    monkeypatch.setattr(confined, "OPEN_SECONDS", 600.0)
    monkeypatch.setattr(confined, "TOTAL_SECONDS", 1200.0)
    result = bring(tmp_path / "slow.onnx", slow_net())
    assert result.exit_code == 5, result.output
    assert len(result.output.splitlines()) == 1
    assert "takes more than 0.2 s for a picture of" in result.output
    assert multiprocessing.active_children() == []
    assert left() == []


def test_all_time_together_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "TOTAL_SECONDS", 0.0)
    result = bring(tmp_path / "net.onnx", doubling_net())
    assert result.exit_code == 5
    assert "takes more than 0 s to be looked at" in result.output
    assert left() == []


def test_a_process_that_dies_is_a_refusal() -> None:
    with Confinement("net.onnx") as confinement:
        session = confinement.open(identity_net())
        (process,) = multiprocessing.active_children()
        process.kill()
        with pytest.raises(UnsafeModel, match=r"net\.onnx is refused: the process .* died"):
            session.run(None, {"frame": np.zeros((1, 8, 8, 3), np.uint8)})
    assert multiprocessing.active_children() == []


def test_a_confined_graph_gives_what_it_should_and_survives_wrong_food() -> None:
    picture = sample_picture()[None, :40, :50]
    with Confinement("net.onnx") as confinement:
        session = confinement.open(identity_net())
        with pytest.raises(RunError):
            session.run(None, {"frame": np.zeros((1, 8, 8, 3), np.float32)})
        with pytest.raises(RunError):
            confinement.open(b"no graph")
        (got,) = session.run(["stylized"], {"frame": picture})
    assert np.array_equal(got, picture)


def test_a_steady_net_flickers_as_much_as_its_source() -> None:
    with Confinement("net.onnx") as confinement:
        found = measure(confinement, identity_net(), SizeRule(), sample_picture())
    # Two frames of noise of 2/255 differ by twice its variance, rounding to bytes aside.
    assert found["pan_warping_error_source"] == pytest.approx(2 * (2 / 255) ** 2, rel=0.1)
    assert found["pan_warping_error"] == found["pan_warping_error_source"]
    assert (found["psnr_bf16_db"], found["psnr_fp16_db"], found["gmac_640x360"]) == (100, 100, 0)


def test_coarser_numbers_and_cost_are_measured() -> None:
    with Confinement("net.onnx") as confinement:
        found = measure(confinement, conv_net(channels=8), SizeRule(4), sample_picture())
    assert 20 < found["psnr_bf16_db"] < found["psnr_fp16_db"] < 100
    assert found["pan_warping_error"] > found["pan_warping_error_source"]
    assert found["gmac_640x360"] == pytest.approx(640 * 360 * 2 * 8 * 3 * 9 / 1e9, abs=0.05)


def test_a_net_whose_numbers_overflow_in_half_is_told_of(tmp_path: Path) -> None:
    eye = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    nodes = [
        helper.make_node("Conv", ["x", "large"], ["sum"]),
        helper.make_node("Conv", ["sum", "little"], ["y"]),
    ]
    constants: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {
        "large": eye * np.float32(2**20),
        "little": eye * np.float32(2**-20),
    }
    net = model_of(nodes, constants, shape=[1, 3, "h", "w"])
    result = bring(tmp_path / "net.onnx", net, "--range", "0..255", "--output-range", "0..255")
    assert result.exit_code == 0, result.output
    assert "note: fp16 has " in result.output
    assert "--precision fp32" in result.output
    assert "flicker:" in result.output
    assert find_style("net").measured["psnr_fp16_db"] < 40


def test_cartoon_flags_are_not_for_onnx(tmp_path: Path) -> None:
    result = bring(tmp_path / "net.onnx", doubling_net(), "--align-corners")
    assert result.exit_code == 2
    assert "--align-corners" in result.output


def test_a_net_of_our_own_contract_is_taken_as_well(tmp_path: Path) -> None:
    """An exported pack's graph, given as a file, takes bytes already."""
    result = bring(
        tmp_path / "ours.onnx", build([helper.make_node("Identity", ["frame"], ["stylized"])])
    )
    assert result.exit_code == 0, result.output
    assert find_style("ours").measured["max_difference_fp32"] <= 1
