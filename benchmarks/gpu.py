"""How quick every style is on every GPU backend and precision there is, and how true.

The net alone: pictures go to the device and come back, nothing is decoded or encoded. Truth is
ONNX Runtime's float32 on the processor.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.record import heading, table, write_record
from rtstyle.backends import Stylizer, available_backends
from rtstyle.backends.cuda import DEVICE, gpu_facts
from rtstyle.backends.onnxruntime import OnnxRuntimeStylizer
from rtstyle.backends.onnxruntime import status as onnxruntime_status
from rtstyle.backends.select import load_stylizer
from rtstyle.cli.sample import Scene
from rtstyle.errors import BackendError, RtstyleError
from rtstyle.styles import StyleSpec
from rtstyle.types import Pixels, Size

GPU_BACKENDS = ("tensorrt", "onnxruntime")
LEAST_FRAMES = 5


@dataclass(frozen=True, slots=True)
class Way:
    """A backend at a precision on a device."""

    backend: str
    device: str
    precision: str

    def __str__(self) -> str:
        return f"{self.backend} {self.precision} on {self.device}"

    def load(self, spec: StyleSpec) -> Stylizer:
        """The style, loaded; never on another device."""
        if self.backend == "onnxruntime":
            return OnnxRuntimeStylizer(spec, device=self.device, precision=self.precision)
        return load_stylizer(spec, backend=self.backend, precision=self.precision)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one style did in one way at one size."""

    style: str
    way: str
    size: str
    frames: int
    frames_per_second: float
    latency_p50_ms: float
    latency_p95_ms: float
    ready_seconds: float
    """Loading and the first picture: with TensorRT an engine is compiled, or taken from those
    kept."""
    again_seconds: float
    """The same a second time: with TensorRT never compiling."""
    equal: bool | None
    """Whether it painted just what float32 on the processor paints; None where that is not here."""
    psnr_db: float | None
    """Against float32 on the processor; None where equal or not compared."""


def ways(*, rehearse: bool) -> tuple[list[Way], list[str]]:
    """What runs here, and a sentence for each that does not.

    ``rehearse``: what runs on the processor too, to try the benchmark where there is no GPU.
    """
    found, missing = [], []
    for status in available_backends():
        devices = [d for d in status.devices if d == DEVICE or rehearse]
        for device in devices:
            found += [Way(status.name, device, precision) for precision in status.precisions]
        if status.name in GPU_BACKENDS and DEVICE not in status.devices:
            problem = status.problem or "it is built for the processor alone"
            missing.append(f"{status.name} does not run on a GPU: {problem}")
    return found, missing


def measure_gpu(
    *,
    styles: Sequence[StyleSpec],
    sizes: Sequence[Size],
    seconds: float,
    rehearse: bool,
    record: Path | None,
    command: str,
) -> list[Figures]:
    """Measure, print and record; a way that fails is said, and the others go on.

    Each is run for ``seconds``, and at least LEAST_FRAMES frames.
    """
    found, missing = ways(rehearse=rehearse)
    for line in (*heading(command), gpu_line(), *missing):
        print(line, flush=True)
    figures: list[Figures] = []
    for spec in styles:
        for size in sizes:
            picture = Scene(size).frame(1.0)[np.newaxis]
            truth = _truth(spec, picture)
            for way in found:
                try:
                    figures.append(_measure(spec, way, picture, truth, seconds))
                except RtstyleError as error:
                    missing.append(f"{way}, style {spec.name} at {size}: {error}")
                    print(missing[-1], flush=True)
    for line in report(figures):
        print(line, flush=True)
    if record is not None:
        facts = {
            "gpu": gpu_line(),
            "rehearsal": rehearse,
            "runs": [asdict(figure) for figure in figures],
            "missing": missing,
        }
        print(f"record: {write_record(record, 'gpu', command, facts)}")
    return figures


def gpu_line() -> str:
    """The GPU, or why there is none."""
    try:
        return f"GPU: {gpu_facts()}"
    except BackendError as error:
        return f"GPU: none; {error}"


def report(figures: Sequence[Figures]) -> Iterator[str]:
    """A table of all that ran."""
    if not figures:
        yield "nothing ran"
        return
    header = ("style, backend", "size", "fps", "p50 ms", "p95 ms", "PSNR dB", "first s", "again s")
    rows = [
        (
            f"{f.style}, {f.way}",
            f.size,
            f"{f.frames_per_second:.1f}",
            f"{f.latency_p50_ms:.2f}",
            f"{f.latency_p95_ms:.2f}",
            _true(f),
            f"{f.ready_seconds:.1f}",
            f"{f.again_seconds:.1f}",
        )
        for f in figures
    ]
    yield from table(header, rows)


def _true(figures: Figures) -> str:
    if figures.psnr_db is not None:
        return f"{figures.psnr_db:.1f}"
    return "equal" if figures.equal else "-"


def _truth(spec: StyleSpec, picture: Pixels) -> Pixels | None:
    """What float32 on the processor paints; None where ONNX Runtime is not installed."""
    if onnxruntime_status().version is None:
        return None
    with OnnxRuntimeStylizer(spec, device="CPU") as stylizer:
        return stylizer(picture)


def _measure(
    spec: StyleSpec, way: Way, picture: Pixels, truth: Pixels | None, seconds: float
) -> Figures:
    size = Size(picture.shape[2], picture.shape[1])
    ready = []
    for last in (False, True):
        began = time.perf_counter()
        with way.load(spec) as stylizer:
            stylizer.warm_up(size)
            ready.append(time.perf_counter() - began)
            if last:
                painted = stylizer(picture)
                latencies = _run(stylizer, picture, seconds)
    p50, p95 = np.percentile(latencies, (50, 95)) * 1000
    return Figures(
        style=spec.name,
        way=str(way),
        size=str(size),
        frames=len(latencies),
        frames_per_second=len(latencies) / sum(latencies),
        latency_p50_ms=float(p50),
        latency_p95_ms=float(p95),
        ready_seconds=ready[0],
        again_seconds=ready[1],
        equal=None if truth is None else bool(np.array_equal(truth, painted)),
        psnr_db=None if truth is None else psnr(truth, painted),
    )


def _run(stylizer: Stylizer, picture: Pixels, seconds: float) -> list[float]:
    latencies: list[float] = []
    while len(latencies) < LEAST_FRAMES or sum(latencies) < seconds:
        began = time.perf_counter()
        stylizer(picture)
        latencies.append(time.perf_counter() - began)
    return latencies


def psnr(a: Pixels, b: Pixels) -> float | None:
    """Peak signal-to-noise ratio in dB; None where there is no noise, as JSON knows no infinity."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return None if error == 0 else 10 * math.log10(255**2 / error)
