"""The picture stream of an output: its encoder, opened and told what the source's pictures mean."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
from av.codec.context import ThreadType
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtstyle.errors import EncoderUnavailable
from rtstyle.media.codecs import (
    CODECS,
    EncodeOptions,
    open_encoder,
    pixel_format,
    with_ten_bits,
)
from rtstyle.media.colour import FromRgb, resolve_colour
from rtstyle.media.deep import FromDeepRgb, to_bytes
from rtstyle.types import AnyPixels, Colour, Size, VideoInfo

_MAX_AV1_RATE = Fraction(240)
_LEAST_AV1_SIDE = 32
"""Pixels; SVT-AV1 takes narrower pictures too, but then hangs or reads and writes beyond them."""
_MATRIX_RGB = 0
_NARROWEST_CUTREE = 64
"""x265's cutree writes past its buffers in pictures up to 48 pixels wide, and crashes later."""
_X265_DELAY = 2

ToPicture = Callable[[AnyPixels], VideoFrame]
"""``(H, W, 3)`` RGB into a picture that the encoder takes."""


def add_pictures(
    container: OutputContainer,
    info: VideoInfo,
    options: EncodeOptions,
    *,
    tick: Fraction,
    name: str,
) -> tuple[VideoStream, ToPicture]:
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
    context.pix_fmt = pixel_format(codec.name, size, options.bits_for(info.bits))
    context.time_base = tick
    context.sample_aspect_ratio = info.pixel_aspect
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    if codec.name == "ffv1":
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
    return stream, _converter(context.pix_fmt, options.bits_for(info.bits), colour)


def mend_order(packet: Packet[VideoStream], options: EncodeOptions, frames: int) -> None:
    """Give a picture of a clip of ``frames`` so far the decoding time that x265 leaves to chance:
    it sets the delay of the first ones with the third."""
    if options.codec == "hevc" and frames <= _X265_DELAY:
        packet.dts = packet.pts


def _converter(pixel_format: str, bits: int, colour: Colour) -> ToPicture:
    if bits > 8:
        return FromDeepRgb(pixel_format, colour)
    shallow = FromRgb(pixel_format, colour)
    return lambda pixels: shallow(to_bytes(pixels))


def stored_otherwise(info: VideoInfo, options: EncodeOptions) -> tuple[str, ...]:
    """A sentence for each way in which pictures are stored that a viewer might notice."""
    notes = []
    bits = options.bits_for(info.bits)
    stored = pixel_format(options.codec, info.size, bits)
    even = Size(info.size.width + info.size.width % 2, info.size.height + info.size.height % 2)
    if stored != pixel_format(options.codec, even, bits):
        notes.append(
            f"the size {info.size} is odd and kept exactly, so {options.codec} stores 4:4:4 "
            "colour, which some players do not show"
        )
    if options.bit_depth == "auto" and bits < min(info.bits, 10):
        notes.append(
            f"{options.codec} stores 8 of the source's {info.bits} bits a sample; "
            f"use --codec {with_ten_bits()} to keep them"
        )
    elif options.bit_depth != 8 and bits < info.bits:
        notes.append(f"{bits} of the source's {info.bits} bits a sample are stored")
    if options.bit_depth == "auto" and options.codec == "h264" and bits > 8:
        notes.append(
            "h264 with 10 bits a sample, as the source has, does not play everywhere; "
            "use --bit-depth 8, or --codec hevc, where it must"
        )
    return tuple(notes)
