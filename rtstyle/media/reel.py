"""The pictures of a file's video stream, one after another, from its start or from anywhere."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtstyle.errors import CorruptInput, LimitExceeded
from rtstyle.media.decode import Decoder
from rtstyle.media.deinterlace import Deinterlacer
from rtstyle.media.sidedata import Beside, beside
from rtstyle.media.streams import open_container, pick_video, shown

_WORTH_SEEKING = Fraction(2)
"""Seconds; before this, decoding on is as quick as a seek."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What is known of a picture beside its pixels, since what a filter made of it has no times."""

    pts: int | None
    """As the file has it."""
    following: int | None
    """That of the picture after it, where there is one that has one."""
    lost: int
    """Packets without a pts right before it that could not be decoded."""
    failures: int
    """Packets up to it that could not be decoded."""
    duration: int | None
    """Ticks for which it is shown; None where the file does not say. A filter counts others."""
    said: Beside = field(default_factory=Beside)
    """What the picture said beside its samples before any filter saw it."""
    aspect: Fraction | None = None
    """Width of a pixel over its height, by the pictures' own header; None where it does not say."""


Shot = tuple[VideoFrame, Stamp]


class Reel:
    """Whole pictures of a video stream, in presentation order."""

    def __init__(
        self, path: str | Path, *, deinterlace: bool, max_pixels: int, max_failures: int
    ) -> None:
        """Raises NotAVideo, NoVideoStream, LimitExceeded, and CorruptInput where not one picture
        can be decoded."""
        self._path, self._name = path, shown(path)
        self._deinterlace, self._max_pixels = deinterlace, max_pixels
        self._max_failures = max_failures
        self._pictures: Generator[VideoFrame, None, None] | None = None
        self._container: InputContainer | None = None
        try:
            self.first = self._open()
        except BaseException:
            self.close()
            raise
        self._earliest = self.first.pts or 0

    @property
    def container(self) -> InputContainer:
        """Raises ValueError once closed."""
        if self._container is None:
            raise ValueError(f"{self._name} is closed")
        return self._container

    @property
    def stream(self) -> VideoStream:
        """The one that is read."""
        return pick_video(self.container, self._name)

    @property
    def aspect(self) -> Fraction | None:
        """As a stamp has it, of the first picture."""
        return self._first_aspect

    @property
    def said(self) -> Beside:
        """What the first picture says beside its samples, and the container of all of them.

        Only a stream's own decoder is told of it by the container.
        """
        if self._decoder.transparent is None:
            return beside(self.first)
        with open_container(self._path, max_pixels=self._max_pixels) as container:
            stream = pick_video(container, self._name)
            stream.codec_context.options = {"max_pixels": str(self._max_pixels)}
            decoder = Decoder(container, stream, name=self._name, max_failures=self._max_failures)
            with closing(decoder.pictures()) as pictures:
                first = next(pictures, None)
            return Beside() if first is None else beside(first)

    @property
    def failures(self) -> int:
        """Packets that could not be read or decoded so far."""
        return self._decoder.failures

    @property
    def late_streams(self) -> bool:
        """Whether a stream was met that the file did not show when it was opened."""
        return self._decoder.late_streams

    @property
    def deinterlaced(self) -> int:
        """Pictures given so far that were made of two fields."""
        return self._deinterlacer.deinterlaced

    def go_on(self, *, failures: int, deinterlaced: int) -> None:
        """Count on from what an earlier reading had counted."""
        self._decoder.failures = failures
        self._deinterlacer.deinterlaced = deinterlaced

    def shots(self) -> Generator[Shot, None, None]:
        """All pictures, from the first on."""
        assert self._pictures is not None
        return self._whole(self._stamped(self.first, self._pictures))

    def shots_around(self, pts: int) -> Generator[Shot, None, None] | None:
        """Pictures from somewhere before ``pts`` on; None, and nothing read, where no seek is
        possible or none is worth it."""
        time_base = self.stream.time_base or Fraction(1, 1000)
        if (pts - self._earliest) * time_base <= _WORTH_SEEKING or self.first.pts is None:
            return None
        if not self._decoder.seek(pts):
            return None
        assert self._pictures is not None
        self._pictures.close()
        self._pictures = self._decoder.pictures_around(pts, self._earliest)
        return self._whole(self._stamped(None, self._pictures))

    def reopen(self) -> None:
        """Begin again at the start, whatever a seek did."""
        self.close()
        self.first = self._open()

    def close(self) -> None:
        """Release the file; calling it twice is allowed."""
        if self._pictures is not None:
            self._pictures.close()
            self._pictures = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open(self) -> VideoFrame:
        limit = self._max_pixels
        self._container = open_container(self._path, max_pixels=limit)
        stream = pick_video(self._container, self._name)
        context = stream.codec_context
        if context.width * context.height > limit:
            raise LimitExceeded(
                f"{self._name}: {context.width}x{context.height} is more than the {limit} pixels "
                "allowed; scale it down first"
            )
        context.options = {"max_pixels": str(limit)}
        self._decoder = Decoder(
            self._container,
            stream,
            name=self._name,
            max_failures=self._max_failures,
            with_alpha=True,
        )
        self._deinterlacer = Deinterlacer(stream)
        self._pictures = self._decoder.pictures()
        first = next(self._pictures, None)
        if first is None:
            raise CorruptInput(
                f"{self._name}: not one frame could be decoded; the file is damaged or incomplete "
                f"(copy it again), or its pictures have more than the {limit} pixels allowed"
            )
        self._first_aspect = self._decoder.take_aspect(first.pts)
        return first

    def _stamped(self, first: VideoFrame | None, pictures: Iterable[VideoFrame]) -> Iterator[Shot]:
        """One picture is read ahead, since the time of the next tells a wild one."""
        held, lost, failures = first, 0, self._decoder.failures
        aspect = self._first_aspect
        for picture in pictures:
            if held is not None:
                yield held, _stamp(held, picture.pts, lost, failures, aspect)
            held, lost, failures = picture, self._decoder.take_lost(), self._decoder.failures
            aspect = self._decoder.take_aspect(picture.pts)
        if held is not None:
            yield held, _stamp(held, None, lost, failures, aspect)

    def _whole(self, shots: Iterable[Shot]) -> Generator[Shot, None, None]:
        yield from self._deinterlacer.frames(shots) if self._deinterlace else shots


def _stamp(
    picture: VideoFrame, following: int | None, lost: int, failures: int, aspect: Fraction | None
) -> Stamp:
    duration = picture.duration or None
    return Stamp(picture.pts, following, lost, failures, duration, beside(picture), aspect)
