"""Covers and attached files of a source, which lie in no time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Disposition
from av.video.stream import VideoStream

from rtstyle.media.streams import codec_name, open_container, printable, raw_packets
from rtstyle.media.tags import shown_text

_COVERS_OF_MP4 = ("mjpeg", "png", "bmp")
_IMAGES = {
    "mjpeg": ("image/jpeg", "jpg"),
    "png": ("image/png", "png"),
    "bmp": ("image/bmp", "bmp"),
    "gif": ("image/gif", "gif"),
    "webp": ("image/webp", "webp"),
    "tiff": ("image/tiff", "tif"),
}


@dataclass(frozen=True, slots=True)
class Attached:
    """A file in a container."""

    name: str
    mimetype: str
    data: bytes
    title: str | None
    cover: VideoStream | None
    """The stream as which a cover was read; None for any other file."""

    @property
    def kind(self) -> str:
        return "attachment" if self.cover is None else "cover picture"


def read_extras(container: InputContainer, source: Path) -> tuple[Attached, ...]:
    """Every cover picture and attached file of an open source."""
    covers = [
        stream
        for stream in container.streams.video
        if stream.disposition & Disposition.attached_pic
        and not stream.disposition & Disposition.timed_thumbnails
        and codec_name(stream) in _IMAGES
    ]
    pictures = _cover_bytes(source, [stream.index for stream in covers]) if covers else {}
    found = []
    for stream in covers:
        if stream.index in pictures:
            mimetype, ending = _IMAGES[codec_name(stream)]
            name = stream.metadata.get("filename") or f"cover.{ending}"
            title = stream.metadata.get("title")
            found.append(Attached(name, mimetype, pictures[stream.index], title, stream))
    for number, file in enumerate(container.streams.attachments, 1):
        found.append(_attached(file, number))
    return tuple(found)


def _attached(stream: AttachmentStream, number: int) -> Attached:
    return Attached(
        name=stream.name or f"attachment-{number}",
        mimetype=stream.mimetype or "application/octet-stream",
        data=stream.data,
        title=stream.metadata.get("title"),
        cover=None,
    )


def _cover_bytes(source: Path, indices: list[int]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    # FFmpeg gives covers before anything else, once; a container of their own leaves the place of
    # the other alone.
    with open_container(source) as container:
        try:
            for packet in raw_packets(container, *(container.streams[i] for i in indices)):
                if packet.size:
                    found.setdefault(packet.stream_index, bytes(packet))
                if len(found) == len(indices):
                    break
        except av.FFmpegError:
            return found
    return found


def stored(muxer: str, extra: Attached) -> bool:
    """Whether the container has a place for it."""
    if muxer == "matroska":
        return True
    return muxer == "mp4" and extra.cover is not None and codec_name(extra.cover) in _COVERS_OF_MP4


def left_out(muxer: str, extras: Iterable[Attached]) -> tuple[str, ...]:
    """A sentence for the covers and one for the attachments that the container cannot hold."""
    names: dict[str, list[str]] = {}
    for extra in extras:
        if not stored(muxer, extra):
            names.setdefault(extra.kind, []).append(shown_text(extra.name))
    return tuple(
        f"{kind}{'s' if len(files) > 1 else ''} {', '.join(files)} cannot be stored in {muxer} and "
        f"{'were' if len(files) > 1 else 'was'} left out; "
        f"use an .mkv name to keep {'them' if len(files) > 1 else 'it'}"
        for kind, files in names.items()
    )


def add_extra(output: OutputContainer, extra: Attached) -> Packet[VideoStream] | None:
    """Put it into an output that holds it; the packet given back must be written first of all."""
    if extra.cover is None or output.format.name != "mp4":
        new = output.add_attachment(printable(extra.name), printable(extra.mimetype), extra.data)
        # Names are stored as the bytes they are, which PyAV takes here only.
        new.metadata.update(filename=extra.name, mimetype=extra.mimetype)
        if extra.title is not None:
            new.metadata["title"] = extra.title
        return None
    stream = output.add_stream_from_template(extra.cover, opaque=True)
    # Alone: with any other mark it would be taken for a film of one picture.
    stream.disposition = Disposition.attached_pic
    packet = cast("Packet[VideoStream]", Packet(extra.data))
    packet.stream = stream
    packet.pts, packet.dts, packet.time_base = 0, 0, stream.time_base or Fraction(1, 25)
    packet.is_keyframe = True
    return packet
