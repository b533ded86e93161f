"""What is said in a film's file once its muxer has closed it, since the muxer does not say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from rtstyle.errors import InputError
from rtstyle.media.boxes import store_in_index
from rtstyle.media.editions import Editions, read_editions, room_for, store_editions
from rtstyle.media.marks import holds_sphere, holds_stereo, picture_boxes, stereo_mode
from rtstyle.media.matroska import Shape, padded, store_shape
from rtstyle.media.said import said_by
from rtstyle.media.streams import open_container
from rtstyle.types import Sphere, Stereo, VideoInfo

_INDEXED = ("mp4", "mov")
_APPLE = "com.apple."


@dataclass(slots=True)
class Finish:
    """The marks and tags of one film."""

    muxer: str
    sphere: Sphere | None
    stereo: Stereo | None
    title: str | None = None
    """That of the picture stream."""
    editions: Editions | None = None
    """Chapters that are to be stored as they are."""

    @classmethod
    def of(cls, info: VideoInfo, muxer: str) -> Finish:
        """For pictures like ``info``'s: the marks that the container has a place for. Those of
        pictures that were turned would no longer fit."""
        turned = bool(info.rotation or info.mirrored)
        sphere, stereo = (None, None) if turned else (info.sphere, info.stereo)
        return cls(
            muxer,
            sphere if sphere is not None and holds_sphere(muxer, sphere) else None,
            stereo if stereo is not None and holds_stereo(muxer, stereo) else None,
        )

    def prepare(self, stream: VideoStream) -> None:
        """Have the muxer write what it can, and leave room for the rest; before its header."""
        if self.muxer in _INDEXED:
            return
        mode = None if self.stereo is None else stereo_mode(self.stereo)
        if mode is not None:
            stream.metadata["stereo_mode"] = mode
        elif self.muxer == "webm":
            # What it does not know it would refuse the file for.
            stream.metadata.pop("stereo_mode", None)
        if self.sphere is not None:
            self.title = stream.metadata.get("title")
            stream.metadata["title"] = padded(self.title)

    def hold_chapters(self, output: OutputContainer, source: Path) -> None:
        """Before the file is closed: make room for chapters that are more than a plain list, where
        the output's times are those of the ``source``."""
        if self.muxer != "matroska":
            return
        editions = read_editions(source)
        if editions is None or editions.plain or not editions.content:
            return
        self.editions = editions
        tick = Fraction(1, 1000)
        room = {"title": room_for(editions)}
        output.set_chapters([{"id": 1, "start": 0, "end": 1, "time_base": tick, "metadata": room}])

    def apply(self, path: Path, tags: Mapping[str, str]) -> None:
        """Say the rest in the closed file; ``tags``: those it was given. Raises OSError.

        What could not be said is found when the file is compared with its source.
        """
        if self.editions is not None:
            store_editions(path, self.editions)
        if self.muxer not in _INDEXED:
            if self.sphere is not None:
                store_shape(path, Shape(sphere=self.sphere, title=self.title))
            return
        missing = _not_said(path, tags)
        pictures = picture_boxes(self.sphere, self.stereo)
        if missing or pictures:
            store_in_index(path, tags=missing, pictures=pictures, quicktime=self.muxer == "mov")


def _not_said(path: Path, tags: Mapping[str, str]) -> dict[str, str]:
    if not tags:
        return {}
    try:
        with open_container(path) as container:
            said = {key.lower() for key in said_by(container)}
    except (InputError, av.FFmpegError):
        # Whoever checks the pictures says so.
        return {}
    return {_spelt(key): value for key, value in tags.items() if key.lower() not in said}


def _spelt(key: str) -> str:
    """Apple's keys as its programs look for them: Matroska's writers make all letters large."""
    small = key.lower()
    if not small.startswith(_APPLE):
        return key
    return small.replace("iso6709", "ISO6709")
