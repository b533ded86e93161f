"""The process that decodes, paints and encodes one uploaded file: ``python -m rtstyle.web.child``.

It reads one line of JSON (an Order) and answers in lines of JSON with a ``word``: ``backend``,
``progress``, ``checking``, ``done`` or ``failed``. Ctrl-C (SIGINT) stops it after the frame in
work. Before anything else it bounds its own memory and time and leaves the network, since what it
reads may be hostile; where a platform has no such bounds it runs without.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rtstyle.pipeline import PictureReport, Progress

if sys.platform != "win32":
    import resource

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET, _CLONE_NEWUSER = 0x40000000, 0x10000000
_PROGRESS_SECONDS = 0.2
_MOST_NOTES, _MOST_NOTE = 50, 500
PREVIEW_WIDTH = 960


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one process."""

    memory_bytes: int = 16 * 2**30
    """Of memory that it may write to; of address space where a system does not tell them apart."""
    cpu_seconds: int = 7 * 24 * 3600
    output_bytes: int = 64 * 2**30
    silent_seconds: float = 600.0
    """Without a word of progress: more than building an engine or one large picture takes, but a
    decoder that goes round in circles is not waited for. Held by the parent."""


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Order:
    """What to do, and within which bounds."""

    kind: str
    """``image``, ``video`` or ``preview``."""
    source: str
    target: str
    style: str
    strength: float = 1.0
    audio: str = "copy"
    resume: bool = False
    backend: str = "auto"
    bounds: Bounds = DEFAULT_BOUNDS


def main() -> int:
    """Carry out the order on standard input; returns the exit code."""
    # Anything that a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    said = json.loads(sys.stdin.readline())
    order = Order(**{**said, "bounds": Bounds(**said["bounds"])})
    confine(order.bounds)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    teller = _Teller(answers)
    # Late, so that nothing heavy is loaded outside the bounds.
    from rtstyle.errors import RtstyleError
    from rtstyle.memory import caused_by_memory, out_of_memory

    try:
        teller.say("done", **_work(order, teller))
    except KeyboardInterrupt:
        teller.say("failed", error="stopped", code=130)
        return 130
    except RtstyleError as error:
        teller.say("failed", error=f"{error}{_hint(order.bounds)}", code=error.exit_code)
        return error.exit_code
    except Exception as error:
        if caused_by_memory(error):
            lack = out_of_memory(f"while the {order.kind} was worked on")
            teller.say("failed", error=str(lack), code=lack.exit_code)
            return lack.exit_code
        teller.say("failed", error=f"unexpected {type(error).__name__}: {error}", code=1)
        return 1
    return 0


def _hint(bounds: Bounds) -> str:
    """Libraries that get no memory often say that a file is damaged, or nothing."""
    if sys.platform == "win32":
        return ""
    unit = 1 if sys.platform == "darwin" else 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return "; it may need more memory than is allowed" if most > bounds.memory_bytes / 2 else ""


class _Teller:
    def __init__(self, answers: IO[str]) -> None:
        self._answers = answers
        self._told_at = -_PROGRESS_SECONDS

    def say(self, word: str, **facts: object) -> None:
        self._answers.write(json.dumps({"word": word, **facts}) + "\n")
        self._answers.flush()

    def progress(self, word: str) -> Callable[[Progress], None]:
        def tell(now: Progress) -> None:
            if time.monotonic() - self._told_at >= _PROGRESS_SECONDS:
                self._told_at = time.monotonic()
                self.say(word, **asdict(now))

        return tell


def _work(order: Order, teller: _Teller) -> dict[str, object]:
    from rtstyle.pipeline import stylize_image, stylize_video

    source, target = Path(order.source), Path(order.target)
    if order.kind == "video":
        report = stylize_video(
            source,
            target,
            order.style,
            strength=order.strength,
            backend=order.backend,
            audio=order.audio,
            resume=order.resume,
            # A stop may come when the film has just got its name.
            overwrite=order.resume,
            keep_partial=False,
            progress=teller.progress("progress"),
            checking=teller.progress("checking"),
            on_backend=lambda info: teller.say("backend", backend=str(info)),
        )
        return {
            "notes": _few(report.notes),
            "frames": report.frames_out,
            "fps": report.fps,
            "seconds": report.seconds,
            "lossy": report.finished_with_loss,
        }
    if order.kind == "preview":
        _preview(order, source, target)
        return {"notes": []}
    told: list[PictureReport] = []
    stylize_image(
        source,
        order.style,
        output=target,
        strength=order.strength,
        backend=order.backend,
        on_report=told.append,
    )
    return {"notes": _few(told[0].notes), "lossy": told[0].finished_with_loss}


def _few(notes: Sequence[str]) -> list[str]:
    """The first of them: a file may have a note for each of a thousand streams."""
    more = len(notes) - _MOST_NOTES
    told = [f"and {more} more like these"] if more > 0 else []
    return [*(note[:_MOST_NOTE] for note in notes[:_MOST_NOTES]), *told]


def _preview(order: Order, source: Path, target: Path) -> None:
    """One picture from the middle of the film, stylized as ``target``, and as it was beside it."""
    import cv2

    from rtstyle.media import open_video, to_bytes, write_image
    from rtstyle.pipeline import stylize_image

    with open_video(source) as film:
        length = film.info.duration_in_header
        first = to_bytes(next(iter(film)).pixels)
    pixels = first
    if length:
        with contextlib.suppress(StopIteration), open_video(source, start=length / 2) as film:
            pixels = to_bytes(next(iter(film)).pixels)
    height, width = pixels.shape[:2]
    if width > PREVIEW_WIDTH:
        size = (PREVIEW_WIDTH, max(1, round(height * PREVIEW_WIDTH / width)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(pixels.dtype)
    write_image(target.with_name(f"{target.stem}-before.jpg"), pixels)
    stylize_image(
        pixels, order.style, output=target, strength=order.strength, backend=order.backend
    )


def confine(bounds: Bounds) -> None:
    """Bound memory, time and output of this process, and end with its parent; for POSIX."""
    if sys.platform == "win32":
        return
    # CUDA reserves more address space than the machine has memory, none of which can be written to;
    # Linux counts what can as data.
    memory = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    for which, most in (
        (memory, bounds.memory_bytes),
        (resource.RLIMIT_CPU, bounds.cpu_seconds),
        (resource.RLIMIT_FSIZE, bounds.output_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(which)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        if which == resource.RLIMIT_CPU:
            # At the hard limit the end is SIGKILL, which says nothing; at the soft one SIGXCPU.
            resource.setrlimit(which, (max(1, bound - 1), bound))
        else:
            resource.setrlimit(which, (bound, bound))
    # A write past the bound is then an error, which is told, instead of the end.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # An empty network of its own. Some kernels and containers refuse it; files that name
        # addresses are refused by what reads them in any case.
        if libc.unshare(_CLONE_NEWNET) != 0:
            libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        # After that, which would undo it.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
