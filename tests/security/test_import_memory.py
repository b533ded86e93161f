"""Small files of weights and graphs that claim to be large: each costs one process, and not much.

Each test crafts its file, imports it with the real command, and looks at the largest resident size
of all processes that took part.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from rtstyle.importers import child
from rtstyle.importers.checkpoint import from_checkpoint
from rtstyle.importers.confined import Confinement
from rtstyle.nets.foreign import WIDEST, LengstromNet, TransformerNet
from tests.foreign import model_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="peaks are POSIX getrusage")

MOST_BYTES = 10**9
UNIT = 1 if sys.platform == "darwin" else 1024
ROOT = Path(__file__).resolve().parents[2]
FIRST = "conv1.conv2d.weight"
Make = Callable[[Path], object]
node = helper.make_node


def safetensors(shapes: dict[str, list[int]]) -> Make:
    """A file whose tensors are of these shapes, and hold no number."""
    rows = {k: {"dtype": "F32", "shape": s, "data_offsets": [0, 0]} for k, s in shapes.items()}
    header = json.dumps(rows).encode()
    return lambda path: path.write_bytes(struct.pack("<Q", len(header)) + header)


def torch_file(tensors: dict[str, Any], *, zipped: bool = True) -> Make:
    return lambda path: torch.save(tensors, path, _use_new_zipfile_serialization=zipped)


def strided(*shape: int) -> torch.Tensor:
    """One number that stands for as many as ``shape`` has."""
    return torch.zeros(1).as_strided(shape, (0,) * len(shape))


def whole_net(width: int) -> dict[str, torch.Tensor]:
    """Every tensor of a net, all of one number."""
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in TransformerNet(width).state_dict().items()}
    return {key: strided(*shape) for key, shape in shapes.items()}


def deflated(path: Path) -> None:
    """240 MB of zeros in 230 kB."""
    plain = io.BytesIO()
    torch.save({FIRST: torch.zeros(60_000_000)}, plain)
    with zipfile.ZipFile(plain) as read, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as to:
        for entry in read.infolist():
            to.writestr(entry.filename, read.read(entry))


def array_of(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()


def claiming_npz(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{FIRST}.npy", array_of((10**6, 3, 9, 9)))


class Filled:
    def __reduce__(self) -> tuple[type, tuple[int]]:
        return bytearray, (3 * 10**9,)


def graph(nodes: list[onnx.NodeProto], constants: dict[str, npt.NDArray[np.generic]]) -> Make:
    model = model_of(nodes, constants, shape=[1, 3, "h", "w"])
    return lambda path: path.write_bytes(model.SerializeToString())


def whole(*numbers: int) -> npt.NDArray[np.int64]:
    return np.array(numbers, np.int64)


def hidden() -> Make:
    """A constant of 8 GB whose length is computed from what is in the picture."""
    nodes = [
        node("ReduceMean", ["x"], ["mean"], keepdims=0),
        node("Mul", ["mean", "zero"], ["none"]),
        node("Add", ["none", "many"], ["number"]),
        node("Cast", ["number"], ["length"], to=TensorProto.INT64),
        node("Unsqueeze", ["length", "first"], ["shape"]),
        node("ConstantOfShape", ["shape"], ["large"]),
        node("ReduceMean", ["large"], ["one"], keepdims=0),
        node("Add", ["x", "one"], ["y"]),
    ]
    zero, many = np.array(0, np.float32), np.array(2e9, np.float32)
    return graph(nodes, {"zero": zero, "many": many, "first": whole(0)})


def many_at_once() -> Make:
    """Sixty results of 900 channels each, none too large, that are all kept to the end."""
    names = [f"r{number}" for number in range(60)]
    nodes = [
        node("Concat", ["x"] * 300, ["wide"], axis=1),
        *(node("Relu", ["wide"], [name]) for name in names),
        node("Sum", names, ["sum"]),
        node("Slice", ["sum", "begin", "end", "axis"], ["y"]),
    ]
    return graph(nodes, {"begin": whole(0), "end": whole(3), "axis": whole(1)})


def doubled() -> Make:
    """Twelve times twice as many channels."""
    names = ["x", *(f"c{number}" for number in range(12))]
    nodes = [node("Concat", [a, a], [b], axis=1) for a, b in pairwise(names)]
    nodes.append(node("Slice", [names[-1], "begin", "end", "axis"], ["y"]))
    return graph(nodes, {"begin": whole(0), "end": whole(3), "axis": whole(1)})


def constant(kind: str) -> Make:
    """A tensor of 8 GB from a handful of bytes, by ``kind``."""
    given = ["one", "shape"] if kind == "Expand" else ["shape"]
    nodes = [
        node(kind, given, ["large"]),
        node("ReduceMean", ["large"], ["mean"], keepdims=0),
        node("Add", ["x", "mean"], ["y"]),
    ]
    constants: dict[str, npt.NDArray[np.generic]] = {
        "shape": whole(2_000_000_000),
        "one": np.ones(1, np.float32),
    }
    return graph(nodes, {name: constants[name] for name in given})


def resized() -> Make:
    nodes = [
        node("Resize", ["x", "", "up"], ["large"], mode="nearest"),
        node("Resize", ["large", "", "down"], ["y"], mode="nearest"),
    ]
    up = np.array([1, 1, 400, 400], np.float32)
    return graph(nodes, {"up": up, "down": (1 / up).astype(np.float32)})


FILES: dict[str, Make] = {
    # 95 bytes that made a net of 4.7 GB.
    "wide.safetensors": safetensors({FIRST: [1800, 0]}),
    "cartoon.safetensors": safetensors(
        {"conv01_1.weight": [2000, 0], "deconv03_1.weight": [0], "deconv03_1.bias": [0]}
    ),
    "lengstrom.safetensors": safetensors(
        {f"Variable_{n}" if n else "Variable": [0, 0, 0, 3000] for n in range(48)}
    ),
    "stride.pth": torch_file({FIRST: strided(4000, 3, 9, 9)}),
    "old.pth": torch_file({FIRST: strided(4000, 3, 9, 9)}, zipped=False),
    "deflated.pth": deflated,
    "filled.pth": lambda path: path.write_bytes(pickle.dumps({"a": Filled()}, 2)),
    "empty.npz": lambda path: np.savez(path, **{FIRST: np.zeros((4000, 0), np.float32)}),  # type: ignore[arg-type]
    "claims.npz": claiming_npz,
    "torch7.t7": lambda path: path.write_bytes(struct.pack("<ii", 4, 1) + b"\xff" * 200),
    "expand.onnx": constant("Expand"),
    "resize.onnx": resized(),
    "doubled.onnx": doubled(),
    "hidden.onnx": hidden(),
    "at-once.onnx": many_at_once(),
}


START = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code if code >= 0 else 128 - code)
"""
"""A peak begins with that of the process that starts one; this starts from a small one."""


