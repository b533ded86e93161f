"""The picture stream of an output: its encoder, opened and told what the source's pictures mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
from av.codec.context import ThreadType
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtstyle.errors import EncoderUnavailable
from rtstyle.media.codecs import (
    CODECS,
    EncodeOptions,
    keeps_alpha,
    open_encoder,
    pixel_format,
    prores_profile,
    with_ten_bits,
)
from rtstyle.media.colour import FromRgb, resolve_colour
from rtstyle.media.deep import FromDeepRgb, to_bytes
from rtstyle.media.hardware import Family, device_of, find_hardware, require_hardware
from rtstyle.media.matroska import store_pixel_aspect
from rtstyle.types import Alpha, AnyPixels, Colour, VideoInfo

_MAX_AV1_RATE = Fraction(240)
_PROGRESSIVE = 1
"""FFmpeg's number of the order of fields in which pictures are encoded here: whole."""
_LEAST_AV1_SIDE = 32
"""Pixels; SVT-AV1 takes narrower pictures too, but then hangs or reads and writes beyond them."""
_MATRIX_RGB = 0
_MATRIX_FCC, _MATRIX_601_625, _MATRIX_601 = 4, 5, 6
_PRORES_TAGS = {
    "proxy": "apco",
    "lt": "apcs",
    "standard": "apcn",
    "hq": "apch",
    "4444": "ap4h",
}
_NARROWEST_CUTREE = 64
"""x265's cutree writes past its buffers in pictures up to 48 pixels wide, and crashes later."""
_X265_DELAY = 2
_AVX_512F = 13
"""OpenCV's number of the feature (CV_CPU_AVX_512F)."""
_DEEP = ("yuv420p10le", "yuv422p10le", "yuv444p10le", "gbrp10le")

ToPicture = Callable[[AnyPixels, Alpha | None], VideoFrame]
"""``(H, W, 3)`` RGB and its transparency into a picture that the encoder takes."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """What encodes an output's pictures, and how it is set."""

    library: str
    """FFmpeg's name of it."""
    pixel_format: str
    settings: dict[str, str]
    family: Family | None = None
    """None where it runs in software."""
    notes: tuple[str, ...] = ()
    """A sentence where it is not what was asked for."""

    @property
    def bits(self) -> int:
        """Bits a sample that are stored."""
        return 10 if "10" in self.pixel_format else 8


def choose_encoder(options: EncodeOptions, info: VideoInfo, muxer: str) -> Encoder:
    """What will encode pictures like ``info``'s into ``muxer``; the same for every file of a run.

    Raises EncoderUnavailable where only hardware is wanted and none encodes such pictures here.
    """
    if options.encoder == "software":
        return _in_software(options, info, muxer)
    opened, failed = find_hardware(options, info.size)
    if opened is None:
        if options.encoder == "hardware":
            require_hardware(options, info.size)
        software = _in_software(options, info, muxer)
        note = (
            f"no hardware encoder of {options.codec} works here ({'; '.join(failed)}); "
            f"{software.library} encoded in software"
        )
        return replace(software, notes=(note,))
    candidate = opened.candidate
    return Encoder(
        candidate.library,
        candidate.family.pixel_format,
        dict(opened.settings),
        candidate.family,
        (f"pictures were encoded in hardware, by {candidate.library}",)
        if options.encoder == "auto"
        else (),
    )


def _in_software(options: EncodeOptions, info: VideoInfo, muxer: str) -> Encoder:
    codec, size = CODECS[options.codec], info.size
    alpha = info.alpha and keeps_alpha(options, muxer)
    settings = options.encoder_options
    if codec.library == "libx265" and size.width < _NARROWEST_CUTREE:
        settings["x265-params"] += ":cutree=0"
    if codec.library == "libx264" and cv2.checkHardwareSupport(_AVX_512F):
        # With AVX-512, x264's macroblock tree reads memory that nothing has written where the
        # height is no multiple of 16: the same pictures give another file each time. AVX2 is as
        # quick.
        settings["x264-params"] = "asm=AVX2"
    if codec.library == "prores_ks":
        settings["profile"] = prores_profile(size, alpha=alpha, preset=options.preset)
    if codec.library == "libvpx-vp9" and alpha:
        # Colour and transparency are two streams to libvpx, which must not be reordered apart.
        settings["auto-alt-ref"] = "0"
    stored = pixel_format(
        codec.name, size, bits=options.bits_for(info.bits), alpha=alpha, preset=options.preset
    )
    return Encoder(codec.library, stored, settings)


