"""The still and slowly moving parts of the sample scene: sky, clouds, mountains, hills, sea."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rtstyle.cli.canvas import Canvas, Rgb, noise_tile
from rtstyle.types import Pixels, Size

HORIZON = 212.0
"""Where the sea begins, in 1/360 of the height."""

_FloatPlane = npt.NDArray[np.float32]
_Plane = npt.NDArray[Any]

_SKY: tuple[tuple[float, Rgb], ...] = (
    (0.0, (38, 92, 168)),
    (0.45, (108, 168, 214)),
    (0.78, (244, 206, 164)),
    (1.0, (252, 176, 120)),
)
_SEA: tuple[tuple[float, Rgb], ...] = (
    (0.0, (146, 176, 184)),
    (0.25, (56, 132, 160)),
    (1.0, (10, 58, 100)),
)


def _rgb(red: int, green: int, blue: int) -> _FloatPlane:
    return np.array((red, green, blue), np.float32)


def _gradient(stops: tuple[tuple[float, Rgb], ...], rows: int) -> _FloatPlane:
    places = np.linspace(0.0, 1.0, rows)
    known = [place for place, _ in stops]
    bands = [np.interp(places, known, [c[k] for _, c in stops]) for k in range(3)]
    return np.stack(bands, axis=-1).astype(np.float32)


def _paste(target: _FloatPlane, colour: _FloatPlane, alpha: _FloatPlane) -> None:
    """Lay ``colour`` over ``target`` in place, with ``alpha`` 0..1."""
    target += (colour - target) * alpha[..., None]


def _scrolled(plane: _Plane, offset: float, width: int) -> _Plane:
    """``width`` columns of a plane that repeats sideways, from column ``offset`` on, between
    columns by linear mixing, so that slow movement does not jump."""
    first = math.floor(offset)
    columns = np.arange(first, first + width)
    near = plane.take(columns, axis=1, mode="wrap")
    far = plane.take(columns + 1, axis=1, mode="wrap")
    return cv2.addWeighted(near, 1 - (offset - first), far, offset - first, 0)


class Strip:
    """A seamless band of land with an outline, that scrolls sideways."""

    def __init__(self, colour: _FloatPlane, alpha: _FloatPlane, top: int) -> None:
        self._colour = np.rint(np.clip(colour, 0, 255)).astype(np.uint8)
        self._alpha = np.rint(alpha * 255).astype(np.uint8)
        self._top = top

    def draw(self, pixels: Pixels, offset: float) -> None:
        """Lay the band over ``pixels`` with its column ``offset`` at the left edge."""
        rows = min(self._alpha.shape[0], pixels.shape[0] - self._top)
        alpha = _scrolled(self._alpha[:rows], offset, pixels.shape[1])[..., None].astype(np.uint16)
        colour = _scrolled(self._colour[:rows], offset, pixels.shape[1])
        part = pixels[self._top : self._top + rows]
        mixed = (colour * alpha + part * (255 - alpha) + 127) // 255
        pixels[self._top : self._top + rows] = mixed.astype(np.uint8)


def land(
    width: int,
    unit: float,
    rng: np.random.Generator,
    *,
    crest: float,
    foot: float,
    relief: float,
    waves: tuple[int, ...],
    dark: Rgb,
    light: Rgb,
    snow: float = 0.0,
    grain: float = 9.0,
) -> Strip:
    """A range of hills or mountains between ``crest`` and ``foot`` (units), lit from the right.

    ``relief`` is the height of its outline's ups and downs in units, ``waves`` how many of them
    fit into ``width`` pixels, ``snow`` the depth of the white caps in units.
    """
    top, rows = round((crest - relief) * unit), round((foot - crest + relief) * unit)
    x = np.linspace(0, 2 * np.pi, width, endpoint=False)
    outline = np.zeros(width)
    for count in waves:
        outline += np.sin(count * x + rng.uniform(0, 2 * np.pi)) / np.sqrt(count)
    rough = noise_tile(16, width, 30 * unit, 5, rng)[3]
    outline = outline / (np.abs(outline).max() + 1e-6) + (rough - 0.5) * 0.7
    edge = (relief * unit) * (1 - outline * 0.8)
    depth = np.arange(rows)[:, None] - edge[None, :]
    texture = noise_tile(rows, width, grain * unit, 4, rng)
    slope = np.gradient(cv2.GaussianBlur(np.tile(edge.astype(np.float32), (3, 1)), (0, 0), unit))
    lit = np.clip(0.5 - slope[1][1] * 0.45, 0, 1)[None, :]
    shade = np.clip(0.55 * lit + 0.75 * (texture - 0.5) + 0.25, 0, 1)
    colour = _rgb(*dark) + (_rgb(*light) - _rgb(*dark)) * shade[..., None]
    if snow > 0:
        cap = np.clip((snow * unit * (0.35 + texture) - depth) / (3 * unit), 0, 1)
        high = np.clip((relief * unit - edge[None, :]) / (relief * unit * 0.6), 0, 1)
        _paste(colour, _rgb(246, 244, 250) * (0.72 + 0.28 * lit[..., None]), cap * high)
    haze = np.clip(depth / rows, 0, 1)[..., None] * 0.35
    colour += (_rgb(236, 206, 186) - colour) * haze
    alpha = np.clip(depth + 0.5, 0, 1).astype(np.float32)
    return Strip(colour.astype(np.float32), alpha, top)


class Sky:
    """A gradient with a low sun and two layers of clouds that drift."""

    def __init__(self, size: Size, unit: float, rng: np.random.Generator) -> None:
        self._unit = unit
        self._rows = round((HORIZON + 2) * unit)
        self._width = size.width
        tile = size.width * 2
        self._clouds = self._cover(noise_tile(self._rows, tile, 64 * unit, 6, rng, stretch=2.2))
        self._wisps = self._cover(noise_tile(self._rows, tile, 34 * unit, 5, rng, stretch=4.0))
        self._back = np.repeat(_gradient(_SKY, self._rows)[:, None], size.width, axis=1)
        self._glow()

    def _cover(self, field: _FloatPlane) -> tuple[_FloatPlane, _FloatPlane]:
        """Clouds and how brightly they are lit, 0..1: from above and from the sun's side."""
        right, below = round(8 * self._unit), round(7 * self._unit)
        toward = np.roll(np.roll(field, -right, axis=1), below, axis=0)
        soft = cv2.GaussianBlur(toward, (0, 0), 2 * self._unit)
        return field, np.clip(0.66 + (field - soft) * 2.4, 0, 1).astype(np.float32)

    def _glow(self) -> None:
        y, x = np.mgrid[0 : self._rows, 0 : self._width].astype(np.float32)
        self.sun = (self._width / self._unit * 0.655, 140.0)
        far = np.hypot(x - self.sun[0] * self._unit, y - self.sun[1] * self._unit) / self._unit
        _paste(self._back, _rgb(255, 222, 150), 0.75 * np.exp(-far / 60))
        disc = np.clip(23.5 - far, 0, 1)
        _paste(self._back, _rgb(255, 246, 208), disc)

    def draw(self, pixels: Pixels, seconds: float) -> None:
        """Fill the sky of ``pixels`` as it is at ``seconds``."""
        picture = self._back.copy()
        height = np.linspace(0, 1, self._rows, dtype=np.float32)[:, None]
        for field, light, speed, cover, strength in (
            (*self._wisps, 5.0, 0.60, 0.35),
            (*self._clouds, 11.0, 0.50, 0.95),
        ):
            offset = seconds * speed * self._unit
            part = _scrolled(field, offset, self._width)
            alpha = np.clip((part - cover + 0.06 * (1 - height)) * 5.5, 0, 1) * strength
            lit = _scrolled(light, offset, self._width)[..., None]
            shadow = _rgb(150, 142, 182)
            colour = shadow + (_rgb(255, 247, 236) - shadow) * lit
            _paste(picture, colour, alpha * np.clip(1.25 - height, 0, 1))
        pixels[: self._rows] = np.rint(picture).astype(np.uint8)


