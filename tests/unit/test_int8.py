"""Styles in 8-bit whole numbers: calibrated on photos, refused where it would be seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from rtstyle.backends import ProcessorFeatures, Stylizer, calibrate, load_stylizer
from rtstyle.backends.int8 import _grid, measure_activations
from rtstyle.backends.openvino import choose_precision
from rtstyle.backends.processor import parse_cpuinfo
from rtstyle.cli.main import main
from rtstyle.cli.sample import sample_picture
from rtstyle.errors import BackendUnavailable, HashMismatch, InputError, ModelError
from rtstyle.media import write_image
from rtstyle.pipeline import calibrate_pack
from rtstyle.styles import StyleSpec, add_calibration, bundled_styles, load_pack, psnr
from rtstyle.types import Pixels
from tests.clips import moving_picture
from tests.nets import conv_net, make_pack

PICTURES = [moving_picture((96, 64), index) for index in range(8)]


def in_int8(spec: StyleSpec) -> Stylizer:
    return load_stylizer(spec, backend="openvino", precision="int8")


@pytest.fixture
def style(tmp_path: Path) -> StyleSpec:
    return load_pack(make_pack(tmp_path / "pack", "small", conv_net()))


def test_a_calibrated_style_paints_the_same_and_not_by_float32(style: StyleSpec) -> None:
    calibration = calibrate(style, PICTURES)
    found = add_calibration(style, calibration.activations, calibration.psnr_int8_db)
    assert set(found.activations) == {"planes", "active"}
    unseen = moving_picture((120, 90), 30)
    with (
        load_stylizer(found, backend="openvino", precision="fp32") as exact,
        in_int8(found) as quantized,
    ):
        assert quantized.info.precision == "int8"
        one, other = exact(unseen[None])[0], quantized(unseen[None])[0]
    assert psnr(one, other) >= 40
    assert not np.array_equal(one, other), "no convolution was quantized"


@pytest.mark.parametrize(("low", "high"), [(0, 6), (-1, 1), (-0.001, 20), (-30, 0), (-3.3, 17.1)])
def test_zero_is_on_a_level_and_the_range_is_held(low: float, high: float) -> None:
    least, most = _grid(low, high)
    step = (most - least) / 255
    assert least <= low + 1e-9 and most >= high - 1e-9
    assert least / step == pytest.approx(round(least / step), abs=1e-6)
    assert most - least <= 1.02 * (high - low) + 2 * step


def test_a_few_outliers_do_not_widen_a_range(style: StyleSpec) -> None:
    calm = np.full((600, 600, 3), 100, np.uint8)
    calm[:300] = 120
    calm[0, 0] = 255
    low, high = measure_activations(style.file.read_bytes(), [calm])["planes"]
    assert low == 0 and high == pytest.approx(120 / 255)


def scaled_channels() -> bytes:
    """One channel a thousand times the others, scaled back: 256 levels are too few for both."""
    model = onnx.load_from_string(conv_net(channels=3))
    names = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type in ("InstanceNormalization", "Relu"):
            model.graph.node.remove(node)
        elif node.op_type == "Pad" and node.input[0] == "active":
            node.input[0] = "features"
    first = np.zeros((3, 3, 3, 3), np.float32)
    second = np.zeros((3, 3, 3, 3), np.float32)
    for channel, scale in enumerate((1.0, 1000.0, 1.0)):
        first[channel, channel, 1, 1], second[channel, channel, 1, 1] = scale, 1 / scale
    for name, values in (("weight0", first), ("weight1", second)):
        names[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
    for name in ("bias0", "bias1"):
        names[name].CopyFrom(onnx.numpy_helper.from_array(np.zeros(3, np.float32), name))
    data: bytes = model.SerializeToString()
    return data


def test_a_style_that_would_suffer_is_refused_and_its_card_stays(tmp_path: Path) -> None:
    style = load_pack(make_pack(tmp_path / "pack", "steep", scaled_channels()))
    before = (tmp_path / "pack" / "style.json").read_text()
    photos = tmp_path / "photos"
    photos.mkdir()
    for index, picture in enumerate(PICTURES):
        write_image(photos / f"{index}.png", picture)
    with pytest.raises(ModelError, match="does not suit int8"):
        calibrate_pack(style, photos)
    assert (tmp_path / "pack" / "style.json").read_text() == before


def test_int8_is_refused_for_a_style_without_ranges_and_for_another_backend(
    style: StyleSpec,
) -> None:
    with pytest.raises(BackendUnavailable, match="styles calibrate"):
        in_int8(style)
    with pytest.raises(BackendUnavailable, match="fp32"):
        load_stylizer(style, backend="onnxruntime", precision="int8")


def test_ranges_of_another_graph_are_refused(style: StyleSpec) -> None:
    with pytest.raises(ModelError, match="of another graph"):
        in_int8(replace(style, activations={"elsewhere": (0.0, 1.0)}))


NONE = dict.fromkeys(("avx2", "avx512", "avx512_bf16", "amx_bf16", "vnni"), False)


@pytest.mark.parametrize(
    ("known", "int8_db", "taken"),
    [
        ({"vnni": True}, 44.0, "int8"),
        ({"vnni": True}, 39.9, "fp32"),
        ({"vnni": True}, None, "fp32"),
        ({"vnni": False}, 44.0, "fp32"),
        ({"vnni": None}, 44.0, "fp32"),
        ({"vnni": True, "amx_bf16": True}, 44.0, "bf16"),
    ],
)
def test_auto_takes_int8_where_it_is_quick_and_not_seen(
    known: dict[str, bool | None], int8_db: float | None, taken: str
) -> None:
    features = ProcessorFeatures(model="a processor", cores=2, **{**NONE, **known})
    offered = ("fp32", "bf16", "int8")
    assert choose_precision("auto", offered, features, int8_db=int8_db)[0] == taken


def card_of(style: StyleSpec) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((style.file.parent / "style.json").read_text())
    return card


@pytest.mark.parametrize(
    "activations",
    [
        [],
        {"planes": 1},
        {"planes": [0, 1, 2]},
        {"planes": [0, "1"]},
        {"planes": [0, True]},
        {"planes": [1, 2]},
        {"planes": [0, 0]},
        {"planes": [0, 1e999]},
        {str(n): [0, 1] for n in range(501)},
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_card_with_other_ranges_is_refused(style: StyleSpec, activations: object) -> None:
    card = {**card_of(style), "activations": activations}
    (style.file.parent / "style.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"activations|Infinity"):
        load_pack(style.file.parent)


def test_a_changed_model_is_not_calibrated(style: StyleSpec) -> None:
    style.file.write_bytes(conv_net(seed=2))
    with pytest.raises(HashMismatch):
        add_calibration(style, {"planes": (0.0, 1.0)}, 44.0)


def test_the_command_notes_it_on_the_card(style: StyleSpec, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    for index, picture in enumerate(PICTURES):
        write_image(photos / "more" / f"{index}.png", picture)
    folder = str(style.file.parent)
    args = ["styles", "calibrate", folder, "--photos", str(photos)]
    result = CliRunner().invoke(main, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "dB against float32 on 8 photos" in result.output
    found = load_pack(folder)
    assert found.activations["planes"][1] == pytest.approx(1.0, abs=0.1)
    assert found.measured["psnr_int8_db"] >= 40
    assert found.sha256 == style.sha256
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="at least 2"):
        calibrate_pack(style, empty)


def test_bundled_styles_are_calibrated_already() -> None:
    args = ["styles", "calibrate", "great-wave", "--photos", "."]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert "calibrated already" in result.output


@pytest.mark.parametrize("spec", bundled_styles(), ids=lambda spec: spec.name)
def test_bundled_styles_in_int8_look_like_themselves(spec: StyleSpec) -> None:
    assert spec.measured["psnr_int8_db"] >= 40
    scene: Pixels = np.ascontiguousarray(sample_picture()[:240:, :320])
    flat = np.full((64, 64, 3), 128, np.uint8)
    with (
        load_stylizer(spec, backend="openvino", precision="fp32") as exact,
        in_int8(spec) as quantized,
    ):
        assert psnr(exact(scene[None])[0], quantized(scene[None])[0]) >= 35
        for picture in (flat, flat // 2):
            one, other = exact(picture[None])[0].astype(int), quantized(picture[None])[0]
            assert np.abs(one - other).mean() < 4


def test_where_nobody_tells_the_units_int8_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows; what comes of it depends on the processor, but both are right."""
    unknown = parse_cpuinfo("", cores=2)
    assert unknown.vnni is None
    monkeypatch.setattr("rtstyle.backends.openvino.processor_features", lambda: unknown)
    monkeypatch.setattr("rtstyle.backends.openvino._precisions", lambda core: ("fp32", "int8"))
    style = bundled_styles()[0]
    for seconds, taken in ((1.0, "fp32"), (0.1, "int8")):
        # The second kind of net takes this long, the first a second.
        took = iter([1.0] * 5 + [seconds] * 5)
        monkeypatch.setattr("rtstyle.backends.openvino._timed", lambda *_, took=took: next(took))
        with load_stylizer(style, backend="openvino") as stylizer:
            assert stylizer.info.precision == taken
    broken = replace(style, activations={"elsewhere": (0.0, 1.0)})
    with load_stylizer(broken, backend="openvino") as stylizer:
        assert stylizer.info.precision == "fp32"
