"""Live pictures sent to an address, again and again where the receiver goes away."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

from rtstyle.errors import OutputError
from rtstyle.media import letterbox
from rtstyle.pipeline import Background
from rtstyle.types import Frame, SinkReport, Size

_TICK = Fraction(1, 90000)
_WAITING = 8
"""Frames that may wait for the line: a quarter of a second at 30 fps."""
_LATE = 0.25
"""Seconds for which a connection may be opened before its clock is set anew."""
_END_SECONDS = 12.0
"""How long the last pictures and the goodbye may take: two waits for an end that takes nothing."""
_MOST_TOLD = 5

Tell = Callable[[str], None]
"""Says one line to whoever runs the show."""


class Link(Protocol):
    """One connection; ``Broadcast`` is one."""

    @property
    def answered(self) -> bool:
        """Whether it stood."""
        ...

    def write(self, frame: Frame) -> None:
        """Send one frame; raises OutputError."""
        ...

    def finish(self) -> SinkReport:
        """Send what is pending and close; raises OutputError."""
        ...

    def abort(self) -> None:
        """Close; calling it twice is allowed."""
        ...


OpenLink = Callable[[Size, Fraction], Link]
"""Begins a connection, once the pictures' size is known; the rate is a guess."""


class Sender:
    """Sends in a thread of its own, so that the picture on show never waits for the network.

    A receiver that never answered is an error, as a wrong address is. One that goes away, or takes
    nothing any more, is called again after ``backoff`` seconds (the first wait and the longest)
    until it is there; pictures meanwhile are dropped and counted. Every connection begins with a
    whole picture at time zero.
    """

    def __init__(
        self,
        open_link: OpenLink,
        *,
        name: str,
        rate: float | None = None,
        backoff: tuple[float, float] = (0.5, 5.0),
        tell: Tell | None = None,
    ) -> None:
        """``tell`` is called from the sender's thread when the receiver is lost and back."""
        self._open, self._name, self._tell = open_link, name, tell or (lambda line: None)
        self._rate = Fraction(rate or 30).limit_denominator(1001)
        self._frames: queue.Queue[Frame | None] = queue.Queue(_WAITING)
        self._backoff, self._wait = backoff, backoff[0]
        self._link: Link | None = None
        self._again = 0.0
        self._size: Size | None = None
        self._first: int | None = None
        self._last: int | None = None
        self._told = 0
        self.sent = 0
        self.losses = 0
        """Times the receiver was lost."""
        self.away = False
        """Whether it is lost now."""
        self.unsent = 0
        """Frames that came while it was."""
        self.dropped = 0
        """Frames that the line was too slow for."""
        self._thread = Background(self._work, name="sender")

    @property
    def trouble(self) -> str:
        """What a viewer is to know now; empty where all is well."""
        return f"{self._name}: receiver lost, calling it again" if self.away else ""

    @property
    def began(self) -> bool:
        """Whether anybody ever answered, so that losing him is no error."""
        return self.losses > 0 or (self._link is not None and self._link.answered)

    def show(self, frame: Frame) -> None:
        """Take one frame; raises OutputNotWritable where nobody ever answered."""
        if self._thread.error is not None:
            raise self._thread.error
        try:
            self._frames.put_nowait(frame)
        except queue.Full:
            self._lose_one()

    def finish(self) -> str:
        """Send what is pending; raises OutputNotWritable where nobody ever answered."""
        until = time.monotonic() + _END_SECONDS
        while self._thread.running and time.monotonic() < until:
            try:
                self._frames.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        stuck = not self._thread.join(max(0.0, until - time.monotonic()))
        self._thread.stop.set()
        if self._thread.error is not None:
            raise self._thread.error
        told = f"{self._name}: {self.sent} frames sent"
        if self.losses or self.unsent:
            times = "once" if self.losses == 1 else f"{self.losses} times"
            told += f"; the receiver was lost {times}, {self.unsent} frames not sent"
        if self.dropped:
            told += f"; {self.dropped} dropped since the line was too slow"
        return told + ("; it took the last ones no more" if stuck else "")

    def abort(self) -> None:
        """Give up; calling it twice is allowed."""
        self._thread.close(_END_SECONDS)

    def _work(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                try:
                    frame = self._frames.get(timeout=0.05)
                except queue.Empty:
                    continue
                if frame is None:
                    self._end()
                    return
                self._send(frame)
        finally:
            if self._link is not None:
                self._link.abort()

    def _send(self, frame: Frame) -> None:
        if self._link is None:
            if time.monotonic() < self._again:
                self.unsent += 1
                return
            # A receiver is not asked to take another size in the middle of a show.
            self._size = self._size or frame.size
            try:
                self._link = self._open(self._size, self._rate)
            except OutputError as error:
                self._unreached(error)
                return
            self._first = self._last = None
        link, began = self._link, time.monotonic()
        had_answered = link.answered
        try:
            link.write(self._placed(frame))
        except OutputError as error:
            self._lost(link, error)
            return
        self.sent += 1
        if link.answered and not had_answered:
            self._back()
        if not had_answered and time.monotonic() - began > _LATE:
            self._set_clock()

    def _placed(self, frame: Frame) -> Frame:
        """With this connection's time, and the show's size."""
        assert self._size is not None
        if frame.size != self._size:
            frame = replace(frame, pixels=letterbox(frame.pixels, self._size))
        at = round(frame.pts * frame.time_base / _TICK)
        if self._first is None:
            # After a wait the pictures go on where they were.
            step = 0 if self._last is None else self._last + round(1 / self._rate / _TICK)
            self._first = at - step
        pts = at - self._first
        if self._last is not None and pts <= self._last:
            pts = self._last + 1
        self._last = pts
        return replace(frame, pts=pts, time_base=_TICK)

    def _set_clock(self) -> None:
        """A player counts from the first picture: those that waited with it, and the time that it
        took to get through, would be delay for the whole show."""
        while True:
            try:
                waiting = self._frames.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                self._frames.put_nowait(None)
                break
            self._lose_one()
        self._first = None

    def _lose_one(self) -> None:
        if self.away:
            self.unsent += 1
        else:
            self.dropped += 1

    def _lost(self, link: Link, error: OutputError) -> None:
        link.abort()
        self._link = None
        if not link.answered:
            self._unreached(error)
            return
        self._wait = self._backoff[0]
        self.losses += 1
        self.away = True
        self.unsent += 1
        self._again = time.monotonic() + self._wait
        self._say(f"{error}; calling it again, pictures meanwhile are not sent")

    def _unreached(self, error: OutputError) -> None:
        """A connection that never stood: no loss of a receiver, but maybe a wrong address."""
        if not self.losses:
            raise error
        self._wait = min(self._backoff[1], self._wait * 2)
        self.unsent += 1
        self._again = time.monotonic() + self._wait

    def _back(self) -> None:
        if self.away:
            self.away = False
            self._say(f"{self._name}: the receiver is back")

    def _say(self, line: str) -> None:
        self._told += 1
        if self._told <= 2 * _MOST_TOLD:
            self._tell(line)
        if self._told == 2 * _MOST_TOLD:
            self._tell(f"{self._name}: more of this is counted, and told at the end")

    def _end(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        try:
            link.finish()
        except OutputError as error:
            link.abort()
            if not link.answered and not self.losses:
                raise
            if link.answered:
                self.losses += 1
            self._say(str(error))
