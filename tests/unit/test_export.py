from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from rtstyle.cli.main import main
from rtstyle.errors import ModelError
from rtstyle.export import (
    PackCard,
    check_parity,
    export_pack,
    multiply_accumulates,
    to_onnx,
)
from rtstyle.nets import JohnsonNet
from rtstyle.styles import EQUAL_DB, SizeRule, admit, load_pack, psnr, verify
from rtstyle.train.checkpoint import save_weights
from rtstyle.types import Pixels
from tests.features import photo_folder

RULE = SizeRule(minimum=16, multiple_of=4)
CARD = PackCard("test", "Test", "johnson", "MIT", "random weights")


@pytest.fixture(scope="module")
def net() -> JohnsonNet:
    torch.manual_seed(0)
    return JohnsonNet(4, blocks=1).eval()


@pytest.fixture(scope="module")
def model(net: JohnsonNet) -> bytes:
    return to_onnx(net, RULE)


def _pictures(*sizes: tuple[int, int]) -> list[Pixels]:
    chance = np.random.default_rng(0)
    return [chance.integers(0, 256, size=(h, w, 3), dtype=np.uint8) for h, w in sizes]


def test_the_graph_takes_and_gives_bytes_of_any_size(net: JohnsonNet, model: bytes) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for count, height, width in ((1, 16, 16), (3, 64, 48), (2, 20, 180)):
        batch = np.stack(_pictures(*[(height, width)] * count))
        got = session.run(None, {"frame": batch})[0]
        with torch.no_grad():
            x = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
            expected = (net(x) * 255).clamp(0, 255).round().permute(0, 2, 3, 1).numpy()
        assert got.dtype == np.uint8 and got.shape == batch.shape
        assert np.abs(got - expected).max() <= 1


def test_the_graph_passes_our_own_admission(model: bytes) -> None:
    admit(model, name="exported")


def test_the_graph_names_nothing_of_this_machine(model: bytes) -> None:
    assert str(Path(__file__).parents[2]).encode() not in model
    assert b"site-packages" not in model
    props = {p.key: p.value for p in onnx.load_from_string(model).metadata_props}
    assert props == {"rtstyle.minimum": "16", "rtstyle.multiple_of": "4"}


def test_parity_of_an_honest_graph(net: JohnsonNet, model: bytes) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def graph(batch: Pixels) -> Pixels:
        result: Pixels = session.run(None, {"frame": batch})[0]
        return result

    parity = check_parity(net, graph, _pictures((67, 50), (64, 80)), RULE)
    assert parity.max_difference <= 1 and parity.pictures == 2
    assert 30 < parity.psnr_bf16_db < parity.psnr_fp16_db
    parity.require()


def test_parity_catches_a_graph_that_paints_otherwise(net: JohnsonNet, tmp_path: Path) -> None:
    def upside_down(batch: Pixels) -> Pixels:
        return batch[:, ::-1]

    parity = check_parity(net, upside_down, _pictures((64, 64)), RULE)
    with pytest.raises(ModelError, match="differs from torch"):
        parity.require()


class _Fragile(nn.Module):
    """Differences of large numbers: float32 can do them, bfloat16 cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.dirac_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        raised: Tensor = self.up(x + 300.0)
        return raised - 300.0


def test_export_is_refused_where_reduced_precision_breaks_the_picture(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="bf16"):
        export_pack(
            _Fragile(), tmp_path / "pack", CARD, rule=SizeRule(16, 4), photos=_pictures((32, 32))
        )
    assert not (tmp_path / "pack").exists()


def test_export_pack_writes_what_it_measured(net: JohnsonNet, tmp_path: Path) -> None:
    spec, parity = export_pack(net, tmp_path / "pack", CARD, rule=RULE, photos=_pictures((64, 64)))
    assert load_pack(tmp_path / "pack") == spec
    assert spec.measured["psnr_bf16_db"] == round(parity.psnr_bf16_db, 1)
    assert spec.size_rule == RULE
    assert verify(spec) == spec.file.read_bytes()


def test_parity_needs_pictures(net: JohnsonNet) -> None:
    with pytest.raises(ValueError, match="at least one"):
        check_parity(net, lambda batch: batch, [], RULE)


def test_psnr_by_hand() -> None:
    black, gray = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 51, np.uint8)
    assert psnr(black, gray) == pytest.approx(10 * math.log10(25))
    assert psnr(black, black) == EQUAL_DB


def test_multiply_accumulates_by_hand() -> None:
    assert multiply_accumulates(nn.Conv2d(3, 8, 3, padding=1), 10, 20) == 8 * 27 * 200


@pytest.mark.parametrize(("width", "giga"), [(16, 9.8), (32, 36.2)])
def test_costs_of_the_bundled_widths(width: int, giga: float) -> None:
    net = JohnsonNet(width).eval()
    assert multiply_accumulates(net, 90, 160) * 16 / 1e9 == pytest.approx(giga, rel=0.02)


def test_export_command(net: JohnsonNet, tmp_path: Path) -> None:
    checkpoint = tmp_path / "net.safetensors"
    save_weights(checkpoint, net, iteration=1)
    photos = photo_folder(tmp_path / "photos", count=4)
    arguments = ["export", "onnx", str(checkpoint), "--photos", str(photos)]
    arguments += ["-o", str(tmp_path / "my-style")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert load_pack(tmp_path / "my-style").name == "my-style"
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 4 and "--overwrite" in again.output
    assert CliRunner().invoke(main, [*arguments, "--overwrite"]).exit_code == 0


def test_export_of_what_is_no_checkpoint(tmp_path: Path) -> None:
    photos = photo_folder(tmp_path / "photos", count=4)
    text = tmp_path / "net.safetensors"
    text.write_text("hello")
    for checkpoint, code in ((tmp_path / "missing.safetensors", 5), (text, 5)):
        arguments = ["export", "onnx", str(checkpoint), "--photos", str(photos)]
        result = CliRunner().invoke(main, [*arguments, "-o", str(tmp_path / "pack")])
        assert result.exit_code == code, result.output
        assert not (tmp_path / "pack").exists()
