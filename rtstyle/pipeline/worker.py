"""A process of its own that converts the films it is told to, one after another, with one net.

It is told by a pipe: a Job, or None to stop after the frame in work, as the first Ctrl-C does.
Where the pipe is closed, by its parent or by the parent's death, it ends at once, as the second
does. It answers in the dataclasses below. Signals are its parent's to handle: Ctrl-C
reaches every process of a terminal, and would count twice.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from rtstyle.backends import Stylizer
from rtstyle.errors import DiskFull, RtstyleError
from rtstyle.pipeline.batch import Job, make_place
from rtstyle.pipeline.brush import open_stylizer
from rtstyle.pipeline.run import stylize_video
from rtstyle.pipeline.stage import prefetch
from rtstyle.pipeline.stats import Progress
from rtstyle.types import BackendInfo, RunReport

_POLL_SECONDS = 0.1
_PROGRESS_SECONDS = 0.1
_TELLING_SECONDS = 1.0
_SECOND_SECONDS = 0.2
_PATIENCE_SECONDS = 10.0

if sys.platform == "win32":
    _STOP, _KILL = signal.SIGBREAK, signal.SIGTERM
else:
    _STOP, _KILL = signal.SIGUSR1, signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Loaded:
    """The net is ready."""

    info: BackendInfo


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """There is no net, and the film was not begun; the process ends."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Finished:
    """The film is whole."""

    report: RunReport


@dataclass(frozen=True, slots=True)
class Failed:
    """The film could not be converted."""

    message: str
    exit_code: int
    disk_full: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """The film was ended as it was told."""

    message: str


Word = Loaded | NotLoaded | Progress | Finished | Failed | Stopped


def work(pipe: Connection, options: Mapping[str, Any], threads: int) -> None:
    """Run until told to end, by orders on ``pipe``; see the module.

    ``options`` are those of stylize_video but for the two files, ``threads`` the processor threads
    of the net. Signals of the terminal are expected to be blocked so far.
    """
    signal.signal(_STOP, _not_now)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    with contextlib.suppress(_ParentGoneError), ExitStack() as opened:
        _Worker(pipe, options, threads, opened).run()


class _ParentGoneError(Exception):
    """Nobody is left to hear what is said."""


def _not_now(number: int, frame: FrameType | None) -> None:
    """Where there is no film to stop. Unlike SIG_IGN it is quiet if it is set in between."""


class _Worker:
    """Converts what its orders name."""

    def __init__(
        self, pipe: Connection, options: Mapping[str, Any], threads: int, opened: ExitStack
    ) -> None:
        self._pipe, self._options, self._threads = pipe, dict(options), threads
        self._opened = opened
        self._orders = _Orders(pipe)
        self._stylizer: Stylizer | None = None
        self._told_at = 0.0

    def run(self) -> None:
        orders = self._orders
        with prefetch(orders, 1, name="orders", stop=orders.over) as jobs:
            for job in jobs:
                try:
                    word = self._film(job)
                    self._say(word)
                finally:
                    orders.idle.set()
                if orders.stop.is_set() or isinstance(word, NotLoaded):
                    break

    def _film(self, job: Job) -> Word:
        try:
            try:
                signal.signal(_STOP, signal.default_int_handler)
                if self._orders.stop.is_set():
                    raise KeyboardInterrupt
                return self._load() or self._convert(job)
            finally:
                signal.signal(_STOP, _not_now)
        except KeyboardInterrupt as error:
            return Stopped(str(error) or "interrupted")
        except RtstyleError as error:
            return Failed(str(error), error.exit_code, isinstance(error, DiskFull))
        except _ParentGoneError:
            raise
        except Exception as error:
            # A defect met by one film must not cost the night that the others need.
            return Failed(f"unexpected {type(error).__name__}: {error}", 1)

    def _load(self) -> NotLoaded | None:
        """Load the net before the first film; at strength 0 there is none."""
        if self._stylizer is not None or self._options["strength"] == 0:
            return None
        chosen = {key: self._options[key] for key in ("backend", "precision")}
        try:
            stylizer = open_stylizer(self._options["style"], **chosen, threads=self._threads)
        except (RtstyleError, ModuleNotFoundError) as error:
            return NotLoaded(error)
        except Exception as error:
            # Not every exception of a runtime can go through a pipe.
            return NotLoaded(RuntimeError(f"{type(error).__name__}: {error}"))
        self._stylizer = self._opened.enter_context(stylizer)
        self._say(Loaded(stylizer.info))
        return None

    def _convert(self, job: Job) -> Finished:
        make_place(job)
        options = {**self._options, "stylizer": self._stylizer}
        if self._stylizer is not None:
            options["style"] = None
        self._told_at = -_PROGRESS_SECONDS
        report = stylize_video(
            job.source, job.target, progress=self._tell, checking=self._go_on, **options
        )
        return Finished(report)

    def _go_on(self, now: Progress) -> None:
        """End what nobody wants any more; how far a check is, is not told."""
        del now
        if self._orders.gone.is_set():
            raise KeyboardInterrupt

    def _tell(self, now: Progress) -> None:
        self._go_on(now)
        if now.seconds - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = now.seconds
            self._say(now)

    def _say(self, word: Word) -> None:
        try:
            self._pipe.send(word)
        except OSError as error:
            raise _ParentGoneError from error


class _Orders:
    """The jobs a pipe brings, read in a thread that sees to it that the other orders are kept."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.stop = threading.Event()
        """Set once no further film is wanted."""
        self.gone = threading.Event()
        """Set once nobody wants anything of what is in work."""
        self.idle = threading.Event()
        """Cleared with each job; its taker sets it when done."""
        self.over = threading.Event()
        """Ends the iteration."""
        self.idle.set()

    def __iter__(self) -> Iterator[Job]:
        while not self.over.is_set():
            try:
                if not self._pipe.poll(_POLL_SECONDS):
                    continue
                order = self._pipe.recv()
            except (EOFError, OSError):
                self._end_at_once()
                return
            if order is not None:
                self.idle.clear()
                yield order
                continue
            self.stop.set()
            if self.idle.is_set():
                return
            _thread.interrupt_main(_STOP)

    def _end_at_once(self) -> None:
        """Nobody is left to work for: interrupt as often as a user would, then end by force."""
        self.gone.set()
        pauses = [_PATIENCE_SECONDS]
        # An order to stop was the first interrupt of two.
        if not self.stop.is_set():
            self.stop.set()
            # Ended by what it tells, a film makes no partial file for nobody.
            if self.idle.wait(_TELLING_SECONDS):
                return
            pauses = [_SECOND_SECONDS, _PATIENCE_SECONDS]
        for pause in pauses:
            if not self.idle.is_set():
                _thread.interrupt_main(_STOP)
            if self.idle.wait(pause):
                return
        # Native code, such as an engine being built, hears no interrupt.
        os.kill(os.getpid(), _KILL)
