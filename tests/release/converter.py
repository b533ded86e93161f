"""A process that converts what it is told to, one order a line, and says in one line how it ended.

``python -m tests.release.converter`` reads JSON objects from its standard input (``source``,
``output``, ``audio``) and writes one JSON object for each. No net runs, since the sources are in
question: what is decoded is encoded as it is.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import traceback
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from rtstyle.backends.fake import FakeStylizer
from rtstyle.errors import RtstyleError
from rtstyle.media import verify_video
from rtstyle.pipeline import stylize_video
from rtstyle.types import Limits

LARGEST_FILE = 64 * 2**20
"""Bytes; the clips have a few ten thousand, so that more is a run that does not end."""
LIMITS = Limits(max_pixels=2**22)


def convert(order: dict[str, str]) -> dict[str, Any]:
    """Convert one file; ``state`` is ``done``, ``refused`` (in one line) or ``unexpected``."""
    source, output = Path(order["source"]), Path(order["output"])
    try:
        with FakeStylizer() as stylizer:
            report = stylize_video(
                source,
                output,
                None,
                stylizer=stylizer,
                strength=0.0,
                preset="ultrafast",
                audio=order["audio"],
                limits=LIMITS,
            )
    except RtstyleError as error:
        return {
            "state": "refused",
            "kind": type(error).__name__,
            "exit_code": error.exit_code,
            "message": str(error),
            "left": output.exists(),
        }
    except Exception:
        return {"state": "unexpected", "message": traceback.format_exc()}
    try:
        checks = {check.name: check for check in verify_video(source, output, limits=LIMITS).checks}
    except RtstyleError as error:
        return {"state": "unexpected", "message": f"verify: {error}"}
    except Exception:
        return {"state": "unexpected", "message": traceback.format_exc()}
    times = stored_times(output)
    return {
        "state": "done",
        "frames_in": report.frames_in,
        "frames_out": report.frames_out,
        "frames_stored": len(times),
        # Equal in Matroska, which counts milliseconds, where a rate is a thousand and more.
        "times_grow": all(later >= earlier for earlier, later in pairwise(times)),
        "decode_failures": report.decode_failures,
        "loss": report.finished_with_loss,
        "notes": report.notes,
        # Not whether they are kept: where a damaged header puts thousands of frames into a second,
        # milliseconds are too coarse for their times.
        "verify_frames": checks["frames"].detail.startswith(f"{len(times)} in both"),
    }


def stored_times(path: Path) -> list[float]:
    """Seconds of every picture that can be decoded, read without the package's own reader."""
    with av.open(f"file:{path}") as container:
        return [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


def _main() -> None:
    # Answers have the pipe to themselves, whatever else may be printed.
    answers = sys.stdout
    sys.stdout = sys.stderr
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        _reset_peak()
        found = convert(json.loads(line))
        answers.write(json.dumps({**found, "peak_bytes": _peak_bytes()}) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main()
