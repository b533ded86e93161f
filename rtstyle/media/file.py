"""A video file as a source of frames."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtstyle.errors import CorruptInput, InputError, LimitExceeded, UsageError
from rtstyle.media.colour import bits_per_sample, colour_of, has_alpha, resolve_colour
from rtstyle.media.decode import Decoder
from rtstyle.media.hdr import SDR, hdr_name, is_hdr, is_ictcp, said_hdr
from rtstyle.media.read import PixelReader
from rtstyle.media.streams import (
    duration_seconds,
    list_streams,
    open_container,
    pick_video,
    shown,
)
from rtstyle.media.timeline import Timeline
from rtstyle.types import (
    DEFAULT_LIMITS,
    AnyPixels,
    Colour,
    Frame,
    Limits,
    Size,
    SourceHealth,
    VideoInfo,
)

_log = logging.getLogger(__name__)
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_WORTH_SEEKING = Fraction(2)
"""Seconds; before this, decoding on is as quick as a seek."""


def open_video(
    path: str | Path,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    limits: Limits = DEFAULT_LIMITS,
    deep: bool = False,
    hdr: str = "tonemap",
) -> VideoFile:
    """Open a video file and decode its first picture.

    ``start`` and ``end`` are seconds on the clip's own timeline, whose zero is its first picture;
    frames with ``start <= t < end`` are given. With ``deep``, frames of a source that has more than
    8 bits a sample are uint16; else all are uint8. ``hdr`` says what becomes of PQ and HLG:
    ``tonemap`` gives BT.709, ``keep`` the code values as they are, ``refuse`` raises InputError.

    Raises NotAVideo, NoVideoStream, CorruptInput, LimitExceeded, InputError for colours that cannot
    be converted, and UsageError for a range that cannot hold a frame.
    """
    return VideoFile(path, start=start, end=end, limits=limits, deep=deep, hdr=hdr)


class VideoFile:
    """Frames of a file in presentation order, upright, each with its own pts.

    Implements FrameSource. Read once: a second iteration goes on where the first stopped.
    """

    live = False

    def __init__(
        self,
        path: str | Path,
        *,
        start: Fraction | None = None,
        end: Fraction | None = None,
        limits: Limits = DEFAULT_LIMITS,
        deep: bool = False,
        hdr: str = "tonemap",
    ) -> None:
        _check_range(start, end)
        self._name = shown(path)
        self._start, self._end, self._limits = start, end, limits
        self._notes: list[str] = []
        self._size_changed = False
        self._deep, self._hdr = deep, hdr
        self._frames: Generator[Frame, None, None] | None = None
        self._pictures: Generator[VideoFrame, None, None] | None = None
        self._container: InputContainer | None = open_container(path, max_pixels=limits.max_pixels)
        try:
            self._prepare(self._container)
        except BaseException:
            self.close()
            raise

    def _prepare(self, container: InputContainer) -> None:
        stream = pick_video(container, self._name)
        limit = self._limits.max_pixels
        context = stream.codec_context
        if context.width * context.height > limit:
            raise LimitExceeded(
                f"{self._name}: {context.width}x{context.height} is more than the {limit} pixels "
                "allowed; scale it down first"
            )
        context.options = {"max_pixels": str(limit)}
        self._decoder = Decoder(
            container, stream, name=self._name, max_failures=self._limits.max_decode_failures
        )
        self._pictures = self._decoder.pictures()
        first = next(self._pictures, None)
        if first is None:
            raise CorruptInput(
                f"{self._name}: not one frame could be decoded; the file is damaged or incomplete "
                f"(copy it again), or its pictures have more than the {limit} pixels allowed"
            )
        self._stored = Size(first.width, first.height)
        self._info = _describe(container, stream, first)
        self._reader = self._choose_reader(first)
        self._timeline = Timeline(self._info.time_base, self._info.average_rate)
        self._note_losses(first)
        self._frames = self._iterate(first)

    @property
    def info(self) -> VideoInfo:
        """What the header and the first picture say; colour with what is unsaid assumed."""
        return self._info

    @property
    def health(self) -> SourceHealth:
        """What had to be swallowed so far."""
        return SourceHealth(
            decode_failures=self._decoder.failures,
            repaired_timestamps=self._timeline.repaired,
            notes=tuple(self._notes),
        )

    def __iter__(self) -> Iterator[Frame]:
        if self._frames is None:
            raise ValueError(f"{self._name} is closed")
        return self._frames

    def close(self) -> None:
        """Release the file; calling it twice is allowed."""
        for generator in (self._frames, self._pictures):
            if generator is not None:
                generator.close()
        self._frames = self._pictures = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _iterate(self, first: VideoFrame) -> Generator[Frame, None, None]:
        info, time_base = self._info, self._info.time_base
        index = 0
        for picture, pts in self._timed(first):
            seconds = (pts - info.start_pts) * time_base
            if self._start is not None and seconds < self._start:
                continue
            if self._end is not None and seconds >= self._end:
                break
            self._check_length(index, seconds - (self._start or 0))
            yield Frame(
                pixels=self._upright(picture, seconds),
                pts=pts,
                time_base=time_base,
                duration=picture.duration or None,
                index=index,
            )
            index += 1
        if index == 0:
            raise UsageError(f"{self._name}: no frame lies between start and end; it is shorter")

    def _timed(self, first: VideoFrame) -> Iterator[tuple[VideoFrame, int]]:
        assert self._pictures is not None
        start = self._start or Fraction(0)
        wanted = self._info.start_pts + int(start / self._info.time_base)
        seeks = start > _WORTH_SEEKING and first.pts is not None
        if seeks and self._decoder.seek(wanted):
            self._pictures.close()
            self._pictures = self._decoder.pictures_around(wanted, self._info.start_pts)
        else:
            yield first, self._timeline.place(first.pts)
        for picture in self._pictures:
            for _ in range(self._decoder.take_lost()):
                self._timeline.skip()
            yield picture, self._timeline.place(picture.pts)

    def _choose_reader(self, first: VideoFrame) -> PixelReader:
        """What makes pixels of this file's pictures; from here on ``info`` says what they mean."""
        stored, maps = self._info.colour, False
        if is_ictcp(colour_of(first)) and self._hdr != "keep":
            raise InputError(
                f"{self._name}: its colours are stored as ICtCp (Dolby Vision), which cannot be "
                "converted; make a PQ, HLG or SDR version of it first"
            )
        if is_hdr(stored) and self._hdr == "refuse":
            raise InputError(
                f"{self._name}: it is HDR ({hdr_name(stored)}); allow --hdr tonemap to make it SDR"
            )
        if is_hdr(stored) and self._hdr == "tonemap":
            self._info, maps = replace(self._info, colour=SDR), True
        reader = PixelReader(first, stored, deep=self._deep, tone_map=maps)
        self._notes.extend(reader.notes)
        return reader

    def _upright(self, picture: VideoFrame, seconds: Fraction) -> AnyPixels:
        pixels = self._reader(picture)
        size = Size(picture.width, picture.height)
        if size != self._stored:
            self._note_change(
                f"the picture's size changes from {self._stored} to {size} at "
                f"{float(seconds):.2f} s; such frames are fitted into {self._stored}"
            )
            pixels = _letterbox(pixels, self._stored)
        turn = _TURNS.get(self._info.rotation)
        return pixels if turn is None else cast(AnyPixels, cv2.rotate(pixels, turn))

    def _check_length(self, index: int, seconds: Fraction) -> None:
        limits = self._limits
        if limits.max_frames is not None and index >= limits.max_frames:
            raise LimitExceeded(
                f"{self._name}: more than the {limits.max_frames} frames allowed; cut it first"
            )
        if limits.max_seconds is not None and seconds > limits.max_seconds:
            raise LimitExceeded(
                f"{self._name}: longer than the {limits.max_seconds:g} s allowed; cut it first"
            )

    def _note_losses(self, first: VideoFrame) -> None:
        if has_alpha(first):
            self._notes.append("the source's transparency is ignored")

    def _note_change(self, note: str) -> None:
        if not self._size_changed:
            self._size_changed = True
            self._notes.append(note)
            _log.warning("%s: %s", self._name, note)


