"""Checkpoints of others: AnimeGANv2, CartoonGAN, and TensorFlow's."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner, Result

from rtstyle.backends import load_stylizer
from rtstyle.cli.main import main
from rtstyle.cli.sample import sample_picture
from rtstyle.importers import converted
from rtstyle.importers import measure as measuring
from rtstyle.importers.places import tensorflow_prefix
from rtstyle.importers.tensors import read_tensorflow, read_tensors
from rtstyle.nets.cartoongan import CartoonGenerator, rgb_kernels
from rtstyle.nets.foreign import LengstromNet, TransformerNet
from rtstyle.styles import find_style, user_folder
from rtstyle.types import Pixels, Size
from tests.published import animegan_painting, animegan_state

Floats = npt.NDArray[np.float32]
ONE = np.ones(1, np.float32)
PICTURE = sample_picture()[200:264, 300:396]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_SIZE", Size(96, 64))
    monkeypatch.setattr(converted, "_PARITY_SIZE", Size(96, 64))


def bring(file: Path, *flags: str) -> Result:
    return CliRunner().invoke(main, ["styles", "import", str(file), *flags])


def left() -> list[Path]:
    return list(user_folder().iterdir()) if user_folder().is_dir() else []


def stylized(name: str) -> Pixels:
    with load_stylizer(find_style(name), backend="onnxruntime") as stylizer:
        painted: Pixels = stylizer(PICTURE[None])[0]
    return painted


def painted_by(net: Callable[[torch.Tensor], torch.Tensor]) -> Pixels:
    """What ``net`` of [-1, 1] makes of PICTURE, as bytes."""
    planes = torch.from_numpy(PICTURE.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        rows = net(planes)[0].permute(1, 2, 0)
    painted: Pixels = ((rows + 1) * 127.5).clamp(0, 255).round().byte().numpy()
    return painted


def apart(a: Pixels, b: Pixels) -> int:
    return int(np.abs(a.astype(int) - b).max())


def test_animegan_paints_as_the_port_does_with_corners_aligned_or_not(tmp_path: Path) -> None:
    state = animegan_state()
    assert len(state) == 77
    torch.save(state, tmp_path / "paint.pt")
    first = bring(tmp_path / "paint.pt", "--as", "aligned")
    assert first.exit_code == 0, first.output
    assert "align_corners True" in find_style("aligned").source
    assert "--no-align-corners" in first.output  # the default is told of, and the other way
    second = bring(tmp_path / "paint.pt", "--as", "free", "--no-align-corners")
    assert second.exit_code == 0, second.output
    assert "align_corners False" in find_style("free").source
    assert "note:" not in second.output
    for name, aligned in (("aligned", True), ("free", False)):
        expected = painted_by(partial(animegan_painting, state, align_corners=aligned))
        assert apart(stylized(name), expected) <= 1
        assert find_style(name).measured["max_difference_fp32"] <= 1
        assert find_style(name).family == "animegan"
    assert apart(stylized("aligned"), stylized("free")) > 1


def test_corners_are_of_animegan_alone(tmp_path: Path) -> None:
    torch.save(TransformerNet(4).state_dict(), tmp_path / "net.pth")
    result = bring(tmp_path / "net.pth", "--align-corners")
    assert result.exit_code == 2
    assert "--align-corners is for AnimeGANv2" in result.output
    assert left() == []


def test_cartoongan_weights_of_opencv_order_paint_as_their_net(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = CartoonGenerator(4).state_dict()
    torch.save(state, tmp_path / "cartoon.pth")
    assert bring(tmp_path / "cartoon.pth").exit_code == 0
    net = CartoonGenerator(4)
    net.load_state_dict(rgb_kernels(state))
    assert apart(stylized("cartoon"), painted_by(net.eval())) <= 1


def variables() -> dict[str, Floats]:
    """A narrow lengstrom net's, under the names and in the layout of TensorFlow."""
    torch.manual_seed(0)
    found: dict[str, Floats] = {}
    for number, value in enumerate(LengstromNet(4).state_dict().values()):
        tensor = value if value.ndim == 1 else torch.randn(value.shape) * 0.1
        rows = tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor
        found[f"Variable_{number}" if number else "Variable"] = rows.contiguous().numpy()
    return found


class StandIn:
    """As much of the package tensorflow as reads a checkpoint, for this process and its children.

    A module of that name in a folder of its own, which holds the tensors in a file beside it.
    """

    def __init__(self, folder: Path, held: dict[str, Floats]) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "tensorflow.py").write_text(STAND_IN, encoding="utf-8")
        self.hold(held)

    def hold(self, held: dict[str, Floats]) -> None:
        """Give these from now on."""
        np.savez(self._folder / "held.npz", **held)  # type: ignore[arg-type]

    @property
    def asked(self) -> list[str]:
        """The prefixes that were asked for."""
        log = self._folder / "asked.txt"
        return log.read_text(encoding="utf-8").splitlines() if log.is_file() else []


