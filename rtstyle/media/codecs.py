"""What can be encoded, with which library and settings, into which containers."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, cast

import av
import av.codec
from av.video.codeccontext import VideoCodecContext

from rtstyle.errors import UsageError
from rtstyle.types import Size

ENCODER_KINDS = ("software", "hardware", "auto")
AUDIO_MODES = ("copy", "aac", "none")
SUBTITLE_MODES = ("copy", "none")
BIT_DEPTHS = ("auto", 8, 10)

BitDepth = Literal["auto", 8, 10]
"""Bits a sample; ``auto`` is 10 for a source of more than 8, where the codec can."""

_X26X_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)


@dataclass(frozen=True, slots=True)
class Codec:
    """A video codec as this program encodes it."""

    name: str
    library: str
    """FFmpeg's name of the encoder."""
    quality: int | None
    """Default CRF; None where the codec takes none: lossless, or chosen by its preset alone."""
    quality_range: tuple[int, int]
    preset: str | None
    presets: tuple[str, ...]
    containers: tuple[str, ...]
    """Extensions of the containers that hold it."""
    depths: tuple[int, ...] = (8, 10)
    """Bits a sample that it can be given; what of it this FFmpeg can do, ``depths_here`` says."""


CODECS = {
    codec.name: codec
    for codec in (
        Codec(
            "h264",
            "libx264",
            18,
            (0, 51),
            "veryfast",
            _X26X_PRESETS,
            (".mp4", ".m4v", ".mov", ".mkv"),
        ),
        Codec(
            "hevc",
            "libx265",
            21,
            (0, 51),
            "fast",
            _X26X_PRESETS,
            (".mp4", ".m4v", ".mov", ".mkv"),
        ),
        Codec(
            "av1",
            "libsvtav1",
            28,
            (1, 63),
            "8",
            tuple(str(number) for number in range(14)),
            (".mp4", ".m4v", ".mkv", ".webm"),
        ),
        Codec(
            "vp9",
            "libvpx-vp9",
            24,
            (0, 63),
            "4",
            tuple(str(number) for number in range(9)),
            (".webm", ".mkv", ".mp4", ".m4v"),
            depths=(8,),
        ),
        Codec(
            "prores",
            "prores_ks",
            None,
            (0, 0),
            "hq",
            ("proxy", "lt", "standard", "hq", "4444"),
            (".mov", ".mkv"),
            depths=(10,),
        ),
        Codec("ffv1", "ffv1", None, (0, 0), None, (), (".mkv",)),
    )
}

CODEC_NAMES = tuple(CODECS)

_VP9_QUICKEST_GOOD = 5
"""libvpx knows the speeds above it for real time only."""

MUXERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
}


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How to encode; raises UsageError where the settings do not fit each other."""

    codec: str = "h264"
    """``h264``, ``hevc``, ``av1``, ``vp9``, ``prores`` or ``ffv1`` (lossless)."""
    quality: int | None = None
    """Constant rate factor, smaller is better: 0..51, for av1 1..63, for vp9 0..63; None for the
    default. prores and ffv1 take none."""
    preset: str | None = None
    """x264's and x265's names, ``ultrafast`` to ``placebo``; for av1 ``0`` (slow) to ``13``, for
    vp9 ``0`` to ``8`` (from ``6`` on for real time); prores's profiles, ``proxy``, ``lt``,
    ``standard``, ``hq`` and ``4444``. None for the default, with which prores takes ``4444`` for
    transparent pictures."""
    audio: str = "copy"
    """``copy`` packets as they are, ``aac`` encodes anew, ``none`` leaves the sound out."""
    subtitles: str = "copy"
    """``copy`` those that the container can hold, ``none`` leaves them out."""
    encoder: str = "software"
    """``software`` gives the same file everywhere and the better picture for its size;
    ``hardware`` refuses where no such encoder opens; ``auto`` then takes the software and says so.
    """
    bit_depth: BitDepth = "auto"
    """Bits a sample of the pictures: 8, 10, or ``auto`` for as the source has where it can be."""

    def __post_init__(self) -> None:
        codec = CODECS.get(self.codec)
        if codec is None:
            raise UsageError(f"codec {self.codec!r} is unknown; take {_one_of(tuple(CODECS))}")
        if self.audio not in AUDIO_MODES:
            raise UsageError(f"audio {self.audio!r} is unknown; take {_one_of(AUDIO_MODES)}")
        if self.subtitles not in SUBTITLE_MODES:
            raise UsageError(
                f"subtitles {self.subtitles!r} is unknown; take {_one_of(SUBTITLE_MODES)}"
            )
        if self.encoder not in ENCODER_KINDS:
            raise UsageError(f"encoder {self.encoder!r} is unknown; take {_one_of(ENCODER_KINDS)}")
        if self.quality is not None:
            if codec.quality is None:
                if codec.presets:
                    raise UsageError(
                        f"{codec.name} takes no quality; choose a preset, {_one_of(codec.presets)}"
                    )
                raise UsageError(f"{codec.name} is lossless and takes no quality; leave it out")
            least, most = codec.quality_range
            if not least <= self.quality <= most:
                raise UsageError(
                    f"quality {self.quality} is out of range; {codec.name} takes {least} (best) "
                    f"to {most}"
                )
        if self.bit_depth not in BIT_DEPTHS:
            raise UsageError(f"bit depth {self.bit_depth!r} is unknown; take auto, 8 or 10")
        if self.bit_depth != "auto" and self.bit_depth not in codec.depths:
            raise UsageError(
                f"{codec.name} does not store {self.bit_depth} bits a sample; leave the bit depth "
                f"out, or take {_one_of(tuple(_with_depth(self.bit_depth)))}"
            )
        if self.bit_depth == 10 and self.encoder != "software":
            raise UsageError(
                "hardware encoders are given 8 bits a sample; use --encoder software for 10"
            )
        if self.preset is not None and self.preset not in codec.presets:
            if not codec.presets:
                raise UsageError(f"{codec.name} has no presets; leave the preset out")
            raise UsageError(
                f"preset {self.preset!r} is unknown to {codec.name}; take {_one_of(codec.presets)}"
            )

    def bits_for(self, source_bits: int) -> int:
        """Bits a sample, 8 or 10, that are stored for a source of ``source_bits``."""
        if self.bit_depth != "auto":
            return self.bit_depth
        wanted = 10 if source_bits > 8 else 8
        depths = (8,) if self.encoder == "hardware" else depths_here(self.codec)
        return wanted if wanted in depths or not depths else min(depths)

    @property
    def keeps_depth(self) -> bool:
        """Whether a source of more than 8 bits is stored with more than 8."""
        return self.bits_for(16) > 8

    @property
    def told(self) -> dict[str, str]:
        """Quality and preset as they will be taken, in the codec's own words."""
        codec = CODECS[self.codec]
        said: dict[str, str] = {}
        if codec.preset is not None:
            said["preset"] = self.preset or codec.preset
        if codec.quality is not None:
            said["crf"] = str(codec.quality if self.quality is None else self.quality)
        return said

    @property
    def encoder_options(self) -> dict[str, str]:
        """The settings as FFmpeg's software encoder takes them."""
        codec = CODECS[self.codec]
        options = self.told
        if codec.library == "libvpx-vp9":
            speed = options.pop("preset")
            options["cpu-used"] = speed
            options["deadline"] = "good" if int(speed) <= _VP9_QUICKEST_GOOD else "realtime"
            # Without a rate of zero the quality is bounded by FFmpeg's default rate.
            options.update({"b": "0", "row-mt": "1"})
        if codec.library == "prores_ks":
            options["profile"] = options.pop("preset")
        if codec.library == "libx265":
            # x265 writes its greeting to stderr by itself.
            options["x265-params"] = "log-level=none"
        if codec.library == "ffv1":
            options.update({"level": "3", "slicecrc": "1"})
        return options


