"""What of one file is in another, from the files alone: the proof that a conversion lost nothing.

Pictures are decoded and compared by their times; copied streams by the hashes of their packets;
the rest by what the headers say. Memory does not grow with the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.frame import VideoFrame

from rtstyle.errors import UsageError
from rtstyle.media.colour import bits_per_sample, has_alpha
from rtstyle.media.decode import Decoder
from rtstyle.media.file import open_video
from rtstyle.media.hdr import SDR, hdr_name, is_hdr
from rtstyle.media.inventory import (
    Pair,
    can_hold,
    check_chapters,
    check_labels,
    check_streams,
    check_tags,
    muxer_of_file,
    pair_streams,
)
from rtstyle.media.lockstep import Film, Match, match_pictures
from rtstyle.media.packets import Comparison, Tally, codec_name, compare_packets, same_codec
from rtstyle.media.streams import open_container, pick_video, shown
from rtstyle.types import (
    DEFAULT_LIMITS,
    UNSPECIFIED,
    Check,
    Colour,
    Fidelity,
    Limits,
    VideoInfo,
)

_LEAST_OFFSET = Fraction(1, 1000)
"""Seconds between sound and picture that nobody can set right: Matroska counts milliseconds."""
_FOREIGN_CLOCKS = ("mpegts", "mpeg")
_WITH_ALPHA = ("ffv1", "prores", "vp8", "vp9", "qtrle", "png")


KINDS_OF_CHECK = (
    *("frames", "times", "start", "duration", "size", "aspect", "colour", "depth"),
    *("transparency", "streams", "picture", "audio", "sync", "subtitle", "timing", "attachment"),
    *("cover", "data", "reading", "chapters", "languages", "titles", "dispositions", "tags"),
)


def verify_video(
    input: str | Path,
    output: str | Path,
    *,
    allow: Iterable[str] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Fidelity:
    """Check what of the video ``input`` is in the video ``output``, from the files alone.

    ``allow``: kinds of checks that may fail (``audio``, ``depth``); they are then not required.
    Raises UsageError for a kind that does not exist, and InputError where either file cannot be
    read at all; one that ends early is compared as far as it goes.
    """
    allowed = set(allow)
    for kind in sorted(allowed - set(KINDS_OF_CHECK)):
        raise UsageError(f"there is no check named {kind!r}; take {', '.join(KINDS_OF_CHECK)}")
    found = compare(input, output, limits=limits)
    checks = (replace(c, required=c.required and c.kind not in allowed) for c in found.checks)
    return replace(found, checks=tuple(checks))


def compare(input: str | Path, output: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Fidelity:
    """As ``verify_video``, with nothing allowed."""
    mine, theirs = Path(input), Path(output)
    with (
        open_container(mine, max_pixels=limits.max_pixels) as before,
        open_container(theirs, max_pixels=limits.max_pixels) as after,
    ):
        pick_video(before, shown(mine))
        pick_video(after, shown(theirs))
        pairs = pair_streams(before, after)
        muxer = muxer_of_file(theirs, after)
        looks = list(_check_looks(mine, theirs, limits))
        with Film(mine, limits) as one, Film(theirs, limits) as other:
            match = match_pictures(one, other)
            damage = _damage(one, other)
        copied = _copied(pairs)
        sound = compare_packets(
            mine, theirs, {pair.mine.index: pair.theirs.index for pair in copied if pair.theirs}
        )
        checks = [
            *_check_times(match, damage, _may_move(before, match, sound)),
            *looks,
            *check_streams(before, after, pairs, muxer),
            *_check_packets(pairs, sound, match),
            *_check_anew(pairs, mine, theirs, match, muxer),
            *(Check("reading", False, sentence) for sentence in sound.unread),
            check_chapters(before, after, match.shift),
            *check_labels(pairs),
            *check_tags(before, after, muxer),
        ]
    return Fidelity(input=str(input), output=str(output), checks=tuple(checks))


def _check_times(match: Match, damage: str, may_move: bool) -> Iterator[Check]:
    both = match.input_frames == match.output_frames
    frames = f"{match.input_frames} in both"
    if not both:
        frames = f"{match.input_frames} in the input, {match.output_frames} in the output"
    for what, first in (("missing", match.first_missing), ("added", match.first_added)):
        if first is not None:
            frames += f"; first {what}: frame {first[0]} at {float(first[1]):.3f} s"
    complete = both and not match.missing and not match.added
    yield Check("frames", complete, frames + damage)
    times = f"largest difference {_ms(match.largest)}, one tick is {_ms(match.tick)}"
    if match.largest_at is not None and match.largest > match.tick:
        times += f"; frame {match.largest_at[0]} at {float(match.largest_at[1]):.3f} s"
    yield Check("times", match.largest <= match.tick, times)
    yield _check_start(match, may_move)
    apart = abs(match.output_span - match.input_span)
    yield Check(
        "duration",
        apart <= max(match.tick, match.last_frame),
        f"{float(match.input_span):.3f} s of pictures in the input, "
        f"{float(match.output_span):.3f} s in the output",
    )


def _check_start(match: Match, may_move: bool) -> Check:
    if not match.shift:
        return Check("start", True, f"first picture at {float(match.first_output):.3f} s")
    moved = f"everything is {_ms(abs(match.shift))} {'later' if match.shift > 0 else 'earlier'}"
    if may_move:
        return Check("start", True, f"{moved}: the input does not begin at zero, the output does")
    return Check("start", False, f"{moved} than in the input")


def _may_move(container: InputContainer, match: Match, sound: Comparison) -> bool:
    """Whether the input's clock starts where no output's can: before zero, or anywhere."""
    starts = [tally.input_starts for tally in sound.tallies.values()]
    earliest = min([match.first_input, *(start for start in starts if start is not None)])
    return earliest < 0 or container.format.name in _FOREIGN_CLOCKS


def _damage(input: Film, output: Film) -> str:
    """What could not be decoded, as the end of a sentence."""
    words = [
        f"; {film.failures} packet(s) of the {which} cannot be decoded"
        for which, film in (("input", input), ("output", output))
        if film.failures
    ]
    if input.repaired:
        words.append(f"; {input.repaired} time(s) of the input were missing or wrong")
    return "".join(words)


def _check_looks(input: Path, output: Path, limits: Limits) -> Iterator[Check]:
    """Size, pixel shape, colour and depth, of the first picture."""
    one, mine, one_clear = _first_picture(input, limits)
    other, theirs, other_clear = _first_picture(output, limits)
    turned = f", turned by {one.rotation} degrees" if one.rotation else ""
    same = one.size == other.size
    yield Check("size", same, f"{one.size}{turned}{'' if same else f' to {other.size}'}")
    same = one.pixel_aspect == other.pixel_aspect
    aspect = f"pixels {_ratio(one.pixel_aspect)}"
    yield Check("aspect", same, f"{aspect}{'' if same else f' to {_ratio(other.pixel_aspect)}'}")
    yield _check_colour(one, other, mine.format.is_rgb or theirs.format.is_rgb)
    before, after = bits_per_sample(mine), bits_per_sample(theirs)
    depth = f"{before} bits" if before == after else f"{before} to {after} bits"
    yield Check("depth", after >= before, depth)
    if one_clear:
        kept = other_clear
        yield Check(
            "transparency",
            kept,
            "kept" if kept else f"is not in the output ({other.codec})",
            required=other.codec in _WITH_ALPHA,
        )


def _check_colour(one: VideoInfo, other: VideoInfo, as_rgb: bool) -> Check:
    """Tags as they are understood: what is unsaid is what players assume."""
    facts = list(zip(_colour_words(one.colour), _colour_words(other.colour), strict=True))
    if as_rgb:
        # RGB has neither matrix nor range.
        facts = facts[:2]
    if is_hdr(one.colour) and not is_hdr(other.colour) and other.colour.primaries == SDR.primaries:
        found = f"HDR ({hdr_name(one.colour)}) made SDR: {', '.join(now for _, now in facts)}"
        return Check("colour", False, found, required=other.colour.transfer != SDR.transfer)
    wrong = [f"{was} to {now}" for was, now in facts if was != now]
    return Check("colour", not wrong, ", ".join(wrong or [was for was, _ in facts]))


def _colour_words(colour: Colour) -> tuple[str, str, str, str]:
    # 601's two matrices are one.
    matrix = {1: "BT.709", 5: "BT.601", 6: "BT.601", 9: "BT.2020"}.get(colour.matrix)
    return (
        f"primaries {colour.primaries if colour.primaries != UNSPECIFIED else 'unsaid'}",
        f"transfer {colour.transfer if colour.transfer != UNSPECIFIED else 'unsaid'}",
        f"matrix {matrix or colour.matrix}",
        f"{'full' if colour.full_range else 'limited'} range",
    )


def _first_picture(path: Path, limits: Limits) -> tuple[VideoInfo, VideoFrame, bool]:
    """What is known of it, itself, and whether it can be transparent."""
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
        # Matroska keeps the transparency of VP8 and VP9 where not every decoder looks.
        tags = {key.lower(): value for key, value in stream.metadata.items()}
        return info, first, has_alpha(first) or tags.get("alpha_mode") == "1"


def _copied(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs that have the same codec, and so should have the same packets."""
    return [
        pair
        for pair in pairs
        if pair.kind in ("audio", "subtitle")
        and pair.theirs is not None
        and same_codec(pair.mine, pair.theirs)
    ]


