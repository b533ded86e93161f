"""The picture stream of an output: its encoder, opened and told what the source's pictures mean."""

from __future__ import annotations

from fractions import Fraction

import av
from av.codec.context import ThreadType
from av.container import OutputContainer
from av.video.stream import VideoStream

from rtstyle.errors import EncoderUnavailable
from rtstyle.media.codecs import CODECS, EncodeOptions, open_encoder, pixel_format
from rtstyle.media.colour import FromRgb, resolve_colour
from rtstyle.types import VideoInfo

_MAX_AV1_RATE = Fraction(240)
_LEAST_AV1_SIDE = 32
"""Pixels; SVT-AV1 takes narrower pictures too, but then hangs or reads and writes beyond them."""
_MATRIX_RGB = 0
_NARROWEST_CUTREE = 64
"""x265's cutree writes past its buffers in pictures up to 48 pixels wide, and crashes later."""


def add_pictures(
    container: OutputContainer,
    info: VideoInfo,
    options: EncodeOptions,
    *,
    tick: Fraction,
    name: str,
) -> tuple[VideoStream, FromRgb]:
    """Add the stream and open its encoder, and give what turns RGB into what it takes.

    ``tick``: seconds in which its times are counted; ``name``: the output's, for messages.
    Raises EncoderUnavailable where the codec refuses the size.
    """
    codec, size = CODECS[options.codec], info.size
    colour = resolve_colour(info.colour, size)
    rate = info.average_rate or Fraction(25)
    if codec.name == "av1":
        rate = min(rate, _MAX_AV1_RATE)
    settings = options.encoder_options
    if codec.library == "libx265" and size.width < _NARROWEST_CUTREE:
        settings["x265-params"] += ":cutree=0"
    stream = container.add_stream(codec.library, rate=rate, options=settings)
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    context.width, context.height = size.width, size.height
    context.pix_fmt = pixel_format(codec.name, size)
    context.time_base = tick
    context.sample_aspect_ratio = info.pixel_aspect
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    if context.pix_fmt == "bgr0":
        context.colorspace, context.color_range = _MATRIX_RGB, 2
    else:
        context.colorspace = colour.matrix
        context.color_range = 2 if colour.full_range else 1
    # PyAV asks for slices, which cost x264 quality; whole frames in parallel do not.
    context.thread_type = ThreadType.AUTO
    if codec.name == "hevc" and container.format.name in ("mp4", "mov"):
        # The tag that Apple's players want.
        context.codec_tag = "hvc1"
    refused = EncoderUnavailable(
        f"{name}: {codec.library} cannot encode {size}; "
        "use --codec ffv1 with an .mkv name, or scale the source"
    )
    if codec.name == "av1" and min(size.width, size.height) < _LEAST_AV1_SIDE:
        raise refused
    try:
        open_encoder(context)
    except (av.FFmpegError, ValueError):
        raise refused from None
    return stream, FromRgb(context.pix_fmt or "yuv420p", colour)


def stored_otherwise(info: VideoInfo, options: EncodeOptions) -> tuple[str, ...]:
    """A sentence where pictures are stored in a way that a viewer might notice."""
    if pixel_format(options.codec, info.size) != "yuv444p":
        return ()
    return (
        f"the size {info.size} is odd and kept exactly, so {options.codec} stores 4:4:4 colour, "
        "which some players do not show",
    )
