"""The ways to stylize a clip that are compared; each runs in a fresh process of its own.

``python -m benchmarks.lanes '{"lane": "naive_torch", ...}'`` prints one JSON object in its last
line. The clock of a lane starts when its net is loaded and has run once, and stops when the file
is closed: start-up is no part of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rtstyle.types import Size

Floats = npt.NDArray[np.float32]

_WATCH_SECONDS = 0.1


def run_lane(lane: str, **arguments: str | int) -> dict[str, Any]:
    """Run a lane in a fresh process and return what it measured, and the process's whole time."""
    return watch_lane(None, lane, **arguments)


def watch_lane(
    watch: Callable[[int], None] | None, lane: str, **arguments: str | int
) -> dict[str, Any]:
    """As run_lane; ``watch`` is given the process's number ten times a second while it runs."""
    order = json.dumps({"lane": lane, **arguments})
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.lanes", order],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
    ) as process:
        while True:
            try:
                said, _ = process.communicate(timeout=_WATCH_SECONDS if watch else None)
            except subprocess.TimeoutExpired:
                assert watch is not None
                watch(process.pid)
            except BaseException:
                process.kill()
                raise
            else:
                break
    if process.returncode != 0:
        raise RuntimeError(f"the lane {lane} failed with exit code {process.returncode}")
    whole = time.perf_counter() - began
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return {**found, "seconds_with_start": whole}


def naive_torch(*, clip: str, output: str, weights: str) -> dict[str, Any]:
    """OpenCV capture, torch float32 frame by frame, OpenCV writer."""
    import torch

    from benchmarks.material import floats_net

    net = floats_net(Path(weights))

    def paint(frame: Floats) -> Floats:
        with torch.inference_mode():
            result: Floats = net(torch.from_numpy(frame)).numpy()
        return result

    return _naive(clip, output, paint)


def naive_onnxruntime(*, clip: str, output: str, graph: str) -> dict[str, Any]:
    """OpenCV capture, ONNX Runtime float32 frame by frame, OpenCV writer."""
    from rtstyle.runtimes import import_onnxruntime

    onnxruntime = import_onnxruntime()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def paint(frame: Floats) -> Floats:
        result: Floats = session.run(None, {name: frame})[0]
        return result

    return _naive(clip, output, paint)


def net_alone(*, style: str, clip: str) -> dict[str, Any]:
    """The net that ``rtstyle video`` runs, in batches as there, on the clip's first frame as often
    as it has frames."""
    from rtstyle import open_stylizer
    from rtstyle.pipeline.brush import Brush

    frames = sum(1 for _ in _capture(clip))
    frame = cv2.cvtColor(next(_capture(clip)), cv2.COLOR_BGR2RGB)
    with open_stylizer(style) as stylizer:
        size = Size(frame.shape[1], frame.shape[0])
        count = Brush(stylizer.spec, stylizer, 1.0).batch_for(size)
        batch = np.stack([np.asarray(frame, np.uint8)] * count)
        stylizer(batch)
        began = time.perf_counter()
        for first in range(0, frames, count):
            stylizer(batch[: frames - first])
        seconds = time.perf_counter() - began
        info = stylizer.info
    return {"frames": frames, "seconds": seconds, "net": f"{info.name} {info.precision}"}


def rtstyle_video(*, clip: str, output: str, style: str) -> dict[str, Any]:
    """``rtstyle video`` through its command line, and the most memory this process ever held."""
    from rtstyle.cli.main import main

    report = Path(output).with_suffix(".json")
    main.main(
        ["video", clip, "-o", output, "--style", style, "--report", str(report), "--overwrite"],
        standalone_mode=False,
    )
    found = json.loads(report.read_text(encoding="utf-8"))
    backend = found["backend"]
    return {
        "frames": found["frames_out"],
        "seconds": found["seconds"],
        "seconds_per_stage": found["seconds_per_stage"],
        "net": f"{backend['name']} {backend['precision']}",
        "peak_bytes": peak_bytes(),
    }


LANES: dict[str, Callable[..., dict[str, Any]]] = {
    "naive_torch": naive_torch,
    "naive_onnxruntime": naive_onnxruntime,
    "net_alone": net_alone,
    "rtstyle_video": rtstyle_video,
}


def peak_bytes() -> int:
    """The most memory this process ever held.

    Not ru_maxrss where it can be helped: Linux starts that of a child at what its parent held.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _capture(clip: str) -> Iterator[npt.NDArray[np.uint8]]:
    capture = cv2.VideoCapture(clip)
    try:
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield np.asarray(frame, np.uint8)
    finally:
        capture.release()


def _naive(clip: str, output: str, paint: Callable[[Floats], Floats]) -> dict[str, Any]:
    first = next(_capture(clip))
    paint(_to_floats(first))
    began = time.perf_counter()
    capture = cv2.VideoCapture(clip)
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    height, width = first.shape[:2]
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(output, code, rate, (width, height))
    if not writer.isOpened():
        raise RuntimeError(f"OpenCV cannot write {output}")
    frames = 0
    for frame in _capture(clip):
        writer.write(_to_bytes(paint(_to_floats(frame))))
        frames += 1
    writer.release()
    return {"frames": frames, "seconds": time.perf_counter() - began}


def _to_floats(frame: npt.NDArray[np.uint8]) -> Floats:
    rgb = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[np.newaxis].astype(np.float32) / 255)


def _to_bytes(planes: Floats) -> npt.NDArray[np.uint8]:
    rgb = (planes[0].transpose(1, 2, 0) * 255).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)


def _main(order: str) -> None:
    arguments = json.loads(order)
    print(json.dumps(LANES[arguments.pop("lane")](**arguments)))


if __name__ == "__main__":
    _main(sys.argv[1])
