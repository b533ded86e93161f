"""What two containers say of their streams and of themselves, side by side: languages, titles,
dispositions, chapters, tags.

That a container cannot hold something is said only after it was tried: a small file is written in
memory and read back.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from typing import TYPE_CHECKING

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from rtstyle.media.inventory import Pair
from rtstyle.media.languages import same_language
from rtstyle.media.said import said_by
from rtstyle.media.streams import ANY_TEXT
from rtstyle.media.stretch import Window
from rtstyle.media.tags import SPARE, cut_chapters, file_tags
from rtstyle.media.timecode import can_count, read_timecode
from rtstyle.types import Check

if TYPE_CHECKING:
    from av.container.core import Chapter

_WRITERS_OWN = frozenset(
    {"encoded_by", "software", "writing_application", "muxing_application", "encoder"}
)
"""Tags that every writer sets for itself."""
_CHAPTER_TICK = Fraction(1, 1000)
_FOREVER = Fraction(2**40)
_BEGINS_AT_ZERO = ("mp4", "mov")
"""Containers in which the first chapter begins with the film."""
_SOME_BYTES = 64


@dataclass(frozen=True, slots=True)
class _Said:
    language: str | None
    title: str | None
    disposition: Disposition


def _tried(muxer: str, pair: Pair) -> _Said | None:
    """What a file of that kind says of a stream that was given the input's labels; None where
    that cannot be tried."""
    template = pair.theirs
    if template is None:
        return None
    written = io.BytesIO()
    tags = {"language": pair.mine.language, "title": title_of(pair.mine)}
    try:
        with av.open(written, "w", format=muxer, metadata_errors=ANY_TEXT) as trial:
            new = trial.add_stream_from_template(template, opaque=True)
            new.metadata.update({key: value for key, value in tags.items() if value})
            new.disposition = pair.mine.disposition
            packet: Packet[Stream] = Packet(bytes(_SOME_BYTES))
            packet.stream, packet.time_base = new, template.time_base or Fraction(1, 1000)
            packet.pts = packet.dts = 0
            packet.duration, packet.is_keyframe = 1, True
            trial.mux_one(packet)
        with av.open(
            io.BytesIO(written.getvalue()), "r", format=muxer, metadata_errors=ANY_TEXT
        ) as back:
            one = back.streams[0]
            return _Said(one.language, title_of(one), one.disposition)
    except (av.FFmpegError, ValueError, IndexError):
        return None


def check_labels(pairs: Sequence[Pair], muxer: str) -> Iterator[Check]:
    """Languages, titles and dispositions of the streams that both files have."""
    both = [(pair, pair.theirs) for pair in pairs if pair.theirs is not None]
    yield _check_languages(both, muxer)
    yield _check_titles(both, muxer)
    yield _check_dispositions(pairs, both, muxer)


def _check_languages(both: Sequence[tuple[Pair, Stream]], muxer: str) -> Check:
    wrong, could = [], False
    for pair, other in both:
        if not pair.mine.language or same_language(pair.mine.language, other.language):
            continue
        wrong.append(f"{pair.name}: {pair.mine.language} to {other.language or 'none'}")
        tried = _tried(muxer, pair)
        could |= tried is None or same_language(pair.mine.language, tried.language)
    spoken = ", ".join(pair.mine.language or "none" for pair, _ in both if pair.kind != "data")
    return _verdict("languages", wrong, could, muxer, spoken)


def _check_titles(both: Sequence[tuple[Pair, Stream]], muxer: str) -> Check:
    wrong, could, named = [], False, 0
    for pair, other in both:
        title = title_of(pair.mine)
        named += bool(title)
        if not title or title == title_of(other):
            continue
        wrong.append(f"{pair.name}: {title!r} to {title_of(other)!r}")
        tried = _tried(muxer, pair)
        could |= tried is None or tried.title == title
    return _verdict("titles", wrong, could, muxer, _number(named, "named stream"))


def _check_dispositions(
    pairs: Sequence[Pair], both: Sequence[tuple[Pair, Stream]], muxer: str
) -> Check:
    wrong, could = [], False
    for pair, other in both:
        silent = Disposition.default if _silent(pairs, pair) else Disposition(0)
        mine, theirs = pair.mine.disposition & ~silent, other.disposition & ~silent
        if mine == theirs:
            continue
        wrong.append(f"{pair.name}: {_flags(pair.mine)} to {_flags(other)}")
        tried = _tried(muxer, pair)
        could |= tried is None or bool((mine & ~theirs) & tried.disposition)
        could |= bool(theirs & ~mine)
    said = ", ".join(f"{pair.name} {_flags(pair.mine)}" for pair, _ in both)
    return _verdict("dispositions", wrong, could, muxer, said)


def _verdict(name: str, wrong: Sequence[str], could: bool, muxer: str, said: str) -> Check:
    if not wrong:
        return Check(name, True, said)
    why = "" if could else f"; {muxer} does not store that"
    return Check(name, False, "; ".join(wrong) + why, required=could)


def title_of(stream: Stream) -> str | None:
    """A stream's title, which QuickTime keeps by another name."""
    return stream.metadata.get("title") or stream.metadata.get("name")


