"""Where live pictures go: nowhere, or into a file."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from rtstyle.addresses import is_url, without_secrets
from rtstyle.errors import OutputError
from rtstyle.live.sender import Sender, Tell
from rtstyle.media import (
    Broadcast,
    EncodeOptions,
    FrameSink,
    VideoWriter,
    letterbox,
)
from rtstyle.pipeline import Background
from rtstyle.types import Colour, Frame, Size, VideoInfo

_TICK = Fraction(1, 90000)
_WAITING = 8
"""Frames that may wait for an encoder: a quarter of a second at 30 fps."""

_CRASH_PROOF = {"cluster_time_limit": "1000", "flush_packets": "1"}
"""Matroska holds back five seconds of pictures by default, which a crash would take along."""

OpenSink = Callable[[Size, Fraction], FrameSink]
"""Opens what is written to, once the pictures' size is known; the rate is a guess."""


class LiveSink(Protocol):
    """Takes frames as they come, without making who gives them wait."""

    def show(self, frame: Frame) -> None:
        """Take one frame; raises what went wrong with earlier ones."""
        ...

    def finish(self) -> str:
        """Write what is pending; a sentence of what was made. Raises OutputError."""
        ...

    def abort(self) -> None:
        """Give up. Calling it twice is allowed."""
        ...


class Nowhere:
    """Counts, for measuring."""

    def __init__(self) -> None:
        self.frames = 0

    def show(self, frame: Frame) -> None:
        del frame
        self.frames += 1

    def finish(self) -> str:
        return f"{self.frames} frames went nowhere, as asked"

    def abort(self) -> None:
        """Nothing was made."""


class Recorder:
    """A file, written in a thread of its own. What it cannot keep up with is dropped and counted,
    so that the picture on show never waits for a disk."""

    def __init__(self, open_sink: OpenSink, *, name: str, rate: float | None = None) -> None:
        self._open, self._name = open_sink, name
        self._rate = Fraction(rate or 30).limit_denominator(1001)
        self._frames: queue.Queue[Frame | None] = queue.Queue(_WAITING)
        self._sink: FrameSink | None = None
        self._size: Size | None = None
        self._written = 0
        self._last: int | None = None
        self._first: int | None = None
        self.dropped = 0
        self.notes: list[str] = []
        """Clauses for the sentence that ``finish`` gives."""
        self._thread = Background(self._work, name="recorder")

    @property
    def began(self) -> bool:
        """Whether anything was written."""
        return self._written > 0

    def show(self, frame: Frame) -> None:
        if self._thread.error is not None:
            raise self._thread.error
        try:
            self._frames.put_nowait(frame)
        except queue.Full:
            self.dropped += 1

    def finish(self) -> str:
        while self._thread.running:
            try:
                self._frames.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        while not self._thread.join(0.2):
            continue
        if self._thread.error is not None:
            raise self._thread.error
        if self._written == 0:
            return f"{self._name}: nothing was written, since no picture came"
        told = f"{self._name}: {self._written} frames written"
        told += f", {self.dropped} dropped since it was too slow" if self.dropped else ""
        return "; ".join((told, *self.notes))

    def abort(self) -> None:
        self._thread.close()

    def _work(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                try:
                    frame = self._frames.get(timeout=0.05)
                except queue.Empty:
                    continue
                if frame is None:
                    if self._sink is not None:
                        self.notes.extend(self._sink.finish().notes)
                    return
                self._write(frame)
        except BaseException:
            if self._sink is not None:
                self._sink.abort()
            raise
        if self._sink is not None:
            self._sink.abort()

    def _write(self, frame: Frame) -> None:
        if self._sink is None:
            self._size = frame.size
            self._sink = self._open(frame.size, self._rate)
        pixels = frame.pixels
        if self._size is not None and frame.size != self._size:
            # The camera came back in another mode; a film has one size.
            pixels = letterbox(pixels, self._size)
        if self._first is None:
            self._first = frame.pts
        pts = round((frame.pts - self._first) * frame.time_base / _TICK)
        if self._last is not None and pts <= self._last:
            pts = self._last + 1
        self._last = pts
        self._sink.write(Frame(pixels, pts, _TICK, None, self._written))
        self._written += 1


def record_to(
    target: str,
    *,
    rate: float | None = None,
    overwrite: bool = False,
    codec: str = "h264",
    bits: int | None = None,
    tell: Tell | None = None,
) -> Recorder | Sender:
    """Write a video file, or send to an address; frames keep the times at which they were captured.

    Opening happens with the first frame, in a thread of its own; names are to be checked before
    (``check_output``, ``check_address``). ``bits`` are the most a second that are sent to an
    address, and ``tell`` is told there when the receiver is lost and back.
    """
    if is_url(target):
        return Sender(
            lambda size, fps: Broadcast(target, size, fps, bits=bits),
            name=without_secrets(target),
            rate=rate,
            tell=tell,
        )

    def open_file(size: Size, fps: Fraction) -> FrameSink:
        info = VideoInfo(
            size=size,
            time_base=_TICK,
            average_rate=fps,
            frames_in_header=None,
            duration_in_header=None,
            rotation=0,
            pixel_aspect=Fraction(1),
            colour=Colour(matrix=1, primaries=1, transfer=1, full_range=False),
            codec="live",
        )
        options = EncodeOptions(codec=codec, audio="none", subtitles="none")
        return VideoWriter(
            Path(target),
            info,
            options,
            overwrite=overwrite,
            muxer_options=_CRASH_PROOF if Path(target).suffix.lower() == ".mkv" else None,
        )

    return Recorder(open_file, name=Path(target).name, rate=rate)


class Recording(LiveSink, Protocol):
    """What can fail after a while."""

    @property
    def began(self) -> bool:
        """Whether anything was made before it failed."""
        ...


class Beside:
    """A recording beside what is on show, which does not end with it when the disk is full.

    What cannot begin at all is an error at once, since then nothing is lost by ending.
    """

    def __init__(self, sink: Recording, tell: Tell) -> None:
        self._sink, self._tell = sink, tell
        self.failure = ""
        """Why it ended before the show did."""
        self.missed = 0
        """Frames after that."""

    @property
    def trouble(self) -> str:
        """What a viewer is to know now; empty where all is well."""
        own: str = getattr(self._sink, "trouble", "")
        return f"not recorded: {self.failure}" if self.failure else own

    def show(self, frame: Frame) -> None:
        """Take one frame; raises OutputError where the recording never began."""
        if self.failure:
            self.missed += 1
            return
        try:
            self._sink.show(frame)
        except OutputError as error:
            if not self._sink.began:
                raise
            self.failure, self.missed = str(error), 1
            self._tell(f"the recording ended: {error}; the show goes on without")

    def finish(self) -> str:
        """Raises OutputError where the recording never began."""
        if not self.failure:
            try:
                return self._sink.finish()
            except OutputError as error:
                if not self._sink.began:
                    raise
                self.failure = str(error)
        missed = f"; {self.missed} frames are not in it" if self.missed else ""
        return f"the recording ended early: {self.failure}{missed}"

    def abort(self) -> None:
        self._sink.abort()
