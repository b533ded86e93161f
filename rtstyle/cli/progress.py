"""How a running conversion shows itself: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rtstyle.cli.terminal import log, redraw
from rtstyle.pipeline import Job, Progress

_REDRAW_SECONDS = 0.1
_LOG_SECONDS = 10.0
_BAR_WIDTH = 30


class ProgressDisplay:
    """Call it with each Progress; leave its context so that the terminal's line is ended."""

    def __init__(
        self,
        stream: TextIO,
        *,
        label: str = "",
        clock: Callable[[], float] = time.monotonic,
        columns: int | None = None,
    ) -> None:
        """``label`` stands before every line."""
        self._label = f"{label}  " if label else ""
        self._doing = ""
        self._stream = stream
        self._terminal = stream.isatty()
        self._clock = clock
        self._columns = columns
        self._shown_at = clock()
        self._last: Progress | None = None
        self._drawn = False

    def __call__(self, progress: Progress) -> None:
        """Show ``progress`` unless the last one was shown a moment ago."""
        self._last = progress
        pause = _REDRAW_SECONDS if self._terminal else _LOG_SECONDS
        now = self._clock()
        if now - self._shown_at < pause:
            return
        self._shown_at = now
        if self._terminal:
            self._draw(progress)
        else:
            log(f"rtstyle: {self._label}{self._doing}{log_line(progress)}", self._stream)

    def checking(self, progress: Progress) -> None:
        """Show how far what was made is checked."""
        if not self._doing:
            self._end_line()
            self._doing = "checking  "
        self(progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_line()

    def _end_line(self) -> None:
        if self._drawn and self._last is not None:
            self._draw(self._last, end="\n")
            self._drawn = False

    def _draw(self, progress: Progress, *, end: str = "") -> None:
        columns = self._columns or shutil.get_terminal_size().columns
        # One column stays free: some terminals wrap on the last one.
        line = f"{self._label}{self._doing}{bar_line(progress)}"[: columns - 1]
        redraw(f"{line:<{columns - 1}}", self._stream, end=end)
        self._drawn = True


class BatchDisplay:
    """One line for all films that are in work beside each other; a context, as ProgressDisplay."""

    def __init__(
        self,
        stream: TextIO,
        *,
        films: int,
        clock: Callable[[], float] = time.monotonic,
        columns: int | None = None,
    ) -> None:
        """``films``: how many there are to convert."""
        self._stream, self._films = stream, films
        self._terminal = stream.isatty()
        self._clock, self._columns = clock, columns
        self._began = self._shown_at = clock()
        self._running: dict[Job, Progress | None] = {}
        self._ended = self._frames = self._drawn = 0

    def begun(self, job: Job) -> None:
        """A film is in work."""
        self._running[job] = None

    def moved(self, job: Job, progress: Progress) -> None:
        """A film is so far; shown unless something was shown a moment ago."""
        self._running[job] = progress
        pause = _REDRAW_SECONDS if self._terminal else _LOG_SECONDS
        now = self._clock()
        if now - self._shown_at < pause:
            return
        self._shown_at = now
        if self._terminal:
            columns = self._columns or shutil.get_terminal_size().columns
            line = self.line()[: columns - 1]
            redraw(f"{line:<{columns - 1}}", self._stream)
            self._drawn = columns - 1
        else:
            log(f"rtstyle: {self.line()}", self._stream)

    def ended(self, job: Job, *, frames: int = 0) -> None:
        """A film is in work no more, and has so many ``frames``."""
        self._running.pop(job, None)
        self._ended += 1
        self._frames += frames

    def put_off(self, job: Job) -> None:
        """A film is in work no more, but will be once again."""
        self._running.pop(job, None)

    def wipe(self) -> None:
        """Make the terminal's line free for something else."""
        if self._drawn:
            redraw(" " * self._drawn, self._stream, end="\r")
            self._drawn = 0

    def line(self) -> str:
        """``2 of 7 films, 3 in work  310 frames  14.2 fps  0:41 so far``.

        The time left, where no other film is to come and every one in work knows its own.
        """
        known = [progress for progress in self._running.values() if progress is not None]
        frames = self._frames + sum(progress.frames_done for progress in known)
        parts = [
            f"{self._ended} of {self._films} films, {len(self._running)} in work",
            f"{frames} frames",
        ]
        if (fps := sum(progress.fps for progress in known)) > 0:
            parts.append(f"{fps:.1f} fps")
        left = [progress.eta_seconds for progress in known if progress.eta_seconds is not None]
        last = self._ended + len(self._running) == self._films
        if left and last and len(left) == len(self._running):
            parts.append(f"{span(max(left))} left")
        else:
            parts.append(f"{span(self._clock() - self._began)} so far")
        return "  ".join(parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wipe()


def bar_line(progress: Progress) -> str:
    """``[=====>    ]  42 %  126/300 frames  18.2 fps  0:10 left``, without the unknown parts."""
    parts = []
    share = _share(progress)
    if share is not None:
        filled = int(share * _BAR_WIDTH)
        parts += [f"[{'#' * filled}{'-' * (_BAR_WIDTH - filled)}]", f"{share * 100:3.0f} %"]
    return "  ".join([*parts, log_line(progress)])


def log_line(progress: Progress) -> str:
    """``126/300 frames  18.2 fps  0:10 left``, without the unknown parts."""
    total = "" if progress.frames_expected is None else f"/{progress.frames_expected}"
    parts = [f"{progress.frames_done}{total} frames"]
    if progress.fps > 0:
        parts.append(f"{progress.fps:.1f} fps")
    if progress.eta_seconds is None:
        parts.append(f"{span(progress.seconds)} so far")
    else:
        parts.append(f"{span(progress.eta_seconds)} left")
    return "  ".join(parts)


def span(seconds: float) -> str:
    """``0:07``, ``12:34`` or ``1:02:03``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _share(progress: Progress) -> float | None:
    if not progress.frames_expected:
        return None
    # The header may promise too little: the bar then waits at its end.
    return min(1.0, progress.frames_done / progress.frames_expected)
