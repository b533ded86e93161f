"""Broken, hostile and odd sources: each ends in frames or in one line, never in a crash."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import pytest
from av.video.stream import VideoStream

from rtstyle.errors import (
    CorruptInput,
    InputError,
    NotAVideo,
    NoVideoStream,
    RtstyleError,
)
from rtstyle.media import (
    EncodeOptions,
    VideoWriter,
    measure_extent,
    open_video,
    verify_video,
    weigh,
)
from rtstyle.types import Frame, Limits, SourceHealth
from tests.clips import make_clip, make_sound, moving_picture, video_pts


def read(path: str | Path, limits: Limits | None = None) -> tuple[list[Frame], SourceHealth]:
    with open_video(path, limits=limits or Limits()) as source:
        return list(source), source.health


def one_line(error: BaseException, name: str) -> bool:
    return name in str(error) and "\n" not in str(error)


def intra_clip(path: Path, frames: int = 20, rate: int = 25) -> Path:
    """A clip whose every packet decodes by itself."""
    return make_clip(path, frames=frames, rate=rate, options={"g": "1", "bf": "0"})


def restamped(clip: Path, output: Path, stamp: Callable[[int], int]) -> Path:
    """The packets of ``clip`` with other times, in 1/25 s after 0.4 s."""
    with av.open(str(clip)) as source, av.open(str(output), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for index, packet in enumerate(packets):
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts, packet.dts = 10 + stamp(index), index
            target.mux(packet)
    return output


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "folder", "under a file", "binary"])
def test_what_is_no_video_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not a video\n" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "under a file":
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "clip.mp4"
    elif kind == "binary":
        path.write_bytes(random.Random(1).randbytes(20_000))
    began = time.process_time()
    with pytest.raises(NotAVideo) as caught:
        open_video(path)
    assert time.process_time() - began < 1
    assert one_line(caught.value, "clip.mp4")
    assert caught.value.exit_code == 3
    if kind == "missing":
        assert "no such file" in str(caught.value)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.99])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_truncated_file_gives_what_is_left(tmp_path: Path, name: str, share: float) -> None:
    whole = make_clip(tmp_path / "whole.mkv", frames=60, options={"g": "10"})
    path = tmp_path / name
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", container_options=options) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    frames, health = read(path)
    assert 60 * share * 0.6 < len(frames) < 60
    assert health.decode_failures <= 2
    assert [f.index for f in frames] == list(range(len(frames)))


def test_a_file_without_its_index_is_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=60)
    data = clip.read_bytes()
    assert data.index(b"moov") > len(data) // 2
    clip.write_bytes(data[: len(data) // 2])
    with pytest.raises(NotAVideo) as caught:
        open_video(clip)
    assert one_line(caught.value, "a.mp4")


def test_undecodable_packets_are_counted_and_leave_their_gap(tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "a.mkv",
        codec="mjpeg",
        pixel_format="yuvj420p",
        frames=20,
    )
    path = tmp_path / "b.mkv"
    broken = {4, 5, 11}
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for index, packet in enumerate(packets):
            if index in broken:
                wrong = cast(
                    "av.Packet[VideoStream]", av.Packet(b"\xff\xd8nothing like a picture" * 4)
                )
                wrong.pts, wrong.dts = packet.pts, packet.dts
                wrong.time_base, wrong.duration = packet.time_base, packet.duration
                packet = wrong
            packet.stream = stream
            target.mux(packet)
    frames, health = read(path)
    assert health.decode_failures == 3
    left = [Fraction(i, 25) for i in range(20) if i not in broken]
    assert [f.seconds for f in frames] == left
    assert [f.index for f in frames] == list(range(17))
    with pytest.raises(CorruptInput, match=r"b\.mkv"):
        read(path, Limits(max_decode_failures=1))
    assert len(read(path, Limits(max_decode_failures=2))[0]) == 17


def test_two_hundred_mutations_end_in_frames_or_one_line(tmp_path: Path) -> None:
    generator = random.Random(2024)
    sources = [
        make_clip(tmp_path / "a.mp4", frames=12, audio=True).read_bytes(),
        make_clip(tmp_path / "b.mkv", frames=12, options={"bf": "2"}).read_bytes(),
        make_clip(tmp_path / "c.mp4", frames=12, codec="mpeg4").read_bytes(),
        make_clip(tmp_path / "d.ts", frames=12).read_bytes(),
    ]
    path = tmp_path / "mutant.mp4"
    decoded = 0
    for round_number in range(200):
        data = bytearray(sources[round_number % 4])
        count = 30 if generator.random() < 0.5 else max(1, len(data) // 100)
        for _ in range(count):
            data[generator.randrange(len(data))] = generator.randrange(256)
        path.write_bytes(data)
        try:
            frames, _ = read(path, Limits(max_pixels=2**20))
        except RtstyleError as error:
            assert isinstance(error, InputError)
            assert "\n" not in str(error)
            continue
        decoded += bool(frames)
        assert all(b.pts > a.pts for a, b in itertools.pairwise(frames))
        assert len({frame.size for frame in frames}) == 1
    assert decoded > 40


def test_a_stream_that_begins_late_costs_no_frame(tmp_path: Path) -> None:
    parts = [
        # Longer than FFmpeg looks for streams, at the beginning and at the end.
        make_clip(tmp_path / "a.ts", frames=400),
        make_clip(tmp_path / "b.ts", frames=20, audio=True, audio_tracks=2),
        make_clip(tmp_path / "c.ts", pts=[1000 + index for index in range(20)]),
    ]
    stuffing = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 2000
    path = tmp_path / "late.ts"
    path.write_bytes(stuffing.join(part.read_bytes() for part in parts))
    with av.open(str(path)) as container:
        assert len(container.streams) == 1
    frames, health = read(path)
    assert len(frames) == 440
    assert health.decode_failures == 0
    # Whether PyAV tells of the late streams hangs on memory that it does not own.
    late = "a stream that begins in the middle of the file was not carried over"
    # The parts begin their clocks anew, the last one much later.
    jumps = [note for note in health.notes if note.startswith("the source's clock jumps (2 times")]
    assert len(jumps) == 1
    assert {*health.notes} - {*jumps} <= {late}
    assert measure_extent(path).frames == 440
    assert weigh(path).pictures == 440


def test_sound_alone_and_a_cover_alone_are_no_video(tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "a.m4a")
    with pytest.raises(NoVideoStream, match=r"a\.m4a.*only sound"):
        open_video(sound)
    path = tmp_path / "b.mp3"
    with av.open(str(path), "w") as target:
        cover = target.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        voice = target.add_stream("mp3", rate=44100)
        still = av.VideoFrame.from_ndarray(moving_picture((16, 16), 0), format="rgb24")
        target.mux(cover.encode(still.reformat(format="yuvj420p")))
        target.mux(cover.encode(None))
        for begin in range(0, 44100, 1152):
            frame = av.AudioFrame(format="s16p", layout="stereo", samples=1152)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate, frame.pts, frame.time_base = 44100, begin, Fraction(1, 44100)
            target.mux(voice.encode(frame))
        target.mux(voice.encode(None))
    with pytest.raises(NoVideoStream, match=r"b\.mp3.*only a cover"):
        open_video(path)


def test_one_frame_is_a_video_and_none_is_not(tmp_path: Path) -> None:
    frames, _ = read(make_clip(tmp_path / "a.mp4", frames=1))
    assert len(frames) == 1
    empty = tmp_path / "b.y4m"
    empty.write_bytes(b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n")
    with pytest.raises(CorruptInput, match=r"b\.y4m"):
        open_video(empty)


def huge_png() -> bytes:
    """A few kilobytes that unpack to 12000x12000 pixels."""
    rows = zlib.compress(bytes((12000 // 8 + 1) * 12000), 9)
    header = struct.pack(">IIBBBBB", 12000, 12000, 1, 0, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_a_huge_picture_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    for name, size in (
        ("a.y4m", "W9000 H9000"),
        ("b.y4m", "W65535 H65535"),
        ("c.y4m", "W16384 H8640"),
    ):
        header = f"YUV4MPEG2 {size} F25:1 C420jpeg\nFRAME\n"
        (tmp_path / name).write_bytes(header.encode() + bytes(1000))
    (tmp_path / "huge.png").write_bytes(huge_png())
    # The header of the file says nothing of what its packets hold.
    clip = make_clip(tmp_path / "small.mov", codec="png", pixel_format="rgb24", frames=1)
    with av.open(str(clip)) as source, av.open(str(tmp_path / "lying.mov"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        packet = cast("av.Packet[VideoStream]", av.Packet(huge_png()))
        packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, 0, 0, True
        packet.time_base = Fraction(1, 25)
        target.mux(packet)
    script = f"""
