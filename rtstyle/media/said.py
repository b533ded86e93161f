"""The tags of an open file, all of them, however many there are."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import av
from av.container import Container, InputContainer
from av.stream import Stream

from rtstyle.media.many_tags import Covered, Version, crowd_of, portions, version_of
from rtstyle.media.streams import open_file


def said_by(container: InputContainer) -> dict[str, str]:
    """All tags of a container itself."""
    found = _all_tags(container)
    return dict(container.metadata) if found is None else dict(found[-1])


def said_by_stream(stream: Stream) -> dict[str, str]:
    """All tags of a stream of an open file."""
    found = _all_tags(stream.container)
    return dict(stream.metadata) if found is None else dict(found[stream.index])


def _all_tags(container: Container) -> dict[int, dict[str, str]] | None:
    """The tags of each stream, and of the container itself as number -1; None where the container
    has all of them at hand."""
    name = container.name.removeprefix("file:")
    if not isinstance(container, InputContainer) or not crowd_of(Path(name)):
        return None
    try:
        return _read_all(name, version_of(os.stat(name)))
    except (OSError, av.FFmpegError, ValueError):
        return None


@functools.lru_cache(maxsize=4)
def _read_all(name: str, version: Version) -> dict[int, dict[str, str]]:
    """Raises OSError and av.FFmpegError."""
    del version
    path = Path(name)
    spans = crowd_of(path)
    # What is said elsewhere than in a tag is said in every portion, and gives way to a tag.
    beside = _read_portion(Covered(path, spans))
    found = {index: dict(tags) for index, tags in beside.items()}
    for portion in portions(path, spans):
        for index, tags in _read_portion(portion).items():
            fixed = beside.get(index, {})
            new = {key: said for key, said in tags.items() if fixed.get(key) != said}
            found.setdefault(index, {}).update(new)
    return {index: dict(tags.values()) for index, tags in found.items()}


def _read_portion(file: Covered) -> dict[int, dict[str, tuple[str, str]]]:
    """Tags as ``_read_all`` gives them, each by its key in lower case: FFmpeg takes keys that
    differ in case for one, and of several the last."""
    with open_file(file) as container:
        said = {-1: container.metadata} | {s.index: s.metadata for s in container.streams}
    return {
        index: {key.lower(): (key, value) for key, value in tags.items()}
        for index, tags in said.items()
    }