def add_pictures(
    container: OutputContainer,
    info: VideoInfo,
    options: EncodeOptions,
    *,
    tick: Fraction,
    muxer: str,
    name: str,
) -> tuple[VideoStream, ToPicture]:
    """Add the stream and open its encoder, and give what turns RGB into what it takes.

    ``tick``: seconds in which its times are counted; ``muxer``: FFmpeg's name of the container that
    the pictures are for in the end; ``name``: the output's, for messages.
    Raises EncoderUnavailable where the codec refuses the size.
    """
    codec, size = CODECS[options.codec], info.size
    colour = resolve_colour(info.colour, size)
    if codec.name == "vp9" and colour.matrix == _MATRIX_FCC:
        # It has no number for it; a reader would take the matrix that goes with the size.
        colour = replace(colour, matrix=_MATRIX_601)
    if codec.name == "prores":
        # Its header has no range, which is always limited, and one number for both 601 matrices.
        matrix = _MATRIX_601 if colour.matrix == _MATRIX_601_625 else colour.matrix
        colour = replace(colour, matrix=matrix, full_range=False)
    encoder = choose_encoder(options, info, muxer)
    stream = container.add_stream(
        encoder.library,
        options=encoder.settings,
        hwaccel=None if encoder.family is None else device_of(encoder.family),
    )
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    context.width, context.height = size.width, size.height
    context.pix_fmt = encoder.pixel_format
    context.time_base = tick
    dress_pictures(stream, info, options, tick=tick)
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    if codec.name == "ffv1":
        context.colorspace, context.color_range = _MATRIX_RGB, 2
    else:
        context.colorspace = colour.matrix
        context.color_range = 2 if colour.full_range else 1
    # PyAV asks for slices, which cost x264 quality; whole frames in parallel do not.
    context.thread_type = ThreadType.AUTO
    refused = EncoderUnavailable(
        f"{name}: {encoder.library} cannot encode {size}; "
        "use --codec ffv1 with an .mkv name, or scale the source"
    )
    if encoder.library == "libsvtav1" and min(size.width, size.height) < _LEAST_AV1_SIDE:
        raise refused
    try:
        open_encoder(context)
    except (av.FFmpegError, ValueError):
        if encoder.family is not None:
            raise EncoderUnavailable(
                f"{name}: {encoder.library} opened on trial, but not for the film (too many at a "
                "time?); use --encoder software"
            ) from None
        raise refused from None
    return stream, _converter(encoder.pixel_format, colour)


def dress_pictures(
    stream: VideoStream, info: VideoInfo, options: EncodeOptions, *, tick: Fraction
) -> None:
    """Give a picture stream what its container's header says beside what its encoder does; the same
    whether the stream is encoded in place or put together from segments.

    ``tick``: seconds in which its times are counted.
    """
    stream.time_base = tick
    context = stream.codec_context
    context.framerate = nominal_rate(info, options)
    # Segments keep it rounded, or for some codecs not at all.
    context.sample_aspect_ratio = info.pixel_aspect
    context.field_order = _PROGRESSIVE
    if options.codec == "prores":
        # Matroska's copy of its tag, which would be taken for a header of the coding.
        context.extradata = None
    tag = codec_tag(options, info, stream.container.format.name)
    if tag is not None:
        context.codec_tag = tag


def nominal_rate(info: VideoInfo, options: EncodeOptions) -> Fraction:
    """Frames a second by which encoders plan, and which headers say of even times."""
    rate = info.timecode_rate or info.average_rate or Fraction(25)
    return min(rate, _MAX_AV1_RATE) if options.codec == "av1" else rate