import resource, sys, time
from pathlib import Path
from rtstyle.errors import InputError
from rtstyle.media import open_video, read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in ("a.y4m", "b.y4m", "c.y4m", "lying.mov", "huge.png"):
    began = time.process_time()
    try:
        (read_image if name.endswith("png") else open_video)(Path({str(tmp_path)!r}, name))
    except InputError as error:
        print(type(error).__name__, error)
    assert time.process_time() - began < 1, name
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    lines = result.stdout.splitlines()
    assert lines[0].startswith("LimitExceeded a.y4m: 9000x9000")
    # FFmpeg itself does not take the second.
    assert lines[1].startswith(("LimitExceeded", "NotAVideo", "NoVideoStream"))
    assert lines[2].startswith("LimitExceeded c.y4m: 16384x8640")
    assert lines[3].startswith("CorruptInput lying.mov")
    assert "67108864 pixels allowed" in lines[3]
    assert lines[4].startswith("LimitExceeded")
    assert "12000x12000" in lines[4]
    assert int(lines[5]) < 200, "MiB"


@pytest.mark.parametrize(
    "stamps",
    [
        [0, 1, 1, 3, 4, 5],
        [0, 1, 2, 1, 4, 5],
        [0, 1, 1, 1, 4, 5],
        [3, 3, 3, 6, 7, 8],
    ],
)
def test_repeated_and_backward_times_are_repaired(tmp_path: Path, stamps: list[int]) -> None:
    clip = make_clip(tmp_path / "a.mkv", codec="mjpeg", pixel_format="yuvj420p", frames=len(stamps))
    path = restamped(clip, tmp_path / "b.mkv", lambda index: stamps[index])
    frames, health = read(path)
    assert len(frames) == len(stamps)
    assert all(b.pts > a.pts for a, b in itertools.pairwise(frames))
    assert health.repaired_timestamps > 0
    for frame, stamp in zip(frames, stamps, strict=True):
        # A frame, and half of one where a repaired one stands before it.
        assert abs(frame.seconds - Fraction(10 + stamp, 25)) <= Fraction(3, 50)


