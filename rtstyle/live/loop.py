"""From the camera through the mixer to who looks, and how long that takes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtstyle.errors import RtstyleError
from rtstyle.live.capture import Capture
from rtstyle.live.mixer import Mixer
from rtstyle.live.overlay import draw_overlay
from rtstyle.live.sinks import LiveSink
from rtstyle.live.window import Display
from rtstyle.media import write_image
from rtstyle.pipeline import Latencies
from rtstyle.types import Frame, Pixels, Size

_WAIT_SECONDS = 0.03
_RECENT = 90
_STEP = 0.1

OpenDisplay = Callable[[Size], Display]
StartRecording = Callable[[], LiveSink]


@dataclass(frozen=True, slots=True)
class LiveReport:
    """What one live run did; every figure measured."""

    captured: int
    """Pictures that the camera gave."""
    shown: int
    dropped: int
    """Captured, but a newer one came before the net was free."""
    skipped: int
    """Captured before the first style was ready, and shown to nobody."""
    repeats: int
    """Shown without the net, since they were like the one before."""
    losses: int
    """Times the camera was lost."""
    reconnects: int
    seconds: float
    fps: float
    """shown over seconds."""
    delay_p50_ms: float
    """From capture until the picture was given to where it is seen."""
    delay_p95_ms: float
    net_p50_ms: float
    net_p95_ms: float
    notes: tuple[str, ...]


class Live:
    """One live run. ``run`` belongs to the main thread where there is a window."""

    def __init__(
        self,
        capture: Capture,
        mixer: Mixer,
        sinks: Sequence[LiveSink] = (),
        *,
        open_display: OpenDisplay | None = None,
        start_recording: StartRecording | None = None,
        snapshots: Path = Path(),
    ) -> None:
        """``sinks`` get every picture, without words on it. ``start_recording`` makes the sink of
        the key r, ``snapshots`` is the folder for the key s."""
        self._capture, self._mixer, self._sinks = capture, mixer, list(sinks)
        self._open_display, self._start_recording = open_display, start_recording
        self._snapshots = snapshots
        self._display: Display | None = None
        self._recording: LiveSink | None = None
        self._words = True
        self._quit = False
        self._told = ""
        self._told_until = 0.0
        self._result: Pixels | None = None
        self._delays, self._net = Latencies(), Latencies()
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self._shown = self._skipped = 0
        self._first: Size | None = None
        self._notes: list[str] = []

    def run(self, stop: threading.Event, *, seconds: float | None = None) -> LiveReport:
        """Run until ``stop`` is set, the film ends, the viewer quits or ``seconds`` went by.

        Raises what camera, style, sinks or display raise; files are then finished with what they
        have. Only an interrupt (KeyboardInterrupt) gives them up.
        """
        began: float | None = None
        started = time.monotonic()
        try:
            while not stop.is_set() and not self._quit:
                if (
                    seconds is not None
                    and time.monotonic() - (began or time.monotonic()) >= seconds
                ):
                    break
                for wish in self._wishes():
                    self._grant(wish)
                self._release()
                frame = self._capture.frames.get(_WAIT_SECONDS)
                if frame is not None:
                    if self._one(frame) and began is None:
                        began = time.monotonic()
                elif self._capture.frames.closed:
                    if self._capture.error is not None:
                        raise self._capture.error
                    break
                elif self._capture.state == "lost":
                    self._again()
            self._capture.close()
            self._finish()
        except Exception:
            # Whatever failed, also by a mistake: what was recorded so far is somebody's.
            with contextlib.suppress(Exception):
                self._finish()
            raise
        except BaseException:
            for sink in self._take_sinks():
                sink.abort()
            raise
        finally:
            self._capture.close()
            if self._display is not None:
                # Nothing is lost with it, and it may have been what failed.
                with contextlib.suppress(Exception):
                    self._display.close()
        return self._report(time.monotonic() - (began if began is not None else started))

    def _one(self, frame: Frame) -> bool:
        """Show one picture; whether it was."""
        pixels = np.asarray(frame.pixels, np.uint8)
        # A style that fails later only stays away; without any there is nothing to go on with.
        ready = self._mixer.shown is not None or self._mixer.wait_ready(frame.size, 0.0)
        if not ready and self._open_display is None:
            self._skipped += 1
            return False
        before = time.monotonic()
        result = self._mixer.process(pixels)
        if ready:
            self._net.add(time.monotonic() - before)
        out = Frame(result, frame.pts, frame.time_base, None, frame.index)
        self._result = result
        for sink in self._sinks:
            sink.show(out)
        if self._recording is not None:
            try:
                self._recording.show(out)
            except RtstyleError as error:
                # Began by a key, beside what is on show, which must not end with it.
                self._recording = None
                self._fail(f"recording failed: {error}")
        self._look(result, frame.size)
        now = time.monotonic()
        delay = now - frame.pts * 1e-9
        self._shown += 1
        self._recent.append((now, delay))
        if ready:
            self._delays.add(delay)
        return ready

    def _look(self, pixels: Pixels, size: Size) -> None:
        if self._open_display is None:
            return
        if self._display is None:
            self._display = self._open_display(size)
        lines = list(self._lines()) if self._words else []
        self._display.show(draw_overlay(pixels, lines) if lines else pixels)

    def _again(self) -> None:
        """The last picture once more, so that words about a lost camera are seen."""
        if self._display is not None and self._result is not None:
            lines = ["camera lost, looking for it", *self._lines()]
            self._display.show(draw_overlay(self._result, lines))
            time.sleep(_WAIT_SECONDS)

    def _release(self) -> None:
        """Let a film begin once the style is ready for its pictures."""
        if self._capture.released.is_set():
            return
        first = self._capture.first.get(0.0)
        if first is not None:
            self._first = first.size
            # The window opens now: that takes long enough to lose pictures.
            self._look(np.asarray(first.pixels, np.uint8), first.size)
        if self._first is not None and self._mixer.wait_ready(self._first, _WAIT_SECONDS):
            self._capture.released.set()

    def _lines(self) -> Iterator[str]:
        mixer = self._mixer
        if self._told and time.monotonic() < self._told_until:
            yield self._told
        for sink in self._all_sinks():
            if trouble := getattr(sink, "trouble", ""):
                yield trouble
        style = mixer.style
        if mixer.shown != style:
            failed = mixer.palette.error(mixer.styles.index(style)) is not None
            style += " (could not be loaded)" if failed else " (loading)"
        if mixer.mix is not None:
            style += f" with {mixer.mix[1]:.0%} {mixer.mix[0]}"
        colour = ", own colours" if mixer.keep_colour else ""
        yield f"{style}, {mixer.strength:.0%}{colour}" + (" [rec]" if self._recording else "")
        if len(self._recent) > 1:
            span = self._recent[-1][0] - self._recent[0][0]
            rate = (len(self._recent) - 1) / span if span > 0 else 0.0
            delays = sorted(delay for _, delay in self._recent)
            p50, p95 = (delays[int(share * (len(delays) - 1))] for share in (0.5, 0.95))
            dropped = self._capture.frames.dropped
            yield (
                f"{rate:.1f} fps, {dropped} dropped, delay {1e3 * p50:.0f} ms, "
                f"p95 {1e3 * p95:.0f} ms"
            )

    def _wishes(self) -> list[str]:
        return [] if self._display is None else list(self._display.wishes())

    def _grant(self, wish: str) -> None:
        mixer = self._mixer
        if wish == "quit":
            self._quit = True
        elif wish in ("next", "previous"):
            mixer.step(1 if wish == "next" else -1)
        elif wish in ("stronger", "weaker"):
            by = _STEP if wish == "stronger" else -_STEP
            mixer.strength = min(1.0, max(0.0, round(mixer.strength + by, 2)))
        elif wish == "colour":
            mixer.keep_colour = 0.0 if mixer.keep_colour else 1.0
        elif wish == "split":
            mixer.split = None if mixer.split is not None else 0.5
        elif wish == "mix":
            names = mixer.styles
            other = names[(names.index(mixer.style) + 1) % len(names)]
            mixer.mix = None if mixer.mix is not None or other == mixer.style else (other, 0.5)
        elif wish == "overlay":
            self._words = not self._words
        elif wish == "snapshot":
            self._snapshot()
        elif wish == "record":
            self._record()

    def _tell(self, words: str) -> None:
        self._told, self._told_until = words, time.monotonic() + 3.0

    def _snapshot(self) -> None:
        if self._result is None:
            return
        try:
            path = free_name(self._snapshots, "rtstyle", ".png")
            write_image(path, self._result)
        except (RtstyleError, OSError) as error:
            self._fail(f"no snapshot: {error}")
        else:
            self._tell(f"saved {path.name}")
            self._notes.append(f"snapshot saved as {path}")

    def _record(self) -> None:
        """Begin or end a recording. What fails here must not end what is on show."""
        recording, self._recording = self._recording, None
        try:
            if recording is not None:
                told = recording.finish()
                self._notes.append(told)
                self._tell(told)
            elif self._start_recording is not None:
                self._recording = self._start_recording()
        except RtstyleError as error:
            self._fail(f"recording failed: {error}")

    def _fail(self, words: str) -> None:
        self._notes.append(words)
        self._tell(words)

    def _all_sinks(self) -> list[LiveSink]:
        return [*self._sinks, *([self._recording] if self._recording is not None else [])]

    def _take_sinks(self) -> list[LiveSink]:
        """All there are; they are no longer this run's, so that none is ended twice."""
        sinks = self._all_sinks()
        self._sinks, self._recording = [], None
        return sinks

    def _finish(self) -> None:
        """Finish every sink, also behind one that fails; raises the first error."""
        errors: list[Exception] = []
        for sink in self._take_sinks():
            try:
                self._notes.append(sink.finish())
            except Exception as error:
                errors.append(error)
                with contextlib.suppress(Exception):
                    sink.abort()
        if errors:
            raise errors[0]

    def _report(self, seconds: float) -> LiveReport:
        capture, delays, net = self._capture, self._delays, self._net
        for index, name in enumerate(self._mixer.styles):
            if (error := self._mixer.palette.error(index)) is not None:
                self._notes.append(f"style {name} was left out: {error}")
        if capture.losses:
            self._notes.append(
                f"the camera was lost {capture.losses} time(s) and came back "
                f"{capture.reconnects} time(s)"
            )
        return LiveReport(
            captured=capture.captured,
            shown=self._shown,
            dropped=capture.frames.dropped,
            skipped=self._skipped,
            repeats=self._mixer.repeats,
            losses=capture.losses,
            reconnects=capture.reconnects,
            seconds=seconds,
            fps=self._shown / seconds if seconds > 0 else 0.0,
            delay_p50_ms=1e3 * delays.percentile(0.5),
            delay_p95_ms=1e3 * delays.percentile(0.95),
            net_p50_ms=1e3 * net.percentile(0.5),
            net_p95_ms=1e3 * net.percentile(0.95),
            notes=(*capture.notes, *self._notes),
        )


def free_name(folder: Path, stem: str, ending: str) -> Path:
    """A name that is not taken: ``rtstyle-1.png``."""
    number = 1
    while os.path.lexists(path := folder / f"{stem}-{number}{ending}"):
        number += 1
    return path
