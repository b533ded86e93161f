"""``python -m benchmarks memory``: whether a longer clip needs more memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.lanes import run_lane
from benchmarks.material import draw_clip, random_pack
from benchmarks.record import heading, table, write_record
from rtstyle.types import Size

_WIDTH = 4


def measure_memory(
    *,
    style: str | None,
    frames: tuple[int, int],
    size: Size,
    record: Path | None,
    command: str,
) -> dict[str, Any]:
    """Convert two clips, each in a fresh process, print their peaks, return the figures.

    Without ``style`` a small net of random weights runs, since the net's size is not in question.
    """
    with tempfile.TemporaryDirectory(prefix="rtstyle-benchmark-") as work:
        folder = Path(work)
        if style is None:
            pack = random_pack(folder / "pack", folder / "weights.safetensors", width=_WIDTH)
            style, net = str(pack), f"Johnson net of width {_WIDTH}, random weights"
        else:
            net = style
        peaks: list[int] = []
        for count in frames:
            clip = draw_clip(folder / f"{count}.mp4", frames=count, size=size)
            output = str(folder / f"{count}-out.mp4")
            found = run_lane("rtstyle_video", clip=str(clip), output=output, style=style)
            if found["frames"] != count:
                raise RuntimeError(f"{found['frames']} frames came out of {count}")
            peaks.append(found["peak_bytes"])
    figures = {
        "net": net,
        "size": str(size),
        "frames": list(frames),
        "peak_bytes": peaks,
        "ratio": peaks[1] / peaks[0],
    }
    for line in report(figures, command):
        print(line)
    if record is not None:
        print(f"record: {write_record(record, 'memory', command, figures)}")
    return figures


def report(figures: dict[str, Any], command: str) -> list[str]:
    """The lines to print."""
    rows = [
        (str(count), f"{peak / 2**20:.0f} MiB")
        for count, peak in zip(figures["frames"], figures["peak_bytes"], strict=True)
    ]
    return [
        *heading(command),
        f"{figures['net']}; {figures['size']}, each in a fresh process",
        "",
        *table(("frames", "peak memory"), rows),
        "",
        f"the longer clip needs {figures['ratio']:.3f} times the memory of the shorter",
    ]
