"""A stretch of a film's pictures, encoded into a file of its own that leans on no other.

Segments are Matroska whatever the film becomes: it holds every codec, and what was written of it
can be played wherever the writing ends. It counts milliseconds, so the exact times stand in
SegmentFacts, which belong to the file.
"""

from __future__ import annotations

import mmap
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from rtstyle.errors import DiskFull, InputError, OutputError
from rtstyle.media.codecs import EncodeOptions
from rtstyle.media.encode import FrameClock, PictureEncoder
from rtstyle.media.film import FilmFile, tick_of
from rtstyle.media.output import is_disk_full
from rtstyle.media.pictures import codec_tag
from rtstyle.media.streams import literal_url, open_container, pick_video
from rtstyle.media.trial import close_quietly
from rtstyle.types import Frame, VideoInfo

_CLUSTER = 1000
"""Milliseconds of pictures that a killed run leaves unwritten, at most."""


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """What a segment's file holds, packet by packet in decoding order.

    Kept as arrays of 4 or 8 bytes a number: a film has hundreds of thousands of pictures.
    """

    pts: Sequence[int]
    """Ticks of the film at which each is shown; on the source's clock."""
    lengths: Sequence[int]
    """Ticks for which each is shown."""
    sizes: Sequence[int]
    """Bytes."""
    keys: Sequence[int]
    """Places of the key frames."""
    crc32: int
    """Of all bytes, one packet after the other."""

    def __post_init__(self) -> None:
        if not self.pts or not len(self.pts) == len(self.lengths) == len(self.sizes):
            raise ValueError("a segment has as many times, lengths and sizes as pictures, and some")
        if len(set(self.pts)) != len(self.pts):
            raise ValueError("two pictures of a segment have one time")
        for name in ("pts", "lengths", "sizes", "keys"):
            object.__setattr__(self, name, _packed(getattr(self, name)))

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        numbers = {name: list(getattr(self, name)) for name in ("pts", "lengths", "sizes", "keys")}
        return {**numbers, "crc32": self.crc32}

    @property
    def frames(self) -> int:
        """How many pictures it holds."""
        return len(self.pts)

    @property
    def first(self) -> int:
        """Ticks at which the first picture is shown."""
        return min(self.pts)

    @property
    def last(self) -> int:
        """Ticks at which the last picture is shown."""
        return max(self.pts)

    @property
    def end(self) -> int:
        """Ticks at which the last picture ends."""
        return self.last + self.lengths[self.pts.index(self.last)]

    @property
    def delay(self) -> int:
        """By how many pictures decoding must run ahead of showing."""
        shown = sorted(self.pts)
        place = {pts: index for index, pts in enumerate(shown)}
        return max(0, *(index - place[pts] for index, pts in enumerate(self.pts)))