def test_a_wild_time_moves_nothing_else(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", codec="mjpeg", pixel_format="yuvj420p", frames=20)
    path = restamped(clip, tmp_path / "b.mkv", lambda index: 10**6 if index == 8 else index)
    frames, health = read(path)
    assert [frame.seconds for frame in frames] == [Fraction(10 + index, 25) for index in range(20)]
    assert health.repaired_timestamps == 1
    output = tmp_path / "c.mp4"
    with open_video(path) as video, VideoWriter(output, video.info, EncodeOptions()) as writer:
        for frame in video:
            writer.write(frame)
        writer.finish()
    checks = {check.name: check for check in verify_video(path, output).checks}
    assert checks["frames"].kept
    assert checks["times"].kept


def test_frames_hidden_by_an_edit_list_stay_hidden(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", pts=list(range(-5, 5)))
    frames, _ = read(clip)
    assert [f.seconds for f in frames] == video_pts(clip)
    assert len(frames) == 5


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat"])
def test_a_list_of_other_files_opens_none_of_them(tmp_path: Path, suffix: str) -> None:
    clip = make_clip(tmp_path / "secret.mp4")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4"
        for target in (clip.name, str(clip), f"file:{clip}", address):
            lists = (
                f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
                f"ffconcat version 1.0\nfile '{target}'\n",
                f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"
                f"a=control:{target}\n",
            )
            for text in lists:
                path = tmp_path / f"list{suffix}"
                path.write_text(text)
                with pytest.raises(NotAVideo):
                    open_video(path)
        for name in (address, f"concat:{clip}|{clip}", f"subfile,,start,0,end,0,,:{clip}"):
            with pytest.raises(NotAVideo):
                open_video(name)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    "name",
    [
        "with space.mp4",
        "line\nbreak.mp4",
        "ünïcödé 視頻.mp4",
        "-x.mp4",
        "%03d.mp4",
        "a:b|c.mp4",
        "pipe:0.mp4",
    ],
)
def test_names_are_taken_literally(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=3)
    shutil.copy(clip, tmp_path / name)
    assert len(read(tmp_path / name)[0]) == 3
    monkeypatch.chdir(tmp_path)
    assert len(read(name)[0]) == 3
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(NotAVideo) as caught:
        open_video(name)
    assert "\n" not in str(caught.value)


def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero")):
        with pytest.raises(NotAVideo, match="regular file"):
            open_video(path)


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(NotAVideo):
        open_video("a\0b.mp4")


def test_a_file_cut_while_it_is_read_ends_like_a_truncated_one(tmp_path: Path) -> None:
    clip = intra_clip(tmp_path / "a.mkv", frames=200)
    with open_video(clip) as source:
        iterator = iter(source)
        got = [next(iterator)]
        os.truncate(clip, clip.stat().st_size // 2)
        got.extend(iterator)
    assert 20 < len(got) < 200
