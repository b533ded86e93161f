"""What two containers say of what they hold, side by side: streams, chapters, tags."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from av.container import InputContainer
from av.stream import AttachmentStream, Stream

from rtstyle.media.codecs import MUXERS
from rtstyle.media.languages import same_language
from rtstyle.media.payload import same_codec
from rtstyle.media.streams import codec_name, is_cover, is_silent, pick_video
from rtstyle.media.trial import holds
from rtstyle.types import Check

KINDS = ("picture", "audio", "subtitle", "attachment", "cover", "data")
_COVERS_OF_MP4 = ("mjpeg", "png", "bmp")


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
    # What is only announced is the first to have none.
    likely = sorted(mine, key=is_silent)
    for alike in (_alike, _any):
        for stream in likely:
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
    return codec_name(stream) != "unknown" and holds(muxer, stream)


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
    elif is_silent(pair.mine):
        reason = "is not in the output; where the file begins, nothing of it was found"
    elif codec_name(pair.mine) == "unknown" and pair.kind == "audio":
        reason, required = "is not in the output; its codec is unknown to this build", False
    elif pair.kind != "audio" and not can_hold(muxer, pair.mine):
        elsewhere = "; an .mkv name keeps it" if can_hold("matroska", pair.mine) else ""
        reason, required = f"cannot be stored in {muxer}{elsewhere}", False
    return Check(pair.name, False, f"{pair.described}: {reason}", required=required)
