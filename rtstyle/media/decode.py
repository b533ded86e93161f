"""Packets to pictures, past whatever cannot be decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from contextlib import closing
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtstyle.errors import CorruptInput
from rtstyle.media.alpha import transparent_decoder
from rtstyle.media.clock import can_seek, packets_of
from rtstyle.media.timeline import Timeline
from rtstyle.memory import says_out_of_memory

_MAX_SEEK_BACK = Fraction(64)
_MOST_HELD = 64
"""Pictures that a decoder holds back; codecs reorder 16 at most."""


class Decoder:
    """Decodes one video stream; counts and skips what cannot be decoded."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        *,
        name: str,
        max_failures: int,
        with_alpha: bool = False,
    ) -> None:
        """``with_alpha``: pictures come with their transparency also where that needs another
        decoder than the stream's own, a slower one."""
        self.failures = 0
        """Packets that could not be read or decoded so far."""
        self.late_streams = False
        """Whether a stream was met that the file did not show when it was opened."""
        self._container = container
        self._stream = stream
        self.transparent = transparent_decoder(stream) if with_alpha else None
        """What decodes instead of the stream's own decoder, where transparency needs that."""
        self._name = name
        self._max_failures = max_failures
        self._failed_in_a_row = 0
        self._lost_untimed = 0
        self._aspect: Fraction | None = None
        self._sent: deque[tuple[int | None, Fraction | None]] = deque(maxlen=_MOST_HELD)
        """The pts of packets whose pictures are still to come, and the shape of pixels that the
        pictures' own header said by then."""

    def take_lost(self) -> int:
        """How many packets without a pts were lost since the last call."""
        lost, self._lost_untimed = self._lost_untimed, 0
        return lost

    def take_aspect(self, pts: int | None) -> Fraction | None:
        """Width of a pixel over its height in the picture with that pts, which has just come, as
        its own header has it; None where that does not say.

        Pictures come later out of the decoder than their headers go in, and not in that order.
        """
        for sent in self._sent:
            if sent[0] == pts:
                self._sent.remove(sent)
                return sent[1]
        return self._aspect

    def pictures(self) -> Generator[VideoFrame, None, None]:
        """Every picture from the current position on, in presentation order.

        Raises CorruptInput after more failures in a row than allowed, and FFmpeg's own error where
        memory ran out.
        """
        reads_failed = 0
        while reads_failed < 2:
            try:
                with closing(self._packets()) as packets:
                    for packet in packets:
                        reads_failed = 0
                        yield from self._decode(packet)
                return
            except av.FFmpegError as error:
                if says_out_of_memory(error):
                    raise
                # A read error: the demuxer may find its way again; twice in a row is the end.
                reads_failed += 1
                self._count_failure()
        yield from self._decode(None)

    def _packets(self) -> Generator[av.Packet[VideoStream], None, None]:
        return packets_of(self._container, self._stream, on_late=self._note_late)

    def _note_late(self) -> None:
        self.late_streams = True

    def _decode(self, packet: av.Packet[VideoStream] | None) -> list[VideoFrame]:
        if packet is not None and packet.size == 0 and packet.dts is not None:
            # "Show the last picture again" in AVI; to the decoder it would mean the end.
            self._lost_untimed += packet.pts is None
            return []
        try:
            context = self.transparent or self._stream
            pictures = context.decode(packet)
            self._note_aspect(packet)
        except av.FFmpegError as error:
            if says_out_of_memory(error):
                # The packet is sound: to skip it would be a loss, and an untold one.
                raise
            if packet is not None and packet.pts is None:
                self._lost_untimed += 1
            self._count_failure()
            return []
        if pictures:
            self._failed_in_a_row = 0
        return pictures

    def _note_aspect(self, packet: av.Packet[VideoStream] | None) -> None:
        if packet is None:
            return
        self._aspect = self._stream.codec_context.sample_aspect_ratio or None
        self._sent.append((packet.pts, self._aspect))

    def _count_failure(self) -> None:
        self.failures += 1
        self._failed_in_a_row += 1
        if self._failed_in_a_row > self._max_failures:
            raise CorruptInput(
                f"{self._name}: {self._failed_in_a_row} packets in a row could not be decoded; "
                "the file is damaged: copy or download it again"
            )

    def seek(self, pts: int) -> bool:
        """Go to a key frame near ``pts``; False, and nothing changed, where that is not possible or
        times do not tell where in the file they are.

        A generator of pictures made before must not be resumed after a seek.
        """
        if not can_seek(self._container):
            return False
        try:
            self._container.seek(pts, stream=self._stream)
        except av.FFmpegError:
            return False
        if self.transparent is not None:
            self.transparent.flush_buffers()
        return True

    def pictures_around(self, pts: int, earliest: int) -> Generator[VideoFrame, None, None]:
        """Pictures from a place at or before ``pts`` on.

        Demuxers may land behind the time asked for; then earlier places are tried. ``earliest`` is
        the pts of the clip's first picture.
        """
        time_base = self._stream.time_base or Fraction(1, 1000)
        back = Fraction(0)
        while True:
            target = pts - int(back / time_base)
            at_start = target <= earliest or back > _MAX_SEEK_BACK
            if not self.seek(earliest if at_start else target):
                return
            pictures = self.pictures()
            first = next(pictures, None)
            if first is not None and (at_start or (first.pts is not None and first.pts <= pts)):
                yield first
                yield from pictures
                return
            pictures.close()
            if at_start:
                return
            back = max(Fraction(1), back * 2)


def placed(
    decoder: Decoder, pictures: Iterable[VideoFrame], timeline: Timeline
) -> Generator[tuple[VideoFrame, int], None, None]:
    """Each picture with the time at which it is shown; reads one picture ahead."""
    held: VideoFrame | None = None
    lost = 0
    for picture in pictures:
        if held is not None:
            yield held, _place(timeline, held, lost, picture.pts)
        held, lost = picture, decoder.take_lost()
    if held is not None:
        yield held, _place(timeline, held, lost, None)


def _place(timeline: Timeline, picture: VideoFrame, lost: int, following: int | None) -> int:
    for _ in range(lost):
        timeline.skip()
    return timeline.place(picture.pts, following)
