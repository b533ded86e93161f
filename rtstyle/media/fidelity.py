"""What of one file is in another, from the files alone: the proof that a conversion lost nothing.

Pictures are decoded and compared by their times; copied streams by the hashes of their packets;
the rest by what the headers say. Memory does not grow with the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer

from rtstyle.errors import UsageError
from rtstyle.media.captions import HELD_BY, CaptionCount
from rtstyle.media.editions import read_editions
from rtstyle.media.films import Announced, Film, UnannouncedError
from rtstyle.media.inventory import (
    Pair,
    check_streams,
    muxer_of_file,
    pair_streams,
)
from rtstyle.media.labels import check_chapters, check_labels, check_tags
from rtstyle.media.lockstep import Match, match_pictures
from rtstyle.media.looks import check_looks, first_picture
from rtstyle.media.moving import is_moving_webp
from rtstyle.media.packets import Comparison, compare_packets
from rtstyle.media.sequence import is_sequence
from rtstyle.media.sequence_fidelity import compare_pictures
from rtstyle.media.streams import (
    has_foreign_clock,
    is_silent,
    open_container,
    pick_video,
    printable,
    shown,
)
from rtstyle.media.stretch import WHOLE, Seconds, Stretch, exact_seconds
from rtstyle.media.track_checks import Clocks, check_tracks, strands_of
from rtstyle.types import (
    DEFAULT_LIMITS,
    Check,
    Fidelity,
    Limits,
    VideoInfo,
)

PICTURES = ("frames", "times", "duration")
"""Kinds of checks of how many pictures there are, and when."""

KINDS_OF_CHECK = (
    *("frames", "times", "start", "duration", "size", "aspect", "colour", "depth"),
    *("sphere", "stereo", "captions", "editions"),
    *("transparency", "streams", "picture", "audio", "sync", "subtitle", "timing", "attachment"),
    *(
        "cover",
        "data",
        "reading",
        "chapters",
        "length",
        "languages",
        "titles",
        "dispositions",
        "tags",
    ),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is settled before two films are compared."""

    stretch: Stretch = WHOLE
    """What of the input the output is to hold."""
    sound_ends: Fraction | None = None
    """Seconds of the input's timeline at which all but the pictures ends, where that is not the end
    of the stretch."""
    promised: VideoInfo | None = None
    """What the output's pictures were told to be; None for what the input's are."""
    muxer: str | None = None
    """FFmpeg's name of the output's container; None to tell it from the file."""
    anew: bool = False
    """Whether the sound was encoded anew, even where its codec is the same."""
    spare: Mapping[str, int] = field(default_factory=dict)
    """Packets that the output may lack, by ``audio`` and ``subtitle``."""
    by_packets: bool = False
    """Whether the input's pictures need not be decoded where its packets account for all."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What came of comparing two films."""

    checks: tuple[Check, ...]
    match: Match
    failures: int
    """Packets of the input that could not be decoded."""
    repaired: int
    """Times of the input that were missing or ran backwards."""
    unread: bool
    """Whether the input could not be read to its end."""
    unlike: bool
    """Whether other pictures of the input decode than its packets announce."""
    accounted: Mapping[str, str] = field(default_factory=dict)
    """By their checks' names, why streams lack what they do, as the end of a sentence."""


def verify_video(
    input: str | Path,
    output: str | Path,
    *,
    start: Seconds | None = None,
    end: Seconds | None = None,
    allow: Iterable[str] = (),
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int, int | None], None] | None = None,
) -> Fidelity:
    """Check what of the video ``input`` is in the video ``output``, from the files alone.

    ``start`` and ``end``: seconds from the input's first picture, where the output was made of that
    range only; it is then to be complete for the range. ``allow``: kinds of checks that may fail
    (``audio``, ``depth``); they are then not required. ``progress`` hears how many pictures were
    compared, and of how many where a header says so; what it raises ends the check.

    Raises UsageError for a kind that does not exist and a range that holds nothing, and InputError
    where either file cannot be read at all; one that ends early is compared as far as it goes.
    """
    allowed = set(allow)
    for kind in sorted(allowed - set(KINDS_OF_CHECK)):
        raise UsageError(f"there is no check named {kind!r}; take {', '.join(KINDS_OF_CHECK)}")
    mine, theirs = Path(input), Path(output)
    stretch = Stretch(exact_seconds("start", start), exact_seconds("end", end))
    found: Iterable[Check]
    if any(is_sequence(path) or is_moving_webp(path) for path in (mine, theirs)):
        told = None if progress is None else (lambda frames: progress(frames, None))
        found = compare_pictures(mine, theirs, stretch=stretch, limits=limits, progress=told)
    else:
        terms = Terms(stretch=stretch)
        found = examine(mine, theirs, terms, limits=limits, progress=progress).checks
    checks = (replace(c, required=c.required and c.kind not in allowed) for c in found)
    return Fidelity(input=str(input), output=str(output), checks=tuple(checks))


