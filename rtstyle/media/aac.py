"""One AAC stream of an output, fed with samples that carry their time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

_BLOCK = 1024
_MAX_RATE = 48000
_BITS_PER_CHANNEL = 96_000
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
"""What AAC can say, by the number of channels."""
_MOST_PLANES = 7
"""Channels that PyAV 18 finds in planes of their own: it looks for an empty place behind the last,
and with eight there is none; it then reads, or writes, what is no sample at all."""
_TOLERANCE = Fraction(1, 50)
"""Seconds by which a frame may miss its place before silence is put in or samples are dropped;
less is rounding of coarse time bases."""
_SOURCE_RATES = range(1000, 768_001)
"""Samples a second that a source may have. A damaged header can say 1, and then one packet would
become an hour of samples in memory."""
_MOST_SILENCE = 30
"""Seconds of a gap that are written as silence; a longer one is a jump in the output too."""
_LONGEST_JUMP = 6 * 3600
"""Seconds; more is a broken clock (and more than mp4 can count between two packets)."""
_CLOCK_JUMP = 1
"""Seconds by which sound may overlap; more is a new clock. With a broken or new clock, the sound
goes on where it was."""


class AacTrack:
    """Encodes float samples as AAC; small gaps in their times become silence, overlaps are cut."""

    def __init__(
        self,
        output: OutputContainer,
        *,
        rate: int,
        channels: int,
        begin: Fraction | None = None,
        end: Fraction | None = None,
    ) -> None:
        """Samples a second, the number of channels, and the range of output seconds that is kept.

        Rates and numbers of channels that AAC does not know become 48000 and stereo.
        """
        self._rate = rate if rate in AAC_RATES else _MAX_RATE
        self._layout = _LAYOUTS.get(channels, "stereo")
        self.stream = output.add_stream("aac", rate=self._rate)
        context = self.stream.codec_context
        context.layout = self._layout
        context.time_base = Fraction(1, self._rate)
        context.format = "fltp"
        self._channels = context.layout.nb_channels
        context.bit_rate = _BITS_PER_CHANNEL * self._channels
        self._samples = "fltp" if self._channels <= _MOST_PLANES else "flt"
        self._begin = None if begin is None else round(begin * self._rate)
        self._end = None if end is None else round(end * self._rate)
        self._resampler: AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None
        self._pending: npt.NDArray[np.float32] = np.zeros((self._channels, 0), np.float32)
        self._next: int | None = None
        """Place of the first sample that was not fed yet."""
        self._pending_start = 0
        self.damaged = 0
        """Frames that could not be used."""

    def feed(self, frame: AudioFrame, seconds: Fraction | None) -> Iterator[Packet[AudioStream]]:
        """Take decoded sound that begins at ``seconds`` of the output (None: where the last
        ended)."""
        if frame.sample_rate not in _SOURCE_RATES:
            self.damaged += 1
            return
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            yield from self._flush_resampler()
            self._kind = kind
            self._resampler = AudioResampler(
                format=self._samples, layout=self._layout, rate=self._rate
            )
        assert self._resampler is not None
        frame.pts = None
        place = None if seconds is None else round(seconds * self._rate)
        try:
            pieces = self._resampler.resample(frame)
        except av.FFmpegError:
            # A damaged frame that lies about its own format.
            self.damaged += 1
            self._resampler = self._kind = None
            return
        for piece in pieces:
            yield from self.feed_samples(self._channels_of(piece), place)
            place = None

    def feed_samples(
        self, samples: npt.NDArray[np.float32], place: int | None
    ) -> Iterator[Packet[AudioStream]]:
        """Take float32 ``(channels, n)`` in -1..1 whose first sample is number ``place``."""
        if self._next is None:
            self._next = place or 0
        elif place is not None:
            gap = place - self._next
            if _MOST_SILENCE * self._rate < gap < _LONGEST_JUMP * self._rate:
                yield from self._jump(place)
            elif _TOLERANCE * self._rate < gap <= _MOST_SILENCE * self._rate:
                yield from self._append(np.zeros((self._channels, gap), np.float32))
            elif -_CLOCK_JUMP * self._rate < gap < -_TOLERANCE * self._rate:
                samples = samples[:, -gap:]
        yield from self._append(samples)

    def _jump(self, place: int) -> Iterator[Packet[AudioStream]]:
        """Go on at ``place`` without writing the silence before it."""
        if self._pending.shape[1]:
            short = _BLOCK - self._pending.shape[1]
            yield from self._encode(
                np.pad(self._pending, ((0, 0), (0, short))), self._pending_start
            )
            self._pending = self._pending[:, :0]
        self._next = place

    def _append(self, samples: npt.NDArray[np.float32]) -> Iterator[Packet[AudioStream]]:
        assert self._next is not None
        first, last = self._next, self._next + samples.shape[1]
        self._next = last
        if self._begin is not None and first < self._begin:
            samples = samples[:, self._begin - first :]
        if self._end is not None and last > self._end:
            samples = samples[:, : max(0, samples.shape[1] - (last - self._end))]
        if samples.shape[1] == 0:
            return
        end = min(last, self._end) if self._end is not None else last
        self._pending = np.concatenate([self._pending, samples], axis=1)
        start = end - self._pending.shape[1]
        while self._pending.shape[1] >= _BLOCK:
            yield from self._encode(self._pending[:, :_BLOCK], start)
            self._pending = self._pending[:, _BLOCK:]
            start += _BLOCK
        self._pending_start = start

    def cut(self, end: Fraction) -> None:
        """Keep nothing from ``end``, in seconds of the output, on."""
        place = round(end * self._rate)
        self._end = place if self._end is None else min(self._end, place)

    def finish(self) -> Iterator[Packet[AudioStream]]:
        """Encode what is left."""
        yield from self._flush_resampler()
        if self._end is not None:
            self._pending = self._pending[:, : max(0, self._end - self._pending_start)]
        if self._pending.shape[1]:
            yield from self._encode(self._pending, self._pending_start)
            self._pending = self._pending[:, :0]
        if self._next is not None:
            yield from self.stream.encode(None)

    def _flush_resampler(self) -> Iterator[Packet[AudioStream]]:
        if self._resampler is not None:
            for piece in self._resampler.resample(None):
                yield from self.feed_samples(self._channels_of(piece), None)
            self._resampler = None

    def _channels_of(self, piece: AudioFrame) -> npt.NDArray[np.float32]:
        samples = piece.to_ndarray().astype(np.float32, copy=False)
        return samples if self._samples == "fltp" else samples.reshape(-1, self._channels).T

    def _encode(
        self, samples: npt.NDArray[np.float32], place: int
    ) -> Iterator[Packet[AudioStream]]:
        stored = samples if self._samples == "fltp" else samples.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(stored), format=self._samples, layout=self._layout
        )
        frame.sample_rate = self._rate
        frame.time_base = Fraction(1, self._rate)
        frame.pts = place
        yield from self.stream.encode(frame)
