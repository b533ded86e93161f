"""A stretch of a film's pictures, encoded into a file of its own that leans on no other.

Segments are Matroska whatever the film becomes: it holds every codec, and what was written of it
can be played wherever the writing ends. It counts milliseconds, so the exact times stand in
SegmentFacts, which belong to the file.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from rtstyle.errors import DiskFull, OutputError
from rtstyle.files import create, is_disk_full, writable_url
from rtstyle.media.codecs import EncodeOptions
from rtstyle.media.encode import FrameClock, PictureEncoder
from rtstyle.media.film import FilmFile, tick_of
from rtstyle.media.pictures import dress_pictures
from rtstyle.media.segment_file import (
    SegmentFacts,
    SegmentFile,
    only_pictures,
    read_back,
    read_pictures,
)
from rtstyle.media.streams import literal_url, open_container, pick_video
from rtstyle.media.trial import close_quietly
from rtstyle.types import Frame, VideoInfo

_CLUSTER = 1000
"""Milliseconds of pictures that a killed run leaves unwritten, at most."""


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
        """``path`` must be free. ``clock`` is the film's, which goes on from segment to segment;
        ``muxer``: FFmpeg's name of its container. Raises EncoderUnavailable, DiskFull and
        OutputError."""
        self.path = path
        self.frames = 0
        self._clock = clock
        self._zero = 0
        self._pts: list[int] = []
        self._lengths: list[int] = []
        self._container: OutputContainer | None = None
        self._descriptor: int | None = None
        try:
            self._descriptor = create(path)
            self._container = av.open(
                literal_url(writable_url(path, self._descriptor)),
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
            assert self._descriptor is not None
            os.fsync(self._descriptor)
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        self._close_file()
        found = read_back(self.path)
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
        self._close_file()

    def _close_file(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

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
                self._add_packets(only_pictures(packets), facts)

    def _add_pieces(self, file: SegmentFile, facts: SegmentFacts) -> None:
        keys = set(facts.keys)

        def packets() -> Iterator[Packet[VideoStream]]:
            for place, data in enumerate(read_pictures(file, facts)):
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
        dress_pictures(stream, self._info, self._options, tick=self._tick)
        if "alpha_mode" in template.metadata:
            # Without it, players take vp9 for opaque.
            stream.metadata["alpha_mode"] = template.metadata["alpha_mode"]
        return stream

    def _decoding_times(self) -> Iterator[int]:
        """Ticks at which each picture is decoded: when the one is shown that lies as many places
        ahead as decoding runs ahead of showing, so that times grow and none is later than its
        picture's."""
        lead, first = self._lead(), self._facts[0].first
        for ahead in range(self._delay, 0, -1):
            yield first - lead * ahead // self._delay
        yield from self._shown()

    def _lead(self) -> int:
        """Ticks from the first decoding to the first showing: as many as from the end of the last
        decoding to that of the last showing, since some containers tell by the former how long the
        film is and how many pictures a second it has."""
        last = deque(self._shown(), maxlen=self._delay + 1)
        least = min((b - a for a, b in pairwise(self._shown())), default=1)
        count = sum(facts.frames for facts in self._facts)
        mean = (last[-1] - self._facts[0].first) // max(1, count - 1)
        end = self._facts[-1]
        wanted = end.end - last[0] - end.lengths[-1] if count > self._delay else 0
        # No player may have to wait for it where the last pictures are shown for long.
        return min(max(wanted, self._delay * least), 2 * self._delay * max(least, mean))

    def _shown(self) -> Iterator[int]:
        """Ticks of all pictures, as they are shown."""
        for facts in self._facts:
            yield from sorted(facts.pts)