class Sea:
    """Water seen at a slant: ripples that run towards the eye, and the sun's path on them."""

    def __init__(self, size: Size, unit: float, sun: float, rng: np.random.Generator) -> None:
        self._unit, self._top = unit, round(HORIZON * unit)
        rows = size.height - self._top
        self._noise = noise_tile(512, 512, 40, 4, rng)
        y, x = np.mgrid[0:rows, 0 : size.width].astype(np.float32)
        near = (y / unit + 5.0) / 12.0
        self._along = (x / unit - sun) / near * 6.5
        self._away = 900.0 / near
        self._near = np.clip(near / 12, 0, 1)
        self._back = np.repeat(_gradient(_SEA, rows)[:, None], size.width, axis=1)
        spread = np.abs(x / unit - sun) / (16 + 2.2 * near * 3.2)
        self._path = np.exp(-(spread**2)) * (1 - 0.55 * self._near)

    def draw(self, pixels: Pixels, seconds: float) -> None:
        """Fill the sea of ``pixels`` as it is at ``seconds``."""
        waves = self._ripple(seconds, 1.0, 60.0, 9.0) * 0.55
        waves += self._ripple(seconds, 1.7, 28.0, -15.0) * 0.45
        contrast = 0.25 + 0.75 * self._near
        picture = self._back + ((waves - 0.5) * contrast * 190)[..., None]
        foam = np.clip((waves - 0.67) * 9, 0, 1) * (0.25 + 0.6 * self._near)
        _paste(picture, _rgb(232, 244, 246), foam)
        glitter = np.clip((waves - 0.46) * 6, 0, 1) * self._path
        _paste(picture, _rgb(255, 226, 168), 0.9 * glitter)
        pixels[self._top :] = np.rint(np.clip(picture, 0, 255)).astype(np.uint8)

    def _ripple(self, seconds: float, zoom: float, speed: float, drift: float) -> _FloatPlane:
        u = (self._along * zoom + drift * seconds) % 512
        v = (2 * self._away * zoom + speed * seconds) % 512
        found = cv2.remap(self._noise, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(found, np.float32)


def meadow(canvas: Canvas, width: float, seconds: float, rng: np.random.Generator) -> None:
    """A strip of grass and flowers along the lower edge, moving in the wind."""
    canvas.polygon(
        [(0, 360), (0, 322), (width * 0.3, 336), (width * 0.62, 334), (width, 312), (width, 360)],
        (44, 92, 52),
    )
    count = int(width * 1.1)
    for x, depth, tint in zip(
        rng.uniform(-5, width + 5, count), rng.uniform(0, 1, count), rng.random(count), strict=True
    ):
        foot = 326 + 30 * depth + 12 * abs(x / width - 0.45)
        tall = 9 + 12 * tint
        bend = 3.5 * np.sin(1.7 * seconds + x * 0.03 + tint * 2) + 2
        green = (int(46 + 60 * tint), int(104 + 84 * tint), int(48 + 26 * depth))
        tip = (x + bend, foot - tall)
        canvas.polygon([(x - 1.3, foot), tip, (x + 1.3, foot)], green)
        if tint > 0.9:
            petals = ((236, 84, 74), (250, 214, 92), (244, 244, 250), (206, 116, 196))
            canvas.ellipse(tip, (2.7, 2.4), petals[int(depth * 4) % 4])
            canvas.ellipse(tip, (1.0, 0.9), (120, 70, 30))
