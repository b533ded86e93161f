"""Copies of clips that differ in one thing, packet for packet, for tests of what is compared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

if TYPE_CHECKING:
    from av.container.core import Chapter

AnyPacket: TypeAlias = "Packet[Stream]"
Edit: TypeAlias = "Callable[[AnyPacket, int], AnyPacket | None]"
"""A packet and its number within its stream; gives what is written in its place, if anything."""

MUXERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".ts": "mpegts"}


def remux(
    source: Path,
    path: Path,
    *,
    edit: Edit | None = None,
    without: Collection[int] = (),
    languages: Mapping[int, str] | None = None,
    titles: Mapping[int, str] | None = None,
    dispositions: Mapping[int, Disposition] | None = None,
    chapters: Sequence[tuple[float, float, str]] = (),
    tags: Mapping[str, str] | None = None,
    subtitles: Sequence[tuple[float, str]] = (),
    subtitle_language: str | None = None,
    attachments: Mapping[str, bytes] | None = None,
    rotation: int | None = None,
) -> Path:
    """Copy every packet of ``source`` but for the streams ``without``, and return ``path``.

    ``languages``, ``titles`` and ``dispositions`` go by a stream's index in the source;
    ``chapters`` are begin, end and title; ``subtitles`` seconds and text, in SubRip.
    """
    with (
        av.open(f"file:{source}") as before,
        av.open(f"file:{path}", "w", format=MUXERS[path.suffix]) as after,
    ):
        after.metadata.update(tags or {})
        if chapters:
            after.set_chapters([_chapter(n, *chapter) for n, chapter in enumerate(chapters)])
        made: dict[int, Stream] = {}
        for stream in before.streams:
            if stream.index in without:
                continue
            new = after.add_stream_from_template(stream)
            new.time_base = stream.time_base
            new.disposition = (dispositions or {}).get(stream.index, stream.disposition)
            language = (languages or {}).get(stream.index, stream.language)
            if language is not None:
                new.metadata["language"] = language
            if stream.index in (titles or {}):
                new.metadata["title"] = (titles or {})[stream.index]
            if rotation is not None and stream.type == "video":
                cast("av.VideoStream", new).set_display_rotation(rotation)
            made[stream.index] = new
        text = _add_text(after, subtitle_language) if subtitles else None
        for name, data in (attachments or {}).items():
            after.add_attachment(name, "application/x-truetype-font", data)
        for packet in _packets(before, made, edit):
            after.mux_one(packet)
        for seconds, line in subtitles:
            assert text is not None
            after.mux_one(_cue(text, seconds, line))
    return path


def _packets(
    container: InputContainer, made: Mapping[int, Stream], edit: Edit | None
) -> Iterator[AnyPacket]:
    counts = dict.fromkeys(made, 0)
    with closing(container.demux()) as packets:  # type: ignore[type-var]
        for packet in packets:
            if packet.size == 0 or packet.stream_index not in made:
                continue
            index = packet.stream_index
            edited = edit(packet, counts[index]) if edit is not None else packet
            counts[index] += 1
            if edited is not None:
                edited.stream = made[index]
                yield edited


def altered(packet: AnyPacket) -> AnyPacket:
    """The same packet with its last byte flipped."""
    payload = bytearray(bytes(packet))
    payload[-1] ^= 0xFF
    new: AnyPacket = Packet(bytes(payload))
    new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
    new.duration, new.is_keyframe = packet.duration, packet.is_keyframe
    return new


def later(packet: AnyPacket, seconds: Fraction) -> AnyPacket:
    """The packet at a later time."""
    ticks = round(seconds / packet.time_base)
    assert packet.pts is not None
    assert packet.dts is not None
    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
    return packet


def _chapter(number: int, begin: float, end: float, title: str) -> Chapter:
    return {
        "id": number,
        "start": round(begin * 1000),
        "end": round(end * 1000),
        "time_base": Fraction(1, 1000),
        "metadata": {"title": title},
    }


def _add_text(container: OutputContainer, language: str | None) -> Stream:
    stream = container.add_mux_stream("subrip")
    stream.time_base = Fraction(1, 1000)
    if language is not None:
        stream.metadata["language"] = language
    return stream


def _cue(stream: Stream, seconds: float, line: str) -> AnyPacket:
    packet: AnyPacket = Packet(line.encode())
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = round(seconds * 1000)
    packet.duration = 40
    return packet
