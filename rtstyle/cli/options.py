"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

import click

from rtstyle.backends import BACKENDS, PRECISIONS
from rtstyle.cli.numbers import Number
from rtstyle.errors import UsageError
from rtstyle.media import CODEC_NAMES, DEINTERLACE, ENCODER_KINDS, HDR_MODES, BitDepth
from rtstyle.styles import bundled_styles

F = TypeVar("F", bound=Callable[..., Any])

_TIME = re.compile(r"(?:(?:(\d{1,5}):)?(\d{1,7}):)?(\d{1,8}(?:\.\d{1,12})?)", re.ASCII)
"""Up to years; longer numbers are a slip of the hand, and no film's clock holds them."""
_RATE = re.compile(r"\d{1,6}(?:\.\d{1,9}|/0*[1-9]\d{0,5})?")


def parse_time(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> Fraction | None:
    """Callback of an option: seconds, ``MM:SS`` or ``HH:MM:SS``, each with a decimal part."""
    if value is None:
        return None
    match = _TIME.fullmatch(value.strip())
    hours, minutes, seconds = match.groups() if match else (None, None, None)
    if seconds is None or (minutes is not None and Fraction(seconds) >= 60):
        raise click.BadParameter(
            f"{value!r} is no time; write 75, 75.5, 1:15 or 0:01:15.5", ctx, parameter
        )
    if hours is not None and int(minutes or 0) >= 60:
        raise click.BadParameter(f"{value!r} is no time; minutes go up to 59", ctx, parameter)
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + Fraction(seconds)


def parse_rate(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> Fraction | None:
    """Callback of an option: frames a second as 24, 23.976 or 24000/1001."""
    if value is None:
        return None
    if _RATE.fullmatch(value.strip()) is None:
        raise click.BadParameter(
            f"{value!r} is no rate; write 24, 23.976 or 24000/1001", ctx, parameter
        )
    return Fraction(value.strip())


def style_options(command: F) -> F:
    """Add --style, --strength, --backend and --precision."""
    for option in (
        click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            default="auto",
            show_default=True,
            help="Number format of the net.",
        ),
        click.option(
            "--backend",
            type=click.Choice(BACKENDS),
            default="auto",
            show_default=True,
            help="What runs the net; auto takes the quickest there is and says why.",
        ),
        click.option(
            "--strength",
            type=Number(0.0, 1.0),
            default=1.0,
            show_default=True,
            help="How much of the style: 0 is the source, 1 the full style.",
        ),
        click.option(
            "--style",
            metavar="NAME|FILE.onnx|PACKDIR",
            help="A bundled style ('rtstyle styles list'), an ONNX file or a folder that "
            "'rtstyle train' or 'rtstyle export' made.  [default: the first bundled style]",
        ),
    ):
        command = option(command)
    return command


def deinterlace_option(command: F) -> F:
    """Add --deinterlace."""
    return click.option(
        "--deinterlace",
        type=click.Choice(DEINTERLACE),
        default="auto",
        show_default=True,
        help="Make whole pictures of interlaced frames, or leave their lines as they are.",
    )(command)


def picture_options(command: F) -> F:
    """Add --codec, --encoder, --quality, --preset, --bit-depth, --hdr and --deinterlace."""
    for option in (
        deinterlace_option,
        click.option(
            "--hdr",
            type=click.Choice(HDR_MODES),
            default="tonemap",
            show_default=True,
            help="Make SDR (BT.709) of an HDR film (PQ, HLG), or refuse to convert it.",
        ),
        click.option(
            "--bit-depth",
            type=click.Choice(["auto", "8", "10"]),
            default="auto",
            show_default=True,
            help="Bits a sample; auto is 10 for a film of more than 8, where the codec can.",
        ),
        click.option(
            "--preset",
            metavar="P",
            help="The codec's own word for speed against size: ultrafast to placebo for h264 and "
            "hevc, 13 to 0 for av1, 8 to 0 for vp9; prores's profile: proxy, lt, standard, hq or "
            "4444.",
        ),
        click.option(
            "--quality",
            type=int,
            metavar="CRF",
            help="Picture quality of the codec; lower is better and larger.  [default: 18 for "
            "h264, 21 for hevc, 28 for av1, 24 for vp9; prores and ffv1 take none]",
        ),
        click.option(
            "--encoder",
            type=click.Choice(ENCODER_KINDS),
            default="software",
            show_default=True,
            help="Encode in software, in the graphics card (quicker, larger for its quality), or "
            "auto: in the card where one opens. Only h264, hevc and av1.",
        ),
        click.option(
            "--codec",
            type=click.Choice(CODEC_NAMES),
            default="h264",
            show_default=True,
            help="Picture codec; h264 plays everywhere, vp9 and av1 go into .webm, prores is for "
            "editing, ffv1 is lossless. vp9, prores and ffv1 keep transparency.",
        ),
    ):
        command = option(command)
    return command


def companion_options(command: F) -> F:
    """Add --audio and --subtitles."""
    for option in (
        click.option(
            "--subtitles",
            type=click.Choice(["copy", "none"]),
            default="copy",
            show_default=True,
            help="Keep the subtitles that OUTPUT's container can hold, or leave them out.",
        ),
        click.option(
            "--audio",
            type=click.Choice(["copy", "aac", "none"]),
            default="copy",
            show_default=True,
            help="Keep the sound bit for bit, encode it anew as AAC, or leave it out.",
        ),
    ):
        command = option(command)
    return command


def as_depth(word: str) -> BitDepth:
    """The value of --bit-depth as EncodeOptions takes it."""
    depths: dict[str, BitDepth] = {"8": 8, "10": 10}
    return depths.get(word, "auto")


def style_or_first(style: str | None) -> str:
    """The style asked for, or the first bundled one."""
    if style is not None:
        return style
    bundled = bundled_styles()
    if not bundled:
        raise UsageError("no style is bundled here; name one with --style FILE.onnx or PACKDIR")
    return bundled[0].name
