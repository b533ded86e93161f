"""What is done with one live picture: styles, their mixture, strength, colours, the split."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, cast

import cv2
import numpy as np

from rtstyle.backends import Stylizer
from rtstyle.errors import RtstyleError, UsageError
from rtstyle.live.palette import Palette
from rtstyle.pipeline import Style
from rtstyle.types import BackendInfo, Pixels, Size


@dataclass(frozen=True, slots=True)
class Look:
    """What a viewer chose."""

    style: int = 0
    """Its place in the palette."""
    strength: float = 1.0
    """0 is the source, 1 the full style."""
    keep_colour: float = 0.0
    """The source's share of the colours, 0..1; the light is the style's all the same."""
    split: float | None = None
    """Share of the width, from the left, that shows the source; None for no split."""
    mix: tuple[int, float] | None = None
    """A second style and its share, 0..1; None for one style alone."""


class Mixer:
    """Turns pictures into what one viewer wants to see. ``process`` belongs to one thread; every
    setting may be changed from any other, and holds from the next picture on.

    A style that is not loaded yet is taken as soon as it is ready; until then the last one stays,
    or the source where there was none. A switch is a cross-fade over two pictures: the first is
    half the picture shown before, the second the new style alone, so it costs one run of the net
    a picture, like any other.
    """

    def __init__(
        self,
        styles: Palette | Sequence[Style | Stylizer],
        *,
        backend: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        strength: float = 1.0,
        keep_colour: float = 0.0,
        style: str | None = None,
    ) -> None:
        """``styles``: a palette, which stays the caller's, or what a palette takes. ``style``: the
        one to begin with, None for the first."""
        self._owned = not isinstance(styles, Palette)
        self._lock = threading.Lock()
        self._look = Look(
            strength=_share(strength, "strength"), keep_colour=_share(keep_colour, "keep_colour")
        )
        self.palette = (
            styles
            if isinstance(styles, Palette)
            else Palette(styles, backend=backend, precision=precision, threads=threads)
        )
        self._shown: int | None = None
        self._at: Size | None = None
        self._size: Size | None = None
        if style is not None:
            self.style = style
        self._source: Pixels | None = None
        self._painted: dict[int, Pixels] = {}
        self._result: Pixels | None = None
        self._result_look: tuple[Look, int | None, Size | None] | None = None
        self.repeats = 0
        """Pictures that were like the one before, so that no net ran for them."""

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the styles there are."""
        return self.palette.names

    @property
    def style(self) -> str:
        """The style that is wanted; set it to switch. Raises UsageError for one not here."""
        return self.palette.names[self._look.style]

    @style.setter
    def style(self, name: str) -> None:
        self._change(style=self.palette.index(name))
        # Loading need not wait for the next picture.
        self._want(self._look)

    @property
    def shown(self) -> str | None:
        """The style of the last picture; None where it was the source, since none was ready."""
        return None if self._shown is None else self.palette.names[self._shown]

    @property
    def is_loading(self) -> bool:
        """Whether the wanted style is not on show, but may yet be."""
        index = self._look.style
        return self._shown != index and self.palette.error(index, self._size) is None

    @property
    def trouble(self) -> RtstyleError | None:
        """Why the wanted style cannot be shown; None where it can or may yet be."""
        return self.palette.error(self._look.style, self._size)

    @property
    def info(self) -> BackendInfo | None:
        """Where the style on show runs; None where there is none."""
        shown = self._shown
        return None if shown is None else self.palette.info(shown)

    @property
    def strength(self) -> float:
        """0 is the source, 1 the full style; raises UsageError outside of that."""
        return self._look.strength

    @strength.setter
    def strength(self, value: float) -> None:
        self._change(strength=_share(value, "strength"))

    @property
    def keep_colour(self) -> float:
        """0 the style's colours, 1 the source's, the light being the style's; raises UsageError
        outside of that."""
        return self._look.keep_colour

    @keep_colour.setter
    def keep_colour(self, value: float) -> None:
        self._change(keep_colour=_share(value, "keep_colour"))

    @property
    def split(self) -> float | None:
        """Share of the width, from the left, that shows the source; None for no split."""
        return self._look.split

    @split.setter
    def split(self, value: float | None) -> None:
        self._change(split=None if value is None else _share(value, "split"))

    @property
    def mix(self) -> tuple[str, float] | None:
        """A second style and its share; two nets run then. None for one style alone."""
        mix = self._look.mix
        return None if mix is None else (self.palette.names[mix[0]], mix[1])

    @mix.setter
    def mix(self, value: tuple[str, float] | None) -> None:
        if value is None:
            self._change(mix=None)
        else:
            self._change(mix=(self.palette.index(value[0]), _share(value[1], "mix")))

    def step(self, by: int = 1) -> str:
        """Switch to the next style (or with -1 the previous), past those that cannot be loaded."""
        names = self.palette.names
        with self._lock:
            for distance in range(1, len(names) + 1):
                there = (self._look.style + by * distance) % len(names)
                if self.palette.error(there) is None:
                    self._look = replace(self._look, style=there)
                    break
            return names[self._look.style]

    def wait_ready(self, size: Size, timeout: float | None = None) -> bool:
        """Wait until the wanted style is ready for ``size``; False after ``timeout`` seconds.

        Raises what loading it raised.
        """
        return self.palette.wait(self._look.style, size, timeout)

    def process(self, pixels: Pixels) -> Pixels:
        """What to show for uint8 ``(H, W, 3)`` RGB; the same shape, not to be written to.

        ``pixels`` must not be changed afterwards: it is compared with the next picture, and nothing
        is computed twice for one that repeats. Raises what the stylizer raises.
        """
        look = self._look
        size = self._size = Size(pixels.shape[1], pixels.shape[0])
        self._want(look)
        same = self._is_repeated(pixels)
        before, at = self._shown, self._at
        self._shown, self._at = self._choose(look.style, size)
        if not same or self._at != at:
            self._source = pixels
            self._painted.clear()
        key: tuple[Look, int | None, Size | None] | None = (look, self._shown, self._at)
        if same and key == self._result_look and self._result is not None:
            self.repeats += 1
            return self._result
        painted = self._paint(pixels, look, size)
        result = painted if painted is pixels else _tempered(pixels, painted, look)
        fades = before is not None and self._shown not in (None, before)
        last = self._result
        if fades and last is not None and last.shape == result.shape:
            result = cast(Pixels, cv2.addWeighted(last, 0.5, result, 0.5, 0.0))
            key = None
        result = _split(pixels, result, look.split)
        # Half of a cross-fade is not what a repeated picture should go on to show.
        self._result, self._result_look = result, key
        return result

    def close(self) -> None:
        """Free the styles, unless the palette was given. Calling it twice is allowed."""
        self.palette.leave(self)
        if self._owned:
            self.palette.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _change(self, **settings: object) -> None:
        with self._lock:
            self._look = replace(self._look, **settings)  # type: ignore[arg-type]

    def _is_repeated(self, pixels: Pixels) -> bool:
        last = self._source
        if last is None or last.shape != pixels.shape:
            return False
        # Most pictures differ; a few rows tell that at a hundredth of the price.
        return np.array_equal(last[::97], pixels[::97]) and np.array_equal(last, pixels)

    def _want(self, look: Look) -> None:
        """Have what this look needs loaded, and what is on show kept until then."""
        mixed = () if look.mix is None else (look.mix[0],)
        shown = () if self._shown is None else (self._shown,)
        self.palette.want(self, tuple(dict.fromkeys((look.style, *mixed, *shown))), self._size)

    def _choose(self, wanted: int, size: Size) -> tuple[int | None, Size | None]:
        """The style to show, and the size it paints in: the wanted one, else the last, as far as
        they are ready; where neither is for this size yet, in one that they are ready for."""
        candidates = [index for index in (wanted, self._shown) if index is not None]
        for near in (False, True):
            for index in candidates:
                if (at := self.palette.fit(index, size, near=near)) is not None:
                    return index, at
        return None, None

    def _paint(self, pixels: Pixels, look: Look, size: Size) -> Pixels:
        if self._shown is None or look.strength == 0.0:
            return pixels
        other, share = look.mix or (self._shown, 0.0)
        if other == self._shown or share == 0.0 or self.palette.fit(other, size) is None:
            return self._run(self._shown, pixels, self._at or size)
        at = self.palette.fit(other, size) or size
        if share == 1.0:
            return self._run(other, pixels, at)
        first = self._run(self._shown, pixels, self._at or size)
        second = self._run(other, pixels, at)
        return cast(Pixels, cv2.addWeighted(first, 1.0 - share, second, share, 0.0))

    def _run(self, index: int, pixels: Pixels, at: Size) -> Pixels:
        if index not in self._painted:
            height, width, _ = pixels.shape
            if at == Size(width, height):
                self._painted[index] = self.palette.paint(index, pixels)
            else:
                fitted = cv2.resize(pixels, (at.width, at.height), interpolation=cv2.INTER_AREA)
                painted = self.palette.paint(index, cast(Pixels, fitted))
                self._painted[index] = cast(Pixels, cv2.resize(painted, (width, height)))
        return self._painted[index]


