"""Edit lists of mp4 files, written anew: what players show of a track, and when."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

Segment = tuple[Fraction | float, Fraction | float | None]
"""Seconds that it lasts, and the second of the track at which it begins; None shows nothing."""


def with_edits(source: Path, path: Path, edits: Mapping[str, Sequence[Segment]]) -> Path:
    """Copy an mp4 file, its index behind its media, with other edit lists; return ``path``.

    ``edits`` go by the handler of a track: ``vide`` or ``soun``.
    """
    data = source.read_bytes()
    assert data.index(b"mdat") < data.index(b"moov"), "media would move with the index"
    top = dict(_boxes(data))
    movie_ticks = _ticks(_find(top[b"moov"], b"mvhd"))

    def rewrite(track: bytes) -> bytes:
        media = _find(track, b"mdia")
        handler = _find(media, b"hdlr")[8:12].decode()
        if handler not in edits:
            return _box(b"trak", track)
        ticks = _ticks(_find(media, b"mdhd"))
        rows = [
            struct.pack(
                ">IiI",
                round(lasts * movie_ticks),
                -1 if begins is None else round(begins * ticks),
                0x10000,
            )
            for lasts, begins in edits[handler]
        ]
        listed = struct.pack(">II", 0, len(rows)) + b"".join(rows)
        new = _box(b"edts", _box(b"elst", listed))
        others = [_box(kind, body) for kind, body in _boxes(track) if kind != b"edts"]
        return _box(b"trak", others[0] + new + b"".join(others[1:]))

    movie = b"".join(
        rewrite(body) if kind == b"trak" else _box(kind, body)
        for kind, body in _boxes(top[b"moov"])
    )
    path.write_bytes(
        b"".join(_box(kind, movie if kind == b"moov" else body) for kind, body in _boxes(data))
    )
    return path


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, data[at + 8 : at + size]))
        at += size
    return found


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _find(data: bytes, kind: bytes) -> bytes:
    return next(body for found, body in _boxes(data) if found == kind)


def _ticks(header: bytes) -> int:
    """Ticks a second, of an mvhd or mdhd box of version 0."""
    assert header[0] == 0
    return int(struct.unpack_from(">I", header, 12)[0])
