from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks.__main__ import benchmarks
from benchmarks.gpu import psnr, ways
from tests.gpu import Machine, simulate_gpu
from tests.nets import conv_net, make_pack


def bench(tmp_path: Path, more: str = "") -> tuple[Result, dict[str, object]]:
    pack = make_pack(tmp_path / "conv", "conv", conv_net())
    line = f"gpu --style {pack} --size 64x36 --seconds 0 --record {tmp_path} {more}"
    result = CliRunner().invoke(benchmarks, shlex.split(line), catch_exceptions=False)
    assert result.exit_code == 0
    (file,) = tmp_path.glob("gpu-*.json")
    record: dict[str, object] = json.loads(file.read_text())
    return result, record


def test_both_precisions_of_a_gpu_are_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    simulate_gpu(monkeypatch, tmp_path / "cache")
    result, record = bench(tmp_path)
    runs = record["runs"]
    assert isinstance(runs, list)
    assert [run["way"] for run in runs] == ["tensorrt fp16 on CUDA:0", "tensorrt fp32 on CUDA:0"]
    for run in runs:
        assert run["frames"] >= 5
        assert run["latency_p95_ms"] >= run["latency_p50_ms"] > 0
        assert run["frames_per_second"] > 0
        assert run["equal"] or run["psnr_db"] > 40
    assert "GeForce RTX 4070 (SM89)" in str(record["gpu"])
    assert "conv, tensorrt fp16 on CUDA:0" in result.output
    assert "onnxruntime does not run on a GPU" in result.output


def test_what_fails_is_said_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine = Machine(refuses_to_build="no implementation found")
    simulate_gpu(monkeypatch, tmp_path / "cache", machine=machine)
    result, record = bench(tmp_path, "--rehearse")
    runs, missing = record["runs"], record["missing"]
    assert isinstance(runs, list)
    assert isinstance(missing, list)
    assert {run["way"].split()[0] for run in runs} == {"openvino", "onnxruntime"}
    exact = next(run for run in runs if run["way"] == "onnxruntime fp32 on CPU")
    assert (exact["equal"], exact["psnr_db"]) == (True, None)
    assert sum("no implementation found" in line for line in missing) == 2
    assert "no implementation found" in result.output


def test_without_a_gpu_the_record_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    simulate_gpu(monkeypatch, tmp_path / "cache", machine=Machine(devices=0))
    result, record = bench(tmp_path)
    assert record["runs"] == []
    assert "no NVIDIA GPU answers" in str(record["gpu"])
    assert "nothing ran" in result.output


def test_on_the_processor_only_a_rehearsal_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    simulate_gpu(monkeypatch, tmp_path / "cache", "no package")
    assert ways(rehearse=False)[0] == []
    assert {way.device for way in ways(rehearse=True)[0]} == {"CPU"}


def test_noise_is_measured_in_decibel() -> None:
    grey = np.full((1, 4, 4, 3), 100, np.uint8)
    assert psnr(grey, grey) is None
    assert psnr(grey, grey + np.uint8(1)) == pytest.approx(48.13, abs=0.01)
