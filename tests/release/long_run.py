"""A process that converts one long film and tells, as it goes, what it holds.

``python -m tests.release.long_run SOURCE OUTPUT`` prints one JSON object: the report's counts, and
for every sample the frames done, resident bytes and open files.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from rtstyle.backends.fake import FakeStylizer
from rtstyle.pipeline import Progress, stylize_video

EVERY = 500
"""Frames between two samples."""


def convert(source: Path, output: Path) -> dict[str, Any]:
    """Convert with a stylizer that inverts, so that every stage has something to do."""
    samples: list[tuple[int, int, int]] = []

    def sample(at: Progress) -> None:
        if at.frames_done and at.frames_done % EVERY == 0:
            samples.append((at.frames_done, _resident(), len(os.listdir("/proc/self/fd"))))

    with FakeStylizer(invert=True) as stylizer:
        report = stylize_video(
            source, output, None, stylizer=stylizer, preset="ultrafast", progress=sample
        )
    return {
        "frames_in": report.frames_in,
        "frames_out": report.frames_out,
        "seconds": report.seconds,
        "loss": report.finished_with_loss,
        "notes": report.notes,
        "samples": samples,
    }


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    print(json.dumps(convert(Path(sys.argv[1]), Path(sys.argv[2]))))  # noqa: T201
