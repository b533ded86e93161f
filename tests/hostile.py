"""Files that mean harm, each made by the test: bombs, lists of other files, lies about sizes."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.clips import make_clip, moving_picture, png_picture
from tests.release.mutants import mutant, seeds


@dataclass(frozen=True, slots=True)
class Hostile:
    """One file, as somebody would send it."""

    name: str
    data: bytes
    kind: str
    """Of the job: ``video``, ``image`` or ``preview``."""


def crafted(folder: Path, *, secret: Path, address: str) -> Iterator[Hostile]:
    """One of each sort. Lists name ``secret``, a film of this disk, and ``address``, of the net."""
    clip = make_clip(folder / "good.mp4", frames=20, audio=True).read_bytes()
    film = make_clip(folder / "good.mkv", frames=20).read_bytes()
    yield Hostile("empty-of-pictures.mp4", clip[:32], "video")
    yield Hostile("truncated.mp4", clip[: len(clip) // 2], "video")
    yield Hostile("truncated.mkv", film[: len(film) * 2 // 3], "video")
    yield Hostile("noise.mp4", random.Random(1).randbytes(50_000), "video")
    yield Hostile("noise.png", random.Random(2).randbytes(50_000), "image")
    yield Hostile("zeros.mkv", bytes(300_000), "video")
    yield Hostile("page.mp4", b"<!doctype html><script>alert(1)</script>" * 20, "video")
    yield Hostile("page.png", b"<!doctype html><script>alert(1)</script>" * 20, "image")
    yield from _lists(secret, address)
    yield from _pictures()
    yield Hostile("wide.mp4", _with_sizes(clip, 65535, 65535), "video")
    yield Hostile("flat.mp4", _with_sizes(clip, 0, 0), "preview")
    yield Hostile("tracks.mp4", _with_many_tracks(clip, 3000), "video")
    yield Hostile("streams.ogg", _ogg_streams(20_000), "video")
    yield Hostile("boxes.mp4", _nested_boxes(20_000), "video")
    yield Hostile("elements.mkv", film[:60] + b"\xa0\x01\xff" * 60_000, "video")
    yield Hostile("long.mp4", _long(folder), "video")
    yield Hostile("stretched.mp4", _slow(folder), "video")
    yield Hostile("reference.mov", _reference_movie(clip, secret), "video")
    yield Hostile("polyglot.mp4", clip + b"PK\x03\x04<html><script>" + clip, "video")
    # A picture that claims to be a film, and the other way round.
    yield Hostile("picture.mp4", png_picture(), "video")
    yield Hostile("film.png", clip, "image")
    yield Hostile("film.jpg", clip, "preview")


def mutated(folder: Path, count: int, *, seed: int = 99) -> Iterator[Hostile]:
    """Damaged clips of four containers, in turn damaged in each of the ways there are."""
    (folder / "seeds").mkdir()
    clips = seeds(folder / "seeds")
    for number in range(count):
        one = mutant(seed, number, clips)
        yield Hostile(one.name, one.data, ("video", "video", "preview")[number % 3])


def _lists(secret: Path, address: str) -> Iterator[Hostile]:
    targets = {
        "file": str(secret),
        "passwd": "/etc/passwd",
        "url": f"file:{secret}",
        "net": address,
    }
    for what, target in targets.items():
        texts = {
            "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
            "ffconcat": f"ffconcat version 1.0\nfile '{target}'\n",
            "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\n"
            f"m=video 5004 RTP/AVP 96\na=control:{target}\n",
            "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="video/mp4">'
            f'<Representation id="1" bandwidth="9"><BaseURL>{target}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>",
        }
        for sort, text in texts.items():
            # By its own ending, and as something harmless.
            yield Hostile(f"{what}.{sort}", text.encode(), "video")
            yield Hostile(f"{what}-{sort}.mp4", text.encode(), "video")
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">'
        f'<image href="file://{secret}" width="64" height="64"/><image href="{address}"/></svg>'
    ).encode()
    yield Hostile("drawing.svg", svg, "image")
    yield Hostile("drawing.png", svg, "image")
    yield Hostile("drawing.mp4", svg, "video")
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    for one, other in zip("bcdefgh", "abcdefg", strict=True):
        entities += f'<!ENTITY {one} "{f"&{other};" * 10}">'.encode()
    yield Hostile("laughs.svg", entities + b"]><svg>&h;</svg>", "image")


def _pictures() -> Iterator[Hostile]:
    yield Hostile("bomb.png", _png(12_000, 12_000), "image")
    yield Hostile("claim.png", _png(65_535, 65_535, rows=1), "image")
    yield Hostile("claim-large.png", _png(2**31 - 1, 2**31 - 1, rows=1), "image")
    yield Hostile("claim.mp4", _png(65_535, 65_535, rows=1), "video")
    yield Hostile("claim.gif", _gif(65_535, 65_535, frames=1), "image")
    yield Hostile("flicker.gif", _gif(16, 16, frames=20_000), "video")
    yield Hostile("claim-gif.mp4", _gif(65_535, 65_535, frames=50), "video")
    header = struct.pack(
        "<2sIHHIIiiHHIIiiII", b"BM", 2**31, 0, 0, 54, 40, 2**30, 2**30, 1, 24, *[0] * 6
    )
    yield Hostile("claim.bmp", header + bytes(100), "image")
    frame = bytes.fromhex("ffc0 0011 08 ffff ffff 03 011100 021101 031101")
    scan = bytes.fromhex("ffda 0008 01 0100 003f00")
    yield Hostile("claim.jpg", b"\xff\xd8" + frame + scan + bytes(50), "image")
    entry = struct.pack("<HHIHHI", 256, 4, 1, 0xFFFF, 0x7FFF, 0)
    yield Hostile("claim.tiff", b"II*\0\x08\0\0\0" + b"\xff\xff" + entry * 400, "image")
    # A directory of TIFF that is followed by itself, for ever.
    yield Hostile("loop.tiff", b"II*\0\x08\0\0\0\x00\x00\x08\x00\x00\x00", "image")
    vp8l = b"\x2f" + struct.pack("<I", 16383 - 1 | (16383 - 1) << 14) + bytes(40)
    riff = b"WEBPVP8L" + struct.pack("<I", len(vp8l)) + vp8l
    yield Hostile("claim.webp", b"RIFF" + struct.pack("<I", len(riff)) + riff, "image")


def _png(width: int, height: int, *, rows: int | None = None) -> bytes:
    """A grey picture whose pixels are a thousandth of their size; only ``rows`` of it are there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    row = bytes(1 + min(width, 2**20))
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", data + packer.flush())
        + chunk(b"IEND", b"")
    )