STAND_IN = """
from pathlib import Path
from types import SimpleNamespace
import numpy as np

HERE = Path(__file__).parent


def load_checkpoint(prefix):
    with (HERE / "asked.txt").open("a") as log:
        log.write(prefix + "\\n")
    if Path(prefix + ".index").is_file() and Path(prefix + ".index").stat().st_size < 3:
        raise RuntimeError("DataLossError")
    held = dict(np.load(HERE / "held.npz"))
    return SimpleNamespace(
        get_variable_to_shape_map=lambda: {k: list(v.shape) for k, v in held.items()},
        get_tensor=lambda key: held[key],
    )


train = SimpleNamespace(load_checkpoint=load_checkpoint)
"""


@pytest.fixture
def tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    held = variables()
    extra = {f"{k}/Adam": v for k, v in held.items()} | {"beta1_power": np.zeros((), np.float32)}
    module = StandIn(tmp_path / "stand-in", {**extra, **held})
    # Handed on to processes that are spawned, as all of sys.path is.
    monkeypatch.syspath_prepend(tmp_path / "stand-in")
    sys.modules.pop("tensorflow", None)
    yield module
    sys.modules.pop("tensorflow", None)


def checkpoint(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "checkpoint").write_text('model_checkpoint_path: "../../elsewhere"\n')
    for end in ("index", "meta", "data-00000-of-00001"):
        # As large as what the stand-in gives: TensorFlow keeps every number as it is.
        (folder / f"fns.ckpt.{end}").write_bytes(b"table" * 40_000)
    return folder / "fns.ckpt"


def test_a_tensorflow_checkpoint_is_found_however_it_is_named(tmp_path: Path) -> None:
    prefix = checkpoint(tmp_path / "run")
    old = tmp_path / "single" / "old.ckpt"
    old.parent.mkdir()
    old.write_bytes(b"any" + (0xDB4775248B80FB57).to_bytes(8, "little"))
    for asked in (prefix.parent, prefix, Path(f"{prefix}.index"), Path(f"{prefix}.meta")):
        assert tensorflow_prefix(asked) == prefix
    assert tensorflow_prefix(Path(f"{prefix}.data-00000-of-00001")) == prefix
    assert tensorflow_prefix(old) == old
    assert tensorflow_prefix(old.parent) == old
    (tmp_path / "torch.ckpt").write_bytes(b"PK")
    for other in ("torch.ckpt", "nothing.ckpt", "nothing.pth"):
        assert tensorflow_prefix(tmp_path / other) is None
    (tmp_path / "empty").mkdir()
    assert tensorflow_prefix(tmp_path / "empty") is None


def test_variables_are_read_less_the_optimizers(tmp_path: Path, tensorflow: StandIn) -> None:
    prefix = checkpoint(tmp_path / "run")
    state, digest = read_tensorflow(prefix)
    assert tensorflow.asked == [str(prefix)]
    assert state.keys() == variables().keys()
    Path(f"{prefix}.index").write_bytes(b"tables")
    assert read_tensorflow(prefix)[1] != digest
    stream = io.BytesIO()
    np.savez(stream, **{f"{k}:0": v for k, v in {**variables(), "beta1_power": ONE}.items()})  # type: ignore[arg-type]
    same = read_tensors(stream.getvalue(), "same.npz")
    assert same.keys() == state.keys()
    assert all(torch.equal(same[key], state[key]) for key in state)


def test_a_tensorflow_checkpoint_becomes_a_style(tmp_path: Path, tensorflow: StandIn) -> None:
    result = bring(checkpoint(tmp_path / "run").parent, "--as", "wave")
    assert result.exit_code == 0, result.output
    assert "lengstrom/fast-style-transfer" in find_style("wave").source
    net = LengstromNet(4)
    kernels = (v.transpose(3, 2, 0, 1) if v.ndim == 4 else v for v in variables().values())
    tensors = (torch.from_numpy(np.ascontiguousarray(v)) for v in kernels)
    net.load_state_dict(dict(zip(net.state_dict(), tensors, strict=True)))
    expected = painted_by(lambda x: net((x + 1) * 127.5) / 127.5 - 1)
    assert apart(stylized("wave"), expected) <= 1


def test_without_tensorflow_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    result = bring(checkpoint(tmp_path / "run"), "--as", "wave")
    assert result.exit_code == 5
    assert len(result.output.splitlines()) == 1
    assert "pip install tensorflow" in result.output
    assert "npz" in result.output
    assert left() == []


def test_bad_tensorflow_checkpoints_are_refused(tmp_path: Path, tensorflow: StandIn) -> None:
    prefix = checkpoint(tmp_path / "run")
    Path(f"{prefix}.index").write_bytes(b"")
    others = checkpoint(tmp_path / "others")
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    results = [bring(prefix, "--as", "a"), bring(lonely, "--as", "b")]
    tensorflow.hold({"G_MODEL/A/Conv/weights": np.ones((3, 3), np.float32)})
    results.append(bring(others, "--as", "c"))
    tensorflow.hold({"Variable": np.ones((3, 3), np.float32)})
    results.append(bring(others, "--as", "d"))
    for result in results:
        assert result.exit_code == 5, result.output
        assert len(result.output.splitlines()) == 1
    assert left() == []
