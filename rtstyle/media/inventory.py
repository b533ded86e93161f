"""What two containers say of what they hold, side by side: streams, chapters, tags."""

from __future__ import annotations

import functools
import io
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import AttachmentStream, Disposition, Stream

from rtstyle.media.codecs import MUXERS
from rtstyle.media.languages import same_language
from rtstyle.media.payload import same_codec
from rtstyle.media.streams import codec_name, is_cover, pick_video
from rtstyle.media.stretch import Window
from rtstyle.media.tags import cut_chapters, is_unset_time
from rtstyle.media.timecode import can_count, read_timecode
from rtstyle.types import Check

KINDS = ("picture", "audio", "subtitle", "attachment", "cover", "data")
_COVERS_OF_MP4 = ("mjpeg", "png", "bmp")
_WRITERS_OWN = frozenset(
    {
        "major_brand",
        "minor_version",
        "compatible_brands",
        "encoder",
        "encoded_by",
        "software",
        "duration",
        "writing_application",
        "muxing_application",
    }
)
"""Tags that every writer sets for itself."""
_MP4_TAGS = frozenset(
    {
        *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre"),
        *("copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id"),
        *(
            "network",
            "keywords",
            "track",
            "disc",
            "creation_time",
            "season_number",
            "compilation",
        ),
    }
)
"""Tags that mp4 and mov have a place for."""
_CHAPTER_TICK = Fraction(1, 1000)
_FOREVER = Fraction(2**40)


@dataclass(frozen=True, slots=True)
class Pair:
    """A stream of the input and the one of the output that should be the same."""

    kind: str
    number: int
    """From 1, among those of its kind."""
    mine: Stream
    theirs: Stream | None

    @property
    def name(self) -> str:
        return f"{self.kind} {self.number}"

    @property
    def described(self) -> str:
        """The input's stream in a few words: ``aac, eng``."""
        words = [codec_name(self.mine)]
        if isinstance(self.mine, AttachmentStream):
            words = [self.mine.name or "unnamed", self.mine.mimetype or "unknown kind"]
        return ", ".join([*words, *([self.mine.language] if self.mine.language else [])])


def kind_of(stream: Stream) -> str:
    """One of KINDS."""
    if stream.type == "video":
        return "cover" if is_cover(stream) else "picture"
    return stream.type if stream.type in KINDS else "data"


def pair_streams(input: InputContainer, output: InputContainer) -> tuple[Pair, ...]:
    """Every stream of the input with its counterpart, the picture that is converted first."""
    pairs: list[Pair] = []
    for kind in KINDS:
        mine, theirs = _of_kind(input, kind), _of_kind(output, kind)
        for number, (one, other) in enumerate(_counterparts(mine, theirs), start=1):
            pairs.append(Pair(kind, number, one, other))
    return tuple(pairs)


def _of_kind(container: InputContainer, kind: str) -> list[Stream]:
    found = [stream for stream in container.streams if kind_of(stream) == kind]
    if kind == "picture":
        main = pick_video(container, container.name)
        found.sort(key=lambda stream: stream.index != main.index)
    return found


def _counterparts(
    mine: Sequence[Stream], theirs: Sequence[Stream]
) -> list[tuple[Stream, Stream | None]]:
    """In order; where some are missing, those of the same codec and language first."""
    if len(mine) == len(theirs):
        return list(zip(mine, theirs, strict=True))
    left = list(theirs)
    found: dict[int, Stream] = {}
    for alike in (_alike, _any):
        for stream in mine:
            other = next((other for other in left if alike(stream, other)), None)
            if stream.index not in found and other is not None:
                found[stream.index] = other
                left.remove(other)
    return [(stream, found.get(stream.index)) for stream in mine]


def _alike(one: Stream, other: Stream) -> bool:
    return same_codec(one, other) and same_language(one.language, other.language)


def _any(one: Stream, other: Stream) -> bool:
    return True


def muxer_of_file(path: Path, container: InputContainer) -> str:
    """What wrote the file, as far as its name and content tell."""
    by_name = MUXERS.get(path.suffix.lower())
    if by_name is not None:
        return by_name
    if "mp4" in container.format.name.split(","):
        return "mov" if container.metadata.get("major_brand", "").strip() == "qt" else "mp4"
    return "matroska" if "matroska" in container.format.name else container.format.name