def _gif(width: int, height: int, *, frames: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    picture = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    control = b"!\xf9\x04\x00\x01\x00\x00\x00"
    return head + (control + picture) * frames + b";"


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + kind + data


def _boxes(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while begin + 8 <= end:
        (size,) = struct.unpack_from(">I", data, begin)
        yield data[begin + 4 : begin + 8], begin, begin + size
        begin += max(size, 8)


def _with_sizes(clip: bytes, width: int, height: int) -> bytes:
    """An mp4 whose sample entry and track header claim another size."""
    data = bytearray(clip)
    entry = data.find(b"avc1", data.find(b"stsd"))
    struct.pack_into(">HH", data, entry + 28, width, height)
    track = data.find(b"tkhd")
    struct.pack_into(">II", data, track + 80, width << 16, height << 16)
    return bytes(data)


def _with_many_tracks(clip: bytes, count: int) -> bytes:
    """An mp4 whose first track is listed ``count`` times."""
    _, begin, end = next(one for one in _boxes(clip, 0, len(clip)) if one[0] == b"moov")
    inside = list(_boxes(clip, begin + 8, end))
    track = next(clip[first:last] for kind, first, last in inside if kind == b"trak")
    rest = b"".join(clip[first:last] for kind, first, last in inside if kind != b"trak")
    return clip[:begin] + _box(b"moov", rest + track * count)


def _nested_boxes(depth: int) -> bytes:
    size = 8 * depth
    boxes = b"".join(struct.pack(">I", size - 8 * level) + b"moov" for level in range(depth))
    return _box(b"ftyp", b"isom\0\0\0\0isom") + boxes


def _ogg_streams(count: int) -> bytes:
    def page(serial: int) -> bytes:
        data = b"\x80theora\x03\x02\x01" + bytes(32)
        head = b"OggS\0\x02" + bytes(8) + struct.pack("<II", serial, 0)
        page = head + bytes(4) + bytes((1, len(data))) + data
        return page

    return b"".join(page(serial) for serial in range(count))


def _long(folder: Path) -> bytes:
    """A film of thousands of pictures in few bytes."""
    still = moving_picture((16, 16), 0)
    return make_clip(
        folder / "long.mp4",
        size=(16, 16),
        frames=4000,
        rate=1000,
        pictures=[still] * 4000,
        options={"crf": "51"},
    ).read_bytes()


def _slow(folder: Path) -> bytes:
    """Three pictures, a day and a year apart."""
    return make_clip(folder / "slow.mp4", pts=[0, 86_400, 366 * 86_400], rate=1).read_bytes()


def _reference_movie(clip: bytes, secret: Path) -> bytes:
    """A QuickTime film whose samples lie in another file of this disk."""
    name = str(secret).encode()
    alias = _box(
        b"alis", b"\0\0\0\0" + bytes(8) + bytes(142) + struct.pack(">HH", 18, len(name)) + name
    )
    dref = _box(b"dref", bytes(4) + struct.pack(">I", 1) + alias)
    place = clip.find(b"dref") - 4
    (size,) = struct.unpack_from(">I", clip, place)
    data = bytearray(clip[:place] + dref + clip[place + size :])
    # Every box around it grows by as much.
    more = len(dref) - size
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        at = data.find(kind) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + more)
    return bytes(data)
