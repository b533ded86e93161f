"""Frames into a video file, with all else of the source beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from rtstyle.errors import DiskFull, OutputError
from rtstyle.media.codecs import EncodeOptions
from rtstyle.media.companions import Companions, SourceCompanions
from rtstyle.media.output import (
    PartFile,
    check_output,
    is_disk_full,
    muxer_of,
)
from rtstyle.media.pictures import add_pictures, mend_order, stored_otherwise
from rtstyle.media.streams import literal_url
from rtstyle.media.tracks import AnyPacket
from rtstyle.media.trial import close_quietly
from rtstyle.media.verify import check_written
from rtstyle.types import Frame, SinkReport, VideoInfo

_FINEST_TICK = Fraction(1, 1_000_000)
_FINE_MOVIE = 48_000
_FINEST_MOVIE = 1_000_000
_MOST_HELD_BACK = 1_000_000
"""Microseconds of pictures that wait in memory for sound that has a gap or has ended; by default
ten seconds, which are gigabytes of lossless 4K."""
_SPARE = Fraction(1)
"""Seconds after the last picture and sound in which a chapter may still begin or end."""


class VideoWriter:
    """Encodes frames into a file that gets its name only when it is whole.

    Implements FrameSink. Writes ``<name>.part`` beside the output; ``finish`` checks it and renames
    it, ``abort`` (or leaving by an exception) removes it. Only where the disk is full is it kept.
    """

    def __init__(
        self,
        output: Path,
        info: VideoInfo,
        options: EncodeOptions,
        *,
        source: Path | None = None,
        start: Fraction | None = None,
        end: Fraction | None = None,
        overwrite: bool = False,
        companions: Companions | None = None,
    ) -> None:
        """``info`` is that of the source: time base, colour, pixel aspect and rate are kept.

        ``source`` is the file whose sound, subtitles, chapters, covers, attachments and tags are
        carried over, ``start`` and ``end`` (seconds of the clip) the range of it; the output then
        begins at ``start``. ``companions`` are taken instead of the source's. Raises what
        check_output raises, EncoderUnavailable where the codec refuses the size, and OutputError
        where another run writes the same file.
        """
        check_output(output, source=source, overwrite=overwrite, options=options)
        self._output, self._info, self._options = output, info, options
        self._source = source
        self._tick = info.time_base if _is_sane(info.time_base) else _FINEST_TICK
        self._start = start
        self._notes: list[str] = []
        self._durations: dict[int, int] = {}
        self._count = 0
        self._first: int | None = None
        self._last: int | None = None
        self._last_seconds: Fraction | None = None
        self._moved = 0
        self._shown_until = Fraction(0)
        self._container: OutputContainer | None = None
        self._companions: Companions | None = companions
        self._ends = Fraction(0)
        self._part = PartFile(output, overwrite=overwrite)
        try:
            if source is not None and companions is None:
                self._companions = self._open_companions(source, start, end)
            self._container = self._open_container()
            self._stream, self._convert = add_pictures(
                self._container, info, options, tick=self._tick, name=output.name
            )
            self._notes.extend(stored_otherwise(info, options))
        except BaseException:
            self.abort()
            raise

    def write(self, frame: Frame) -> None:
        """Encode one frame.

        Raises ValueError for a frame of another size than announced or a pts that does not grow,
        DiskFull, OutputError.
        """
        container = self._require_open()
        if frame.size != self._info.size:
            raise ValueError(
                f"frame {frame.index} is {frame.size}, but the video is {self._info.size}"
            )
        pts = _in_ticks(frame.pts, frame.time_base, self._tick)
        if self._last is not None and self._last_seconds is not None:
            if frame.seconds <= self._last_seconds:
                raise ValueError(
                    f"pts {frame.pts} of frame {frame.index} does not follow the last one's"
                )
            # Ticks finer than a muxer counts may fall together.
            pts = max(pts, self._last + 1)
        try:
            if self._first is None:
                self._begin(container, pts)
            picture = self._convert(frame.pixels)
            picture.pts, picture.time_base = pts - self._moved, self._tick
            self._last, self._last_seconds = pts, frame.seconds
            if frame.duration is not None:
                ticks = _in_ticks(frame.duration, frame.time_base, self._tick)
                self._durations[pts - self._moved] = max(1, ticks)
            self._shown_until = self._end_of(frame, pts - self._moved)
            self._count += 1
            self._mux_pictures(container, self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def finish(self) -> SinkReport:
        """Write what is pending, check the file by reading it back, and put it under its name.

        Raises OutputError where no frame was written or the file does not hold what was written,
        OutputExists where the name was taken meanwhile, DiskFull.
        """
        if self._count == 0 and self._container is not None:
            self.abort()
            raise OutputError(f"{self._output.name}: no frame to write; nothing was made")
        self._complete(cut=False)
        try:
            size = self._part.place()
        except OSError as error:
            raise self._failed(error) from error
        return self._report(self._output, size)

    def finish_early(self) -> SinkReport | None:
        """Keep what was written so far as ``<stem>.partial<ext>``, its sound ending with its
        pictures; the output's own name stays as it was.

        Where that name is taken, a number is added; with ``overwrite`` it is replaced. None, and
        no file, where nothing was written. Raises OutputError and DiskFull as ``finish`` does.
        """
        self._require_open()
        if self._count == 0:
            self.abort()
            return None
        self._complete(cut=True)
        try:
            path, size = self._part.place_partial(self._source)
        except OSError as error:
            raise self._failed(error) from error
        if not self._output.is_symlink():
            path = self._output.with_name(path.name)
        return self._report(path, size)

    def _complete(self, *, cut: bool) -> None:
        """Write all that is pending and close and check the file."""
        container = self._require_open()
        assert self._first is not None
        assert self._last is not None
        try:
            self._mux_pictures(container, self._stream.encode(None))
            if self._companions is not None:
                others = self._companions
                rest = others.end(self._shown_until) if cut else others.packets(None)
                self._mux_others(container, rest)
                ends = max(self._shown_until, self._ends) + _SPARE
                others.complete(container, self._shown_until if cut else ends)
            self._container = None
            container.close()
        except (av.FFmpegError, OSError) as error:
            self._container = container
            raise self._failed(error) from error
        try:
            note = check_written(
                self._part,
                name=self._output.name,
                frames=self._count,
                first=(self._first - self._moved) * self._tick,
                last=(self._last - self._moved) * self._tick,
            )
            self._notes.extend(note)
            if self._companions is not None:
                self._companions.check(self._part.path)
        finally:
            self._release_companions()

    def _report(self, path: Path, size: int) -> SinkReport:
        return SinkReport(path=str(path), frames=self._count, bytes=size, notes=tuple(self._notes))

    def abort(self) -> None:
        """Give up: nothing stays, neither under the name nor as ``.part``. Twice is allowed."""
        # Removed first, so that closing does not rewrite a large file that nobody will read.
        self._part.remove()
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

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
        options = {"max_interleave_delta": str(_MOST_HELD_BACK)}
        if muxer in ("mp4", "mov"):
            options |= {"movflags": "+faststart", "movie_timescale": str(self._movie_ticks())}
        return av.open(literal_url(self._part.path), "w", format=muxer, container_options=options)

    def _movie_ticks(self) -> int:
        """Ticks a second of the movie, in which late starts are counted; by default 1000, which
        would round them. Exact for picture and sound where that is possible."""
        ticks = self._tick.denominator
        rates = self._companions.rates if isinstance(self._companions, SourceCompanions) else ()
        exact = math.lcm(ticks, *(rate for rate in rates if rate > 0))
        ticks = exact if exact <= _FINEST_MOVIE else ticks
        return ticks * -(-_FINE_MOVIE // ticks)

    def _begin(self, container: OutputContainer, first: int) -> None:
        """Decide by how many ticks all times move, then add the other streams.

        They move where a range was asked for (to start at zero), where the source's clock starts
        anywhere, and where the first frame lies before zero, which players would not show.
        """
        self._first = first
        others = self._companions
        clock = others.clock_start if isinstance(others, SourceCompanions) else None
        if self._start is not None:
            zero = self._info.start_pts * self._info.time_base
            self._moved = int((zero + self._start) / self._tick)
        elif clock is not None and clock > 0:
            self._moved = min(first, int(clock / self._tick))
        elif first < 0:
            self._moved = first
        if self._moved and self._start is None:
            direction = "earlier" if self._moved > 0 else "later"
            self._notes.append(
                f"picture and sound start {abs(float(self._moved * self._tick)):.3f} s {direction} "
                "than in the source, so that the output begins at zero"
            )
        if self._companions is not None:
            self._companions.attach(container, self._moved * self._tick)

    def _mux_pictures(
        self, container: OutputContainer, packets: Iterable[Packet[VideoStream]]
    ) -> None:
        """Write pictures, each followed by the sound that is due with it.

        Sound keeps pace with what the encoder gives, not with what it is given, since the muxer
        holds back whatever runs ahead.
        """
        for packet in packets:
            mend_order(packet, self._options, self._count)
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts, packet.duration)
            time = None if packet.dts is None else packet.dts * packet.time_base
            container.mux_one(packet)
            if self._companions is not None and time is not None:
                self._mux_others(container, self._companions.packets(time))

    def _mux_others(self, container: OutputContainer, packets: Iterable[AnyPacket]) -> None:
        assert self._companions is not None
        for packet in packets:
            try:
                container.mux_one(packet)
            except (av.InvalidDataError, av.PatchWelcomeError):
                # A packet copied from a damaged source; the pictures are our own.
                self._companions.lose(packet.stream.type)
                continue
            if packet.stream.type == "audio" and packet.pts is not None:
                ends = (packet.pts + (packet.duration or 0)) * packet.time_base
                self._ends = max(self._ends, ends)

    def _failed(self, error: Exception) -> OutputError:
        """Close what failed and say why; a full disk leaves the .part for whoever can use it."""
        full = is_disk_full(error)
        if not full:
            self._part.path.unlink(missing_ok=True)
        self._close()
        if full:
            self._part.keep()
            return DiskFull(
                f"{self._output.name}: no room left in {str(self._output.absolute().parent)!r}; "
                "free some space and run again "
                f"(what was written is kept as {self._part.path.name})"
            )
        self._part.remove()
        reason = getattr(error, "strerror", None) or str(error)
        return OutputError(
            f"{self._output.name}: writing failed ({reason}); try an .mkv name, or --audio none"
        )

    def _end_of(self, frame: Frame, pts: int) -> Fraction:
        """Seconds of the output at which a frame shown at ``pts`` ends."""
        if frame.duration is not None:
            return pts * self._tick + frame.duration * frame.time_base
        return pts * self._tick + 1 / (self._info.average_rate or Fraction(25))

    def _require_open(self) -> OutputContainer:
        if self._container is None:
            raise ValueError(f"{self._output.name} is finished or was given up")
        return self._container

    def _release_companions(self) -> None:
        if self._companions is not None:
            self._notes.extend(self._companions.notes)
            self._companions.close()
            self._companions = None

    def _close(self) -> None:
        if self._container is not None:
            close_quietly(self._container)
            self._container = None
        self._release_companions()


def _is_sane(time_base: Fraction) -> bool:
    """Whether muxers can count in it."""
    return _FINEST_TICK / 1000 <= time_base <= 1 and time_base.denominator < 2**31


def _in_ticks(ticks: int, time_base: Fraction, tick: Fraction) -> int:
    return ticks if time_base == tick else round(ticks * time_base / tick)
