"""TensorRT on the stand-in of a GPU: when engines are compiled, kept, trusted, and what is said."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from rtstyle.backends import available_backends, load_stylizer, tensorrt
from rtstyle.backends.cuda import CudaError, Gpu, GpuFacts, gpu_facts
from rtstyle.backends.tensorrt import (
    TensorRtStylizer,
    choose_precision,
    profile_for,
    typed_graph,
)
from rtstyle.backends.tensorrt_engine import (
    FULL,
    RTX,
    EngineError,
    Package,
    Profile,
    architectures,
    build_engine,
    check_graph,
)
from rtstyle.errors import (
    BackendError,
    BackendOutOfMemory,
    BackendUnavailable,
    HashMismatch,
    ModelError,
)
from rtstyle.styles import SizeRule, StyleSpec, find_style
from rtstyle.types import Size
from tests.gpu import Machine, simulate_gpu
from tests.nets import build, conv_net, halving_net, identity_net, invert_net, make_pack


@pytest.fixture
def style(tmp_path: Path) -> StyleSpec:
    return find_style(make_pack(tmp_path / "pack", "invert", invert_net()))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return simulate_gpu(monkeypatch, tmp_path / "cache")


def engines(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "rtstyle" / "engines").glob("*.engine"))


def measured(style: StyleSpec, psnr: float) -> StyleSpec:
    return dataclasses.replace(style, measured={"psnr_fp16_db": psnr})


def run(style: StyleSpec, width: int = 8, height: int = 8) -> None:
    batch = np.full((1, height, width, 3), 5, np.uint8)
    with TensorRtStylizer(style) as stylizer:
        assert (stylizer(batch) == 250).all()


def test_the_second_run_takes_the_engine_of_the_first(
    machine: Machine, style: StyleSpec, tmp_path: Path
) -> None:
    run(style)
    assert len(machine.built) == 1
    run(style)
    assert len(machine.built) == 1
    assert machine.kernels_taken == 1
    assert len(engines(tmp_path)) == 2  # the engine, and its kernels compiled just in time
    assert machine.holds_nothing


@pytest.mark.parametrize("what", ["device", "architecture", "model", "precision", "version"])
def test_an_engine_is_made_for_one_of_everything(
    machine: Machine,
    style: StyleSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    run(style)
    precision = "auto"
    if what == "device":
        machine.name = "Another"
        simulate_gpu(monkeypatch, tmp_path / "cache", machine=machine)
    elif what == "architecture":
        machine.capability = (8, 6)
        simulate_gpu(monkeypatch, tmp_path / "cache", machine=machine)
    elif what == "model":
        style = find_style(make_pack(tmp_path / "other", "other", identity_net()))
    elif what == "precision":
        precision = "fp16"
    else:
        monkeypatch.setattr("tests.gpu.VERSION", "1.8")
    with TensorRtStylizer(style, precision=precision) as stylizer:
        stylizer.warm_up(Size(8, 8))
    assert len(machine.built) == 2


@pytest.mark.parametrize("harm", ["tampered", "truncated", "empty", "unsigned", "swapped"])
def test_an_engine_that_is_not_as_it_was_written_is_never_loaded(
    machine: Machine,
    style: StyleSpec,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    harm: str,
) -> None:
    run(style)
    for file in engines(tmp_path):
        data = file.read_bytes()
        if harm == "tampered":
            file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        elif harm == "truncated":
            file.write_bytes(data[: len(data) // 2])
        elif harm == "empty":
            file.write_bytes(b"")
        elif harm == "unsigned":
            file.with_suffix(".hmac").write_bytes(b"0" * 64)
        else:
            other = next(other for other in engines(tmp_path) if other != file)
            file.write_bytes(other.read_bytes())
    loaded = machine.loaded
    with caplog.at_level(logging.WARNING):
        run(style)
    assert len(machine.built) == 2
    assert machine.loaded == loaded + 1, "only the engine made just now"
    assert "not as it was written" in caplog.text
    caplog.clear()
    run(style)
    assert len(machine.built) == 2, "the new one is kept"


def test_an_engine_that_tensorrt_refuses_is_compiled_anew(
    machine: Machine, style: StyleSpec, caplog: pytest.LogCaptureFixture
) -> None:
    from rtstyle.backends.engine_cache import EngineCache, EngineKey

    class Odd(EngineCache):
        def load(self, key: EngineKey) -> bytes | None:
            return b"from another release" if key.kind == "engine" else None

    with TensorRtStylizer(style, cache=Odd()) as stylizer, caplog.at_level(logging.WARNING):
        stylizer.warm_up(Size(8, 8))
    assert "compiled anew: magic tag does not match" in caplog.text
    assert len(machine.built) == 1


def test_a_larger_picture_has_the_engine_compiled_anew_and_says_so(
    machine: Machine, style: StyleSpec, caplog: pytest.LogCaptureFixture
) -> None:
    with TensorRtStylizer(style) as stylizer, caplog.at_level(logging.WARNING):
        stylizer.warm_up(Size(640, 360))
        stylizer(np.zeros((1, 100, 80, 3), np.uint8))
        assert (len(machine.built), caplog.text) == (1, "")
        stylizer(np.zeros((1, 640, 360, 3), np.uint8))
        assert len(machine.built) == 2
        assert "360x640 is beyond the 640x360" in caplog.text
        stylizer(np.zeros((1, 360, 640, 3), np.uint8))
        assert len(machine.built) == 2, "what it took before it takes still"


def test_a_profile_is_best_at_the_size_and_reaches_no_further() -> None:
    rule = SizeRule(minimum=16, multiple_of=4)
    profile = profile_for((1, 360, 640), rule)
    assert profile == Profile((1, 16, 16), (1, 360, 640), (1, 360, 640))
    assert profile.holds((1, 16, 640))
    assert not profile.holds((2, 360, 640))
    assert not profile.holds((1, 12, 640))
    assert profile_for((1, 20, 20), rule).greatest == (1, 256, 256)
    grown = profile_for((3, 20, 20), rule, grown_from=profile)
    assert (grown.best, grown.greatest) == ((3, 20, 20), (3, 360, 640))


def test_it_says_what_runs_and_on_what(machine: Machine, style: StyleSpec) -> None:
    with load_stylizer(style, backend="tensorrt") as stylizer:
        info = stylizer.info
    assert (info.name, info.device, info.precision) == ("tensorrt-rtx", "CUDA:0", "fp32")
    assert "GeForce RTX 4070 (SM89)" in info.reason
    assert "never measured" in info.reason
    status = tensorrt.status()
    assert status.devices == ("CUDA:0",)
    assert status.precisions == ("fp16", "fp32")
    assert (status.problem, status.fix) == (None, None)


@pytest.mark.parametrize(
    ("psnr", "taken", "word"), [(52.0, "fp16", "52.0 dB"), (33.0, "fp32", "33.0 dB")]
)
def test_fp16_is_taken_where_its_export_found_it_good_enough(
    style: StyleSpec, psnr: float, taken: str, word: str
) -> None:
    precision, reason = choose_precision("auto", measured(style, psnr))
    assert precision == taken
    assert word in reason
    assert choose_precision("fp16", measured(style, 10.0))[0] == "fp16"
    with pytest.raises(BackendUnavailable, match=r"bf16.*--precision fp16 or fp32"):
        choose_precision("bf16", style)


def test_auto_takes_tensorrt_first(machine: Machine, style: StyleSpec) -> None:
    with load_stylizer(measured(style, 50.0)) as stylizer:
        info = stylizer.info
    assert (info.name, info.precision, info.requested) == ("tensorrt-rtx", "fp16", "auto/auto")
    assert machine.holds_nothing


def test_auto_goes_on_where_tensorrt_cannot_compile_and_says_why(
    machine: Machine, style: StyleSpec
) -> None:
    machine.refuses_to_build = "Could not find any implementation for node"
    with load_stylizer(style) as stylizer:
        info = stylizer.info
    assert info.name == "openvino"
    assert "not in TensorRT because" in info.reason
    assert "any implementation" in info.reason
    assert machine.holds_nothing


def test_auto_does_not_run_a_damaged_style_elsewhere(machine: Machine, tmp_path: Path) -> None:
    style = find_style(make_pack(tmp_path / "p", "p", conv_net()))
    style.file.write_bytes(conv_net(seed=1))
    with pytest.raises(HashMismatch):
        load_stylizer(style)


def test_auto_leaves_bf16_to_others_without_a_word(machine: Machine, style: StyleSpec) -> None:
    with load_stylizer(style, precision="fp32") as stylizer:
        assert stylizer.info.name == "tensorrt-rtx"
    try:
        with load_stylizer(style, precision="bf16") as stylizer:
            assert "TensorRT" not in stylizer.info.reason
    except BackendUnavailable as error:  # a processor that OpenVINO has no bf16 for
        assert "TensorRT" not in str(error)


def test_without_a_gpu_auto_says_why_it_runs_on_the_processor(
    machine: Machine, style: StyleSpec
) -> None:
    machine.devices = 0
    with load_stylizer(style) as stylizer:
        assert stylizer.info.device == "CPU"
        assert "not in TensorRT because no NVIDIA GPU answers" in stylizer.info.reason
    status = available_backends()[0]
    assert (status.name, status.version, status.devices) == (
        "tensorrt",
        "tensorrt-rtx 1.7.1.116",
        (),
    )
    assert "no NVIDIA GPU answers" in (status.problem or "")
    assert "driver" in (status.fix or "")


def test_without_the_package_auto_says_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, style: StyleSpec, tmp_path: Path
) -> None:
    simulate_gpu(monkeypatch, tmp_path / "cache", "no such package")
    with load_stylizer(style) as stylizer:
        assert "TensorRT" not in stylizer.info.reason
    with pytest.raises(BackendUnavailable, match=r'not installed; pip install "rtstyle\[rtx\]"'):
        load_stylizer(style, backend="tensorrt")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ({"driver": 0}, "no NVIDIA driver answers; install"),
        ({"driver": 12040}, r'CUDA 12.4.*13.5; update the driver, or .*"cuda-bindings==12\.\*"'),
        ({"devices": 0}, r"no NVIDIA GPU answers .*cudaErrorNoDevice"),
    ],
    ids=["driver", "old", "device"],
)
def test_what_is_missing_for_a_gpu_is_said_with_the_remedy(
    machine: Machine, style: StyleSpec, harm: dict[str, int], words: str
) -> None:
    for name, value in harm.items():
        setattr(machine, name, value)
    with pytest.raises(BackendUnavailable, match=words) as caught:
        load_stylizer(style, backend="tensorrt")
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("broken", [False, True])
def test_cuda_bindings_missing_or_broken(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, tmp_path: Path, broken: bool
) -> None:
    monkeypatch.delitem(sys.modules, "cuda.bindings.runtime")
    monkeypatch.delitem(sys.modules, "cuda.bindings")
    monkeypatch.delitem(sys.modules, "cuda")
    package = tmp_path / "site" / "cuda"
    package.mkdir(parents=True)
    if broken:
        (package / "bindings.py").write_text("raise OSError('libcudart: wrong version')")
    else:
        monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    words = "wrong version.*--force-reinstall" if broken else 'pip install "cuda-bindings'
    with pytest.raises(BackendUnavailable, match=words):
        gpu_facts()


@pytest.mark.parametrize(
    ("capability", "packages", "taken"),
    [
        ((8, 9), (RTX, FULL), "tensorrt-rtx"),
        ((12, 4), (RTX, FULL), "tensorrt-rtx"),
        ((9, 0), (RTX, FULL), "tensorrt"),
        ((8, 9), (FULL,), "tensorrt"),
    ],
)
def test_of_two_tensorrts_the_one_that_knows_the_gpu_is_taken(
    monkeypatch: pytest.MonkeyPatch,
    style: StyleSpec,
    tmp_path: Path,
    capability: tuple[int, int],
    packages: tuple[str, ...],
    taken: str,
) -> None:
    machine = simulate_gpu(
        monkeypatch, tmp_path / "cache", *packages, machine=Machine(capability=capability)
    )
    with load_stylizer(style, backend="tensorrt") as stylizer:
        assert stylizer.info.name == taken
        assert (stylizer(np.zeros((1, 4, 4, 3), np.uint8)) == 255).all()
    assert machine.holds_nothing


def test_a_gpu_that_rtx_does_not_know_is_said_with_the_other_package(
    monkeypatch: pytest.MonkeyPatch, style: StyleSpec, tmp_path: Path
) -> None:
    simulate_gpu(monkeypatch, tmp_path / "cache", machine=Machine("H200", capability=(9, 0)))
    with pytest.raises(BackendUnavailable, match=r"H200 \(SM90\); .*rtstyle\[tensorrt\]"):
        load_stylizer(style, backend="tensorrt")


def test_running_out_of_memory_is_told_apart_and_survived(
    machine: Machine, style: StyleSpec
) -> None:
    machine.memory = 100_000
    with TensorRtStylizer(style) as stylizer:
        with pytest.raises(BackendOutOfMemory, match=r"CUDA:0.*640x360.*scale the picture down"):
            stylizer(np.zeros((1, 360, 640, 3), np.uint8))
        assert (stylizer(np.zeros((1, 8, 8, 3), np.uint8)) == 255).all()
    assert machine.holds_nothing


def test_running_out_of_memory_while_compiling_is_told_apart(
    machine: Machine, style: StyleSpec
) -> None:
    machine.refuses_to_build = "Requested amount of GPU memory could not be allocated."
    with TensorRtStylizer(style) as stylizer, pytest.raises(BackendOutOfMemory):
        stylizer.warm_up(Size(64, 64))


def test_a_run_that_fails_is_an_error_and_not_an_old_picture(
    machine: Machine, style: StyleSpec
) -> None:
    with TensorRtStylizer(style) as stylizer:
        stylizer.warm_up(Size(8, 8))
        machine.refuses_to_run = "illegal access"
        with pytest.raises(BackendError, match=r"LaunchFailure.*another --backend"):
            stylizer(np.zeros((1, 8, 8, 3), np.uint8))
    assert machine.holds_nothing


def test_a_graph_that_tensorrt_cannot_parse_is_the_style_s_fault(
    machine: Machine, style: StyleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.gpu.complaint", lambda graph: "unsupported operator")
    with pytest.raises(ModelError, match=r"TensorRT cannot run model.onnx: unsupported operator"):
        load_stylizer(style, backend="tensorrt")
    assert machine.holds_nothing


def test_a_folder_that_cannot_be_had_costs_the_keeping_and_nothing_else(
    machine: Machine,
    style: StyleSpec,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        run(style)
        run(style)
    assert len(machine.built) == 2
    assert "engines are not kept" in caplog.text


def test_a_copy_waits_for_what_runs_before_it(machine: Machine) -> None:
    with Gpu() as gpu:
        gpu.reserve(12)
        gpu.upload(np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3))
        first = gpu.download((1, 2, 2, 3))
        assert first.shape == (1, 2, 2, 3)
        gpu.reserve(24)  # grows, and the smaller ones are freed
        assert len(machine.buffers) == 4
        machine.memory = 0
        with pytest.raises(CudaError, match="out of memory"):
            gpu.reserve(10**6)
    assert machine.holds_nothing


def test_a_gpu_names_its_architecture() -> None:
    assert str(GpuFacts("NVIDIA H200", (9, 0))) == "NVIDIA H200 (SM90)"


@pytest.mark.parametrize("precision", tensorrt.PRECISIONS)
@pytest.mark.parametrize("net", [conv_net, halving_net, identity_net, invert_net])
def test_the_real_compiler_takes_the_rewritten_graphs(
    net: Callable[[], bytes], precision: str
) -> None:
    """TensorRT for RTX compiles without a GPU."""
    module = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    package = Package(RTX, str(module.__version__), module)
    assert "SM89" in architectures(package)
    profile = profile_for((1, 36, 64), SizeRule(minimum=4, multiple_of=4))
    graph = typed_graph(net(), name="n", precision=precision)
    engine = build_engine(package, graph, profile, architecture="SM89", threads=1)
    assert len(engine) > 1000
    with pytest.raises(EngineError, match=r"Transpose|node|Invalid|Parse"):
        check_graph(package, bytes_moved_about())
    impossible = Profile((1, 64, 64), (1, 32, 32), (1, 64, 64))
    with pytest.raises(EngineError, match="rofile"):
        build_engine(package, graph, impossible, architecture="SM89")


def bytes_moved_about() -> bytes:
    """Within the contract of a style, and nothing TensorRT can parse as it stands."""
    nodes = [
        helper.make_node("Transpose", ["frame"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Transpose", ["planes"], ["stylized"], perm=[0, 2, 3, 1]),
    ]
    return build(nodes)


@pytest.mark.gpu
def test_a_real_gpu_paints_what_the_processor_paints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    status = tensorrt.status()
    if status.problem is not None:
        pytest.skip(status.problem)
    style = find_style(make_pack(tmp_path / "conv", "conv", conv_net(channels=16)))
    batch = np.random.default_rng(0).integers(0, 256, (1, 360, 640, 3), dtype=np.uint8)
    with load_stylizer(style, backend="onnxruntime", precision="fp32") as reference:
        expected = reference(batch).astype(int)
    for precision, worst in (("fp32", 1), ("fp16", 3)):
        for _ in range(2):  # compiled, and taken from the cache
            with load_stylizer(style, backend="tensorrt", precision=precision) as stylizer:
                assert abs(stylizer(batch) - expected).max() <= worst
