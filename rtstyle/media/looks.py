"""What the first pictures of two files tell of them: size, shape, colours, depth, transparency."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av.codec import Codec
from av.video.frame import VideoFrame

from rtstyle.media.codecs import CODECS, depths_here
from rtstyle.media.colour import bits_per_sample
from rtstyle.media.decode import Decoder
from rtstyle.media.file import open_video
from rtstyle.media.hdr import SDR, hdr_name, is_hdr
from rtstyle.media.marks import holds_sphere, holds_stereo
from rtstyle.media.streams import open_container, pick_video, shown
from rtstyle.types import UNSPECIFIED, Check, Colour, Limits, Sphere, Stereo, VideoInfo

_DEEPEST = 16
_WITH_ALPHA = ("ffv1", "qtrle", "png")


def check_looks(first: First, made: First, muxer: str, *, told: bool) -> Iterator[Check]:
    """Size, pixel shape, colour, depth and transparency, of the first picture; ``told``: as the
    writer was."""
    one, mine = first.info, first.picture
    other, theirs = made.info, made.picture
    turned = f", turned by {one.rotation} degrees" if one.rotation else ""
    turned += ", mirrored" if one.mirrored else ""
    same = one.size == other.size
    yield Check("size", same, f"{one.size}{turned}{'' if same else f' to {other.size}'}")
    # Matroska counts the width at which they are shown in whole pixels.
    same = abs(one.pixel_aspect - other.pixel_aspect) * one.size.width <= 1
    aspect = f"pixels {_ratio(one.pixel_aspect)}"
    yield Check("aspect", same, f"{aspect}{'' if same else f' to {_ratio(other.pixel_aspect)}'}")
    yield _check_colour(one, other, mine.format.is_rgb or theirs.format.is_rgb, told)
    before, after = bits_per_sample(mine), bits_per_sample(theirs)
    depth = f"{before} bits" if before == after else f"{before} to {after} bits"
    yield Check("depth", after >= before, depth, required=after < min(before, _most_bits(other)))
    yield from _check_marks(one, other, muxer)
    if one.alpha:
        yield Check(
            "transparency",
            other.alpha,
            "kept" if other.alpha else f"is not in the output ({other.codec})",
            required=_can_be_clear(other.codec, theirs, muxer),
        )


def _check_marks(one: VideoInfo, other: VideoInfo, muxer: str) -> Iterator[Check]:
    if one.sphere is not None:
        turned = bool(one.rotation or one.mirrored)
        required = holds_sphere(muxer, one.sphere) and not turned
        yield _check_mark("sphere", one.sphere, other.sphere, required, muxer)
    if one.stereo is not None:
        turned = bool(one.rotation or one.mirrored)
        required = holds_stereo(muxer, one.stereo) and not turned
        yield _check_mark("stereo", one.stereo, other.stereo, required, muxer)


def _check_mark(
    name: str, mine: Sphere | Stereo, theirs: Sphere | Stereo | None, required: bool, muxer: str
) -> Check:
    if mine == theirs:
        return Check(name, True, str(mine))
    why = "" if required else f"; {muxer} has no place for it as it is"
    found = "is not said in the output" if theirs is None else f"to {theirs}"
    return Check(name, False, f"{mine} {found}{why}", required=required)


def _most_bits(made: VideoInfo) -> int:
    """Bits a sample that the output's codec could have had."""
    name = Codec(made.codec, "r").canonical_name
    return max(depths_here(name), default=8) if name in CODECS else _DEEPEST


def _can_be_clear(codec: str, picture: VideoFrame, muxer: str) -> bool:
    """Whether what was chosen for the output could have kept transparency."""
    if codec in ("vp8", "vp9"):
        return muxer in ("matroska", "webm")
    if codec == "prores":
        # Of its profiles only the 4:4:4 ones have it.
        return picture.format.name.startswith("yuv444")
    return codec in _WITH_ALPHA


def _check_colour(one: VideoInfo, other: VideoInfo, as_rgb: bool, told: bool) -> Check:
    """Tags as they are understood: what is unsaid is what players assume.

    From the files alone, SDR made of HDR is a choice; that of a writer that was told HDR is none.
    """
    facts = list(zip(_colour_words(one.colour), _colour_words(other.colour), strict=True))
    if as_rgb:
        # RGB has neither matrix nor range.
        facts = facts[:2]
    elif other.codec == "prores":
        # It has no range but the limited one; values are converted to it.
        facts = facts[:3]
    made_sdr = is_hdr(one.colour) and not is_hdr(other.colour)
    if made_sdr and not told and other.colour.primaries == SDR.primaries:
        found = f"HDR ({hdr_name(one.colour)}) made SDR: {', '.join(now for _, now in facts)}"
        return Check("colour", False, found, required=other.colour.transfer != SDR.transfer)
    wrong = [f"{was} to {now}" for was, now in facts if was != now]
    return Check("colour", not wrong, ", ".join(wrong or [was for was, _ in facts]))


def _colour_words(colour: Colour) -> tuple[str, str, str, str]:
    # 601's two matrices are one, and the FCC's is theirs, rounded.
    matrix = {1: "BT.709", 4: "BT.601", 5: "BT.601", 6: "BT.601", 9: "BT.2020"}.get(colour.matrix)
    return (
        f"primaries {colour.primaries if colour.primaries != UNSPECIFIED else 'unsaid'}",
        f"transfer {colour.transfer if colour.transfer != UNSPECIFIED else 'unsaid'}",
        f"matrix {matrix or colour.matrix}",
        f"{'full' if colour.full_range else 'limited'} range",
    )


@dataclass(frozen=True, slots=True)
class First:
    """A film's first picture."""

    info: VideoInfo
    picture: VideoFrame
    """As the stream's own decoder gives it."""

    @property
    def zero(self) -> Fraction:
        """When it is shown, in seconds of the file's clock."""
        return self.info.start_pts * self.info.time_base


def first_picture(path: Path, limits: Limits) -> First:
    with open_video(path, limits=limits, hdr="keep") as video:
        info = video.info
    with open_container(path, max_pixels=limits.max_pixels) as container:
        stream = pick_video(container, shown(path))
        stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
        decoder = Decoder(
            container, stream, name=shown(path), max_failures=limits.max_decode_failures
        )
        pictures = decoder.pictures()
        first = next(pictures)
        pictures.close()
        return First(info, first)


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}:{value.denominator}"