def bring(file: Path, home: Path, *flags: str) -> tuple[int, str, int]:
    """Import ``file`` with the command: exit code, what it said, bytes of its largest process."""
    line = [sys.executable, "-m", "rtstyle.cli.main", "styles", "import", str(file), *flags]
    done = subprocess.run(
        [sys.executable, "-c", START, *line],
        cwd=ROOT,
        env={**os.environ, "RTSTYLE_STYLES": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    *told, most = done.stdout.splitlines(keepends=True)
    return done.returncode, "".join(told), int(most) * UNIT


@pytest.mark.parametrize("name", FILES)
def test_a_small_file_that_claims_much_is_refused_and_costs_little(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    FILES[name](file)
    assert file.stat().st_size < 700_000
    code, told, most = bring(file, tmp_path / "home", "--as", "evil")
    assert code == 5, told
    assert len(told.splitlines()) == 1
    assert "is refused" in told
    assert most < MOST_BYTES
    assert not list((tmp_path / "home").rglob("style.json"))


TENSORFLOW = """
from types import SimpleNamespace
import numpy as np

def load_checkpoint(prefix):
    return SimpleNamespace(
        get_variable_to_shape_map=lambda: {"Variable": [9, 9, 3, 50_000]},
        get_tensor=lambda key: np.zeros((9, 9, 3, 50_000), np.float32),
    )

train = SimpleNamespace(load_checkpoint=load_checkpoint)
"""


def test_a_tensorflow_checkpoint_that_claims_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorflow.py").write_text(TENSORFLOW, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))
    for end in ("index", "data-00000-of-00001"):
        (tmp_path / f"net.ckpt.{end}").write_bytes(b"table" * 10)
    code, told, most = bring(tmp_path / "net.ckpt.index", tmp_path / "home", "--as", "evil")
    assert code == 5, told
    assert len(told.splitlines()) == 1
    assert "damaged" in told
    assert most < MOST_BYTES


def test_an_honest_file_is_still_taken(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(TransformerNet(8).state_dict(), tmp_path / "net.pth")
    code, told, _ = bring(tmp_path / "net.pth", tmp_path / "home", "--as", "honest")
    assert code == 0, told
    (card,) = (tmp_path / "home").rglob("style.json")
    # What it will hold in memory stands on its card, as on the bundled ones.
    assert 20 < json.loads(card.read_text(encoding="utf-8"))["measured"]["numbers_a_pixel"] < 60


def test_a_net_that_its_file_cannot_hold_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    real = TransformerNet.__init__

    def init(self: TransformerNet, width: int = 32) -> None:
        if torch.empty(0).device.type != "meta":
            built.append(width)
        real(self, width)

    monkeypatch.setattr(TransformerNet, "__init__", init)
    picture = np.zeros((64, 64, 3), np.uint8)
    for state, size, told in (
        (whole_net(64), 10_000, "parameters in a file of 10000 bytes"),
        (whole_net(200), 10**9, "more than the 64 MB of a style"),
        ({FIRST: strided(2 * WIDEST, 3, 9, 9)}, 10**9, "width must be between 1 and"),
    ):
        with pytest.raises(Exception, match=told):
            from_checkpoint(state, "net.pth", picture, size=size)
    assert built == []


@pytest.mark.parametrize("net", [TransformerNet, LengstromNet])
@pytest.mark.parametrize("width", [0, -1, WIDEST + 1, 2**40])
def test_nets_have_a_width_that_a_net_can_have(
    net: Callable[[int], torch.nn.Module], width: int
) -> None:
    with pytest.raises(ValueError, match="width must be between"):
        net(width)


@pytest.mark.skipif(sys.platform != "linux", reason="what can be written to is bounded on Linux")
def test_what_the_bounds_miss_costs_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process itself takes no more than it may, whatever runs in it."""
    program = (
        "import sys\n"
        "from rtstyle.importers.child import allow\n"
        f"allow({100 * 2**20})\n"
        "try:\n"
        "    bytearray(300_000_000)\n"
        "except MemoryError:\n"
        "    print('bounded')\n"
        f"allow({500 * 2**20})\n"
        "print(len(bytearray(300_000_000)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["bounded", "300000000"], done
    assert child.MOST_MEMORY <= 4 * 2**30
    with Confinement("net.onnx") as confinement:
        # A process that was ended from outside is a refusal, not a crash of the caller.
        confinement._start()
        assert confinement._process is not None
        confinement._process.kill()
        with pytest.raises(Exception, match="the process that looked at it died"):
            confinement.open(b"anything")
