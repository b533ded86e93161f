"""The destination: what can be refused early."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from rtstyle.errors import EncoderUnavailable, OutputError, OutputExists, OutputNotWritable
from rtstyle.files import same_file, short_name
from rtstyle.media.codecs import (
    CODECS,
    MUXERS,
    EncodeOptions,
    depths_here,
    encoders,
    opens_here,
    with_ten_bits,
)
from rtstyle.media.hardware import require_hardware
from rtstyle.media.streams import copyable_sounds, open_container
from rtstyle.media.trial import holds

_LONGEST_NAME = 255
"""Bytes, on nearly every file system."""


def check_output(
    output: Path,
    *,
    source: Path | None,
    overwrite: bool,
    options: EncodeOptions | None = None,
) -> None:
    """Refuse a destination that cannot work, before anything is decoded or loaded.

    Raises OutputNotWritable (extension, folder), OutputExists (there already, or the source
    itself), EncoderUnavailable (codec), OutputError (sound that the container cannot hold).
    """
    options = options or EncodeOptions()
    muxer_of(output)
    check_destination(output, source=source, overwrite=overwrite)
    check_container(output, options)
    if source is not None and options.audio == "copy":
        _check_sound(output, source)


def check_container(output: Path, options: EncodeOptions) -> None:
    """Refuse an ending whose container is unknown or does not take the codecs asked for; no file
    is looked at. Raises OutputNotWritable, EncoderUnavailable, OutputError."""
    muxer_of(output)
    _check_codec(output, options)
    if options.audio == "aac" and output.suffix.lower() == ".webm":
        raise OutputError(
            f"{output.name}: webm cannot hold aac sound; use --audio copy, or an .mkv name"
        )


def is_film_name(path: Path) -> bool:
    """Whether the ending is that of a film that can be written."""
    return path.suffix.lower() in MUXERS


def muxer_of(output: Path) -> str:
    """FFmpeg's name of the container that the extension asks for."""
    muxer = MUXERS.get(output.suffix.lower())
    if muxer is None:
        said = f"extension {output.suffix!r} is unknown" if output.suffix else "has no extension"
        raise OutputNotWritable(f"{output.name}: {said}; use one of {', '.join(MUXERS)}")
    return muxer


def check_destination(output: Path, *, source: Path | None, overwrite: bool) -> None:
    """Refuse a name that is taken, is the source, or lies where no file can be made."""
    folder = output.parent
    try:
        status = os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise OutputNotWritable(f"folder {str(folder)!r} does not exist; create it first") from None
    except (OSError, ValueError) as error:
        raise OutputNotWritable(f"folder {str(folder)!r} cannot be used ({error})") from None
    if not stat.S_ISDIR(status.st_mode):
        raise OutputNotWritable(f"{str(folder)!r} is a file, not a folder; choose another name")
    check_name(output)
    if source is not None and same_file(output, source):
        raise OutputExists(
            f"{str(output)!r} is the input itself; it is never overwritten: choose another name"
        )
    if os.path.lexists(output):
        if output.is_dir():
            raise OutputNotWritable(f"{str(output)!r} is a folder; add a file name")
        if output.exists() and not output.is_file():
            raise OutputNotWritable(f"{str(output)!r} is not a regular file; choose another name")
        if not overwrite:
            raise OutputExists(
                f"{str(output)!r} exists already; choose another name or use --overwrite"
            )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputNotWritable(f"folder {str(folder)!r} is not writable; choose another one")


def check_name(output: Path) -> None:
    """Refuse a name that the file system has no place for; raises OutputNotWritable."""
    over = name_excess(output)
    if over > 0:
        raise OutputNotWritable(f"{output.name}: {too_long(over)}")


def name_excess(path: Path) -> int:
    """By how many bytes the last part of ``path`` is longer than its folder takes; 0 or below
    where it fits."""
    longest = _LONGEST_NAME
    with contextlib.suppress(OSError, ValueError, AttributeError):
        longest = os.pathconf(path.parent, "PC_NAME_MAX")
    return len(os.fsencode(path.name)) - longest


def too_long(over: int) -> str:
    """What to say of a name that is ``over`` bytes longer than is allowed."""
    return f"the name is too long by {over} byte{'s' if over > 1 else ''}; choose a shorter one"


def _check_codec(output: Path, options: EncodeOptions) -> None:
    codec = CODECS[options.codec]
    if output.suffix.lower() not in codec.containers:
        fitting = [c.name for c in CODECS.values() if output.suffix.lower() in c.containers]
        raise EncoderUnavailable(
            f"{output.name}: {output.suffix.lower()[1:]} does not take {codec.name}; use "
            f"--codec {' or '.join(fitting)}, or a name with {' or '.join(codec.containers)}"
        )
    if options.encoder == "hardware":
        require_hardware(options)
    elif not opens_here(codec.name):
        there = [name for name, library in encoders().items() if library is not None]
        raise EncoderUnavailable(
            f"{codec.name} cannot be encoded here: {codec.library} is not in this build of av; "
            f"use --codec {' or '.join(there)}"
        )
    if options.bit_depth != "auto" and options.bit_depth not in depths_here(codec.name):
        raise EncoderUnavailable(
            f"{codec.library} cannot store {options.bit_depth} bits a sample in this build of av; "
            f"leave --bit-depth out, or take another codec for 10 bits: {with_ten_bits()}"
        )


def _check_sound(output: Path, source: Path) -> None:
    with open_container(source) as container:
        for stream in copyable_sounds(container):
            if holds(muxer_of(output), stream):
                continue
            remedies = ["--audio none" if output.suffix.lower() == ".webm" else "--audio aac"]
            if holds("matroska", stream):
                remedies.append("an .mkv name")
            raise OutputError(
                f"{output.name}: {output.suffix.lower()[1:]} cannot hold the source's "
                f"{stream.codec_context.name} sound; use {' or '.join(remedies)}"
            )


def partial_names(output: Path) -> Iterator[Path]:
    """What an interrupted run may leave: ``<stem>.partial<ext>``, ``<stem>.partial-2<ext>``..."""
    for number in itertools.count(1):
        mark = ".partial" if number == 1 else f".partial-{number}"
        yield output.with_name(short_name(output.stem, mark + output.suffix))
