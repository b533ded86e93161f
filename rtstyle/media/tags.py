"""What a container says about itself and its streams, carried from a source into an output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.stream import Disposition, Stream

from rtstyle.errors import InputError
from rtstyle.media.languages import QUICKTIME_LANGUAGES
from rtstyle.media.said import said_by, said_by_stream
from rtstyle.media.streams import open_container, shown
from rtstyle.media.timecode import read_timecode

if TYPE_CHECKING:
    from av.container.core import Chapter

_OF_THE_FILE = frozenset(
    {
        "major_brand",
        "minor_version",
        "compatible_brands",
        "encoder",
        "vendor_id",
        "alpha_mode",
        "filename",
        "mimetype",
        "duration",
        "bps",
        "number_of_frames",
        "number_of_bytes",
        "_statistics_writing_app",
        "_statistics_writing_date_utc",
        "_statistics_tags",
    }
)
"""Tags that describe one file's making or measures and would be false of another."""

_WHOLE = Disposition.still_image | Disposition.multilayer | Disposition.dependent
"""What describes the coding of a stream, which a picture encoded anew does not share."""

_MOST_NAMED = 8
SPARE = Fraction(1)
"""Seconds after the last picture and sound in which a chapter may still begin or end."""
_TITLED = ("mp4", "mov")
"""Containers in which a chapter without a title is given that of a later one."""
_COARSE = Fraction(1, 100)
"""Seconds by which containers may round the beginning of a chapter."""


@dataclass(frozen=True, slots=True)
class Label:
    """What an output's stream was given to say of itself."""

    name: str
    """As messages call it: ``picture``, ``sound 2``."""
    language: str | None
    title: str | None
    disposition: Disposition


def file_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a container that are true of its copy as well."""
    return {
        key: value
        for key, value in tags.items()
        if _plain(key) not in _OF_THE_FILE and not is_unset_time(key, value)
    }


def is_unset_time(key: str, value: str) -> bool:
    """Whether a tag is the zero of the clock, which writers put where nobody gave them a time."""
    return key.lower() == "creation_time" and value.startswith("1970-01-01T00:00:00")


def dress(new: Stream, old: Stream, name: str, *, without: Sequence[str] = ()) -> Label:
    """Give a stream the other's tags and disposition, less the tags in ``without``; ``name`` is
    what messages call it."""
    new.disposition = old.disposition & ~(_WHOLE if new.type == "video" else Disposition(0))
    tags = file_tags(said_by_stream(old))
    # That of the file is written for every stream.
    tags.pop("creation_time", None)
    if "title" not in tags and "name" in tags:
        # Where mp4 files keep a stream's title; their muxer takes it by the other name.
        tags["title"] = tags.pop("name")
    tags = {key: value for key, value in tags.items() if _plain(key) not in without}
    if new.container.format.name == "mov" and "language" in tags:
        tags["language"] = QUICKTIME_LANGUAGES.get(tags["language"], tags["language"])
    new.metadata.update(tags)
    language = tags.get("language")
    return Label(
        name=name,
        language=None if language == "und" else language,
        title=tags.get("title"),
        disposition=new.disposition,
    )


def cut_chapters(
    chapters: Sequence[Chapter],
    *,
    begin: Fraction | None,
    end: Fraction,
    shift: Fraction,
    late: Fraction = Fraction(0),
    muxer: str | None = None,
) -> list[Chapter]:
    """The chapters that lie in ``begin <= t < end`` (seconds of the source), cut to it and made
    ``shift`` seconds earlier, then ``late`` seconds later; one that begins where the output does
    stays there. ``muxer``: what will write them."""
    first = shift if begin is None else max(begin, shift)
    kept: list[Chapter] = []
    untitled = {"title": ""} if muxer in _TITLED else {}
    for chapter in sorted(chapters, key=_chapter_start):
        tick = chapter["time_base"] or Fraction(1, 1000)
        # An end may be unknown, which FFmpeg says with the least number there is.
        start, stop = chapter["start"] * tick, max(chapter["start"], chapter["end"]) * tick
        if start >= end or (stop <= first and start < first):
            continue
        opens = max(start, first) - shift
        kept.append(
            {
                "id": chapter["id"],
                "start": round((opens + late) / tick) if opens else 0,
                "end": round((min(stop, end) - shift + late) / tick),
                "time_base": tick,
                "metadata": {**untitled, **chapter["metadata"]},
            }
        )
    return kept


def _chapter_start(chapter: Chapter) -> Fraction:
    return chapter["start"] * (chapter["time_base"] or Fraction(1, 1000))


def not_stored(
    path: Path,
    muxer: str,
    *,
    tags: Mapping[str, str],
    labels: Sequence[Label],
    chapters: Sequence[Chapter],
    timecode: str | None = None,
) -> tuple[str, ...]:
    """A sentence for each thing that was given to a file and that it does not say when read back.

    ``labels`` are those of its first streams, in their order.
    """
    try:
        with open_container(path) as container:
            said = {key.lower() for key in said_by(container)}
            streams = list(container.streams)[: len(labels)]
            found = [_lost(label, stream) for label, stream in zip(labels, streams, strict=False)]
            there = container.chapters()
            counted = read_timecode(container)
    except (InputError, av.FFmpegError):
        # Whoever checks the pictures says so.
        return ()
    lost = [] if timecode is None or counted == timecode else ["of the picture: timecode"]
    lost += [f"of {label.name}: {what}" for label, what in zip(labels, found, strict=False) if what]
    missing = sorted(key for key in tags if key.lower() not in said)
    if missing:
        named = ", ".join(shown_text(key) for key in missing[:_MOST_NAMED])
        rest = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        lost.append(f"of the file: {named}{rest}")
    notes = [
        f"tags that {muxer} does not store were left out {what}{_remedy(muxer)}" for what in lost
    ]
    if len(there) < len(chapters):
        notes.append(
            f"{len(chapters) - len(there)} of {len(chapters)} chapters were not stored by "
            f"{muxer}{_remedy(muxer)}"
        )
    elif chapters and _chapter_start(there[0]) + _COARSE < _chapter_start(chapters[0]):
        notes.append(
            f"{muxer} has no chapter that begins late: the first begins at "
            f"{float(_chapter_start(there[0])):.3f} s instead of "
            f"{float(_chapter_start(chapters[0])):.3f} s; use an .mkv name to keep that"
        )
    return tuple(notes)


def shown_text(text: str) -> str:
    """A tag's text on one short line, for messages."""
    return shown(Path(text.replace("/", "_")[:60])) or "unnamed"


def _lost(label: Label, stream: Stream) -> str:
    lost = []
    if label.language is not None and stream.language != label.language:
        lost.append(f"language {shown_text(label.language)}")
    if label.title and label.title not in (stream.metadata.get(k) for k in ("title", "name")):
        lost.append(f"title {shown_text(label.title)!r}")
    for flag in label.disposition & ~stream.disposition:
        lost.append(f"the mark {(flag.name or 'unknown').replace('_', ' ')!r}")
    return ", ".join(lost)


def _remedy(muxer: str) -> str:
    return "" if muxer == "matroska" else "; use an .mkv name to keep them"


def _plain(key: str) -> str:
    # A tag in a language is named "BPS-eng".
    return key.partition("-")[0].lower()
