"""``python -m benchmarks live``: delay, frames and memory from a camera to where they are seen."""

from __future__ import annotations

import itertools
import os
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.browser import watch_browser
from benchmarks.record import heading, percentile, table, write_record
from benchmarks.timecode import MODULUS, SPLIT, number_on, stamp
from rtstyle.backends import FakeStylizer, Stylizer
from rtstyle.cli.sample import Scene
from rtstyle.live import Capture, Live, LiveReport, Mixer, Palette
from rtstyle.media import CAPTURE_CLOCK
from rtstyle.pipeline import Style
from rtstyle.styles import StyleSpec
from rtstyle.types import Frame, Pixels, Size

_DRAWN = 60
_QUICK_SECONDS = 0.010
_SLOW = 5
"""How often the slow stand-in is too slow."""
_SWITCHES = 50


class CodedCamera:
    """The sample scene at a steady rate; each picture carries its number.

    Captured means due: a reader that is late gets the newest picture, as from a camera whose
    buffer holds one, and the time it was late is part of the delay.
    """

    device = False
    live = True
    name = "the drawn camera"
    notes: tuple[str, ...] = ()

    def __init__(self, pictures: Sequence[Pixels], rate: float, stop: threading.Event) -> None:
        self.rate: Fraction | None = Fraction(rate).limit_denominator(1001)
        self._pictures, self._interval, self._stop = pictures, 1.0 / rate, stop
        self._next, self._began = 0, 0.0
        self.due: dict[int, float] = {}
        """When each number was last captured, on the monotonic clock."""
        self.given = self.missed = 0

    @property
    def fps(self) -> float:
        """Pictures a second that were taken from it."""
        seconds = (self._next - 1) * self._interval
        return (self.given - 1) / seconds if seconds > 0 else 0.0

    def read(self) -> Frame | None:
        """The next picture when it is due; None when the run ends."""
        now = time.monotonic()
        if self._next == 0:
            self._began = now
        latest = int((now - self._began) / self._interval)
        self.missed += max(0, latest - self._next)
        number = max(self._next, latest)
        due = self._began + number * self._interval
        if self._stop.wait(max(0.0, due - time.monotonic())):
            return None
        self._next, self.given = number + 1, self.given + 1
        self.due[number % MODULUS] = due
        pixels = stamp(self._pictures[number % len(self._pictures)], number)
        return Frame(pixels, round(due * 1e9), CAPTURE_CLOCK, None, 0)

    def close(self) -> None:
        """Nothing is held."""