class SegmentWriter:
    """Encodes the frames of one segment."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        options: EncodeOptions,
        clock: FrameClock,
        *,
        muxer: str,
    ) -> None:
        """``clock`` is the film's, which goes on from segment to segment; ``muxer``: FFmpeg's name
        of its container. Raises EncoderUnavailable, DiskFull and OutputError."""
        self.path = path
        self.frames = 0
        self._clock = clock
        self._zero = 0
        self._pts: list[int] = []
        self._lengths: list[int] = []
        self._container: OutputContainer | None = None
        try:
            self._container = av.open(
                literal_url(path),
                "w",
                format="matroska",
                container_options={"cluster_time_limit": str(_CLUSTER), "flush_packets": "1"},
            )
            self._encoder = PictureEncoder(
                self._container, info, options, muxer=muxer, name=path.name
            )
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        except BaseException:
            self.abort()
            raise

    def write(self, frame: Frame) -> None:
        """Encode one frame; raises ValueError as FrameClock does, DiskFull and OutputError."""
        pts, length = self._clock.place(frame), self._clock.length(frame)
        if self.frames == 0:
            self._zero = pts
        self.frames += 1
        try:
            self._mux(self._encoder.encode(frame, pts=pts - self._zero, length=length))
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def finish(self) -> SegmentFacts:
        """Close the file, see it on the disk, and read it back.

        Raises OutputError where it does not hold what was written, DiskFull.
        """
        assert self._container is not None
        try:
            self._mux(self._encoder.flush())
            container, self._container = self._container, None
            container.close()
            _sync(self.path)
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        found = _read_back(self.path)
        if not len(found.sizes) == len(self._pts) == self.frames:
            raise OutputError(
                f"{self.path.name}: {self.frames} frames were written, but {len(found.sizes)} can "
                "be read back; try another codec"
            )
        return SegmentFacts(
            pts=self._pts,
            lengths=self._lengths,
            sizes=found.sizes,
            keys=found.keys,
            crc32=found.crc32,
        )

    def abort(self) -> None:
        """Give up, and leave the file; calling it twice, or after ``finish``, is allowed."""
        if self._container is not None:
            close_quietly(self._container)
            self._container = None

    def _mux(self, packets: Iterable[Packet[VideoStream]]) -> None:
        assert self._container is not None
        for packet in packets:
            assert packet.pts is not None
            self._pts.append(packet.pts + self._zero)
            self._lengths.append(max(1, packet.duration or 1))
            self._container.mux_one(packet)

    def _failed(self, error: Exception) -> OutputError:
        self.abort()
        if is_disk_full(error):
            return DiskFull(
                f"no room left in {str(self.path.parent)!r}; free some space and run again"
            )
        reason = getattr(error, "strerror", None) or str(error)
        return OutputError(f"{str(self.path)!r}: writing failed ({reason})")


@dataclass(slots=True)
class _Found:
    """What a file of pictures was found to hold."""

    sizes: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    crc32: int = 0

    def add(self, packet: Packet[VideoStream]) -> None:
        if packet.is_keyframe:
            self.keys.append(len(self.sizes))
        self.sizes.append(packet.size)
        self.crc32 = zlib.crc32(bytes(packet), self.crc32)


def _read_back(path: Path) -> _Found:
    """Raises OutputError where the file cannot be read."""
    found = _Found()
    try:
        with open_container(path) as container:
            for packet in _pictures(container.demux(pick_video(container, path.name))):
                found.add(packet)
    except (InputError, av.FFmpegError) as error:
        raise OutputError(f"{str(path)!r} cannot be read back ({error})") from None
    return found


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """Where a segment's pictures are: in a file of their own, or at places in one of many."""

    path: Path
    offsets: Sequence[int] | None = None
    """Bytes at which each picture begins, where the file is no segment's own."""

    def __post_init__(self) -> None:
        if self.offsets is not None:
            object.__setattr__(self, "offsets", _packed(self.offsets))


def is_whole(file: SegmentFile, facts: SegmentFacts) -> bool:
    """Whether a file still holds exactly what a segment's facts say."""
    try:
        if file.offsets is None:
            found = _read_back(file.path)
            return found.sizes == list(facts.sizes) and found.crc32 == facts.crc32
        crc32 = 0
        for data in _pieces(file, facts):
            crc32 = zlib.crc32(data, crc32)
        return crc32 == facts.crc32
    except (OSError, OutputError):
        return False


def find_pictures(own: Path, film: Path, begin: int) -> list[int] | None:
    """The places in ``film`` at which the pictures of a segment's own file stand, from the byte
    ``begin`` on and in their order; None where they are not all there (yet), or need more than
    their bytes to be shown."""
    offsets: list[int] = []
    if film.stat().st_size == 0:
        return None
    with (
        open_container(own) as container,
        film.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as written,
    ):
        for packet in _pictures(container.demux(pick_video(container, own.name))):
            place = -1 if any(packet.iter_sidedata()) else written.find(bytes(packet), begin)
            if place < 0:
                return None
            offsets.append(place)
            begin = place + packet.size
    return offsets


def _pieces(file: SegmentFile, facts: SegmentFacts) -> Iterator[bytes]:
    """The bytes of pictures that stand at places of a file."""
    assert file.offsets is not None
    with file.path.open("rb") as source:
        for offset, size in zip(file.offsets, facts.sizes, strict=True):
            source.seek(offset)
            yield source.read(size)