def _check_range(start: Fraction | None, end: Fraction | None) -> None:
    if start is not None and start < 0:
        raise UsageError(f"start is {float(start):g} s, but a clip begins at 0")
    if end is not None and end <= (start or 0):
        raise UsageError(
            f"end ({float(end):g} s) must be later than start ({float(start or 0):g} s)"
        )


def _describe(container: InputContainer, stream: VideoStream, first: VideoFrame) -> VideoInfo:
    rotation = round(-first.rotation / 90) * 90 % 360
    stored = Size(first.width, first.height)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    quarter = rotation in (90, 270)
    time_base = stream.time_base or Fraction(1, 1000)
    return VideoInfo(
        size=stored.transposed if quarter else stored,
        time_base=time_base,
        average_rate=stream.average_rate or stream.guessed_rate,
        frames_in_header=stream.frames or None,
        duration_in_header=duration_seconds(container, stream),
        rotation=rotation,
        pixel_aspect=1 / aspect if quarter else aspect,
        colour=_stream_colour(stream, first),
        codec=stream.codec_context.name,
        streams=list_streams(container),
        start_pts=first.pts or 0,
        bits=bits_per_sample(first),
    )


def _stream_colour(stream: VideoStream, first: VideoFrame) -> Colour:
    own = colour_of(first)
    context = stream.codec_context
    full = own.full_range
    if full is None:
        full = {1: False, 2: True}.get(int(context.color_range))

    def either(of_frame: int, of_stream: int) -> int:
        return of_frame if of_frame != 2 else int(of_stream)

    said = Colour(
        matrix=either(own.matrix, context.colorspace),
        primaries=either(own.primaries, context.color_primaries),
        transfer=either(own.transfer, context.color_trc),
        full_range=full,
    )
    if is_hdr(said):
        said = said_hdr(said)
    return resolve_colour(said, Size(first.width, first.height))


def _letterbox(pixels: AnyPixels, size: Size) -> AnyPixels:
    """``pixels`` scaled to fit into ``size``, in the middle of a black picture of that size."""
    height, width = pixels.shape[:2]
    scale = min(Fraction(size.width, width), Fraction(size.height, height))
    inner = Size(max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    fitted = cv2.resize(pixels, (inner.width, inner.height), interpolation=method)
    canvas = np.zeros((size.height, size.width, 3), pixels.dtype)
    top, left = (size.height - inner.height) // 2, (size.width - inner.width) // 2
    canvas[top : top + inner.height, left : left + inner.width] = fitted
    return canvas
