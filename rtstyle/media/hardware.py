"""Encoders in graphics cards: which there are, which really work here, and how they are set.

None is believed before it has encoded a few pictures: builds of FFmpeg list encoders whose driver
is not there, drivers open encoders that refuse the first picture, and each has sizes it does not
take. Looked at are the families that have a constant quality to which a CRF can be mapped.
v4l2m2m and Media Foundation take a bit rate only, or wrap the others; h263 to mpeg4 are no formats
that this program writes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext

from rtstyle.errors import EncoderUnavailable
from rtstyle.media.codecs import CODECS, EncodeOptions, open_encoder
from rtstyle.types import Size

_PROBED = Size(256, 256)
"""What every family takes; NVENC refuses pictures narrower than 145 pixels."""
_TRIAL_PICTURES = 3
_QUALITY_TO_LAMBDA = 118
"""FFmpeg's FF_QP2LAMBDA, in which options count global_quality."""

Settings = Callable[[str, float], dict[str, str]]
"""From the codec and how coarse the picture may be (0 best to 1) to the encoder's options."""


@dataclass(frozen=True, slots=True)
class Family:
    """The encoders of one maker or system."""

    name: str
    pixel_format: str
    """4:2:0 as it takes it from memory."""
    settings: Settings
    presets: tuple[str, ...] = ()
    """Its words for speed, from the quickest on."""
    preset_option: str = "preset"
    device: str | None = None
    """What PyAV must open and copy each picture to; None where the encoder does so itself."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One encoder that may be there."""

    codec: str
    library: str
    """FFmpeg's name of it."""
    family: Family

    def settings(self, options: EncodeOptions) -> dict[str, str]:
        """Its options for what was asked of the codec's software encoder."""
        codec = CODECS[self.codec]
        least, most = codec.quality_range
        quality = codec.quality if options.quality is None else options.quality
        found = self.family.settings(self.codec, ((quality or 0) - least) / (most - least))
        names = self.family.presets
        if names and options.preset is not None:
            found[self.family.preset_option] = names[_placed(options.preset, codec.name, names)]
        return found


@dataclass(frozen=True, slots=True)
class Opened:
    """An encoder that encodes pictures of a size here."""

    candidate: Candidate
    settings: Mapping[str, str]


def _placed(preset: str, codec: str, names: Sequence[str]) -> int:
    """Which of ``names``, quickest first, lies where ``preset`` lies among the codec's own."""
    own = CODECS[codec].presets
    place = own.index(preset) / (len(own) - 1)
    # x264's and x265's names begin with the quickest, SVT-AV1's numbers with the slowest.
    return round((1 - place if codec == "av1" else place) * (len(names) - 1))


def _scaled(coarse: float, most: int) -> str:
    # Zero means "choose yourself" to most of them.
    return str(max(1, round(coarse * most)))


def _nvenc(codec: str, coarse: float) -> dict[str, str]:
    # A rate of zero leaves the quality alone to decide.
    return {"rc": "vbr", "b": "0", "cq": _scaled(coarse, 63 if codec == "av1" else 51)}


def _qsv(codec: str, coarse: float) -> dict[str, str]:
    return {"global_quality": _scaled(coarse, 51)}


def _amf(codec: str, coarse: float) -> dict[str, str]:
    quantizer = _scaled(coarse, 255 if codec == "av1" else 51)
    return {"rc": "cqp", "qp_i": quantizer, "qp_p": quantizer}


def _videotoolbox(codec: str, coarse: float) -> dict[str, str]:
    # Its quality runs from 1 to 100, best last.
    quality = max(1, round(100 * (1 - coarse)))
    return {"flags": "+qscale", "global_quality": str(quality * _QUALITY_TO_LAMBDA)}


def _vaapi(codec: str, coarse: float) -> dict[str, str]:
    quantizer = _scaled(coarse, 255 if codec == "av1" else 51)
    return {"rc_mode": "CQP", "global_quality": quantizer}