def pixel_format(
    codec: str,
    size: Size,
    *,
    bits: int = 8,
    alpha: bool = False,
    preset: str | None = None,
) -> str:
    """What is encoded for pictures of ``size`` with ``bits`` (8 or 10) a sample: 4:2:0 where the
    codec takes it, as players expect.

    ffv1 stores RGB, so that it is lossless. x264 and x265 refuse 4:2:0 in odd sizes. ``alpha``:
    transparency is to be kept (see ``keeps_alpha``); ``preset`` is what chooses ProRes's profile.
    """
    if codec == "ffv1":
        if alpha:
            return "bgra"
        return "gbrp10le" if bits > 8 else "bgr0"
    if codec == "prores":
        if prores_profile(size, alpha=alpha, preset=preset) != "4444":
            return "yuv422p10le"
        return "yuva444p10le" if alpha else "yuv444p10le"
    if codec == "vp9":
        return "yuva420p" if alpha else "yuv420p"
    sampled = "yuv420p" if size.is_even or codec == "av1" else "yuv444p"
    return f"{sampled}10le" if bits > 8 else sampled


def prores_profile(size: Size, *, alpha: bool, preset: str | None) -> str:
    """The profile in which such pictures are stored, which need not be the one asked for."""
    if size.width % 2:
        # prores_ks leaves out the last column's colour in 4:2:2: in a picture 17 pixels wide it is
        # off by 20 levels on average.
        return "4444"
    if preset is None:
        return "4444" if alpha else "hq"
    return preset


def keeps_alpha(options: EncodeOptions, muxer: str) -> bool:
    """Whether an output can be transparent."""
    if options.codec == "vp9":
        # Beside each packet, for which mp4 has no place.
        return muxer in ("matroska", "webm")
    return options.codec == "ffv1" or (
        options.codec == "prores" and options.preset in (None, "4444")
    )


@functools.cache
def depths_here(codec: str) -> tuple[int, ...]:
    """Bits a sample that the codec's library takes as it is built here; all where it is missing."""
    known = CODECS[codec]
    try:
        formats = av.codec.Codec(known.library, "w").video_formats
    except (av.FFmpegError, ValueError):
        formats = None
    if not formats:
        return known.depths
    names = {one.name for one in formats}
    return tuple(b for b in known.depths if pixel_format(codec, Size(64, 64), bits=b) in names)


def with_ten_bits() -> str:
    """The codecs that take 10 bits a sample here, for a message."""
    return _one_of(tuple(name for name in CODECS if 10 in depths_here(name)))


def open_encoder(context: VideoCodecContext) -> None:
    """Open it without its greeting on stderr; raises FFmpegError where it refuses the settings."""
    # SVT-AV1 can be silenced by its environment only.
    os.environ.setdefault("SVT_LOG", "0")
    context.open()


@functools.cache
def _opens(library: str) -> bool:
    options = next(c for c in CODECS.values() if c.library == library)
    try:
        context = cast(VideoCodecContext, av.CodecContext.create(library, "w"))
        context.width, context.height = 64, 64
        context.pix_fmt = pixel_format(options.name, Size(64, 64))
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        context.options = EncodeOptions(codec=options.name).encoder_options
        open_encoder(context)
    except (av.FFmpegError, ValueError, LookupError):
        return False
    return True


def encoders() -> dict[str, str | None]:
    """For every codec the library that opens here, or None."""
    return {
        name: codec.library if _opens(codec.library) else None for name, codec in CODECS.items()
    }


def opens_here(codec: str) -> bool:
    """Whether the codec's library opens."""
    return _opens(CODECS[codec].library)


def software_versions() -> dict[str, str]:
    """Versions of what decodes and encodes here, by its name."""
    return {"version of FFmpeg": av.ffmpeg_version_info, "version of av": av.__version__}


def _with_depth(bits: int) -> Iterator[str]:
    return (codec.name for codec in CODECS.values() if bits in codec.depths)


def _one_of(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + " or " + names[-1]