def examine(
    input: Path,
    output: Path,
    terms: Terms,
    *,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int, int | None], None] | None = None,
) -> Findings:
    """Compare two films on the given terms; raises InputError where either cannot be read."""
    with _both(input, output, limits) as (before, after):
        strands = strands_of(pair_streams(before, after), anew=terms.anew, spare=terms.spare)
    # Read through with nothing else open: the index of a film of hours takes megabytes.
    one, other = first_picture(input, limits), first_picture(output, limits)
    seen = _match(input, output, terms, one.zero, other.info, limits, progress)
    match = seen.match
    window = terms.stretch.window(one.zero)
    if terms.sound_ends is not None:
        window = replace(window, end=one.zero + terms.sound_ends)
    sound = compare_packets(input, output, strands, window)
    clocks = Clocks(match.shift, match.tick, window)
    empty = {index for index, extents in sound.extents.items() if extents.mine.empty}
    with _both(input, output, limits) as (before, after):
        pairs = pair_streams(before, after)
        muxer = terms.muxer or muxer_of_file(output, after)
        times = _check_times(match, seen.damage, window.begin, _may_move(before, match, sound))
        checks = (
            *(_excused(check, seen) for check in times),
            *check_looks(
                replace(one, info=terms.promised or one.info),
                other,
                muxer,
                told=terms.promised is not None,
            ),
            *_check_captions(seen.captions, other.info.codec),
            *check_streams(before, after, pairs, muxer, empty),
            *check_tracks(pairs, sound, clocks, input, output, muxer),
            *(Check("reading", False, sentence) for sentence in sound.unread),
            *_check_editions(input, output, muxer, terms.stretch.whole and not match.shift),
            check_chapters(before, after, match.shift, window, muxer),
            *check_labels(pairs, muxer),
            *check_tags(before, after, muxer, ranged=window.begin is not None),
        )
        accounted = dict(_accounts(pairs, sound))
    unread = any(sentence.startswith("the input") for sentence in sound.unread)
    checks = tuple(replace(check, detail=printable(check.detail)) for check in checks)
    return Findings(checks, match, seen.failures, seen.repaired, unread, seen.unlike, accounted)


def _accounts(pairs: Iterable[Pair], sound: Comparison) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        tally = sound.tallies.get(pair.mine.index)
        if pair.theirs is None and is_silent(pair.mine):
            yield pair.name, "it begins late in the source"
        elif tally is not None and tally.lacked and tally.first_different is None:
            yield pair.name, "damaged packets were left out"


@contextmanager
def _both(
    input: Path, output: Path, limits: Limits
) -> Iterator[tuple[InputContainer, InputContainer]]:
    """Both files, opened; raises InputError where either has no pictures."""
    with (
        open_container(input, max_pixels=limits.max_pixels) as before,
        open_container(output, max_pixels=limits.max_pixels) as after,
    ):
        pick_video(before, shown(input))
        pick_video(after, shown(output))
        yield before, after


@dataclass(frozen=True, slots=True)
class _Seen:
    match: Match
    damage: str = ""
    """What could not be decoded, as the end of a sentence."""
    failures: int = 0
    repaired: int = 0
    unlike: bool = False
    captions: tuple[CaptionCount, CaptionCount] = field(
        default_factory=lambda: (CaptionCount(), CaptionCount())
    )
    """Of the input and of the output."""