def mend_order(packet: Packet[VideoStream], options: EncodeOptions, frames: int) -> None:
    """Give a picture of a clip of ``frames`` so far the decoding time that x265 leaves to chance:
    it sets the delay of the first ones with the third."""
    if options.codec == "hevc" and frames <= _X265_DELAY:
        packet.dts = packet.pts


def _converter(pixel_format: str, colour: Colour) -> ToPicture:
    if pixel_format in _DEEP:
        deep = FromDeepRgb(pixel_format, colour)
        return lambda pixels, _: deep(pixels)
    shallow = FromRgb(pixel_format, colour)
    return lambda pixels, alpha: shallow(to_bytes(pixels), alpha)


def codec_tag(options: EncodeOptions, info: VideoInfo, muxer: str) -> str | None:
    """What a file of ``muxer`` calls the pictures' coding; None for what FFmpeg calls it."""
    if options.codec == "hevc" and muxer in ("mp4", "mov"):
        # What Apple's players want.
        return "hvc1"
    if options.codec == "prores" and muxer in ("mov", "matroska"):
        # Left to PyAV it is HQ's for every profile, and editors look at nothing else.
        return _PRORES_TAGS[choose_encoder(options, info, muxer).settings["profile"]]
    return None


def stored_otherwise(info: VideoInfo, options: EncodeOptions, muxer: str) -> tuple[str, ...]:
    """A sentence for each way in which pictures are stored that a viewer might notice."""
    encoder = choose_encoder(options, info, muxer)
    notes = list(encoder.notes)
    if encoder.pixel_format in ("yuv444p", "yuv444p10le") and options.codec != "prores":
        notes.append(
            f"the size {info.size} is odd and kept exactly, so {options.codec} stores 4:4:4 "
            "colour, which some players do not show"
        )
    profile = encoder.settings.get("profile")
    if options.codec == "prores" and options.preset not in (None, profile):
        notes.append(
            f"the size {info.size} is odd and kept exactly, so prores stores it as {profile} "
            f"instead of {options.preset}, which would lose colour at the edge"
        )
    if options.codec == "prores" and info.colour.full_range:
        notes.append("the source has full range, which prores cannot say: it is stored as limited")
    if info.alpha and not keeps_alpha(options, muxer):
        reason = _opaque_reason(options, muxer)
        notes.append(
            f"the source can be transparent, its copy cannot: {reason}; use --codec vp9 with "
            "a .webm name, prores with .mov or ffv1 with .mkv"
        )
    return (*notes, *_depth_notes(info, options, encoder))


def _depth_notes(info: VideoInfo, options: EncodeOptions, encoder: Encoder) -> Iterator[str]:
    if options.bit_depth == "auto" and encoder.bits < min(info.bits, 10):
        yield (
            f"{encoder.library} stores 8 of the source's {info.bits} bits a sample; "
            f"use --codec {with_ten_bits()} to keep them"
        )
    elif options.bit_depth != 8 and encoder.bits < info.bits:
        yield f"{encoder.bits} of the source's {info.bits} bits a sample are stored"
    if options.bit_depth == "auto" and options.codec == "h264" and encoder.bits > 8:
        yield (
            "h264 with 10 bits a sample, as the source has, does not play everywhere; "
            "use --bit-depth 8, or --codec hevc, where it must"
        )


def shape_pixels(
    path: Path, info: VideoInfo, options: EncodeOptions, muxer: str
) -> tuple[str, ...]:
    """Say in a finished file how wide its pixels are, where neither its pictures nor its muxer do.

    A sentence where that is not possible.
    """
    said = muxer in ("mp4", "mov") or options.codec in ("h264", "hevc")
    if said or info.pixel_aspect == 1 or store_pixel_aspect(path, info.pixel_aspect):
        return ()
    shape = f"{info.pixel_aspect.numerator}:{info.pixel_aspect.denominator}"
    return (
        f"pixels are {shape}, which could not be said in {muxer} with {options.codec}: set that "
        "shape in the player, or use --codec h264",
    )


def _opaque_reason(options: EncodeOptions, muxer: str) -> str:
    if options.codec == "vp9":
        return f"{muxer} has no place for vp9's"
    if options.codec == "prores":
        return f"of prores's presets only 4444 has it, not {options.preset}"
    return f"{options.codec} has none"
