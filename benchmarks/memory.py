"""``python -m benchmarks memory``: whether a longer clip needs more memory, files or disk."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lanes import watch_lane
from benchmarks.material import draw_clip, random_pack
from benchmarks.record import heading, table, write_record
from rtstyle.types import Size

_WIDTH = 4


@dataclass
class Watch:
    """The most files that a process held open, and the most bytes that lay in a folder."""

    folder: Path
    open_files: int | None = None
    """None where the system does not tell."""
    disk_bytes: int = 0

    def __call__(self, process: int) -> None:
        """Look once."""
        try:
            held = len(os.listdir(f"/proc/{process}/fd"))
        except OSError:
            held = 0
        if held:
            self.open_files = max(held, self.open_files or 0)
        self.disk_bytes = max(self.disk_bytes, folder_bytes(self.folder))


def folder_bytes(folder: Path) -> int:
    """Bytes of every file below a folder whose files come and go."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return total


def measure_memory(
    *,
    style: str | None,
    frames: tuple[int, int],
    size: Size,
    record: Path | None,
    command: str,
) -> dict[str, Any]:
    """Convert two clips, each in a fresh process, print what each needs most, return the figures.

    Without ``style`` a small net of random weights runs, since the net's size is not in question.
    """
    peaks: list[int] = []
    files: list[int | None] = []
    disks: list[int] = []
    outputs: list[int] = []
    with tempfile.TemporaryDirectory(prefix="rtstyle-benchmark-") as work:
        folder = Path(work)
        if style is None:
            pack = random_pack(folder / "pack", folder / "weights.safetensors", width=_WIDTH)
            style, net = str(pack), f"Johnson net of width {_WIDTH}, random weights"
        else:
            net = style
        for count in frames:
            clip = draw_clip(folder / f"{count}.mp4", frames=count, size=size)
            output = folder / str(count) / "out.mp4"
            output.parent.mkdir()
            watch = Watch(output.parent)
            found = watch_lane(
                watch, "rtstyle_video", clip=str(clip), output=str(output), style=style
            )
            if found["frames"] != count:
                raise RuntimeError(f"{found['frames']} frames came out of {count}")
            peaks.append(found["peak_bytes"])
            files.append(watch.open_files)
            disks.append(max(watch.disk_bytes, folder_bytes(output.parent)))
            outputs.append(output.stat().st_size)
            clip.unlink()
    figures = {
        "net": net,
        "size": str(size),
        "frames": list(frames),
        "peak_bytes": peaks,
        "open_files": files,
        "output_bytes": outputs,
        "disk_peak_bytes": disks,
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
        (
            str(count),
            f"{peak / 2**20:.0f} MiB",
            "unknown" if files is None else str(files),
            f"{output / 2**20:.1f} MiB",
            f"{disk / 2**20:.1f} MiB",
        )
        for count, peak, files, output, disk in zip(
            figures["frames"],
            figures["peak_bytes"],
            figures["open_files"],
            figures["output_bytes"],
            figures["disk_peak_bytes"],
            strict=True,
        )
    ]
    header = ("frames", "peak memory", "open files", "output", "peak disk in its folder")
    return [
        *heading(command),
        f"{figures['net']}; {figures['size']}, each in a fresh process",
        "",
        *table(header, rows),
        "",
        f"the longer clip needs {figures['ratio']:.3f} times the memory of the shorter",
    ]