def _match(
    input: Path,
    output: Path,
    terms: Terms,
    zero: Fraction,
    made: VideoInfo,
    limits: Limits,
    progress: Callable[[int, int | None], None] | None,
) -> _Seen:
    """The pictures of both files, in the quickest of three ways that is sure."""

    def tell(frames: int) -> None:
        if progress is not None:
            progress(frames, made.frames_in_header)

    unlike = False
    if terms.by_packets:
        with Film(output, limits, quick=True) as made_film:
            try:
                announced = Announced(input, zero, terms.stretch)
                match = match_pictures(announced, made_film, progress=tell, until_apart=True)
                whole = match.complete and match.spans_agree and not made_film.failures
                if whole and not made_film.captions.pictures:
                    return _Seen(match)
                unlike = True
            except UnannouncedError:
                tell(0)
    for quick in (True, False):
        with (
            Film(input, limits, terms.stretch, quick=quick) as one,
            Film(output, limits, quick=quick) as other,
        ):
            match = match_pictures(one, other, progress=tell)
            # What is lost to damage depends on how it is decoded: a conversion does it slowly.
            if match.complete and not (one.failures or other.failures):
                break
    return _Seen(
        match,
        _damage(one, other),
        one.failures,
        one.repaired,
        unlike and match.complete,
        (one.captions, other.captions),
    )


def _check_times(
    match: Match, damage: str, begin: Fraction | None, may_move: bool
) -> Iterator[Check]:
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
    yield _check_start(match, begin, may_move)
    yield Check(
        "duration",
        match.spans_agree,
        f"{float(match.input_span):.3f} s of pictures in the input, "
        f"{float(match.output_span):.3f} s in the output",
    )


def _check_captions(both: tuple[CaptionCount, CaptionCount], codec: str) -> Iterator[Check]:
    mine, theirs = both
    if not mine.pictures:
        return
    pictures = f"{mine.pictures} pictures with closed captions"
    if mine.digest == theirs.digest:
        yield Check("captions", True, f"{pictures}, the same in both")
        return
    held = codec in HELD_BY
    why = "" if held else f"; they are kept with {' or '.join(HELD_BY)}, not with {codec}"
    found = f"{pictures}, {theirs.pictures or 'none'} in the output{why}"
    if mine.pictures == theirs.pictures:
        found = f"{pictures}, which say something else in the output"
    yield Check("captions", False, found, required=held)


def _check_editions(input: Path, output: Path, muxer: str, whole: bool) -> Iterator[Check]:
    mine = read_editions(input)
    if mine is None or mine.plain:
        return
    theirs = read_editions(output)
    stored = (b"" if theirs is None else theirs.content) == mine.content
    kept = stored and not (mine.linked and not (theirs and theirs.linked))
    said = "; ".join(mine.facts) or "its chapters say more than a plain list"
    if kept:
        yield Check("editions", True, f"{said}: as in the input")
    elif mine.facts or muxer == "matroska":
        yield Check(
            "editions",
            False,
            f"of the input, {said}; the output shows all of it in the file's order",
            required=muxer == "matroska" and whole and not stored,
        )


def _excused(check: Check, seen: _Seen) -> Check:
    """The check, not required where the output's container could have no more."""
    why = None if check.kept or check.kind not in PICTURES else _excuse(check, seen.match)
    if why is None:
        return check
    return replace(check, detail=f"{check.detail}; {why}", required=False)


def _excuse(check: Check, match: Match) -> str | None:
    crowded = match.input_span < match.tick * match.input_frames
    as_many = match.input_frames == match.output_frames
    if crowded and as_many and match.missing == match.added:
        return "pictures follow each other more closely than the container counts"
    if check.kind == "duration" and match.complete:
        return "only the last picture is shown longer or shorter"
    return None


def _check_start(match: Match, begin: Fraction | None, may_move: bool) -> Check:
    if begin is not None:
        off = match.shift + begin
        if abs(off) <= 2 * match.tick:
            return Check("start", True, f"first picture at {float(match.first_output):.3f} s")
        when = f"{_ms(abs(off))} {'later' if off > 0 else 'earlier'}"
        return Check("start", False, f"everything is {when} than the range begins")
    if not match.shift:
        return Check("start", True, f"first picture at {float(match.first_output):.3f} s")
    moved = f"everything is {_ms(abs(match.shift))} {'later' if match.shift > 0 else 'earlier'}"
    if may_move:
        return Check("start", True, f"{moved}: the input does not begin at zero, the output does")
    return Check("start", False, f"{moved} than in the input")


def _may_move(container: InputContainer, match: Match, sound: Comparison) -> bool:
    """Whether the input's clock starts where no output's can: before zero, or anywhere."""
    earliest = min([match.first_input, *sound.starts])
    return earliest < 0 or has_foreign_clock(container)


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


def _ms(seconds: Fraction) -> str:
    return f"{float(seconds * 1000):.2f} ms"
