"""What paints the pictures of one camera, and may be told otherwise while it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, cast

import cv2
import numpy as np

from rtstyle.backends import Stylizer
from rtstyle.pipeline import open_stylizer
from rtstyle.styles import StyleSpec
from rtstyle.types import Pixels


class Painter(Protocol):
    """Setters may be called from any thread, ``process`` from one at a time."""

    @property
    def backend(self) -> str:
        """What paints, in words."""
        ...

    def process(self, pixels: Pixels) -> Pixels:
        """Paint uint8 ``(H, W, 3)`` RGB; the result has the same shape."""
        ...

    def set_style(self, style: StyleSpec) -> None:
        """Load ``style`` and paint with it from the next picture on; takes as long as that does.

        Raises ModelError or BackendError, and then goes on as before.
        """
        ...

    def set_strength(self, share: float) -> None:
        """0 the source, 1 the full style."""
        ...

    def set_keep_colour(self, share: float) -> None:
        """0 the style's colours, 1 the source's."""
        ...

    def set_split(self, share: float) -> None:
        """The share of the width, from the left, that stays unpainted."""
        ...

    def close(self) -> None: ...


PainterFactory = Callable[[], Painter]


class StylePainter:
    """Paints with one net at a time, on whatever backend is quickest here."""

    def __init__(self, *, backend: str = "auto", threads: int | None = None) -> None:
        self._backend, self._threads = backend, threads
        self._stylizer: Stylizer | None = None
        self._strength, self._keep_colour, self._split = 1.0, 0.0, 0.0
        # Held while a net is in use or exchanged.
        self._lock = threading.Lock()
        self._closed = False

    @property
    def backend(self) -> str:
        stylizer = self._stylizer
        return "" if stylizer is None else f"{stylizer.info.name} {stylizer.info.precision}"

    def process(self, pixels: Pixels) -> Pixels:
        with self._lock:
            if self._stylizer is None or self._strength == 0:
                return pixels
            painted = cast(Pixels, self._stylizer(pixels[np.newaxis])[0])
        return mix(
            pixels,
            painted,
            strength=self._strength,
            keep_colour=self._keep_colour,
            split=self._split,
        )

    def set_style(self, style: StyleSpec) -> None:
        opened = open_stylizer(style, backend=self._backend, threads=self._threads)
        with self._lock:
            old, self._stylizer = self._stylizer, opened
            if self._closed:
                old, self._stylizer = opened, None
        if old is not None:
            old.close()

    def set_strength(self, share: float) -> None:
        self._strength = share

    def set_keep_colour(self, share: float) -> None:
        self._keep_colour = share

    def set_split(self, share: float) -> None:
        self._split = share

    def close(self) -> None:
        with self._lock:
            self._closed = True
            old, self._stylizer = self._stylizer, None
        if old is not None:
            old.close()


def mix(
    source: Pixels, painted: Pixels, *, strength: float, keep_colour: float, split: float
) -> Pixels:
    """``painted`` with the wanted shares of ``source``; all uint8 ``(H, W, 3)`` RGB.

    Colour is kept in YCrCb: the brightness of the painting, the chroma of the source.
    """
    result = painted
    if keep_colour > 0:
        old = cv2.cvtColor(source, cv2.COLOR_RGB2YCrCb)
        new = cv2.cvtColor(painted, cv2.COLOR_RGB2YCrCb)
        mixed = cv2.addWeighted(old, keep_colour, new, 1.0 - keep_colour, 0.0)
        mixed[..., 0] = new[..., 0]
        result = cast(Pixels, cv2.cvtColor(mixed, cv2.COLOR_YCrCb2RGB))
    if strength < 1:
        result = cast(Pixels, cv2.addWeighted(source, 1.0 - strength, result, strength, 0.0))
    if split > 0:
        edge = round(split * source.shape[1])
        result = result.copy()
        result[:, :edge] = source[:, :edge]
        if 1 <= edge < source.shape[1] - 1:
            result[:, edge - 1 : edge + 1] = 255
    return result
