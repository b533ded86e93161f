"""A film in the making: encoded pictures and all else of the source, put into one file that gets
its name only when it is whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from rtstyle.errors import DiskFull, OutputError
from rtstyle.files import is_disk_full
from rtstyle.media.acceptance import Verdict
from rtstyle.media.beside import Companions
from rtstyle.media.codecs import EncodeOptions
from rtstyle.media.companions import SourceCompanions
from rtstyle.media.finish import Finish
from rtstyle.media.matroska import drop_default_duration
from rtstyle.media.output import muxer_of
from rtstyle.media.part_file import PartFile
from rtstyle.media.payload import Mishaps
from rtstyle.media.pictures import nominal_rate, shape_pixels
from rtstyle.media.rhythm import Rhythm
from rtstyle.media.streams import ANY_TEXT, literal_url
from rtstyle.media.tags import SPARE
from rtstyle.media.tracks import AnyPacket
from rtstyle.media.trial import close_quietly
from rtstyle.media.verify import check_written
from rtstyle.types import SinkReport, VideoInfo

FINEST_TICK = Fraction(1, 1_000_000)
_FINE_MOVIE = 48_000
_FINEST_MOVIE = 1_000_000
_MOST_HELD_BACK = 1_000_000
"""Microseconds of pictures that wait in memory for sound that has a gap or has ended; by default
ten seconds, which are gigabytes of lossless 4K."""
_INDEX_ROOM = 2**16
_INDEX_ENTRY = 40
"""Bytes of a packet's size, place and times, each where it is as long as can be."""
_SOUND_PACKETS = 60
"""A second; AAC at 48 kHz has 47."""


def tick_of(info: VideoInfo) -> Fraction:
    """Seconds in which an output's pictures are counted: those of the source, where muxers can."""
    time_base = info.time_base
    sane = FINEST_TICK / 1000 <= time_base <= 1 and time_base.denominator < 2**31
    return time_base if sane else FINEST_TICK