def _silent(pairs: Sequence[Pair], pair: Pair) -> bool:
    """Whether ``default`` says nothing: there is one of the kind to choose from, or the input marks
    none, where muxers mark the first."""
    alike = [p for p in pairs if p.kind == pair.kind and p.theirs is not None]
    return len(alike) == 1 or not any(p.mine.disposition & Disposition.default for p in alike)


def _flags(stream: Stream) -> str:
    return "+".join(f.name or "" for f in Disposition if stream.disposition & f) or "none"


def check_chapters(
    input: InputContainer,
    output: InputContainer,
    shift: Fraction,
    window: Window,
    muxer: str,
) -> Check:
    """``shift``: seconds by which the output as a whole is later; of the input what lies in the
    ``window`` is compared, cut to it."""
    before, after = input.chapters(), output.chapters()
    if window.begin is not None or window.end is not None:
        end = _FOREVER if window.end is None else window.end
        earlier = -shift if window.begin is None else window.begin
        before = cut_chapters(before, begin=window.begin, end=end, shift=earlier)
        shift += earlier
    late = 0
    if len(before) > len(after) and output.duration is not None:
        last = Fraction(output.duration, av.time_base) + SPARE
        late = sum(_begins(chapter) + shift >= last for chapter in before)
        before = [chapter for chapter in before if _begins(chapter) + shift < last]
    wrong, could = _compare_chapters(before, after, shift, muxer)
    if not wrong and late:
        return Check(
            "chapters", False, f"{late} of the input's begin after the end", required=False
        )
    return _verdict("chapters", wrong, could, muxer, _number(len(before), "chapter"))


def _compare_chapters(
    before: Sequence[Chapter], after: Sequence[Chapter], shift: Fraction, muxer: str
) -> tuple[list[str], bool]:
    """What differs, and whether the container could have had it otherwise."""
    wrong: list[str] = []
    for number, (one, other) in enumerate(zip_longest(before, after), start=1):
        if one is None or other is None:
            return [f"{len(before)} in the input, {len(after)} in the output"], True
        title, kept = (chapter["metadata"].get("title", "") for chapter in (one, other))
        if title != kept:
            return [f"chapter {number}: {title!r} to {kept!r}"], True
        begins, began = _begins(other), _begins(one)
        moved = begins - began
        if abs(moved - shift) <= 2 * _CHAPTER_TICK or max(begins, began) <= 0:
            continue
        wrong.append(f"chapter {number} is {float(moved):+.3f} s off")
        if number > 1 or muxer not in _BEGINS_AT_ZERO or begins > 0:
            return wrong, True
    return wrong, False


def _begins(chapter: Chapter) -> Fraction:
    return chapter["start"] * (chapter["time_base"] or _CHAPTER_TICK)


def check_tags(
    input: InputContainer, output: InputContainer, muxer: str, *, ranged: bool = False
) -> Iterator[Check]:
    """The container's own tags, and its timecode wherever it is said; a timecode that the output's
    kind cannot count stands apart. ``ranged``: the output begins later, and has another timecode.
    """
    before, after = _tags(said_by(input)), _tags(said_by(output))
    for tags, timecode in ((before, read_timecode(input)), (after, read_timecode(output))):
        tags.pop("timecode", None)
        if timecode is not None and not ranged:
            tags["timecode"] = timecode
    homeless = muxer in ("mp4", "mov") and not can_count(input, muxer)
    wrong = [
        f"{key}: {_short(value)} to {_short(after.get(key))}"
        for key, value in before.items()
        if after.get(key) != value and not (homeless and key == "timecode")
    ]
    yield Check("tags", not wrong, "; ".join(wrong) or _number(len(before), "tag"))
    if homeless and before.get("timecode") != after.get("timecode"):
        yield Check(
            "tags", False, f"cannot be stored in {muxer}; .mkv keeps them: timecode", required=False
        )


def _tags(said: Mapping[str, str]) -> dict[str, str]:
    tags = {key.lower(): value for key, value in file_tags(said).items()}
    if "creation_time" in tags:
        # Containers differ in how finely they count it.
        tags["creation_time"] = tags["creation_time"][: len("2000-01-01T00:00:00")]
    return {key: value for key, value in tags.items() if key not in _WRITERS_OWN}


def _short(text: str | None) -> str:
    return "none" if text is None else repr(text if len(text) <= 40 else text[:37] + "...")


def _number(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