class CodedEye:
    """A sink that reads the number of each picture, and so how old it is."""

    def __init__(self) -> None:
        self.camera: CodedCamera | None = None
        self.delays: list[float] = []
        self.gaps: list[float] = []
        """Seconds between one picture and the next."""
        self.unread = 0
        self._last: float | None = None

    def show(self, frame: Frame) -> None:
        """Look at one picture."""
        now = time.monotonic()
        number = number_on(np.asarray(frame.pixels, np.uint8))
        due = None if number is None or self.camera is None else self.camera.due.get(number)
        if due is None:
            self.unread += 1
        else:
            self.delays.append(now - due)
        if self._last is not None:
            self.gaps.append(now - self._last)
        self._last = now

    def finish(self) -> str:
        """Nothing is pending."""
        return ""

    def abort(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One line of the table; times in milliseconds."""

    fps_in: float
    fps_out: float
    dropped: int
    net_p50: float
    delay_p50: float
    delay_p95: float
    bar: float
    """What delay_p95 is to stay below."""
    unread: int
    memory: tuple[int, int] | None = None
    """MiB of the process after a fifth of the run and at its end."""
    longest_gap: float = 0.0
    """Between two pictures that were shown."""


def drawn_pictures(size: Size, rate: float) -> list[Pixels]:
    """The sample scene, there and back, so that it has no jump."""
    scene = Scene(size)
    there = [scene.frame(k / rate) for k in range(_DRAWN)]
    return [*there, *there[-2:0:-1]]


def look(
    styles: Sequence[Style | Stylizer],
    pictures: Sequence[Pixels],
    *,
    rate: float,
    seconds: float,
    intervals_allowed: float,
    net_allowed: float = 1.0,
    switch_every: float | None = None,
) -> Sight:
    """Run live pictures through ``styles`` into a sink that reads their numbers.

    The bar is ``net_allowed`` times the net's median plus ``intervals_allowed`` frame intervals.
    ``switch_every``: seconds after which the next style is wanted, for fifty times.
    """
    eye = CodedEye()

    def open_camera(stop: threading.Event) -> CodedCamera:
        eye.camera = CodedCamera(pictures, rate, stop)
        return eye.camera

    size = Size(pictures[0].shape[1], pictures[0].shape[0])
    with Palette(styles) as palette, Mixer(palette) as mixer:
        for index in range(len(styles)):
            palette.wait(index, size)
        mixer.split = SPLIT
        with Capture(open_camera) as capture:
            watch = _Watch(seconds, mixer if switch_every else None, switch_every or 0.0)
            with watch:
                report = Live(capture, mixer, [eye]).run(threading.Event(), seconds=seconds)
    return _sight(eye, report, watch, rate, intervals_allowed, net_allowed)


class _Watch:
    """Beside a run: looks at the memory, and switches styles."""

    def __init__(self, seconds: float, mixer: Mixer | None, every: float) -> None:
        self._done = threading.Event()
        self._seconds, self._mixer, self._every = seconds, mixer, every
        self.early: int | None = None
        self.late: int | None = None
        self._threads = [threading.Thread(target=self._remember)]
        if mixer is not None:
            self._threads.append(threading.Thread(target=self._switch))

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exc: object) -> None:
        self.late = resident_mebibytes()
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _remember(self) -> None:
        if not self._done.wait(self._seconds / 5):
            self.early = resident_mebibytes()

    def _switch(self) -> None:
        assert self._mixer is not None
        names = itertools.cycle([*self._mixer.styles[1:], self._mixer.styles[0]])
        for name in itertools.islice(names, _SWITCHES):
            if self._done.wait(self._every):
                return
            self._mixer.style = name


def _sight(
    eye: CodedEye,
    report: LiveReport,
    watch: _Watch,
    rate: float,
    intervals_allowed: float,
    net_allowed: float,
) -> Sight:
    camera = eye.camera
    if camera is None or len(eye.delays) < 2:
        raise RuntimeError("too few pictures came through to measure anything; give more --seconds")
    memory = None if watch.early is None or watch.late is None else (watch.early, watch.late)
    return Sight(
        fps_in=camera.fps,
        fps_out=1 / statistics.fmean(eye.gaps),
        dropped=report.dropped + camera.missed,
        net_p50=report.net_p50_ms,
        delay_p50=1e3 * statistics.median(eye.delays),
        delay_p95=1e3 * percentile(eye.delays, 0.95),
        bar=net_allowed * report.net_p50_ms + intervals_allowed * 1e3 / rate,
        unread=eye.unread,
        memory=memory,
        longest_gap=1e3 * max(eye.gaps),
    )


def resident_mebibytes() -> int | None:
    """Memory that this process holds; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def _stand_ins(seconds: float, names: Sequence[str]) -> list[FakeStylizer]:
    """Stylizers that take their time without using the processor."""
    spec: StyleSpec = FakeStylizer().spec
    return [FakeStylizer(replace(spec, name=name), invert=True, delay=seconds) for name in names]


def measure_live(
    *,
    styles: Sequence[StyleSpec],
    size: Size,
    fps: float,
    seconds: float,
    browser: bool,
    record: Path | None,
    command: str,
) -> dict[str, Any]:
    """Look at stand-ins and ``styles`` through the sink, then in a browser; print, return."""
    pictures = drawn_pictures(size, fps)
    slow = _SLOW / fps
    sights = {
        f"a stand-in of {1e3 * _QUICK_SECONDS:.0f} ms": look(
            _stand_ins(_QUICK_SECONDS, ["quick"]),
            pictures,
            rate=fps,
            seconds=seconds,
            intervals_allowed=2,
        ),
        f"a stand-in {_SLOW} times too slow": look(
            _stand_ins(slow, ["slow"]),
            pictures,
            rate=fps,
            seconds=seconds,
            intervals_allowed=1,
            net_allowed=2,
        ),
        f"{_SWITCHES} switches between two stand-ins": look(
            _stand_ins(_QUICK_SECONDS, ["one", "other"]),
            pictures,
            rate=fps,
            seconds=(_SWITCHES + 4) * 6 / fps,
            intervals_allowed=2,
            switch_every=6 / fps,
        ),
    }
    for style in styles:
        sights[style.name] = look([style], pictures, rate=fps, seconds=seconds, intervals_allowed=2)
    pages = {}
    if browser:
        for style in styles:
            pages[style.name] = watch_browser(
                style.name, pictures, rate=fps, size=size, seconds=seconds
            )
    figures = {
        "size": str(size),
        "fps": fps,
        "seconds": seconds,
        "sink": {name: asdict(sight) for name, sight in sights.items()},
        "browser": {name: asdict(page) for name, page in pages.items()},
    }
    print(*report(sights, figures, command), sep="\n")
    if record is not None:
        print(f"record: {write_record(record, 'live', command, figures)}")
    return figures


def report(sights: dict[str, Sight], figures: dict[str, Any], command: str) -> list[str]:
    """The lines to print."""
    rows = [
        (
            name,
            f"{sight.fps_in:.1f}",
            f"{sight.fps_out:.1f}",
            str(sight.dropped),
            f"{sight.net_p50:.0f}",
            f"{sight.delay_p50:.0f}",
            f"{sight.delay_p95:.0f}",
            f"{sight.bar:.0f}",
            f"{sight.longest_gap:.0f}",
            "" if sight.memory is None else f"{sight.memory[0]} to {sight.memory[1]}",
        )
        for name, sight in sights.items()
    ]
    head = (
        "to the sink",
        "fps in",
        "fps out",
        "dropped",
        "net, ms",
        "delay p50",
        "delay p95",
        "its bar",
        "longest gap",
        "MiB",
    )
    lines = [
        *heading(command),
        f"a drawn camera of {figures['size']} at {figures['fps']:g} fps, {figures['seconds']:g} s "
        "each; delay in ms from capture, read from the numbers on the pictures",
        "",
        *table(head, rows),
    ]
    if figures["browser"]:
        lines += [
            "",
            *table(
                ("in Chromium over WebRTC", "fps in", "fps out", "delay p50", "delay p95", "bar"),
                [
                    (
                        name,
                        f"{page['fps_in']:.1f}",
                        f"{page['fps_out']:.1f}",
                        f"{page['delay_p50']:.0f}",
                        f"{page['delay_p95']:.0f}",
                        f"{page['bar']:.0f}",
                    )
                    for name, page in figures["browser"].items()
                ],
            ),
        ]
    unread = sum(sight.unread for sight in sights.values())
    return lines if not unread else [*lines, "", f"{unread} numbers could not be read"]
