"""The times of a file's pictures: as they decode, or as its packets announce them."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtstyle.media.captions import CaptionCount, may_have_captions
from rtstyle.media.clock import can_seek, clock_of, ends_at, packets_of
from rtstyle.media.decode import Decoder, placed
from rtstyle.media.lockstep import Moment
from rtstyle.media.payload import READ_ERRORS
from rtstyle.media.sidedata import beside
from rtstyle.media.streams import open_container, pick_video, rate_of, shown
from rtstyle.media.stretch import WHOLE, Stretch
from rtstyle.media.timeline import Timeline
from rtstyle.types import Limits

_WORTH_SEEKING = Fraction(2)
"""Seconds; as open_video has it, since after a seek times are repaired from there on."""
_MOST_REORDERED = 64
"""Packets within which pictures may be stored out of order; codecs allow 16 to 32."""


class UnannouncedError(Exception):
    """The packets of a file do not say when its pictures are shown, or all that is compared."""


class Film:
    """The times of a file's pictures, in order: those that decode, as a conversion sees them."""

    def __init__(
        self, path: Path, limits: Limits, stretch: Stretch = WHOLE, *, quick: bool = False
    ) -> None:
        """``quick`` decodes with all processors and without the smoothing of blocks: the same
        times where nothing is damaged. Raises NotAVideo and NoVideoStream."""
        self._stretch = stretch
        self.captions = CaptionCount()
        """Of the pictures given so far."""
        self._container = open_container(path, max_pixels=limits.max_pixels)
        try:
            stream = pick_video(self._container, shown(path))
            options = {"max_pixels": str(limits.max_pixels)}
            if quick:
                options["skip_loop_filter"] = "all"
                stream.codec_context.thread_type = ThreadType.AUTO
            stream.codec_context.options = options
            self._decoder = Decoder(
                self._container, stream, name=shown(path), max_failures=limits.max_decode_failures
            )
            self._tick = stream.time_base or Fraction(1, 1000)
            self._strays = clock_of(self._container).strays.get(stream.index, 0)
            self._timeline = Timeline(
                self._tick,
                rate_of(stream),
                ends=ends_at(self._container, stream, stream.start_time),
            )
        except BaseException:
            self._container.close()
            raise

    @property
    def tick(self) -> Fraction:
        """Seconds in which the file counts its pictures' times."""
        return self._tick

    @property
    def failures(self) -> int:
        """Packets that could not be decoded so far."""
        return self._decoder.failures

    @property
    def repaired(self) -> int:
        """Times that were missing or ran backwards so far."""
        return self._timeline.repaired + self._strays

    def moments(self) -> Generator[Moment, None, None]:
        """Raises CorruptInput after more failures in a row than the limits allow."""
        zero: int | None = None
        count = 0
        begin, end, most = self._stretch.begin, self._stretch.end, self._stretch.most
        for picture, pts, zero in self._placed():
            seconds = (pts - zero) * self._tick
            if begin is not None and seconds < begin:
                continue
            if (end is not None and seconds >= end) or count == most:
                return
            count += 1
            self.captions.add(beside(picture).captions)
            length = picture.duration * self._tick if picture.duration else None
            yield Moment(pts * self._tick, length)

    def _placed(self) -> Iterator[tuple[VideoFrame, int, int]]:
        """Pictures with their pts and that of the file's first one, as open_video counts them."""
        with closing(self._decoder.pictures()) as pictures:
            first = next(pictures, None)
            if first is None:
                return
            zero = first.pts or 0
            begin = self._stretch.begin or Fraction(0)
            wanted = zero + int(begin / self._tick)
            sought = begin > _WORTH_SEEKING and first.pts is not None and self._decoder.seek(wanted)
            if not sought:
                yield first, self._timeline.place(first.pts), zero
                yield from self._rest(pictures, zero)
                return
        with closing(self._decoder.pictures_around(wanted, zero)) as pictures:
            yield from self._rest(pictures, zero)

    def _rest(
        self, pictures: Iterator[VideoFrame], zero: int
    ) -> Iterator[tuple[VideoFrame, int, int]]:
        for picture, pts in placed(self._decoder, pictures, self._timeline):
            yield picture, pts, zero

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._container.close()


class Announced:
    """The times of a file's pictures as its packets say them; nothing is decoded.

    Many times quicker than decoding, and no decoder can hide a picture from it. Some codecs store
    what is never shown, and some containers no times: then films are to be compared as they decode.
    """

    def __init__(self, path: Path, zero: Fraction, stretch: Stretch = WHOLE) -> None:
        """``zero``: seconds of the file's clock at which its first picture is shown."""
        self._path, self._stretch = path, stretch
        self._window = stretch.window(zero)
        with open_container(path) as container:
            self._tick = pick_video(container, shown(path)).time_base or Fraction(1, 1000)

    @property
    def tick(self) -> Fraction:
        """Seconds in which the file counts its pictures' times."""
        return self._tick

    def moments(self) -> Generator[Moment, None, None]:
        """Raises UnannouncedError where packets have no times or not one for each picture."""
        begin, end = self._window.begin, self._window.end
        count = 0
        last: int | None = None
        with closing(self._sorted()) as announced:
            for pts, duration in announced:
                if last is not None and pts <= last:
                    raise UnannouncedError(
                        f"{shown(self._path)}: the clock of its packets runs back"
                    )
                last = pts
                seconds = pts * self._tick
                if begin is not None and seconds < begin:
                    continue
                if (end is not None and seconds >= end) or count == self._stretch.most:
                    return
                count += 1
                yield Moment(seconds, duration * self._tick if duration else None)

    def _sorted(self) -> Generator[tuple[int, int], None, None]:
        waiting: list[tuple[int, int]] = []
        with closing(self._packets()) as packets:
            for packet in packets:
                heapq.heappush(waiting, packet)
                if len(waiting) > _MOST_REORDERED:
                    yield heapq.heappop(waiting)
        yield from sorted(waiting)

    def _packets(self) -> Generator[tuple[int, int], None, None]:
        with open_container(self._path) as container:
            stream = pick_video(container, shown(self._path))
            for other in container.streams:
                if other.index != stream.index:
                    other.discard = Discard.all
            self._seek(container, stream)
            try:
                with closing(packets_of(container, stream)) as packets:
                    for packet in packets:
                        if packet.size == 0 and packet.dts is None:
                            continue
                        if packet.pts is None or packet.size == 0 or packet.is_corrupt:
                            raise UnannouncedError(f"{shown(self._path)}: a packet has no time")
                        if may_have_captions(packet):
                            raise UnannouncedError(f"{shown(self._path)}: it may have captions")
                        if not packet.is_discard:
                            yield packet.pts, packet.duration or 0
            except READ_ERRORS as error:
                raise UnannouncedError(f"{shown(self._path)}: {error}") from None

    def _seek(self, container: InputContainer, stream: VideoStream) -> None:
        """Where that lands too late, pictures are missing, and the films are decoded."""
        begin = self._window.begin
        if begin is None or (self._stretch.begin or 0) <= _WORTH_SEEKING:
            return
        if not can_seek(container):
            return
        try:
            container.seek(int(begin / self._tick), stream=stream)
        except av.FFmpegError:
            # Reading from the start finds the same packets, later.
            return