def can_hold(muxer: str, stream: Stream) -> bool:
    """Whether the container has a place for the stream as it is."""
    kind = kind_of(stream)
    if kind == "attachment":
        return muxer == "matroska"
    if kind == "cover":
        # The muxer of QuickTime files takes none, though their demuxer knows them.
        return muxer == "matroska" or (muxer == "mp4" and codec_name(stream) in _COVERS_OF_MP4)
    return codec_name(stream) != "unknown" and stream.codec_context.name in _codecs_of(muxer)


@functools.cache
def _codecs_of(muxer: str) -> frozenset[str]:
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as container:
            return frozenset(container.supported_codecs)
    except (av.FFmpegError, ValueError):
        return frozenset()


def check_streams(
    input: InputContainer,
    output: InputContainer,
    pairs: Sequence[Pair],
    muxer: str,
    empty: Container[int] = (),
) -> Iterator[Check]:
    """The number of each kind, then one check for each stream that has no packets to compare or no
    counterpart; ``empty``: indices of the input's streams without a packet, which muxers leave
    out."""
    counts = []
    for kind in KINDS:
        before, after = len(_of_kind(input, kind)), len(_of_kind(output, kind))
        if before or after:
            counts.append(f"{before} {kind}" if before == after else f"{before} to {after} {kind}")
    fewer = any(pair.theirs is None for pair in pairs)
    yield Check("streams", not fewer, ", ".join(counts), required=False)
    for pair in pairs:
        if pair.theirs is None and pair.mine.index in empty:
            yield Check(pair.name, True, f"{pair.described}: has nothing that could be kept")
        elif pair.theirs is None:
            yield _missing(pair, muxer)
        elif isinstance(pair.mine, AttachmentStream) and isinstance(pair.theirs, AttachmentStream):
            same = pair.mine.data == pair.theirs.data
            detail = f"{pair.described}, {len(pair.mine.data)} bytes"
            yield Check(pair.name, same, f"{detail}{'' if same else ', its content changed'}")
        elif pair.kind in ("cover", "data"):
            yield Check(pair.name, True, pair.described)


def _missing(pair: Pair, muxer: str) -> Check:
    reason, required = "is not in the output", True
    if pair.kind == "picture":
        reason, required = "is not in the output; one picture stream is converted", False
    elif pair.kind == "data":
        reason, required = "is not in the output; data streams are not carried over", False
    elif codec_name(pair.mine) == "unknown" and pair.kind == "audio":
        reason, required = "is not in the output; its codec is unknown to this build", False
    elif pair.kind != "audio" and not can_hold(muxer, pair.mine):
        elsewhere = "; an .mkv name keeps it" if can_hold("matroska", pair.mine) else ""
        reason, required = f"cannot be stored in {muxer}{elsewhere}", False
    return Check(pair.name, False, f"{pair.described}: {reason}", required=required)


def check_labels(pairs: Sequence[Pair]) -> Iterator[Check]:
    """Languages, titles and dispositions of the streams that both files have."""
    both = [(pair, pair.theirs) for pair in pairs if pair.theirs is not None]
    wrong = [
        f"{pair.name}: {pair.mine.language or 'none'} to {other.language or 'none'}"
        for pair, other in both
        if pair.mine.language and not same_language(pair.mine.language, other.language)
    ]
    spoken = ", ".join(pair.mine.language or "none" for pair, _ in both if pair.kind != "data")
    yield Check("languages", not wrong, "; ".join(wrong) or spoken)
    named = [(p, o) for p, o in both if _title(p.mine)]
    wrong = [
        f"{pair.name}: {_title(pair.mine)!r} to {_title(other)!r}"
        for pair, other in named
        if _title(pair.mine) != _title(other)
    ]
    yield Check("titles", not wrong, "; ".join(wrong) or _number(len(named), "named stream"))
    wrong = [
        f"{pair.name}: {_flags(pair.mine)} to {_flags(other)}"
        for pair, other in both
        if _flags(pair.mine, _silent(pairs, pair)) != _flags(other, _silent(pairs, pair))
    ]
    said = ", ".join(f"{pair.name} {_flags(pair.mine)}" for pair, _ in both)
    yield Check("dispositions", not wrong, "; ".join(wrong) or said)


