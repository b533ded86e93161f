"""The size of a picture from the first bytes of its file, so that a huge one is never decoded."""

from __future__ import annotations

import struct

from rtstyle.types import Size

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_HEIF = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


def picture_size(data: bytes) -> Size | None:
    """Width and height that a PNG, JPEG, GIF, BMP, WebP or TIFF states; None for anything else."""
    try:
        width, height = _stated(data)
    except (struct.error, IndexError):
        return None
    return Size(width, height) if width > 0 and height > 0 else None


def is_whole(data: bytes) -> bool:
    """False where a PNG, JPEG, BMP or WebP ends before its picture does: a copy cut short."""
    if data.startswith(b"\x89PNG"):
        return b"IEND\xaeB`\x82" in data
    if data.startswith(b"\xff\xd8"):
        # Within compressed samples a marker cannot occur; a thumbnail's lie before the last scan.
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    if data.startswith(b"BM"):
        return len(data) >= int.from_bytes(data[2:6], "little")
    if data.startswith(b"RIFF"):
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    return True


def _stated(data: bytes) -> tuple[int, int]:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _pair(">II", data, 16)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _pair("<HH", data, 6)
    if data.startswith(b"BM"):
        width, height = _pair("<ii", data, 18)
        # A negative height means that the rows run downwards.
        return width, abs(height)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith((b"II*\0", b"MM\0*")):
        return _tiff(data)
    return 0, 0


def _pair(layout: str, data: bytes, offset: int) -> tuple[int, int]:
    first, second = struct.unpack_from(layout, data, offset)
    return int(first), int(second)


def _jpeg(data: bytes) -> tuple[int, int]:
    offset = 2
    while True:
        while data[offset] == 0xFF and data[offset + 1] == 0xFF:
            offset += 1
        marker = data[offset + 1]
        if data[offset] != 0xFF:
            return 0, 0
        if marker in _JPEG_FRAMES:
            height, width = _pair(">HH", data, offset + 5)
            return width, height
        offset += 2
        if marker not in _JPEG_BARE:
            offset += int(struct.unpack_from(">H", data, offset)[0])


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    if kind == b"VP8L":
        bits = int(struct.unpack_from("<I", data, 21)[0])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = _pair("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    offset = int(struct.unpack_from(f"{order}I", data, 4)[0])
    count = int(struct.unpack_from(f"{order}H", data, offset)[0])
    found = {_TIFF_WIDTH: 0, _TIFF_HEIGHT: 0}
    for entry in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind = _pair(f"{order}HH", data, entry)
        if tag in found:
            layout = f"{order}H" if kind == 3 else f"{order}I"
            found[tag] = int(struct.unpack_from(layout, data, entry + 8)[0])
    return found[_TIFF_WIDTH], found[_TIFF_HEIGHT]


def unreadable_kind(data: bytes) -> str | None:
    """What a file is that another program reads, and what to do."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in _HEIF:
        return (
            "a HEIC photo, which is not read here; save it as JPEG (an iPhone does so with "
            "Settings, Camera, Formats, Most Compatible)"
        )
    if brand in _AVIF:
        return "an AVIF picture, which this build of Pillow does not read; save it as PNG or JPEG"
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "a JPEG XL picture, which is not read here; save it as PNG or JPEG"
    if data.startswith(b"8BPS"):
        return "a Photoshop document, which is not read here; export it as PNG or TIFF"
    if data.startswith(b"%PDF"):
        return "a PDF, which is not read here; export its pages as PNG"
    if data[:512].lstrip().startswith((b"<svg", b"<?xml")) and b"<svg" in data[:4096]:
        return "an SVG drawing, which is not read here; export it as PNG"
    return None
