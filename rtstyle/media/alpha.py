"""Transparency of pictures: where decoders leave it, and how it goes into an encoder's pictures.

It is taken and given sample by sample, past swscale, which is off by one in deep formats. Colours
are straight: what lies under transparent areas comes as it was stored, and is painted as well.
"""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.codec.codec import UnknownCodecError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormatComponent
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtstyle.types import Alpha

_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Matroska keeps the transparency of these beside each packet, where FFmpeg's own decoders, which
are the default, do not look."""
_PACKED = {
    "rgba": (4, 3),
    "bgra": (4, 3),
    "argb": (4, 0),
    "abgr": (4, 0),
    "rgba64": (4, 3),
    "bgra64": (4, 3),
    "ya8": (2, 1),
    "ya16": (2, 1),
}
"""Samples a pixel in formats of one plane, and which of them is alpha."""
_OPAQUE = 255


class TransparentDecoder:
    """Decodes VP8 or VP9 with its transparency, as a codec context does.

    FFmpeg's own decoder goes ahead of libvpx and refuses what it would refuse: libvpx takes the
    memory for a picture of any size before its size is looked at, 700 MB for 85 kB of a file.
    """

    def __init__(self, stream: VideoStream, library: str) -> None:
        """Raises UnknownCodecError where this build has no ``library``."""
        own = stream.codec_context
        self._guard = _decoder_like(own, own.codec.canonical_name)
        self._clear = _decoder_like(own, library)

    def decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """The pictures of a packet; None for the last ones. Raises FFmpegError."""
        self._guard.decode(packet)
        return self._clear.decode(packet)

    def flush_buffers(self) -> None:
        """Forget what was decoded, for a seek."""
        self._guard.flush_buffers()
        self._clear.flush_buffers()


def _decoder_like(own: VideoCodecContext, library: str) -> VideoCodecContext:
    context = cast(VideoCodecContext, av.CodecContext.create(library, "r"))
    context.options = dict(own.options)
    context.extradata = own.extradata
    return context


def transparent_decoder(stream: VideoStream) -> TransparentDecoder | None:
    """A decoder for the stream's packets that gives their transparency too.

    None where the stream's own decoder does so already, the stream says that it has none, or this
    build has no such decoder.
    """
    library = _DECODERS.get(stream.codec_context.codec.canonical_name)
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if library is None or tags.get("alpha_mode") != "1":
        return None
    try:
        return TransparentDecoder(stream, library)
    except UnknownCodecError:
        return None


def read_alpha(frame: VideoFrame) -> Alpha | None:
    """uint8 ``(H, W)``, deeper samples rounded to 8 bits; None where the format has none."""
    component = next((c for c in frame.format.components if c.is_alpha), None)
    if component is None and not frame.format.has_palette:
        return None
    samples = None if component is None else _samples(frame, component)
    if component is None or samples is None:
        whole = cast(Alpha, frame.to_ndarray(format="rgba"))
        return whole[..., 3].copy()
    if component.bits == 8:
        return samples.astype(np.uint8)
    most = 2**component.bits - 1
    rounded: npt.NDArray[np.uint32] = (samples.astype(np.uint32) * _OPAQUE + most // 2) // most
    return rounded.astype(np.uint8)


def alpha_bytes(alpha: npt.NDArray[Any]) -> Alpha:
    """uint8 or uint16 transparency as uint8, rounded."""
    if alpha.dtype == np.uint8:
        return cast(Alpha, alpha)
    return np.rint(alpha.astype(np.float32) / 257).astype(np.uint8)


def write_alpha(frame: VideoFrame, alpha: Alpha | None) -> None:
    """Store ``alpha``, or that all is opaque, in a picture for an encoder; in a format without
    transparency nothing is done."""
    component = next((c for c in frame.format.components if c.is_alpha), None)
    if component is None:
        return
    samples = _samples(frame, component)
    if samples is None:
        raise ValueError(f"transparency cannot be written into {frame.format.name}")
    values = np.uint8(_OPAQUE) if alpha is None else alpha
    if component.bits == 8:
        samples[:] = values
        return
    most = 2**component.bits - 1
    deep = (np.asarray(values, np.uint32) * most + _OPAQUE // 2) // _OPAQUE
    samples[:] = deep.astype(samples.dtype)


def _samples(
    frame: VideoFrame, component: VideoFormatComponent
) -> npt.NDArray[np.unsignedinteger[Any]] | None:
    """A view of a component's visible samples; None for formats whose layout is not known here."""
    step, offset = 1, 0
    if component.plane == 0:
        name = frame.format.name.removesuffix("le").removesuffix("be")
        if name not in _PACKED:
            return None
        step, offset = _PACKED[name]
    elif component.bits > 16:
        # Of floats.
        return None
    size = 1 if component.bits == 8 else 2
    plane = frame.planes[component.plane]
    samples = np.frombuffer(
        memoryview(plane), f"{'>' if frame.format.is_big_endian else '<'}u{size}"
    )
    rows = samples.reshape(-1, plane.line_size // size)
    return rows[: frame.height, offset : frame.width * step : step]
