"""Pictures as they are to be seen, all of one size and shape, whatever changes midway."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtstyle.media.orientation import UPRIGHT, Orientation, orientation_of
from rtstyle.media.reel import Reel, Stamp
from rtstyle.types import AnyPixels, Size

_log = logging.getLogger(__name__)

_SAYS_THE_SHAPE = frozenset({"mov", "matroska"})
"""Containers that say how wide pixels are, which players take over what the pictures say."""
_MPEG = frozenset({"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v"})
"""Containers that never do."""


class ChangeNotes:
    """What is to be said of a source that changes midway: one sentence for each kind of change.

    Not a part of who reads the source, which would be held by what it hands this to.
    """

    def __init__(self, name: str) -> None:
        """``name``: the source's, for the log."""
        self.sentences: list[str] = []
        self._name = name
        self._kinds: set[str] = set()

    def __call__(self, kind: str, note: str) -> None:
        """Note a change of that kind, unless one was noted before."""
        if kind not in self._kinds:
            self._kinds.add(kind)
            self.sentences.append(note)
            _log.warning("%s: %s", self._name, note)


class Upright:
    """Makes pictures of one film upright, and those of another size or shape than the first fit."""

    def __init__(self, reel: Reel, note: Callable[[str, str], None]) -> None:
        """``note`` hears the kind of a change, and a sentence on it, each time it is met."""
        first = reel.first
        self.said = reel.said
        """What the first picture says beside its samples."""
        self.orientation = orientation_of(self.said.data.get("DISPLAYMATRIX", b"")) or UPRIGHT
        self._stored = Size(first.width, first.height)
        self._own_shape = _is_own_shape(reel.container, reel.stream, reel.aspect)
        stated = reel.aspect if self._own_shape else reel.stream.sample_aspect_ratio
        self.aspect = stated or Fraction(1)
        """Width of a stored pixel over its height, in the first picture."""
        self._note = note

    @property
    def size(self) -> Size:
        """Of all pictures, as they are given."""
        return self.orientation.shown(self._stored)

    def __call__(
        self, pixels: AnyPixels, picture: VideoFrame, stamp: Stamp, seconds: Fraction
    ) -> AnyPixels:
        """``pixels`` (or alpha) of ``picture``, which is shown at ``seconds`` of the clip."""
        stored, aspect = Size(picture.width, picture.height), self._aspect(stamp)
        own = orientation_of(stamp.said.data.get("DISPLAYMATRIX", b"")) or self.orientation
        self._tell(stored, aspect, own, seconds)
        pixels = own(pixels)
        shape = _across(aspect, own) / _across(self.aspect, self.orientation)
        if own.shown(stored) != self.size or shape != 1:
            pixels = letterbox(pixels, self.size, shape=shape)
        return pixels

    def _aspect(self, stamp: Stamp) -> Fraction:
        if not self._own_shape:
            return self.aspect
        return stamp.aspect or Fraction(1)

    def _tell(self, stored: Size, aspect: Fraction, own: Orientation, seconds: Fraction) -> None:
        at = f"at {float(seconds):.2f} s"
        if stored != self._stored:
            self._note(
                "size",
                f"the picture's size changes from {self._stored} to {stored} {at}; such frames "
                f"are fitted into {self._stored}",
            )
        if aspect != self.aspect:
            was, now = _ratio(self.aspect), _ratio(aspect)
            self._note(
                "shape",
                f"the shape of the pixels changes from {was} to {now} {at}; such frames are "
                "fitted into the shape of the first",
            )
        if own != self.orientation:
            self._note(
                "orientation",
                f"the way up of the pictures changes {at}; such frames are fitted into the first's",
            )


def _is_own_shape(container: InputContainer, stream: VideoStream, own: Fraction | None) -> bool:
    """Whether players take the pictures' own word for how wide their pixels are."""
    names = {*container.format.name.split(",")}
    if names & _MPEG:
        return True
    return not names & _SAYS_THE_SHAPE and own == stream.sample_aspect_ratio


def _across(aspect: Fraction, orientation: Orientation) -> Fraction:
    """Width of a pixel over its height as it is seen."""
    return 1 / aspect if orientation.lies else aspect


def _ratio(aspect: Fraction) -> str:
    return f"{aspect.numerator}:{aspect.denominator}"


def letterbox(pixels: AnyPixels, size: Size, *, shape: Fraction = Fraction(1)) -> AnyPixels:
    """``pixels`` scaled to fit into ``size``, in the middle of a black picture of that size.

    ``shape``: how many times as wide, for their height, their pixels are as those of ``size``.
    """
    height, width = pixels.shape[:2]
    wide = width * shape
    scale = min(size.width / wide, Fraction(size.height, height))
    inner = Size(max(1, round(wide * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    fitted = cv2.resize(pixels, (inner.width, inner.height), interpolation=method)
    canvas = np.zeros((size.height, size.width, *pixels.shape[2:]), pixels.dtype)
    top, left = (size.height - inner.height) // 2, (size.width - inner.width) // 2
    canvas[top : top + inner.height, left : left + inner.width] = fitted
    return canvas
