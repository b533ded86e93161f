"""Transparency: read from every kind of source, kept where the codec can, said where it cannot."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.stream import VideoStream

from rtstyle import stylize_video, verify_video
from rtstyle.backends import FakeStylizer
from rtstyle.media import EncodeOptions, open_video
from rtstyle.media.alpha import transparent_decoder
from rtstyle.types import Alpha, Check, Frame, Limits, Size
from tests.clips import make_clip, moving_picture
from tests.unit.test_media_writer import copy

SIZE = (65, 50)


def ramp(index: int, size: tuple[int, int] = SIZE) -> Alpha:
    """Every step from transparent to opaque, moving, with a corner that is not symmetric."""
    width, height = size
    x = np.mgrid[0:height, 0:width][1]
    alpha: Alpha = np.clip(255 * x // (width - 1) + 3 * index, 0, 255).astype(np.uint8)
    alpha[: height // 4, : width // 4] = 255
    alpha[-height // 5 :, : width // 3] = 0
    return alpha


def make_clear(
    path: Path,
    codec: str,
    pixel_format: str,
    *,
    size: tuple[int, int] = SIZE,
    frames: int = 5,
    rotation: int = 0,
    opaque: int = 0,
) -> Path:
    """A clip with ``ramp`` for its transparency; the last ``opaque`` pictures have none."""
    width, height = size
    options = {"auto-alt-ref": "0", "crf": "4", "b": "0"} if codec.startswith("libvpx") else {}
    with av.open(f"file:{path}", "w") as output:
        stream = cast(VideoStream, output.add_stream(codec, rate=25, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        if rotation:
            stream.set_display_rotation(-rotation)
        for index in range(frames):
            alpha = (
                ramp(index, size) if index < frames - opaque else np.full_like(ramp(0, size), 255)
            )
            pixels = np.dstack([moving_picture(size, index), alpha])
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format=pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def alphas(path: Path) -> list[Alpha]:
    with open_video(path) as video:
        assert video.info.alpha
        found = [frame.alpha for frame in video]
    assert all(alpha is not None for alpha in found)
    return [alpha for alpha in found if alpha is not None]


def off(got: list[Alpha], wanted: list[Alpha]) -> float:
    assert len(got) == len(wanted)
    pairs = zip(got, wanted, strict=True)
    return max(float(np.abs(a.astype(int) - b).mean()) for a, b in pairs)


SOURCES = [
    ("a.webm", "libvpx-vp9", "yuva420p", 2.5),
    ("a.mkv", "libvpx", "yuva420p", 2.5),
    ("a.mov", "prores_ks", "yuva444p10le", 0.6),
    ("a.mov", "png", "rgba", 0),
    ("a.mov", "png", "rgba64be", 0),
    ("a.mov", "qtrle", "argb", 0),
    ("a.mkv", "ffv1", "bgra", 0),
    # What draws these clips, swscale, is itself off by one.
    ("a.mkv", "ffv1", "yuva420p", 0.6),
    ("a.mkv", "ffv1", "gbrap10le", 0.6),
    ("a.mkv", "ffv1", "yuva444p16le", 0.6),
    ("a.mkv", "ffv1", "ya8", 0.6),
]


@pytest.mark.parametrize(("name", "codec", "pixel_format", "allowed"), SOURCES)
def test_transparency_of_every_kind_of_source_is_read(
    tmp_path: Path, name: str, codec: str, pixel_format: str, allowed: float
) -> None:
    clip = make_clear(tmp_path / name, codec, pixel_format)
    assert off(alphas(clip), [ramp(index) for index in range(5)]) <= allowed
    with open_video(clip) as video:
        frames = list(video)
        assert not any("transparen" in note for note in video.health.notes)
    for index, frame in enumerate(frames):
        assert frame.seconds == Fraction(index, 25)
        if pixel_format != "ya8":
            wanted = moving_picture(SIZE, index)
            assert np.abs(frame.pixels.astype(int) - wanted).mean() < 6


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _palette_png(transparencies: bytes) -> bytes:
    """A PNG of 4x1 pixels, each its own entry of a palette of four colours."""
    colours = bytes([250, 0, 0, 0, 250, 0, 0, 0, 250, 90, 90, 90])
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", colours),
            _chunk(b"tRNS", transparencies) if transparencies else b"",
            _chunk(b"IDAT", zlib.compress(bytes([0, 0, 1, 2, 3]))),
            _chunk(b"IEND", b""),
        ]
    )


@pytest.mark.parametrize("transparencies", [b"", bytes([0, 100, 255])])
def test_transparency_of_a_palette_is_read(tmp_path: Path, transparencies: bytes) -> None:
    clip = tmp_path / "a.mov"
    with av.open(f"file:{clip}", "w") as output:
        stream = output.add_mux_stream("png", rate=25, width=4, height=1)
        for index in range(2):
            packet: Packet[Any] = Packet(_palette_png(transparencies))
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = index
            packet.is_keyframe = True
            output.mux_one(packet)
    with open_video(clip) as video:
        frames = list(video)
        assert video.info.alpha == bool(transparencies)
        assert video.health.notes == ()
    for frame in frames:
        assert frame.pixels[0].tolist() == [[250, 0, 0], [0, 250, 0], [0, 0, 250], [90, 90, 90]]
        wanted = [[0, 100, 255, 255]] if transparencies else None
        assert (None if frame.alpha is None else frame.alpha.tolist()) == wanted


@pytest.mark.parametrize("codec", ["libvpx-vp9", "ffv1"])
def test_transparency_is_turned_with_its_picture(tmp_path: Path, codec: str) -> None:
    pixel_format = "yuva420p" if codec == "libvpx-vp9" else "bgra"
    clip = make_clear(tmp_path / "a.mkv", codec, pixel_format, rotation=90)
    with open_video(clip) as video:
        assert video.info.rotation == 90
        assert video.info.size == Size(50, 65)
    assert off(alphas(clip), [np.rot90(ramp(index), -1) for index in range(5)]) < 2.5


def test_a_range_has_the_transparency_of_its_own_pictures(tmp_path: Path) -> None:
    clip = make_clear(tmp_path / "a.webm", "libvpx-vp9", "yuva420p", frames=90)
    with open_video(clip, start=Fraction(3), end=Fraction(16, 5)) as video:
        frames = list(video)
    assert [frame.seconds for frame in frames] == [Fraction(75 + i, 25) for i in range(5)]
    got = [frame.alpha for frame in frames if frame.alpha is not None]
    assert off(got, [ramp(75 + index) for index in range(5)]) < 2.5


def test_opaque_pictures_among_transparent_ones_stay_opaque(tmp_path: Path) -> None:
    clip = make_clear(tmp_path / "a.mkv", "ffv1", "bgra", opaque=2)
    assert all((alpha == 255).all() for alpha in alphas(clip)[3:])


def test_a_clip_that_is_only_tagged_as_transparent_is_opaque(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.webm", codec="libvpx-vp9", frames=4)
    with av.open(f"file:{clip}") as old, av.open(f"file:{tmp_path / 'b.webm'}", "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        stream.metadata["alpha_mode"] = "1"
        for packet in old.demux():
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    with open_video(tmp_path / "b.webm") as video:
        assert not video.info.alpha
        assert [frame.alpha for frame in video] == [None] * 4
    report = copy(tmp_path / "b.webm", tmp_path / "c.mp4", EncodeOptions(preset="ultrafast"))
    assert report.notes == ()


def _vp9_picture(size: tuple[int, int], pts: int) -> list[Packet[Any]]:
    context = av.CodecContext.create("libvpx-vp9", "w")
    context.width, context.height = size
    context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
    context.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    frame = av.VideoFrame(*size, "yuv420p")
    frame.pts, frame.time_base = pts, Fraction(1, 25)
    return [*context.encode(frame), *context.encode(None)]


def test_a_picture_beyond_the_limit_never_reaches_libvpx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which would take its memory before refusing it.
    clip = tmp_path / "a.webm"
    with av.open(f"file:{clip}", "w") as output:
        stream = output.add_mux_stream("vp9", rate=25, width=64, height=48)
        stream.metadata["alpha_mode"] = "1"
        for packet in [*_vp9_picture((64, 48), 0), *_vp9_picture((2000, 2000), 1)]:
            packet.stream = stream
            output.mux_one(packet)
    fed: list[int] = []
    with av.open(f"file:{clip}") as container:
        video = container.streams.video[0]
        video.codec_context.options = {"max_pixels": str(10**6)}
        decoder = transparent_decoder(video)
        assert decoder is not None

        def take(packet: Packet[Any]) -> list[av.VideoFrame]:
            fed.append(packet.size)
            return []

        monkeypatch.setattr(decoder, "_clear", SimpleNamespace(decode=take))
        first, second = (packet for packet in container.demux(video) if packet.size)
        assert decoder.decode(first) == []
        with pytest.raises(av.FFmpegError):
            decoder.decode(second)
        assert fed == [first.size]
    with open_video(clip, limits=Limits(max_pixels=10**6)) as source:
        assert len(list(source)) == 1
        assert source.health.decode_failures == 1


KEPT = [
    ("vp9", None, "b.webm", 2.5),
    ("vp9", None, "b.mkv", 2.5),
    ("ffv1", None, "b.mkv", 0),
    ("prores", None, "b.mov", 0),
    ("prores", "4444", "b.mkv", 0),
]


@pytest.mark.parametrize(("codec", "preset", "name", "allowed"), KEPT)
def test_codecs_that_can_keep_transparency_through_a_whole_run(
    tmp_path: Path, codec: str, preset: str | None, name: str, allowed: float
) -> None:
    clip = make_clear(tmp_path / "a.mkv", "ffv1", "bgra", frames=12, opaque=2)
    report = stylize_video(
        clip,
        tmp_path / name,
        None,
        stylizer=FakeStylizer(),
        codec=codec,
        preset=preset,
        quality=None,
    )
    assert not any("transparen" in note for note in report.notes)
    assert off(alphas(tmp_path / name), alphas(clip)) <= allowed
    with open_video(clip) as one, open_video(tmp_path / name) as other:
        assert [frame.seconds for frame in one] == [frame.seconds for frame in other]
    assert _transparency(clip, tmp_path / name).kept


DROPPED = [
    ("h264", None, "b.mp4", "h264 has none"),
    ("hevc", None, "b.mkv", "hevc has none"),
    ("av1", None, "b.webm", "av1 has none"),
    ("vp9", None, "b.mp4", "mp4 has no place"),
    ("prores", "hq", "b.mov", "only 4444"),
]


@pytest.mark.parametrize(("codec", "preset", "name", "reason"), DROPPED)
def test_transparency_that_cannot_be_kept_is_noted_with_what_could(
    tmp_path: Path, codec: str, preset: str | None, name: str, reason: str
) -> None:
    clip = make_clear(tmp_path / "a.mkv", "ffv1", "bgra", size=(64, 48))
    report = copy(clip, tmp_path / name, EncodeOptions(codec=codec, preset=preset))
    (note,) = report.notes
    assert reason in note
    assert ".webm" in note and "ffv1" in note and "prores" in note
    with open_video(tmp_path / name) as video:
        assert not video.info.alpha
    found = _transparency(clip, tmp_path / name)
    assert (found.kept, found.required) == (False, False)


def test_a_lost_transparency_that_could_have_been_kept_is_found(tmp_path: Path) -> None:
    clip = make_clear(tmp_path / "a.mkv", "ffv1", "bgra")
    for name, codec, pixel_format in [
        ("b.mkv", "ffv1", "bgr0"),
        ("b.webm", "libvpx-vp9", "yuv420p"),
        ("b.mov", "prores_ks", "yuv444p10le"),
    ]:
        make_clip(tmp_path / name, codec=codec, pixel_format=pixel_format, size=SIZE, frames=5)
        found = _transparency(clip, tmp_path / name)
        assert (found.kept, found.required) == (False, True), name


def test_opaque_sources_are_stored_without_transparency(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=2)
    for codec, name in (("vp9", "b.webm"), ("ffv1", "b.mkv"), ("prores", "b.mov")):
        copy(clip, tmp_path / name, EncodeOptions(codec=codec))
        with open_video(tmp_path / name) as video:
            assert not video.info.alpha


def test_bars_beside_a_picture_of_another_size_are_transparent(tmp_path: Path) -> None:
    # A GIF-like stream whose pictures change their size: two PNG sizes in one track.
    path = tmp_path / "a.mov"
    with av.open(f"file:{path}", "w") as output:
        stream = output.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgba"
        for index, size in enumerate([(64, 48), (32, 48)]):
            context = av.CodecContext.create("png", "w")
            context.width, context.height = size
            context.pix_fmt, context.time_base = "rgba", Fraction(1, 25)
            pixels = np.dstack([moving_picture(size, index), np.full(size[::-1], 200, np.uint8)])
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            for packet in [*context.encode(frame), *context.encode(None)]:
                packet.stream = stream
                output.mux(packet)
    first, second = alphas(path)
    assert (first == 200).all()
    assert (second[:, 16:48] == 200).all()
    assert (second[:, :16] == 0).all()
    assert (second[:, 48:] == 0).all()


@pytest.mark.parametrize(
    ("alpha", "error"),
    [
        (np.zeros((48, 63), np.uint8), ValueError),
        (np.zeros((48, 64, 1), np.uint8), ValueError),
        (np.zeros((48, 64), np.float32), TypeError),
    ],
)
def test_wrong_transparency_is_refused(alpha: Alpha, error: type[Exception]) -> None:
    with pytest.raises(error, match="alpha"):
        Frame(moving_picture((64, 48), 0), 0, Fraction(1, 25), None, 0, alpha)


@pytest.mark.assets
@pytest.mark.parametrize(
    ("codec", "name", "allowed"),
    [("vp9", "b.webm", 0.1), ("ffv1", "b.mkv", 0), ("prores", "b.mov", 0)],
)
def test_a_real_transparent_clip_stays_so(
    assets: Path, tmp_path: Path, codec: str, name: str, allowed: float
) -> None:
    clip = assets / "clips" / "transparent.webm"
    options = EncodeOptions(codec=codec, audio="none" if name.endswith("mov") else "copy")
    report = copy(clip, tmp_path / name, options)
    assert not any("transparen" in note for note in report.notes)
    assert off(alphas(tmp_path / name), alphas(clip)) <= allowed
    with open_video(clip) as one, open_video(tmp_path / name) as other:
        assert [frame.seconds for frame in one] == [frame.seconds for frame in other]
    assert _transparency(clip, tmp_path / name).kept


def _transparency(one: Path, other: Path) -> Check:
    (found,) = (c for c in verify_video(one, other).checks if c.name == "transparency")
    return found
