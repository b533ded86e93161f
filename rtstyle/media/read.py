"""Decoded pictures as the pixels that a caller asked for."""

from __future__ import annotations

from av.video.frame import VideoFrame

from rtstyle.media.colour import ToRgb, bits_per_sample
from rtstyle.media.deep import ToDeepRgb, to_bytes
from rtstyle.media.hdr import WHITE, ToneMap, hdr_name, peak_of
from rtstyle.types import AnyPixels, Colour


class PixelReader:
    """Turns the pictures of one file into RGB, all of one depth."""

    def __init__(self, first: VideoFrame, colour: Colour, *, deep: bool, tone_map: bool) -> None:
        """``colour`` (resolved) says what pictures leave unsaid; ``deep`` gives uint16 where
        ``first`` has more than 8 bits; ``tone_map`` makes SDR of PQ or HLG."""
        bits = bits_per_sample(first)
        self._colour = colour
        self._deep = deep and bits > 8
        self._to_rgb = ToRgb()
        self._to_deep_rgb = ToDeepRgb()
        self._tone_map: ToneMap | None = None
        self.notes: list[str] = []
        """What a viewer would not expect."""
        if bits > 8 and not deep:
            self.notes.append(f"the source has {bits} bits a sample; it is read with 8")
        if tone_map:
            peak = peak_of(first, colour)
            self._tone_map = ToneMap(colour, peak)
            self.notes.append(
                f"the source is HDR ({hdr_name(colour)}, up to {peak:g} cd/m2); it is tone-mapped "
                f"to SDR (BT.709), diffuse white being {WHITE:g} cd/m2"
            )

    def __call__(self, picture: VideoFrame) -> AnyPixels:
        """uint8 or uint16 ``(H, W, 3)`` RGB, as stored (not turned)."""
        if self._tone_map is None and not self._deep:
            return self._to_rgb(picture, self._colour)
        pixels = self._to_deep_rgb(picture, self._colour)
        if self._tone_map is not None:
            pixels = self._tone_map(pixels)
        return pixels if self._deep else to_bytes(pixels)
