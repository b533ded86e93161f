"""Which backend is taken, what is said of it, and what is said when there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from rtstyle.backends import (
    BACKENDS,
    PRECISIONS,
    ProcessorFeatures,
    available_backends,
    load_stylizer,
    onnxruntime,
)
from rtstyle.backends.openvino import choose_precision
from rtstyle.errors import (
    BackendOutOfMemory,
    BackendUnavailable,
    HashMismatch,
    ModelError,
    UnsafeModel,
    UsageError,
)
from rtstyle.runtimes import import_onnxruntime
from rtstyle.styles import StyleSpec, find_style
from rtstyle.types import Pixels
from tests.nets import conv_net, invert_net, make_pack

PIP = r'pip install "rtstyle\[cpu\]"'


@pytest.fixture
def style(tmp_path: Path) -> StyleSpec:
    return find_style(make_pack(tmp_path / "pack", "invert", invert_net()))


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make ``packages`` look as if they were not installed."""
    from importlib import metadata

    real = metadata.version

    def version(name: str) -> str:
        if name in packages:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)


def features(**known: bool | None) -> ProcessorFeatures:
    none: dict[str, bool | None] = {
        "avx2": False,
        "avx512": False,
        "avx512_bf16": False,
        "amx_bf16": False,
        "vnni": False,
    }
    return ProcessorFeatures(model="a processor", cores=2, **{**none, **known})


@pytest.mark.parametrize(
    ("options", "word"),
    [({"backend": "tensorflow"}, "tensorflow"), ({"precision": "int4"}, "int4")],
)
def test_unknown_options_are_refused_with_the_known_ones(
    style: StyleSpec, options: dict[str, str], word: str
) -> None:
    with pytest.raises(UsageError, match=f"{word}.*auto"):
        load_stylizer(style, **options)  # type: ignore[arg-type]


def test_threads_below_one_are_refused(style: StyleSpec) -> None:
    with pytest.raises(UsageError, match="threads"):
        load_stylizer(style, threads=0)


def test_auto_takes_openvino_where_it_is_and_says_why(style: StyleSpec) -> None:
    with load_stylizer(style) as stylizer:
        info = stylizer.info
    assert (info.name, info.requested) == ("openvino", "auto/auto")
    assert "processor" in info.reason or "OpenVINO" in info.reason


