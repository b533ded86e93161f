"""A clip from pictures drawn by the program, with drawn sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.container import OutputContainer

from rtstyle.media.aac import AAC_RATES, AacTrack
from rtstyle.media.codecs import EncodeOptions
from rtstyle.media.encode import VideoWriter
from rtstyle.media.tracks import AnyPacket
from rtstyle.types import Colour, Frame, Pixels, Size, VideoInfo

_BLOCK = 4096


def write_clip(
    path: Path,
    frames: Iterable[Pixels],
    *,
    rate: Fraction,
    sound: npt.NDArray[np.float32] | None = None,
    sample_rate: int = 48000,
    overwrite: bool = False,
) -> None:
    """Encode uint8 ``(H, W, 3)`` RGB pictures of one size as H.264, ``rate`` a second.

    ``sound`` is float32 in -1..1, ``(samples,)`` or ``(samples, 2)``, encoded as AAC. Raises
    ValueError for no frames, OutputExists, OutputNotWritable, DiskFull.
    """
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise ValueError("a clip needs at least one frame")
    info = VideoInfo(
        size=Size(first.shape[1], first.shape[0]),
        time_base=1 / rate,
        average_rate=rate,
        frames_in_header=None,
        duration_in_header=None,
        rotation=0,
        pixel_aspect=Fraction(1),
        colour=Colour(matrix=1, primaries=1, transfer=1, full_range=False),
        codec="drawn",
    )
    track = None if sound is None else _DrawnSound(sound, sample_rate)
    with VideoWriter(path, info, EncodeOptions(), overwrite=overwrite, companions=track) as writer:
        for index, pixels in enumerate(chain([first], pictures)):
            writer.write(
                Frame(pixels=pixels, pts=index, time_base=1 / rate, duration=1, index=index)
            )
        writer.finish()


class _DrawnSound:
    """Samples as the sound of an output, encoded as the pictures advance."""

    notes: tuple[str, ...] = ()

    def __init__(self, samples: npt.NDArray[np.float32], rate: int) -> None:
        planar = samples[None, :] if samples.ndim == 1 else samples.T
        if planar.shape[0] not in (1, 2):
            raise ValueError(f"sound must have one or two channels, got {samples.shape}")
        if rate not in AAC_RATES:
            raise ValueError(f"AAC has no sample rate {rate}; use one of {AAC_RATES}")
        self._samples: npt.NDArray[np.float32] = np.clip(planar, -1, 1).astype(np.float32)
        self._rate = rate
        self._place = 0
        self._track: AacTrack | None = None

    def attach(self, output: OutputContainer, shift: Fraction) -> None:
        self._track = AacTrack(output, rate=self._rate, channels=self._samples.shape[0])

    def packets(self, until: Fraction | None) -> Iterator[AnyPacket]:
        assert self._track is not None
        total = self._samples.shape[1]
        last = total if until is None else min(total, int(until * self._rate) + _BLOCK)
        if last > self._place:
            piece = self._samples[:, self._place : last]
            self._place, place = last, self._place
            yield from self._track.feed_samples(piece, place)
        if until is None:
            yield from self._track.finish()

    def end(self, at: Fraction) -> Iterator[AnyPacket]:
        assert self._track is not None
        self._track.cut(at)
        yield from self.packets(at)
        yield from self._track.finish()

    def lose(self, kind: str) -> None:
        raise AssertionError("drawn sound is never damaged")

    def complete(self, output: OutputContainer, end: Fraction) -> None:
        """Drawn sound brings no chapters."""

    def check(self, path: Path) -> None:
        """Nor tags."""

    def close(self) -> None:
        self._track = None
