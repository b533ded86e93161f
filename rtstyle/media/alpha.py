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
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtstyle.types import Alpha

_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Matroska keeps the transparency of these beside each packet, where FFmpeg's own decoders, which
are the default, do not look."""
_OPAQUE = 255


def transparent_decoder(stream: VideoStream) -> VideoCodecContext | None:
    """A decoder for the stream's packets that gives their transparency too.

    None where the stream's own decoder does so already, the stream says that it has none, or this
    build has no such decoder.
    """
    library = _DECODERS.get(stream.codec_context.codec.canonical_name)
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if library is None or tags.get("alpha_mode") != "1":
        return None
    try:
        context = cast(VideoCodecContext, av.CodecContext.create(library, "r"))
    except UnknownCodecError:
        return None
    context.options = dict(stream.codec_context.options)
    context.extradata = stream.codec_context.extradata
    return context


def read_alpha(frame: VideoFrame) -> Alpha | None:
    """uint8 ``(H, W)``, deeper samples rounded to 8 bits; None where the format has none."""
    component = next((c for c in frame.format.components if c.is_alpha), None)
    if component is None and not frame.format.has_palette:
        return None
    if component is None or component.plane == 0 or component.bits > 16:
        whole = cast(Alpha, frame.to_ndarray(format="rgba"))
        return cast(Alpha, whole[..., 3].copy())
    samples = _samples(frame, component.plane, component.bits)
    if component.bits == 8:
        return samples.astype(np.uint8)
    most = 2**component.bits - 1
    return ((samples.astype(np.uint32) * _OPAQUE + most // 2) // most).astype(np.uint8)


def write_alpha(frame: VideoFrame, alpha: Alpha | None) -> None:
    """Store ``alpha``, or that all is opaque, in a picture for an encoder; in a format without
    transparency nothing is done."""
    component = next((c for c in frame.format.components if c.is_alpha), None)
    if component is None:
        return
    values = np.uint8(_OPAQUE) if alpha is None else alpha
    if component.plane == 0:
        if frame.format.name not in ("bgra", "rgba"):
            raise ValueError(f"transparency cannot be written into {frame.format.name}")
        _samples(frame, 0, 32).view(np.uint8)[:, 3::4] = values
        return
    most = 2**component.bits - 1
    deep = (np.asarray(values, np.uint32) * most + _OPAQUE // 2) // _OPAQUE
    samples = _samples(frame, component.plane, component.bits)
    samples[:] = deep.astype(samples.dtype)


def _samples(frame: VideoFrame, plane: int, bits: int) -> npt.NDArray[np.unsignedinteger[Any]]:
    """A view of the visible samples of a plane."""
    order = ">" if frame.format.is_big_endian else "<"
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    buffer = frame.planes[plane]
    rows = np.frombuffer(memoryview(buffer), f"{order}u{size}")
    return rows.reshape(-1, buffer.line_size // size)[: frame.height, : frame.width]
