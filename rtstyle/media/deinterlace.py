"""Interlaced pictures made whole: both fields of a frame shown at one time, where they differ.

FFmpeg's bwdif (Bob Weaver, after Martin Weston's three-field filter of BBC R&D and yadif's check in
time) gives one frame for each frame. Frames that are not interlaced, or whose fields fit together,
are passed on as they are, so that a progressive film that was flagged as interlaced, and the whole
frames of a telecined one, lose nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from fractions import Fraction
from typing import Generic, TypeVar

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from rtstyle.errors import UsageError

Plane = npt.NDArray[np.uint8]

DEINTERLACE = ("auto", "off")
"""What a user may ask for."""

_TAG = TypeVar("_TAG")
_FIELD_ORDERS = {2: "tff", 3: "bff", 4: "tff", 5: "bff"}
"""AVFieldOrder of a stream to bwdif's ``parity``: which field is shown first."""
_WITHOUT_FLAGS = frozenset({"ffv1", "ffvhuff", "huffyuv", "png", "qtrle", "rpza"})
"""Codecs whose decoders cannot tell whether a frame is interlaced: the container says it."""
_LEAST_STEP = 8
"""Levels of 0..255 by which a line must stand out from both its neighbours to be part of a comb."""
_BLOCK = 16
"""Lines and columns of the areas in which lines that stand out are counted."""
_LEAST_COMBED = 28
"""Pixels of a block that stand out where it is combed: an edge that moved by two columns. What has
fine texture has as many, and loses little: bwdif leaves alone what does not move."""
_LEAST_LINES = 5
_COMB = np.array([[1], [-3], [4], [-3], [1]], np.float32)
_ZERO = cv2.BORDER_CONSTANT


def check_deinterlace(mode: str) -> str:
    """``mode`` itself; raises UsageError unless it is one of DEINTERLACE."""
    if mode not in DEINTERLACE:
        raise UsageError(f"deinterlacing is {' or '.join(DEINTERLACE)}, got {mode!r}")
    return mode


class Deinterlacer:
    """Deinterlaces the pictures of one stream that need it, and counts them."""

    def __init__(self, stream: VideoStream) -> None:
        self.deinterlaced = 0
        """Frames given so far whose fields were made into one picture."""
        context = stream.codec_context
        unflagged = context.codec.canonical_name in _WITHOUT_FLAGS
        self._parity = _FIELD_ORDERS.get(context.field_order) if unflagged else None
        self._time_base = stream.time_base
        self._scaler = VideoReformatter()

    def frames(
        self, pictures: Iterable[tuple[VideoFrame, _TAG]]
    ) -> Generator[tuple[VideoFrame, _TAG], None, None]:
        """The same number of pictures in the same order, each with what came beside it.

        Times of what is deinterlaced are not set: a caller keeps them beside the picture. From
        the first interlaced frame on the pictures come one later than they are read, since bwdif
        looks at the frames before and after.
        """
        run: _Run[_TAG] | None = None
        for picture, tag in pictures:
            if run is not None and not run.takes(picture):
                yield from self._counted(run.finish())
                run = None
            if run is None and not self._is_interlaced(picture):
                yield picture, tag
                continue
            if run is None:
                run = _Run(picture, self._time_base, self._parity)
            combed = self._is_interlaced(picture) and is_combed(_luma(picture, self._scaler))
            yield from self._counted(run.feed(picture, tag, combed))
        if run is not None:
            yield from self._counted(run.finish())

    def _is_interlaced(self, picture: VideoFrame) -> bool:
        return picture.interlaced_frame or self._parity is not None

    def _counted(
        self, given: Iterable[tuple[VideoFrame, _TAG, bool]]
    ) -> Generator[tuple[VideoFrame, _TAG], None, None]:
        for picture, tag, changed in given:
            self.deinterlaced += changed
            yield picture, tag


class _Run(Generic[_TAG]):
    """Frames of one size and format through one filter."""

    def __init__(self, picture: VideoFrame, time_base: Fraction | None, parity: str | None) -> None:
        """``parity`` is that of every frame; None where each says whether and how it is."""
        self._kind = _kind(picture)
        self._held: deque[tuple[VideoFrame, _TAG, bool]] = deque()
        self._graph = Graph()
        # The net wants the other cores.
        self._graph.threads = 1
        source = self._graph.add(
            "buffer",
            f"video_size={picture.width}x{picture.height}:pix_fmt={picture.format.name}:"
            f"time_base={time_base or Fraction(1, 1000)}:"
            f"colorspace={int(picture.colorspace)}:range={int(picture.color_range)}",
        )
        chosen = f"parity={parity}:deint=all" if parity else "parity=auto:deint=interlaced"
        weaver = self._graph.add("bwdif", f"mode=send_frame:{chosen}")
        self._graph.link_nodes(source, weaver, self._graph.add("buffersink"))
        self._graph.configure()

    def takes(self, picture: VideoFrame) -> bool:
        """Whether the picture is of this run's size and format."""
        return _kind(picture) == self._kind

    def feed(
        self, picture: VideoFrame, tag: _TAG, combed: bool
    ) -> Generator[tuple[VideoFrame, _TAG, bool], None, None]:
        """Give what is ready, and whether it was changed."""
        self._held.append((picture, tag, combed))
        self._graph.vpush(picture)
        yield from self._ready()

    def finish(self) -> Generator[tuple[VideoFrame, _TAG, bool], None, None]:
        """Give what is left; nothing may be fed afterwards."""
        self._graph.vpush(None)
        yield from self._ready()
        while self._held:
            picture, tag, _ = self._held.popleft()
            yield picture, tag, False

    def _ready(self) -> Generator[tuple[VideoFrame, _TAG, bool], None, None]:
        while True:
            try:
                made = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            # One frame for each, in order: what it is made of has waited longest.
            picture, tag, combed = self._held.popleft()
            yield (made if combed else picture), tag, combed


def _kind(picture: VideoFrame) -> tuple[int, int, str, int, int]:
    colours = int(picture.colorspace), int(picture.color_range)
    return picture.width, picture.height, picture.format.name, *colours


def is_combed(luma: Plane) -> bool:
    """Whether the fields of a picture show different moments anywhere in it.

    ``luma``: uint8 ``(H, W)``. A line is part of a comb where it stands out from both neighbours
    to the same side, and the lines of each field fit together better than those of both.
    """
    if luma.shape[0] < _LEAST_LINES:
        return False
    middle, above, below = luma[2:-2], luma[1:-3], luma[3:-1]
    over = cv2.min(cv2.subtract(middle, above), cv2.subtract(middle, below))
    under = cv2.min(cv2.subtract(above, middle), cv2.subtract(below, middle))
    standing = cv2.max(over, under) > _LEAST_STEP
    across = cv2.filter2D(luma, cv2.CV_16S, _COMB)[2:-2]
    fitting = cv2.convertScaleAbs(across) > 6 * _LEAST_STEP
    combs = (standing & fitting).view(np.uint8)
    counts = cv2.boxFilter(combs, cv2.CV_16U, (_BLOCK, _BLOCK), normalize=False, borderType=_ZERO)
    return bool(counts.max() >= _LEAST_COMBED)


def _luma(picture: VideoFrame, scaler: VideoReformatter) -> Plane:
    grey = scaler.reformat(picture, format="gray", threads=1).planes[0]
    rows = np.frombuffer(memoryview(grey), np.uint8).reshape(-1, grey.line_size)
    return rows[: grey.height, : grey.width]
