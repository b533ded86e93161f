"""Frames into a video file, with all else of the source beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from rtstyle.errors import OutputError
from rtstyle.files import Protected
from rtstyle.media.beside import Companions
from rtstyle.media.captions import HELD_BY, with_captions
from rtstyle.media.codecs import EncodeOptions
from rtstyle.media.film import FilmFile, tick_of
from rtstyle.media.output import check_output, muxer_of
from rtstyle.media.part_file import PartFile
from rtstyle.media.pictures import add_pictures, mend_order, stored_otherwise
from rtstyle.types import Frame, SinkReport, VideoInfo


class FrameClock:
    """The times of a film's frames in ticks of its output: each later than the one before."""

    def __init__(self, info: VideoInfo, *, last: int | None = None) -> None:
        """``last``: the ticks of the frame before the first, where there is one."""
        self._info = info
        self._tick = tick_of(info)
        self.last = last
        self._last_seconds = None if last is None else last * self._tick

    def place(self, frame: Frame) -> int:
        """Ticks at which to show ``frame``.

        Raises ValueError for a frame of another size than announced or a pts that does not grow.
        """
        if frame.size != self._info.size:
            raise ValueError(
                f"frame {frame.index} is {frame.size}, but the video is {self._info.size}"
            )
        pts = _in_ticks(frame.pts, frame.time_base, self._tick)
        if self.last is not None and self._last_seconds is not None:
            if frame.seconds <= self._last_seconds:
                raise ValueError(
                    f"pts {frame.pts} of frame {frame.index} does not follow the last one's"
                )
            # Ticks finer than a muxer counts may fall together.
            pts = max(pts, self.last + 1)
        self.last, self._last_seconds = pts, frame.seconds
        return pts

    def length(self, frame: Frame) -> int:
        """Ticks for which to show it: its own, or those of the film's rate."""
        if frame.duration is not None:
            return max(1, _in_ticks(frame.duration, frame.time_base, self._tick))
        return max(1, round(1 / ((self._info.average_rate or 25) * self._tick)))