_QSV_PRESETS = ("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
FAMILIES = (
    Family("nvenc", "yuv420p", _nvenc, tuple(f"p{number}" for number in range(1, 8))),
    Family("qsv", "nv12", _qsv, _QSV_PRESETS),
    Family("amf", "nv12", _amf, ("speed", "balanced", "quality"), preset_option="quality"),
    Family("videotoolbox", "nv12", _videotoolbox),
    Family("vaapi", "nv12", _vaapi, device="vaapi"),
)
HARDWARE_CODECS = ("h264", "hevc", "av1")
CANDIDATES = tuple(
    Candidate(codec, f"{codec}_{family.name}", family)
    for codec in HARDWARE_CODECS
    for family in FAMILIES
)


def candidates_for(codec: str) -> tuple[Candidate, ...]:
    """The encoders of ``codec`` that this build of FFmpeg has, the likeliest first."""
    return tuple(c for c in CANDIDATES if c.codec == codec and c.library in av.codecs_available)


def device_of(family: Family) -> HWAccel | None:
    """What PyAV must be given for the family's encoders, a fresh one for each."""
    return None if family.device is None else HWAccel(family.device)


def find_hardware(options: EncodeOptions, size: Size) -> tuple[Opened | None, tuple[str, ...]]:
    """The first encoder that encodes pictures of ``size`` here, and why each before it does not."""
    failed: list[str] = []
    if options.codec not in HARDWARE_CODECS:
        return None, (f"only {', '.join(HARDWARE_CODECS)} are encoded in hardware",)
    if not size.is_even:
        return None, (f"{size} is odd, and they take even sizes",)
    for candidate in candidates_for(options.codec):
        # What does not open at its easiest is not asked again for every size.
        reason = problem_of(candidate, _PROBED, tuple(_plain(candidate).items()))
        settings = candidate.settings(options)
        reason = reason or problem_of(candidate, size, tuple(settings.items()))
        if reason is None:
            return Opened(candidate, settings), tuple(failed)
        failed.append(f"{candidate.library}: {reason}")
    return None, tuple(failed) or (f"this build of av has none for {options.codec}",)


def require_hardware(options: EncodeOptions, size: Size | None = None) -> Opened:
    """As ``find_hardware``; raises EncoderUnavailable with what was tried where there is none.

    Without a size, pictures are of one that every family takes.
    """
    opened, failed = find_hardware(options, size or _PROBED)
    if opened is None:
        raise EncoderUnavailable(
            f"no hardware encoder of {options.codec} works here ({'; '.join(failed)}); use "
            f"--encoder software, which is {CODECS[options.codec].library}, or auto"
        )
    return opened


def hardware_encoders() -> dict[str, tuple[str, ...]]:
    """For every codec that graphics cards encode, the encoders that work here."""
    return {
        codec: tuple(
            c.library
            for c in candidates_for(codec)
            if problem_of(c, _PROBED, tuple(_plain(c).items())) is None
        )
        for codec in HARDWARE_CODECS
    }


def _plain(candidate: Candidate) -> dict[str, str]:
    return candidate.settings(EncodeOptions(codec=candidate.codec))


@functools.cache
def problem_of(
    candidate: Candidate, size: Size, settings: tuple[tuple[str, str], ...]
) -> str | None:
    """Why the encoder does not encode pictures of ``size`` here; None where it does.

    A few pictures are really encoded; the answer holds for the life of the process.
    """
    try:
        made = _encode_some(candidate, size, dict(settings))
    except (av.FFmpegError, OSError, ValueError, LookupError, NotImplementedError) as error:
        return _reason(error)
    if made != _TRIAL_PICTURES:
        return f"it gave {made} of {_TRIAL_PICTURES} pictures"
    return None


def _encode_some(candidate: Candidate, size: Size, settings: dict[str, str]) -> int:
    """How many pictures came out."""
    level = av.logging.get_level()
    # Why a driver refuses stands in FFmpeg's log only, from where PyAV takes it into its errors.
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=True):
            device = device_of(candidate.family)
            context = cast(
                VideoCodecContext, av.CodecContext.create(candidate.library, "w", hwaccel=device)
            )
            context.width, context.height = size.width, size.height
            context.pix_fmt = candidate.family.pixel_format
            context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
            context.options = settings
            open_encoder(context)
            made = 0
            for pts in range(_TRIAL_PICTURES):
                picture = av.VideoFrame(size.width, size.height, candidate.family.pixel_format)
                for plane in picture.planes:
                    plane.update(bytes([128]) * plane.buffer_size)
                picture.pts, picture.time_base = pts, context.time_base
                made += len(context.encode(picture))
            return made + len(context.encode(None))
    finally:
        av.logging.set_level(level)


def _reason(error: Exception) -> str:
    log = getattr(error, "log", None)
    text = log[2] if log else getattr(error, "strerror", None) or str(error)
    first = (str(text).strip().splitlines() or [type(error).__name__])[0]
    return first.rstrip(".") or type(error).__name__