class FilmFile:
    """The container of a film, its picture stream to be added by the caller.

    In this order: add the stream to ``container``, ``begin``, ``add`` every packet, ``complete``,
    then ``place`` or ``place_partial``.
    """

    def __init__(
        self,
        output: Path,
        info: VideoInfo,
        options: EncodeOptions,
        *,
        part: PartFile,
        source: Path | None = None,
        start: Fraction | None = None,
        end: Fraction | None = None,
        companions: Companions | None = None,
        keep_unfinished: bool = True,
        extent: tuple[int, Fraction] | None = None,
        index_first: bool = True,
        muxer_options: Mapping[str, str] | None = None,
    ) -> None:
        """As VideoWriter; ``part`` is written, and given up by ``abort``.

        ``keep_unfinished``: whether the .part is of use where the disk is full. ``extent``: how
        many pictures there will be and how many seconds, where that is known; mp4 and mov then
        leave room for their index and need not move all that was written to put it first.
        ``index_first``: whether it must be first. ``muxer_options``: FFmpeg's, beside our own.
        """
        self.tick = tick_of(info)
        self.moved = 0
        """Ticks by which times in the film are less than in the source."""
        self.notes: list[str] = []
        self.losses: tuple[str, ...] = ()
        """What of the source is not in the finished film as it should be."""
        self.refused = False
        """Whether it was written whole, but does not hold what its source does."""
        self._output, self._info, self._options = output, info, options
        self._source, self._start = source, start
        self._first = 0
        self._ends = Fraction(0)
        self._rhythm = Rhythm(nominal_rate(info, options), self.tick)
        self._part = part
        self.notes.extend(
            f"what an earlier run left unfinished is kept as {path.name}"
            for path in part.left_by_others
        )
        self._keep_unfinished = keep_unfinished
        self._extent, self._index_first = extent, index_first
        self._muxer_options = dict(muxer_options or {})
        self._container: OutputContainer | None = None
        self._companions = companions
        self._ranged = start is not None or end is not None
        self._finish = Finish.of(info, muxer_of(output))
        try:
            if source is not None and companions is None:
                self._companions = self._open_companions(source, start, end)
            self._container = self._open_container()
        except BaseException:
            self.abort()
            raise

    @property
    def container(self) -> OutputContainer:
        """Raises ValueError once the film is complete or was given up."""
        if self._container is None:
            raise ValueError(f"{self._output.name} is finished or was given up")
        return self._container

    def begin(self, first: int) -> None:
        """Decide by how many ticks all times move, then add the other streams.

        ``first``: ticks at which the source shows the first picture. Times move where a range was
        asked for (to start at zero), where the source's clock starts anywhere, and where the first
        picture lies before zero, which players would not show.
        """
        self._first = first
        others = self._companions
        clock = others.clock_start if isinstance(others, SourceCompanions) else None
        if self._start is not None:
            zero = self._info.start_pts * self._info.time_base
            self.moved = int((zero + self._start) / self.tick)
        elif clock is not None and clock > 0:
            self.moved = min(first, int(clock / self.tick))
        elif first < 0:
            self.moved = first
        if self.moved and self._start is None:
            direction = "earlier" if self.moved > 0 else "later"
            self.notes.append(
                f"picture and sound start {abs(float(self.moved * self.tick)):.3f} s {direction} "
                "than in the source, so that the output begins at zero"
            )
        if self._companions is not None:
            self._companions.attach(self.container, self.moved * self.tick)
        self._finish.prepare(self.container.streams.video[0])

    def add(self, packet: Packet[VideoStream]) -> None:
        """Write a picture, followed by the sound that is due with it.

        Sound keeps pace with what is encoded, not with what is being encoded, since the muxer
        holds back whatever runs ahead. Raises FFmpegError and OSError: see ``failed``.
        """
        time = None if packet.dts is None else packet.dts * packet.time_base
        if packet.pts is not None:
            self._rhythm.add(packet.pts)
        self.container.mux_one(packet)
        if self._companions is not None and time is not None:
            self._mux_others(self._companions.packets(time))

    def complete(
        self,
        *,
        frames: int,
        last: int,
        shown_until: Fraction,
        cut: bool,
        judge: Callable[[Path, Mishaps], Verdict] | None = None,
    ) -> None:
        """Write all that is pending, close the file and check it by reading it back.

        ``frames`` were added, the last of them shown in the source at ``last`` ticks and in the
        film until ``shown_until`` seconds; with ``cut`` everything ends there. ``judge`` compares
        the file with its source; without it only number and times of the pictures are checked.
        Raises OutputError, DiskFull.
        """
        container = self.container
        try:
            if self._companions is not None:
                others = self._companions
                self._mux_others(others.end(shown_until) if cut else others.packets(None))
                ends = max(shown_until, self._ends) + SPARE
                others.complete(container, shown_until if cut else ends)
            if self._source is not None and not cut and not self.moved and not self._ranged:
                self._finish.hold_chapters(container, self._source)
            self._container = None
            container.close()
        except (av.FFmpegError, OSError) as error:
            self._container = container
            raise self.failed(error) from error
        try:
            muxer = muxer_of(self._output)
            self.notes.extend(shape_pixels(self._part.path, self._info, self._options, muxer))
            if muxer in ("matroska", "webm") and not self._rhythm.even:
                drop_default_duration(self._part.path)
            beside = self._companions
            said = beside.tags if isinstance(beside, SourceCompanions) else {}
            try:
                self._finish.apply(self._part.path, said)
            except OSError as error:
                raise self.failed(error) from error
            mishaps = beside.mishaps if isinstance(beside, SourceCompanions) else Mishaps()
            if beside is not None:
                beside.check(self._part.path)
            # Open files of films of hours hold indices of megabytes.
            self._release_companions()
            if judge is None:
                self.notes.extend(
                    check_written(
                        self._part,
                        name=self._output.name,
                        frames=frames,
                        first=(self._first - self.moved) * self.tick,
                        last=(last - self.moved) * self.tick,
                    )
                )
            else:
                self._heed(judge(self._part.path, mishaps))
        finally:
            self._release_companions()

    def _heed(self, verdict: Verdict) -> None:
        if not verdict.passed:
            self.refused = True
            self._part.keep()
            raise OutputError(verdict.refusal(self._output.name, self._part.shown))
        self.losses = verdict.losses
        self.notes.extend(verdict.sentences)

    def place(self, frames: int) -> SinkReport:
        """Put the complete file under its name; raises OutputExists, DiskFull, OutputError."""
        try:
            size = self._part.place()
        except OSError as error:
            raise self.failed(error) from error
        return self._report(self._output, frames, size)

    def place_partial(self, frames: int) -> SinkReport:
        """Put it under ``<stem>.partial<ext>``, or with a number where that name is taken; the
        output's own name stays as it was."""
        try:
            path, size = self._part.place_partial()
        except OSError as error:
            raise self.failed(error) from error
        if not self._output.is_symlink():
            path = self._output.with_name(path.name)
        return self._report(path, frames, size)

    def abort(self) -> None:
        """Give up: nothing stays. Twice, or after ``place``, is allowed."""
        # Removed first, so that closing does not rewrite a large file that nobody will read.
        self._part.remove()
        self.close()

    def close(self) -> None:
        """Let go of everything but the part file."""
        if self._container is not None:
            close_quietly(self._container)
            self._container = None
        self._release_companions()

    def failed(self, error: Exception) -> OutputError:
        """Close what failed and say why; a full disk leaves the .part for whoever can use it."""
        full = is_disk_full(error)
        kept = full and self._keep_unfinished
        if not kept:
            self._part.discard()
        self.close()
        if kept:
            self._part.keep()
        elif not self._part.precious:
            self._part.remove()
        if full:
            found = f" (what was written is kept as {self._part.shown})" if kept else ""
            return DiskFull(
                f"{self._output.name}: no room left in {str(self._output.absolute().parent)!r}; "
                f"free some space and run again{found}"
            )
        reason = getattr(error, "strerror", None) or str(error)
        return OutputError(
            f"{self._output.name}: writing failed ({reason}); try an .mkv name, or --audio none"
        )

    def _report(self, path: Path, frames: int, size: int) -> SinkReport:
        return SinkReport(path=str(path), frames=frames, bytes=size, notes=tuple(self.notes))

    def _open_companions(
        self, source: Path, start: Fraction | None, end: Fraction | None
    ) -> SourceCompanions:
        zero = self._info.start_pts * self._info.time_base
        return SourceCompanions(
            source,
            muxer=muxer_of(self._output),
            audio=self._options.audio,
            subtitles=self._options.subtitles,
            begin=None if start is None else zero + start,
            end=None if end is None else zero + end,
        )

    def _open_container(self) -> OutputContainer:
        muxer = muxer_of(self._output)
        options = {"max_interleave_delta": str(_MOST_HELD_BACK), **self._muxer_options}
        if muxer in ("mp4", "mov"):
            options["movie_timescale"] = str(self._movie_ticks())
            if self._index_first and self._extent is not None:
                options["moov_size"] = str(self._index_room(*self._extent))
            elif self._index_first:
                options["movflags"] = "+faststart"
        else:
            # Matroska's identifiers are random otherwise: two runs, two files.
            options["fflags"] = "+bitexact"
        return av.open(
            literal_url(self._part.url),
            "w",
            format=muxer,
            container_options=options,
            metadata_errors=ANY_TEXT,
        )

    def _index_room(self, frames: int, seconds: Fraction) -> int:
        """Bytes that the index will hardly exceed; what is too much stays empty."""
        others = self._companions
        if not isinstance(others, SourceCompanions):
            return _INDEX_ROOM + _INDEX_ENTRY * frames
        packets = len(others.rates) * int(seconds * _SOUND_PACKETS)
        return _INDEX_ROOM + _INDEX_ENTRY * (frames + packets) + others.still_bytes

    def _movie_ticks(self) -> int:
        """Ticks a second of the movie, in which late starts are counted; by default 1000, which
        would round them. Exact for picture and sound where that is possible."""
        ticks = self.tick.denominator
        rates = self._companions.rates if isinstance(self._companions, SourceCompanions) else ()
        exact = math.lcm(ticks, *(rate for rate in rates if rate > 0))
        ticks = exact if exact <= _FINEST_MOVIE else ticks
        return ticks * -(-_FINE_MOVIE // ticks)

    def _mux_others(self, packets: Iterable[AnyPacket]) -> None:
        assert self._companions is not None
        for packet in packets:
            try:
                self.container.mux_one(packet)
            except (av.InvalidDataError, av.PatchWelcomeError):
                # A packet copied from a damaged source; the pictures are our own.
                self._companions.lose(packet.stream.type)
                continue
            if packet.stream.type == "audio" and packet.pts is not None:
                ends = (packet.pts + (packet.duration or 0)) * packet.time_base
                self._ends = max(self._ends, ends)

    def _release_companions(self) -> None:
        if self._companions is not None:
            self.notes.extend(self._companions.notes)
            self._companions.close()
            self._companions = None