class PictureEncoder:
    """The encoder of a container's picture stream."""

    def __init__(
        self,
        container: OutputContainer,
        info: VideoInfo,
        options: EncodeOptions,
        *,
        muxer: str,
        name: str,
    ) -> None:
        """Adds the stream; raises EncoderUnavailable.

        ``muxer``: FFmpeg's name of the container that the pictures are for in the end; ``name``:
        the output's, for messages.
        """
        self._tick = tick_of(info)
        self._stream, self._convert = add_pictures(
            container, info, options, tick=self._tick, muxer=muxer, name=name
        )
        self._lengths: dict[int, int] = {}
        self._captions: dict[int, bytes] = {}
        self.captions_left = 0
        """Pictures so far whose closed captions the codec has no place for."""
        self._options, self._given = options, 0

    def encode(self, frame: Frame, *, pts: int, length: int) -> Iterator[Packet[VideoStream]]:
        """What is ready after ``frame``, shown at ``pts`` for ``length`` ticks; raises
        FFmpegError."""
        picture = self._convert(frame.pixels, frame.alpha)
        picture.pts, picture.time_base = pts, self._tick
        self._lengths[pts] = length
        if frame.captions and self._options.codec in HELD_BY:
            self._captions[pts] = frame.captions
        self.captions_left += bool(frame.captions) and self._options.codec not in HELD_BY
        self._given += 1
        yield from self._timed(self._stream.encode(picture))

    def flush(self) -> Iterator[Packet[VideoStream]]:
        """The rest, at the end."""
        yield from self._timed(self._stream.encode(None))

    def _timed(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        for packet in packets:
            mend_order(packet, self._options, self._given)
            if packet.pts is not None:
                packet.duration = self._lengths.pop(packet.pts, packet.duration)
                if captions := self._captions.pop(packet.pts, b""):
                    packet = with_captions(packet, self._options.codec, captions)
            yield packet


class VideoWriter:
    """Encodes frames into a file that gets its name only when it is whole.

    Implements FrameSink. Writes ``<name>.<random>.part`` beside the output; ``finish`` checks it
    and renames it, ``abort`` (or leaving by an exception) removes it. Only where the disk is full
    is it kept.
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
        muxer_options: Mapping[str, str] | None = None,
        protected: Protected | None = None,
    ) -> None:
        """``info`` is that of the source: time base, colour, pixel aspect and rate are kept.

        ``source`` is the file whose sound, subtitles, chapters, covers, attachments and tags are
        carried over, ``start`` and ``end`` (seconds of the clip) the range of it; the output then
        begins at ``start``. ``companions`` are taken instead of the source's. ``muxer_options``
        are FFmpeg's, beside our own. ``protected``: what the run reads, by
        default the source. Raises what
        check_output raises, EncoderUnavailable where the codec refuses the size, and OutputError
        where another run writes the same file.
        """
        check_output(output, source=source, overwrite=overwrite, options=options)
        self._output = output
        self._clock = FrameClock(info)
        self._count = 0
        self._first = 0
        self._length = 0
        protected = protected or Protected([] if source is None else [source])
        part = PartFile(output, overwrite=overwrite, protected=protected)
        self._film = FilmFile(
            output,
            info,
            options,
            part=part,
            source=source,
            start=start,
            end=end,
            companions=companions,
            muxer_options=muxer_options,
        )
        try:
            self._encoder = PictureEncoder(
                self._film.container, info, options, muxer=muxer_of(output), name=output.name
            )
        except BaseException:
            self.abort()
            raise
        self._film.notes.extend(stored_otherwise(info, options, muxer_of(output)))

    def write(self, frame: Frame) -> None:
        """Encode one frame.

        Raises ValueError for a frame of another size than announced or a pts that does not grow,
        DiskFull, OutputError.
        """
        film = self._film
        film.container  # noqa: B018 - refuses what comes after the end
        pts, length = self._clock.place(frame), self._clock.length(frame)
        try:
            if self._count == 0:
                self._first = pts
                film.begin(pts)
            self._length = length
            self._count += 1
            for packet in self._encoder.encode(frame, pts=pts - film.moved, length=length):
                film.add(packet)
        except (av.FFmpegError, OSError) as error:
            raise film.failed(error) from error

    def finish(self) -> SinkReport:
        """Write what is pending, check the file by reading it back, and put it under its name.

        Raises OutputError where no frame was written or the file does not hold what was written,
        OutputExists where the name was taken meanwhile, DiskFull.
        """
        self._film.container  # noqa: B018 - refuses a second end
        if self._count == 0:
            self.abort()
            raise OutputError(f"{self._output.name}: no frame to write; nothing was made")
        self._complete(cut=False)
        return self._film.place(self._count)

    def finish_early(self) -> SinkReport | None:
        """Keep what was written so far as ``<stem>.partial<ext>``, its sound ending with its
        pictures; the output's own name stays as it was.

        Where that name is taken, a number is added. None, and no file, where nothing was written.
        Raises OutputError and DiskFull as ``finish`` does.
        """
        self._film.container  # noqa: B018 - refuses a second end
        if self._count == 0:
            self.abort()
            return None
        self._complete(cut=True)
        return self._film.place_partial(self._count)

    def _complete(self, *, cut: bool) -> None:
        film = self._film
        assert self._clock.last is not None
        try:
            for packet in self._encoder.flush():
                film.add(packet)
        except (av.FFmpegError, OSError) as error:
            raise film.failed(error) from error
        if self._encoder.captions_left:
            film.notes.append(
                f"closed captions of {self._encoder.captions_left} picture(s) were left out, since "
                "the codec has no place for them here; use --codec h264 or hevc to keep them"
            )
        film.complete(
            frames=self._count,
            last=self._clock.last,
            shown_until=(self._clock.last - film.moved + self._length) * film.tick,
            cut=cut,
        )

    def abort(self) -> None:
        """Give up: nothing stays, neither under the name nor as ``.part``. Twice is allowed."""
        self._film.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()


def _in_ticks(value: int, time_base: Fraction, tick: Fraction) -> int:
    return value if time_base == tick else round(value * time_base / tick)