def _tempered(source: Pixels, painted: Pixels, look: Look) -> Pixels:
    """``painted`` with the source's colours and share, as the look wants."""
    if look.keep_colour > 0.0:
        new = cv2.cvtColor(painted, cv2.COLOR_RGB2YCrCb)
        old = cv2.cvtColor(source, cv2.COLOR_RGB2YCrCb)
        mixed = cv2.addWeighted(old, look.keep_colour, new, 1.0 - look.keep_colour, 0.0)
        mixed[..., 0] = new[..., 0]
        painted = cast(Pixels, cv2.cvtColor(mixed, cv2.COLOR_YCrCb2RGB))
    if look.strength < 1.0:
        painted = cast(
            Pixels, cv2.addWeighted(source, 1.0 - look.strength, painted, look.strength, 0.0)
        )
    return painted


def _split(source: Pixels, result: Pixels, share: float | None) -> Pixels:
    """The source left of a white line, the result right of it."""
    if share is None:
        return result
    width = source.shape[1]
    column = round(share * width)
    both = result.copy()
    both[:, :column] = source[:, :column]
    both[:, max(0, column - 1) : min(width, column + 1)] = 255
    return both


def _share(value: float, what: str) -> float:
    if not (math.isfinite(value) and 0.0 <= value <= 1.0):
        raise UsageError(f"{what} must be between 0 and 1, got {value}")
    return float(value)