def _check_packets(pairs: Sequence[Pair], sound: Comparison, match: Match) -> Iterator[Check]:
    for pair in pairs:
        tally = sound.tallies.get(pair.mine.index)
        if tally is None or pair.theirs is None:
            continue
        same = tally.first_different is None
        detail = f"{pair.described}: {tally.input_packets} packets, the same in both"
        if not same:
            detail = f"{pair.described}: {_difference(tally)}"
        yield Check(pair.name, same, detail)
        offset = _offset(tally, match.shift)
        if offset is not None:
            ticks = [stream.time_base or Fraction(0) for stream in (pair.mine, pair.theirs)]
            allowed = max(_LEAST_OFFSET, match.tick, *ticks)
            name = f"sync {pair.number}" if pair.kind == "audio" else f"timing {pair.number}"
            yield Check(name, abs(offset) <= allowed, f"{pair.name}: {_offset_words(offset)}")


def _difference(tally: Tally) -> str:
    number = tally.first_different
    at = tally.first_different_at
    where = f"packet {number}" + ("" if at is None else f" at {float(at):.3f} s")
    if number == tally.output_packets:
        what = f"the output lacks {where} and all that follow"
    elif number == tally.input_packets:
        what = f"the output goes on after the input's end with {where}"
    else:
        what = f"changed from {where} on"
    return f"{what} ({tally.input_packets} packets in the input, {tally.output_packets} in it)"


