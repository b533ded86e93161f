"""A style at a strength, applied to pictures; and the checks of what a caller chose."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from rtstyle.backends import BACKENDS, PRECISIONS, Stylizer, load_stylizer
from rtstyle.errors import UsageError
from rtstyle.media import HDR_MODES, EncodeOptions, PictureOptions, to_bytes
from rtstyle.pipeline.room import QUEUE_DEPTH, plan_film
from rtstyle.styles import StyleSpec, find_style
from rtstyle.types import AnyPixels, BackendInfo, Size, VideoInfo

_MOST_PIXELS_AT_ONCE = 2**22
"""Two pictures of 1920x1080: what runs side by side must fit into memory side by side."""

Style = str | Path | StyleSpec
"""A bundled style's name, a pack folder, an ONNX file, or a spec."""


def check_choice(*, strength: float, backend: str, precision: str, hdr: str = HDR_MODES[0]) -> None:
    """Raise UsageError for a strength outside 0..1, an unknown backend, precision or HDR mode."""
    if not (math.isfinite(strength) and 0.0 <= strength <= 1.0):
        raise UsageError(f"strength must be between 0 and 1, got {strength}")
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r}; choose one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if hdr not in HDR_MODES:
        raise UsageError(f"unknown hdr {hdr!r}; choose one of {', '.join(HDR_MODES)}")


def open_stylizer(
    style: Style, *, backend: str = "auto", precision: str = "auto", threads: int | None = None
) -> Stylizer:
    """Load a style, ready to run on uint8 ``(N, H, W, 3)`` RGB; close it or use it as a context.

    ``style`` is a bundled style's name, a pack folder, an ONNX file or a StyleSpec; ``threads``
    the processor threads to use, None for all. Raises UsageError, UnknownStyle, HashMismatch,
    UnsafeModel or BackendUnavailable.
    """
    check_choice(strength=1.0, backend=backend, precision=precision)
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}")
    spec = style if isinstance(style, StyleSpec) else find_style(style)
    return load_stylizer(spec, backend=backend, precision=precision, threads=threads)


class Brush:
    """Paints pictures. Without a net (strength 0) it gives them back."""

    def __init__(self, spec: StyleSpec, stylizer: Stylizer | None, strength: float) -> None:
        self.spec = spec
        self._stylizer = stylizer
        self._strength = strength
        self.ahead = QUEUE_DEPTH
        """How many frames may wait before and behind it."""
        self._scarcity: str | None = None

    def info(self, requested: str) -> BackendInfo:
        """Where the net runs; ``requested`` is what to report where there is none."""
        if self._stylizer is not None:
            return self._stylizer.info
        return BackendInfo("none", "none", "none", requested, "strength 0 needs no net")

    def batch_for(self, size: Size) -> int:
        """How many pictures of ``size`` to give at once: what the backend likes, within memory."""
        if self._stylizer is None:
            return 1
        fitting = _MOST_PIXELS_AT_ONCE // (size.width * size.height)
        return max(1, min(self._stylizer.batch_hint, fitting))

    def plan(self, info: VideoInfo, options: EncodeOptions | PictureOptions) -> int:
        """How many pictures of a film to give at once, where decoder and encoder need memory too.

        Where there is less memory than usual but enough, fewer are given and fewer wait, and
        ``notes_on`` says so. Raises BackendOutOfMemory where it does not suffice.
        """
        plan = plan_film(self._stylizer, info, options, batch=self.batch_for(info.size))
        self.ahead, self._scarcity = plan.ahead, plan.note
        return plan.batch

    def warm_up(self, size: Size, *, batch: int = 1) -> None:
        """Ready the net for ``batch`` pictures of ``size`` at once."""
        if self._stylizer is not None:
            self._stylizer.warm_up(size, batch=batch)

    def __call__(self, batch: AnyPixels) -> AnyPixels:
        """Stylize uint8 or uint16 ``(N, H, W, 3)`` RGB; the result has the same shape.

        The net is given and gives 8 bits. What is mixed with a uint16 source is uint16, so that
        the source's share keeps its depth; the net's alone is uint8.
        """
        if self._stylizer is None:
            return batch
        width = batch.shape[2]
        painted = self._stylizer(to_bytes(batch))
        if self._strength == 1.0:
            return painted
        # One tall picture, since OpenCV knows no batches.
        tall = (-1, width, 3)
        share, code = self._strength, cv2.CV_8U
        if batch.dtype == np.uint16:
            share, code = share * 257, cv2.CV_16U
        mixed = cv2.addWeighted(
            batch.reshape(tall), 1.0 - self._strength, painted.reshape(tall), share, 0.0, None, code
        )
        return cast(AnyPixels, mixed).reshape(batch.shape)

    def notes_on(self, info: VideoInfo, options: EncodeOptions | PictureOptions) -> tuple[str, ...]:
        """A sentence where the net has fewer bits than source and result, or memory is scarce."""
        scarce = () if self._scarcity is None else (self._scarcity,)
        if self._stylizer is None or not isinstance(options, EncodeOptions):
            return scarce
        if min(info.bits, options.bits_for(info.bits)) <= 8:
            return scarce
        return (
            *scarce,
            f"the net paints with 8 bits a sample; the source's {info.bits} are kept only in what "
            "--strength leaves of it",
        )


@contextmanager
def open_brush(
    style: Style | None,
    *,
    strength: float,
    backend: str,
    precision: str,
    stylizer: Stylizer | None,
) -> Iterator[Brush]:
    """A brush for the duration of the context; a ``stylizer`` of the caller's stays open."""
    if stylizer is not None:
        if style is not None and style not in (stylizer.spec, stylizer.spec.name):
            raise UsageError(
                f"style {style!s} and a stylizer of {stylizer.spec.name!r} were both given; "
                "give style=None with a stylizer"
            )
        yield Brush(stylizer.spec, stylizer if strength > 0 else None, strength)
        return
    if style is None:
        raise UsageError("a style is needed: give a name, a pack folder or an ONNX file")
    spec = style if isinstance(style, StyleSpec) else find_style(style)
    if strength == 0:
        yield Brush(spec, None, strength)
        return
    with open_stylizer(spec, backend=backend, precision=precision) as opened:
        yield Brush(spec, opened, strength)
