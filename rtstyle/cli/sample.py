"""Draws the scene that demo, the style sheet and the benchmarks show styles on, and its melody."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from rtstyle.cli import actors
from rtstyle.cli.canvas import Canvas
from rtstyle.cli.scenery import HORIZON, Sea, Sky, land, meadow
from rtstyle.types import Pixels, Size

SAMPLE_SIZE = Size(640, 360)
SAMPLE_RATE = Fraction(25)
SAMPLE_SECONDS = 4
SOUND_RATE = 48000

_PICTURE_SECONDS = 1.2
_OVERSAMPLING = 2
_SEED = 1831
# A pentatonic tune cannot sound wrong: semitones above the tonic, and its beat of 0.25 s.
_TONIC_HZ = 261.63
_TUNE = (0, 4, 7, 9, 12, 9, 7, 4, 2, 4, 7, 12, 16, 14, 12)


class Scene:
    """A coast at sunset with a boat, a lighthouse, gulls and a child with a kite."""

    def __init__(self, size: Size = SAMPLE_SIZE, *, close_up: bool = False) -> None:
        """Prepare what does not change; with ``close_up`` the child stands near."""
        self._size = size
        self._close_up = close_up
        self._unit = size.height / 360.0
        self._width = size.width / self._unit
        rng = np.random.default_rng(_SEED)
        self._sky = Sky(size, self._unit, rng)
        self._sea = Sea(size, self._unit, self._sky.sun[0], rng)
        tile = size.width + round(200 * self._unit)
        self._mountains = land(
            tile,
            self._unit,
            rng,
            crest=158,
            foot=HORIZON + 1,
            relief=44,
            waves=(2, 3, 5, 9),
            dark=(78, 84, 130),
            light=(188, 158, 164),
            snow=17,
            grain=14,
        )
        self._hills = land(
            tile,
            self._unit,
            rng,
            crest=192,
            foot=HORIZON + 3,
            relief=15,
            waves=(3, 4, 7),
            dark=(34, 70, 60),
            light=(138, 158, 82),
            grain=5,
        )

    def frame(self, seconds: float) -> Pixels:
        """The picture at ``seconds``, uint8 ``(H, W, 3)`` RGB."""
        small = np.zeros((self._size.height, self._size.width, 3), np.uint8)
        self._sky.draw(small, seconds)
        self._mountains.draw(small, seconds * 4 * self._unit)
        self._hills.draw(small, seconds * 9 * self._unit)
        self._sea.draw(small, seconds)
        # Textures are soft already; only outlines gain from being drawn larger and shrunk.
        large = (self._size.width * _OVERSAMPLING, self._size.height * _OVERSAMPLING)
        pixels = np.asarray(cv2.resize(small, large, interpolation=cv2.INTER_NEAREST), np.uint8)
        self._draw_actors(Canvas(pixels), seconds)
        size = (self._size.width, self._size.height)
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _draw_actors(self, canvas: Canvas, seconds: float) -> None:
        width = self._width
        actors.gulls(canvas, seconds, width)
        actors.lighthouse(canvas.at(width * 0.15 - 3 * seconds, 226, 0.95), seconds)
        sail = width * 0.36 + (16 * seconds) % (width * 0.8)
        bob = 3 * math.sin(2.4 * seconds)
        actors.boat(canvas.at(sail, 254 + bob, 0.92), seconds)
        actors.sign(canvas.at(width * 0.14, 318, 0.95), "rtstyle")
        meadow(canvas, width, seconds, np.random.default_rng(_SEED))
        self._child(canvas, seconds)

    def _child(self, canvas: Canvas, seconds: float) -> None:
        foot, scale = (self._width * 0.83, 262.0), 0.98
        if self._close_up:
            foot, scale = (self._width * 0.73, 262.0), 1.62
        hand = actors.hand_of_figure(seconds)
        reach = (foot[0] + hand[0] * scale, foot[1] + hand[1] * scale)
        sway = (8 * math.sin(1.3 * seconds), 6 * math.sin(1.9 * seconds))
        kite = (self._width * (0.39 if self._close_up else 0.55) + sway[0], 74 + sway[1])
        actors.kite(canvas, reach, kite, seconds)
        actors.figure(canvas.at(*foot, scale), seconds)


def sample_frames(
    count: int = int(SAMPLE_SECONDS * SAMPLE_RATE),
    *,
    size: Size = SAMPLE_SIZE,
    rate: Fraction = SAMPLE_RATE,
) -> Iterator[Pixels]:
    """``count`` pictures of the scene, ``rate`` a second; each uint8 ``(H, W, 3)`` RGB."""
    scene = Scene(size)
    for index in range(count):
        yield scene.frame(float(index / rate))


def sample_sound(seconds: float = SAMPLE_SECONDS) -> npt.NDArray[np.float32]:
    """A soft music-box tune, float32 ``(samples, 2)`` in -1..1 at SOUND_RATE, fading in and out."""
    total = round(seconds * SOUND_RATE)
    tune = np.zeros((total, 2), np.float64)
    for place in range(math.ceil(seconds / 0.25)):
        start = round(place * 0.25 * SOUND_RATE)
        time = np.arange(total - start) / SOUND_RATE
        pitch = _TONIC_HZ * 2 ** (_TUNE[place % len(_TUNE)] / 12)
        decay = np.exp(-3.2 * time) * np.minimum(1.0, time / 0.006)
        tone = sum(
            weight * np.sin(2 * math.pi * pitch * part * time) * np.exp(-part * time)
            for part, weight in ((1, 1.0), (2, 0.35), (3, 0.12), (5.4, 0.05))
        )
        lean = 0.5 + 0.25 * math.sin(place * 1.3)
        tune[start:] += (decay * tone)[:, None] * np.array([1 - lean, lean])
    time = np.arange(total) / SOUND_RATE
    drone = np.sin(math.pi * _TONIC_HZ * time) + 0.6 * np.sin(math.pi * _TONIC_HZ * 1.498 * time)
    tune += 0.12 * drone[:, None]
    fade = np.clip(np.minimum(time / 0.15, (seconds - time) / 0.8), 0, 1)
    loudest = max(float(np.abs(tune).max()), 1e-9)
    faded: npt.NDArray[np.float32] = (tune * (0.35 / loudest) * fade[:, None]).astype(np.float32)
    return faded


def sample_picture() -> Pixels:
    """The picture a sheet shows styles on by default: a face before a landscape."""
    return Scene(Size(720, 480), close_up=True).frame(_PICTURE_SECONDS)