def _offset(tally: Tally, shift: Fraction) -> Fraction | None:
    """By how much the stream is later against the pictures than it was, where that is most."""
    if tally.earliest_gap is None or tally.latest_gap is None:
        return None
    return max(tally.earliest_gap - shift, tally.latest_gap - shift, key=abs)


def _check_anew(
    pairs: Sequence[Pair], input: Path, output: Path, match: Match, muxer: str
) -> Iterator[Check]:
    for pair in pairs:
        if pair.theirs is None or pair.kind not in ("audio", "subtitle"):
            continue
        if same_codec(pair.mine, pair.theirs):
            continue
        before, after = codec_name(pair.mine), codec_name(pair.theirs)
        holds = can_hold(muxer, pair.mine)
        reason = "" if holds else f"; {muxer} cannot hold {before}"
        yield Check(
            pair.name, False, f"encoded anew from {before} to {after}{reason}", required=holds
        )
        if pair.kind == "audio":
            begins = _first_sound(input, pair.mine.index)
            begun = _first_sound(output, pair.theirs.index)
            if begins is not None and begun is not None:
                offset = begun - begins - match.shift
                yield Check(
                    f"sync {pair.number}",
                    abs(offset) <= max(_LEAST_OFFSET, match.tick),
                    f"{pair.name}: {_offset_words(offset)}",
                )


def _first_sound(path: Path, index: int) -> Fraction | None:
    """When the first sample is heard, in seconds of the file's clock."""
    with open_container(path) as container:
        stream = cast(AudioStream, container.streams[index])
        try:
            with closing(container.decode(stream)) as frames:  # type: ignore[type-var]
                for frame in frames:
                    if frame.pts is not None and frame.time_base is not None:
                        return frame.pts * frame.time_base
        except av.FFmpegError:
            return None
    return None


def _offset_words(offset: Fraction) -> str:
    if abs(offset) < Fraction(1, 10**5):
        return "as far from the picture as in the input"
    return f"{_ms(abs(offset))} {'later' if offset > 0 else 'earlier'} against the picture"


def _ms(seconds: Fraction) -> str:
    return f"{float(seconds * 1000):.2f} ms"


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}:{value.denominator}"
