"""Live pictures sent to an address as H.264, quick to arrive."""

from __future__ import annotations

from fractions import Fraction
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import av
from av.container import OutputContainer

from rtstyle.errors import OutputError, OutputNotWritable, UsageError
from rtstyle.media.camera import without_password
from rtstyle.media.colour import FromRgb
from rtstyle.media.deep import to_bytes
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
_TIMEOUT_MICROSECONDS = "5000000"


def check_address(url: str) -> None:
    """Raise UsageError for an address that nothing can be sent to."""
    if urlsplit(url).scheme.lower() not in _MUXERS:
        raise UsageError(
            f"{without_password(url)}: cannot send there; take {', '.join(_MUXERS)} "
            "or a file's name"
        )


class Broadcast:
    """Sends frames to ``rtmp://``, ``rtsp://``, ``srt://``, ``tcp://`` or ``udp://``.

    Implements FrameSink. A last odd row or column of pictures is not sent, since 4:2:0 has none.
    """

    def __init__(self, url: str, size: Size, rate: Fraction) -> None:
        """Raises UsageError, and OutputNotWritable where the other end does not answer."""
        check_address(url)
        self._name = without_password(url)
        scheme = urlsplit(url).scheme.lower()
        self._even = Size(max(2, size.width // 2 * 2), max(2, size.height // 2 * 2))
        self._size, self._frames, self._first = size, 0, Fraction(0)
        if scheme == "udp" and "pkt_size" not in url:
            url += ("&" if "?" in url else "?") + "pkt_size=1316"
        options = {} if scheme == "udp" else {"rw_timeout": _TIMEOUT_MICROSECONDS}
        self._container: OutputContainer | None = None
        try:
            self._container = av.open(
                url, "w", format=_MUXERS[scheme], options=options, timeout=(5.0, 5.0)
            )
            self._stream = self._container.add_stream("libx264", rate=max(1, round(rate)))
            self._stream.width, self._stream.height = self._even.width, self._even.height
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = _TICK
            # A receiver would take a small picture without these for BT.601.
            context = self._stream.codec_context
            context.colorspace, context.color_primaries = _BT709.matrix, _BT709.primaries
            context.color_trc, context.color_range = _BT709.transfer, 1
            self._stream.options = {
                "preset": "veryfast",
                "tune": "zerolatency",
                "crf": "23",
                # Who tunes in waits for the next whole picture.
                "g": str(max(1, round(2 * rate))),
            }
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            self.abort()
            raise OutputNotWritable(f"{self._name}: cannot send there ({_why(error)})") from None
        self._convert = FromRgb("yuv420p", _BT709)

    def write(self, frame: Frame) -> None:
        """Send one frame; raises OutputError where the other end went away."""
        if self._container is None:
            raise ValueError(f"{self._name} is closed")
        pixels = frame.pixels[: self._even.height, : self._even.width]
        picture = self._convert(to_bytes(pixels))
        if self._frames == 0:
            self._first = frame.seconds
        picture.pts, picture.time_base = round((frame.seconds - self._first) / _TICK), _TICK
        try:
            for packet in self._stream.encode(picture):
                self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()


def _why(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)
