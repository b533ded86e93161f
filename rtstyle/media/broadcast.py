"""Live pictures sent to an address as H.264, quick to arrive."""

from __future__ import annotations

import math
from fractions import Fraction
from types import TracebackType
from typing import Self

import av
from av.codec.context import Flags
from av.container import OutputContainer

from rtstyle.addresses import without_secrets
from rtstyle.errors import OutputError, OutputNotWritable, UsageError
from rtstyle.media.colour import FromRgb
from rtstyle.media.deep import to_bytes
from rtstyle.media.silence import Silence
from rtstyle.types import Colour, Frame, SinkReport, Size

_TICK = Fraction(1, 90000)
_MUXERS = {
    "rtmp": "flv",
    "rtmps": "flv",
    "rtsp": "rtsp",
    "srt": "mpegts",
    "tcp": "mpegts",
    "udp": "mpegts",
}
_BT709 = Colour(matrix=1, primaries=1, transfer=1, full_range=False)
_TIMEOUT_MICROSECONDS = 5_000_000
_SEND_BUFFER = 2**18
"""Bytes that the system may hold for a receiver; left to itself it holds seconds of pictures, which
are delay on a slow line, and after which alone one that hangs is noticed."""
_HEADERS_APART = ("flv", "rtsp")
"""Muxers that want the codec's parameters before the first picture, not in front of each."""
_SURE = 3
"""Frames after which the other end has answered: the first waits in the queue of the thread that
opens the connection, and a later one is taken only once it is open."""
_LEAST_BITS, _MOST_BITS = 500_000, 20_000_000
_USUAL_BITS, _USUAL_PIXELS = 3_200_000, 1280 * 720 * 30


def check_address(url: str) -> None:
    """Raise UsageError for an address that nothing can be sent to."""
    if _scheme(url) not in _MUXERS:
        raise UsageError(
            f"{without_secrets(url)}: cannot send there; take {', '.join(_MUXERS)}, http "
            "or a file's name"
        )


def usual_bits(size: Size, rate: Fraction) -> int:
    """Most bits a second for pictures of that size and rate: what streaming services ask for,
    3.2 Mbit/s for 720p30 and 5.9 for 1080p30."""
    load = size.width * size.height * float(rate) / _USUAL_PIXELS
    return int(min(_MOST_BITS, max(_LEAST_BITS, _USUAL_BITS * math.pow(load, 0.75))))