def _title(stream: Stream) -> str | None:
    # QuickTime keeps it by the other name.
    return stream.metadata.get("title") or stream.metadata.get("name")


def _silent(pairs: Sequence[Pair], pair: Pair) -> bool:
    """Whether ``default`` says nothing: there is one of the kind to choose from, or the input marks
    none, where muxers mark the first."""
    alike = [p for p in pairs if p.kind == pair.kind and p.theirs is not None]
    return len(alike) == 1 or not any(p.mine.disposition & Disposition.default for p in alike)


def _flags(stream: Stream, ignore_default: bool = False) -> str:
    flags = [flag.name or "" for flag in Disposition if stream.disposition & flag]
    if ignore_default:
        flags = [flag for flag in flags if flag != "default"]
    return "+".join(flags) or "none"


def check_chapters(
    input: InputContainer, output: InputContainer, shift: Fraction, window: Window
) -> Check:
    """``shift``: seconds by which the output as a whole is later; of the input what lies in the
    ``window`` is compared, cut to it."""
    before, after = input.chapters(), output.chapters()
    if window.begin is not None or window.end is not None:
        end = _FOREVER if window.end is None else window.end
        earlier = -shift if window.begin is None else window.begin
        before = cut_chapters(before, begin=window.begin, end=end, shift=earlier)
        shift += earlier
    for number, (one, other) in enumerate(zip_longest(before, after), start=1):
        if one is None or other is None:
            return Check(
                "chapters", False, f"{len(before)} in the input, {len(after)} in the output"
            )
        title, kept = (chapter["metadata"].get("title", "") for chapter in (one, other))
        if title != kept:
            return Check("chapters", False, f"chapter {number}: {title!r} to {kept!r}")
        begins, began = (c["start"] * (c["time_base"] or _CHAPTER_TICK) for c in (other, one))
        moved = begins - began
        if abs(moved - shift) > 2 * _CHAPTER_TICK and max(begins, began) > 0:
            return Check("chapters", False, f"chapter {number} is {float(moved):+.3f} s off")
    return Check("chapters", True, _number(len(before), "chapter"))


def check_tags(
    input: InputContainer, output: InputContainer, muxer: str, *, ranged: bool = False
) -> Iterator[Check]:
    """The container's own tags, and its timecode wherever it is said; those that the output's kind
    has no place for stand apart. ``ranged``: the output begins later, and has another timecode."""
    before, after = _tags(input), _tags(output)
    for tags, timecode in ((before, read_timecode(input)), (after, read_timecode(output))):
        tags.pop("timecode", None)
        if timecode is not None and not ranged:
            tags["timecode"] = timecode
    differ = {key: value for key, value in before.items() if after.get(key) != value}
    stored = _MP4_TAGS | after.keys() | ({"timecode"} if can_count(input, muxer) else set())
    homeless = {key for key in differ if muxer in ("mp4", "mov") and key not in stored}
    wrong = [
        f"{key}: {_short(value)} to {_short(after.get(key))}"
        for key, value in differ.items()
        if key not in homeless
    ]
    yield Check("tags", not wrong, "; ".join(wrong) or _number(len(before), "tag"))
    if homeless:
        listed = ", ".join(sorted(homeless))
        yield Check(
            "tags", False, f"cannot be stored in {muxer}; .mkv keeps them: {listed}", required=False
        )


def _tags(container: InputContainer) -> dict[str, str]:
    said = container.metadata.items()
    tags = {key.lower(): value for key, value in said if not is_unset_time(key, value)}
    if "creation_time" in tags:
        # Containers differ in how finely they count it.
        tags["creation_time"] = tags["creation_time"][: len("2000-01-01T00:00:00")]
    return {key: value for key, value in tags.items() if key not in _WRITERS_OWN}


def _short(text: str | None) -> str:
    return "none" if text is None else repr(text if len(text) <= 40 else text[:37] + "...")


def _number(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
