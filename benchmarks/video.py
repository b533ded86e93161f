"""``python -m benchmarks video``: what rtstyle gains over the loops people write today."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lanes import run_lane
from benchmarks.material import draw_clip, plain_graph, random_pack, random_weights, width_of
from benchmarks.record import heading, table, write_record
from rtstyle.media import open_video
from rtstyle.styles import find_style
from rtstyle.types import Size

_NAMES = {
    "naive_torch": "(a) OpenCV + torch, frame by frame",
    "naive_onnxruntime": "(b) OpenCV + ONNX Runtime, frame by frame",
    "rtstyle_video": "(c) rtstyle video, end to end",
    "net_alone": "(d) the net alone",
}


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the table."""

    fps: float
    """Median over the repeats."""
    precision: str
    runs: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, runs: list[dict[str, Any]]) -> Lane:
        """The line for what each repeat measured."""
        fps = statistics.median(run["frames"] / run["seconds"] for run in runs)
        return cls(fps, runs[0].get("net", "fp32"), tuple(runs))


def measure_video(
    *,
    style: str | None,
    checkpoint: Path | None,
    net: str,
    width: int,
    clip: Path | None,
    frames: int,
    size: Size,
    repeat: int,
    record: Path | None,
    command: str,
) -> dict[str, Any]:
    """Run the four lanes ``repeat`` times in turn, print the table, return the figures."""
    with tempfile.TemporaryDirectory(prefix="rtstyle-benchmark-") as work:
        folder = Path(work)
        if clip is None:
            clip = draw_clip(folder / "clip.mp4", frames=frames, size=size)
        size = clip_size(clip)
        orders, sentence = _orders(folder, clip, style, checkpoint, net, width, size)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in orders}
        # In turn, so that a machine that slows down slows all of them.
        for _ in range(repeat):
            for name, order in orders.items():
                runs[name].append(run_lane(name, **order))
    lanes = {name: Lane.of(found) for name, found in runs.items()}
    figures = summarise(lanes, net=sentence, size=size, repeat=repeat)
    for line in report(lanes, figures, command):
        print(line)
    if record is not None:
        print(f"record: {write_record(record, 'video', command, figures)}")
    return figures


def clip_size(clip: Path) -> Size:
    """The size of the frames of ``clip``."""
    with open_video(clip) as video:
        return video.info.size


def _orders(
    folder: Path,
    clip: Path,
    style: str | None,
    checkpoint: Path | None,
    net: str,
    width: int,
    size: Size,
) -> tuple[dict[str, dict[str, str]], str]:
    """What each lane is told, and a sentence on the net."""
    weights = folder / "weights.safetensors"
    if style is None:
        style = str(random_pack(folder / "pack", weights, net=net, width=width))
        sentence = f"{net} net of width {width}, the same random weights in all four"
    else:
        spec = find_style(style)
        style = str(spec.file.parent)
        if checkpoint is None:
            width = width_of(spec)
            random_weights(weights, width=width)
            sentence = f"{spec.name}, width {width}; random weights in (a) and (b), as fast as any"
        else:
            weights = checkpoint
            sentence = spec.name
    graph = plain_graph(folder / "plain.onnx", weights, size=size)
    common = {"clip": str(clip.resolve())}
    orders = {
        "naive_torch": {**common, "output": str(folder / "a.mp4"), "weights": str(weights)},
        "naive_onnxruntime": {**common, "output": str(folder / "b.mp4"), "graph": str(graph)},
        "rtstyle_video": {**common, "output": str(folder / "c.mp4"), "style": style},
        "net_alone": {**common, "style": style},
    }
    return orders, sentence


def summarise(lanes: dict[str, Lane], *, net: str, size: Size, repeat: int) -> dict[str, Any]:
    """The figures of the record: frames a second of each lane, what (c) gains over the others."""
    whole = lanes["rtstyle_video"]
    return {
        "net": net,
        "size": str(size),
        "frames": whole.runs[0]["frames"],
        "repeat": repeat,
        "fps": {name: lane.fps for name, lane in lanes.items()},
        "precision": {name: lane.precision for name, lane in lanes.items()},
        "ratio_c_to_a": whole.fps / lanes["naive_torch"].fps,
        "ratio_c_to_b": whole.fps / lanes["naive_onnxruntime"].fps,
        "ratio_c_to_d": whole.fps / lanes["net_alone"].fps,
        "fps_c_with_start": statistics.median(
            run["frames"] / run["seconds_with_start"] for run in whole.runs
        ),
        "runs": {name: lane.runs for name, lane in lanes.items()},
    }


def report(lanes: dict[str, Lane], figures: dict[str, Any], command: str) -> list[str]:
    """The lines to print."""
    whole = lanes["rtstyle_video"].fps
    rows = [
        (_NAMES[name], lane.precision, f"{lane.fps:.2f}", f"{whole / lane.fps:.2f}")
        for name, lane in lanes.items()
    ]
    return [
        *heading(command),
        f"{figures['net']}; {figures['frames']} frames of {figures['size']}, "
        f"median of {figures['repeat']}, each in a fresh process, in turn",
        "",
        *table(("", "net runs in", "frames/s", "(c) over it"), rows),
        "",
        f"(c) with the start of Python and the loading of the net: "
        f"{figures['fps_c_with_start']:.2f} frames/s",
    ]