class Broadcast:
    """Sends frames to ``rtmp://``, ``rtsp://``, ``srt://``, ``tcp://`` or ``udp://``.

    Implements FrameSink. A last odd row or column of pictures is not sent, since 4:2:0 has none.
    Over RTMP goes a silent sound track as well, without which some services show nothing.

    Nothing here waits for the network while it holds the interpreter: the connection is opened and
    written in a thread of FFmpeg's (its fifo muxer), since PyAV opens an output, and looks up its
    name, without letting other threads run. An end that does not answer thus shows in ``write``.
    """

    def __init__(self, url: str, size: Size, rate: Fraction, *, bits: int | None = None) -> None:
        """``bits``: the most a second, by default ``usual_bits``. Raises UsageError, and
        OutputNotWritable where no encoder opens."""
        check_address(url)
        self._name = without_secrets(url)
        scheme = _scheme(url)
        self._even = Size(max(2, size.width // 2 * 2), max(2, size.height // 2 * 2))
        self._size, self._frames, self._first = size, 0, Fraction(0)
        if scheme == "udp" and "pkt_size" not in url:
            url += ("&" if "?" in url else "?") + "pkt_size=1316"
        muxer = _MUXERS[scheme]
        most = bits or usual_bits(self._even, rate)
        self._container: OutputContainer | None = None
        try:
            self._container = av.open(
                url,
                "w",
                format="fifo",
                container_options={
                    "fifo_format": muxer,
                    # One packet: a longer queue would be delay on a line that is too slow.
                    "queue_size": "1",
                    "format_opts": _line_options(scheme),
                },
            )
            self._stream = self._container.add_stream("libx264", rate=max(1, round(rate)))
            self._stream.width, self._stream.height = self._even.width, self._even.height
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = _TICK
            # A receiver would take a small picture without these for BT.601.
            context = self._stream.codec_context
            context.colorspace, context.color_primaries = _BT709.matrix, _BT709.primaries
            context.color_trc, context.color_range = _BT709.transfer, 1
            if muxer in _HEADERS_APART:
                context.flags |= Flags.global_header
            self._stream.options = {
                "preset": "veryfast",
                "tune": "zerolatency",
                "crf": "23",
                # Brush strokes can cost ten times what a camera's picture does; a second's worth
                # is what a line and a receiver's buffer bear at once.
                "maxrate": str(most),
                "bufsize": str(most),
                # Who tunes in waits for the next whole picture.
                "g": str(max(1, round(2 * rate))),
            }
            self._silence = Silence(self._container) if muxer == "flv" else None
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            self.abort()
            raise OutputNotWritable(f"{self._name}: cannot send there ({_why(error)})") from None
        self._convert = FromRgb("yuv420p", _BT709)

    @property
    def answered(self) -> bool:
        """Whether the connection stood, so that an error now is the loss of it."""
        return self._frames >= _SURE

    def write(self, frame: Frame) -> None:
        """Send one frame; waits while the connection is opened, and for a slow line.

        Raises OutputNotWritable where the other end never answered, OutputError where it went away
        or took nothing for five seconds.
        """
        if self._container is None:
            raise ValueError(f"{self._name} is closed")
        pixels = frame.pixels[: self._even.height, : self._even.width]
        picture = self._convert(to_bytes(pixels))
        if self._frames == 0:
            self._first = frame.seconds
        seconds = frame.seconds - self._first
        picture.pts, picture.time_base = round(seconds / _TICK), _TICK
        try:
            if self._silence is not None:
                self._container.mux(self._silence.until(seconds))
            self._container.mux(self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            if not self.answered:
                raise self._refused(error) from None
            raise OutputError(
                f"{self._name}: sending failed ({_why(error)}); check the receiver"
            ) from None
        self._frames += 1

    def finish(self) -> SinkReport:
        """Send what is pending and close."""
        if self._container is not None:
            container, self._container = self._container, None
            try:
                container.mux(self._stream.encode(None))
                container.close()
            except (av.FFmpegError, OSError) as error:
                if not self.answered:
                    raise self._refused(error) from None
                raise OutputError(f"{self._name}: sending failed ({_why(error)})") from None
        return SinkReport(self._name, self._frames, 0)

    def abort(self) -> None:
        """Close; calling it twice is allowed."""
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except (av.FFmpegError, OSError):
                return

    def _refused(self, error: Exception) -> OutputNotWritable:
        if isinstance(error, av.ProtocolNotFoundError):
            scheme = _scheme(self._name)
            return OutputNotWritable(
                f"{self._name}: this build of PyAV cannot send over {scheme}; take rtmp:// or udp://"
            )
        return OutputNotWritable(f"{self._name}: cannot send there ({_why(error)})")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()


def _scheme(url: str) -> str:
    # By hand, since nothing is to be raised for the rest of it.
    return url.partition("://")[0].lower()


def _line_options(scheme: str) -> str:
    """Options that end a wait for an end that takes nothing, and bound what is on its way."""
    if scheme == "rtsp":
        # Over TCP, since packets of UDP are lost without a word, and refused by many a wall.
        return f"rtsp_transport=tcp:timeout={_TIMEOUT_MICROSECONDS}"
    waits = f"rw_timeout={_TIMEOUT_MICROSECONDS}"
    return f"{waits}:send_buffer_size={_SEND_BUFFER}" if scheme == "tcp" else waits


def _why(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)