class SegmentJoiner:
    """Puts segments, one after another, into a film."""

    def __init__(
        self, film: FilmFile, info: VideoInfo, options: EncodeOptions, facts: list[SegmentFacts]
    ) -> None:
        """``facts``: those of all segments, in the film's order."""
        self._film, self._info, self._options = film, info, options
        self._tick = tick_of(info)
        self._facts = facts
        self._delay = max(segment.delay for segment in facts)
        self._decoding = self._decoding_times()
        self._stream: VideoStream | None = None
        self._extradata: bytes | None = None
        self._next = 0

    def add(self, file: SegmentFile) -> None:
        """Add the next segment; the first must be a file of its own.

        Raises OutputError where it was encoded in another way than the first or cannot be put into
        the film, DiskFull.
        """
        facts = self._facts[self._next]
        self._next += 1
        try:
            if file.offsets is None:
                self._add_file(file.path, facts)
            else:
                self._add_pieces(file, facts)
        except (av.FFmpegError, OSError) as error:
            raise self._film.failed(error) from error

    def _add_file(self, path: Path, facts: SegmentFacts) -> None:
        with open_container(path) as container:
            stream = pick_video(container, path.name)
            if self._stream is None:
                self._stream = self._add_stream(stream)
                self._extradata = stream.codec_context.extradata
                self._film.begin(self._facts[0].first)
            elif stream.codec_context.extradata != self._extradata:
                raise OutputError(
                    f"{path.name} was encoded by another encoder than the segments before it; "
                    "start over with --overwrite"
                )
            with closing(container.demux(stream)) as packets:  # type: ignore[type-var]
                self._add_packets(_pictures(packets), facts)

    def _add_pieces(self, file: SegmentFile, facts: SegmentFacts) -> None:
        keys = set(facts.keys)

        def packets() -> Iterator[Packet[VideoStream]]:
            for place, data in enumerate(_pieces(file, facts)):
                packet = cast("Packet[VideoStream]", Packet(data))
                packet.is_keyframe = place in keys
                yield packet

        self._add_packets(packets(), facts)

    def _add_packets(self, packets: Iterable[Packet[VideoStream]], facts: SegmentFacts) -> None:
        assert self._stream is not None
        for packet, pts, length in zip(packets, facts.pts, facts.lengths, strict=True):
            packet.stream = self._stream
            packet.time_base = self._tick
            packet.pts = pts - self._film.moved
            packet.dts = next(self._decoding) - self._film.moved
            packet.duration = length
            self._film.add(packet)

    def _add_stream(self, template: VideoStream) -> VideoStream:
        # Opaque: where the codec's decoder has another name than its encoder, PyAV looks in vain.
        stream = self._film.container.add_stream_from_template(template, opaque=True)
        stream.time_base = self._tick
        context = stream.codec_context
        # Matroska keeps it rounded, or for some codecs not at all.
        context.sample_aspect_ratio = self._info.pixel_aspect
        tag = codec_tag(self._options, self._info, self._film.container.format.name)
        if tag is not None:
            context.codec_tag = tag
        if "alpha_mode" in template.metadata:
            # Without it, players take vp9 for opaque.
            stream.metadata["alpha_mode"] = template.metadata["alpha_mode"]
        return stream

    def _decoding_times(self) -> Iterator[int]:
        """Ticks at which each picture is decoded: when the one is shown that lies as many places
        ahead as decoding runs ahead of showing, so that times grow and none is later than its
        picture's."""
        step = max(1, min((b - a for a, b in pairwise(self._shown())), default=1))
        for ahead in range(self._delay, 0, -1):
            yield self._facts[0].first - ahead * step
        yield from self._shown()

    def _shown(self) -> Iterator[int]:
        """Ticks of all pictures, as they are shown."""
        for facts in self._facts:
            yield from sorted(facts.pts)


def _packed(numbers: Sequence[int]) -> Sequence[int]:
    small = not numbers or (min(numbers) >= 0 and max(numbers) < 2**32)
    return array("I" if small else "q", numbers)


def _pictures(packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
    return (packet for packet in packets if packet.size)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