def test_auto_without_openvino_takes_onnxruntime_and_says_why(
    style: StyleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "openvino")
    with load_stylizer(style) as stylizer:
        info = stylizer.info
        assert (stylizer(np.zeros((1, 4, 4, 3), np.uint8)) == 255).all()
    assert (info.name, info.precision) == ("onnxruntime", "fp32")
    assert "OpenVINO is not installed" in info.reason


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_missing_backend_that_was_asked_for_is_refused_with_the_pip_line(
    style: StyleSpec, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    hide(monkeypatch, backend)
    with pytest.raises(BackendUnavailable, match=PIP) as caught:
        load_stylizer(style, backend=backend)
    assert caught.value.exit_code == 6


def test_with_nothing_installed_the_pip_line_is_said_once(
    style: StyleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "openvino", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx")
    with pytest.raises(BackendUnavailable, match=f"no backend is installed.*{PIP}"):
        load_stylizer(style)
    for status in available_backends():
        assert status.version is None
        assert status.precisions == ()
        assert "not installed" in (status.problem or "")
        assert 'pip install "rtstyle[' in (status.fix or "")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_the_backend_lacks_is_refused_with_the_way_out(
    style: StyleSpec, precision: str
) -> None:
    with pytest.raises(BackendUnavailable, match=r"--precision fp32"):
        load_stylizer(style, backend="onnxruntime", precision=precision)


def test_auto_does_not_hide_why_a_precision_cannot_be_had(
    style: StyleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "openvino")
    with pytest.raises(BackendUnavailable, match="OpenVINO is not installed"):
        load_stylizer(style, precision="bf16")


@pytest.mark.parametrize(
    ("asked", "offered", "known", "taken", "word"),
    [
        ("auto", ("fp32", "bf16"), {"amx_bf16": True}, "bf16", "matrix units"),
        ("auto", ("fp32", "bf16"), {"avx512_bf16": True}, "bf16", "vector units"),
        ("auto", ("fp32", "bf16"), {}, "fp32", "no bf16 units"),
        ("auto", ("fp32",), {"avx2": True}, "fp32", "no bf16 units"),
        ("auto", ("fp32", "bf16"), {"amx_bf16": None, "avx512_bf16": None}, "bf16", "reports"),
        ("auto", ("fp32",), {"amx_bf16": None, "avx512_bf16": None}, "fp32", "has no bf16"),
        ("auto", ("fp32",), {"amx_bf16": True}, "fp32", "OpenVINO has no bf16"),
        ("fp32", ("fp32", "bf16"), {"amx_bf16": True}, "fp32", "asked for"),
        ("fp16", ("fp32", "bf16", "fp16"), {"amx_bf16": True}, "fp16", "bf16 is quicker"),
        ("fp16", ("fp32", "fp16"), {}, "fp16", "asked for"),
    ],
)
def test_precision_follows_the_processor(
    asked: str, offered: tuple[str, ...], known: dict[str, bool | None], taken: str, word: str
) -> None:
    precision, reason = choose_precision(asked, offered, features(**known))
    assert precision == taken
    assert word in reason


def test_a_precision_that_is_not_offered_names_those_that_are() -> None:
    with pytest.raises(BackendUnavailable, match=r"bf16.*--precision fp32"):
        choose_precision("bf16", ("fp32",), features())


def gpu_build(monkeypatch: pytest.MonkeyPatch, *, devices: int, providers: list[str]) -> None:
    """An onnxruntime-gpu whose sessions get ``providers`` whatever they ask for."""
    real = import_onnxruntime()

    class Session(real.InferenceSession):  # type: ignore[misc, name-defined]
        def __init__(self, data: bytes, options: object, **_: object) -> None:
            super().__init__(data, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return providers

    fake = ModuleType("onnxruntime")
    fake.__dict__.update(
        {
            **{name: getattr(real, name) for name in dir(real) if not name.startswith("__")},
            "InferenceSession": Session,
            "get_available_providers": lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        }
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    driver = SimpleNamespace(cuInit=lambda flags: 0, cuDeviceGetCount=lambda count: 0)

    def count_devices(count: object) -> int:
        count._obj.value = devices  # type: ignore[attr-defined]
        return 0

    driver.cuDeviceGetCount = count_devices

    def load(name: str) -> SimpleNamespace:
        if devices == 0:
            raise OSError(f"{name}: cannot open shared object file")
        return driver

    monkeypatch.setattr("rtstyle.backends.onnxruntime.ctypes.CDLL", load)


CUDA = ["CUDAExecutionProvider", "CPUExecutionProvider"]
CPU = ["CPUExecutionProvider"]


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_a_cuda_device_comes_first(
    style: StyleSpec, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    gpu_build(monkeypatch, devices=1, providers=CUDA)
    with load_stylizer(style, backend=backend) as stylizer:
        info = stylizer.info
    assert (info.name, info.device) == ("onnxruntime", "CUDA:0")
    assert "CUDA" in info.reason
    assert onnxruntime.status().devices == ("CUDA:0", "CPU")


def test_a_session_that_fell_back_is_not_used(
    style: StyleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_build(monkeypatch, devices=1, providers=CPU)
    with pytest.raises(BackendUnavailable, match=r"asked for CUDA.*runs on CPU"):
        onnxruntime.OnnxRuntimeStylizer(style, device="CUDA:0")
    with load_stylizer(style) as stylizer:
        info = stylizer.info
    # Which of the two is taken for a processor depends on its bf16 units.
    assert info.name in ("openvino", "onnxruntime")
    assert info.device == "CPU"
    assert "not on a GPU because" in info.reason


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_a_build_for_cuda_without_a_device_says_why_it_runs_on_the_processor(
    style: StyleSpec, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    gpu_build(monkeypatch, devices=0, providers=CPU)
    with load_stylizer(style, backend=backend) as stylizer:
        info = stylizer.info
    assert info.device == "CPU"
    assert "not on a GPU because no NVIDIA device answers" in info.reason
    status = onnxruntime.status()
    assert status.devices == ("CPU",)
    assert status.problem is not None
    assert status.fix is not None


def test_a_hollow_package_is_reported_with_its_fix(
    style: StyleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    with pytest.raises(BackendUnavailable, match="pip install --force-reinstall onnxruntime"):
        load_stylizer(style, backend="onnxruntime")
    assert "hollow" in (onnxruntime.status().problem or "")


def test_status_says_what_is_here() -> None:
    found = {status.name: status for status in available_backends()}
    assert set(found) == set(BACKENDS) - {"auto"}
    for name in ("openvino", "onnxruntime"):
        status = found[name]
        assert status.version
        assert "CPU" in status.devices
        assert "fp32" in status.precisions
        assert set(status.precisions) < set(PRECISIONS)
        assert status.problem is None


def test_the_first_precision_of_a_status_is_what_auto_takes(style: StyleSpec) -> None:
    for status in (status for status in available_backends() if status.name != "tensorrt"):
        with load_stylizer(style, backend=status.name) as stylizer:
            assert stylizer.info.precision == status.precisions[0]


@pytest.mark.parametrize("backend", ["auto", "openvino", "onnxruntime"])
def test_a_damaged_or_unsafe_style_is_refused_by_every_backend(
    tmp_path: Path, backend: str
) -> None:
    damaged = find_style(make_pack(tmp_path / "a", "a", conv_net()))
    damaged.file.write_bytes(conv_net(seed=1))
    with pytest.raises(HashMismatch):
        load_stylizer(damaged, backend=backend)
    unsafe = find_style(make_pack(tmp_path / "b", "b", b"no graph"))
    with pytest.raises(UnsafeModel):
        load_stylizer(unsafe, backend=backend)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_graph_that_the_backend_cannot_run_is_the_style_s_fault(
    tmp_path: Path, backend: str
) -> None:
    import onnx
    from onnx import helper

    from tests.nets import build

    # Valid as far as the format goes, but the two operands can never be added.
    nodes = [
        helper.make_node("Cast", ["frame"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Conv", ["floats", "weight"], ["wrong"]),
        helper.make_node("Cast", ["wrong"], ["stylized"], to=onnx.TensorProto.UINT8),
    ]
    model = build(nodes, {"weight": np.ones((3, 7, 1), np.float32)})
    folder = make_pack(tmp_path / "p", "p", model)
    with pytest.raises(ModelError) as caught:
        load_stylizer(find_style(folder), backend=backend)
    assert str(caught.value).isprintable()


def test_running_out_of_memory_is_told_apart(
    style: StyleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rtstyle.backends.base import BaseStylizer

    class Starved(BaseStylizer):
        def _run(self, batch: Pixels) -> Pixels:
            raise RuntimeError("BFCArena: Failed to allocate memory for requested buffer")

        def _release(self) -> None:
            pass

    with load_stylizer(style) as stylizer:
        starved = Starved(style, stylizer.info)
    with pytest.raises(BackendOutOfMemory, match=r"20x10.*scale the picture down"):
        starved(np.zeros((1, 10, 20, 3), np.uint8))


def test_loading_and_running_stays_quiet_offline_and_off_the_disk(tmp_path: Path) -> None:
    """No telemetry, no torch, nothing written to the home folder, nothing said."""
    folder = make_pack(tmp_path / "pack")
    home = tmp_path / "home"
    home.mkdir()
    script = f"""
import socket, sys
def refuse(*a, **k): raise AssertionError("network used")
socket.socket.connect = socket.getaddrinfo = refuse
import numpy as np
from rtstyle.backends import load_stylizer
from rtstyle.styles import find_style
for backend in ("openvino", "onnxruntime"):
    with load_stylizer(find_style({str(folder)!r}), backend=backend) as s:
        s(np.zeros((1, 9, 9, 3), np.uint8))
bad = {{"torch", "av", "cv2", "openvino_telemetry"}} & set(sys.modules)
assert not bad, bad
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"HOME": str(home), "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []


def test_other_programs_keep_openvino_s_telemetry_package(style: StyleSpec) -> None:
    with load_stylizer(style, backend="openvino"):
        assert sys.modules.get("openvino_telemetry", ModuleType("unblocked")) is not None


def test_importing_the_backends_loads_no_runtime() -> None:
    script = (
        "import sys, rtstyle.backends\n"
        "heavy = {'onnx', 'onnxruntime', 'openvino', 'tensorrt', 'tensorrt_rtx', 'cuda', 'torch',"
        " 'av', 'cv2'} & set(sys.modules)\n"
        "raise SystemExit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
