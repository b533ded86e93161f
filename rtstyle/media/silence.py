"""A silent sound track, for receivers that show no pictures without one."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

_RATE = 44100
_BLOCK = 1024
_AHEAD = Fraction(1, 5)
"""Seconds by which the sound is ahead of the pictures: a muxer holds a picture back until there is
sound behind it."""
_LONGEST = 1
"""Seconds of a pause that are filled; after a longer one the sound goes on at the picture's time,
which is cheaper than hours of silence at once."""


class Silence:
    """AAC stereo of nothing, as long as it is asked to be."""

    def __init__(self, output: OutputContainer) -> None:
        self.stream: AudioStream = output.add_stream("aac", rate=_RATE)
        self.stream.codec_context.layout = "stereo"
        self._samples = 0

    def until(self, seconds: Fraction) -> list[Packet[AudioStream]]:
        """Packets up to a little after a picture of that time."""
        due = seconds * _RATE
        if due - self._samples > _LONGEST * _RATE:
            self._samples = int(due)
        packets: list[Packet[AudioStream]] = []
        while self._samples < due + _AHEAD * _RATE:
            block = np.zeros((2, _BLOCK), np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate = _RATE
            frame.pts, frame.time_base = self._samples, Fraction(1, _RATE)
            packets += self.stream.encode(frame)
            self._samples += _BLOCK
        return packets
