"""Clips that tests draw for themselves, and ways to read a clip back that share no code with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from rtstyle.types import Pixels


def moving_picture(size: tuple[int, int], index: int) -> Pixels:
    """A smooth gradient with a bright square that moves: uint8 ``(H, W, 3)``, no two alike."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = 40 + 120 * x // max(width - 1, 1)
    picture[..., 1] = 60 + 100 * y // max(height - 1, 1)
    picture[..., 2] = (90 + 9 * index) % 200
    side = max(2, min(width, height) // 4)
    left = (index * max(1, side // 4)) % max(1, width - side)
    top = (index * max(1, side // 6)) % max(1, height - side)
    picture[top : top + side, left : left + side] = (230, 200, 40)
    return picture


def tone(seconds: float, *, rate: int = 48000, frequency: float = 440.0) -> npt.NDArray[np.float32]:
    """A quiet sine, float32 ``(samples,)``."""
    time = np.arange(round(seconds * rate), dtype=np.float64) / rate
    return (0.25 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def sweep(seconds: float, *, rate: int = 48000, start: float = 300.0) -> npt.NDArray[np.float32]:
    """A quiet tone that rises by 300 Hz a second, so that every moment sounds different."""
    time = np.arange(round(seconds * rate), dtype=np.float64) / rate
    return (0.25 * np.sin(2 * np.pi * (start * time + 150.0 * time**2))).astype(np.float32)


def _add_sound(
    container: OutputContainer, codec: str, rate: int, language: str | None
) -> AudioStream:
    stream = cast(AudioStream, container.add_stream(codec, rate=rate))
    stream.codec_context.layout = "mono"
    if language is not None:
        stream.metadata["language"] = language
    return stream


def _mux_sound(
    container: OutputContainer, stream: AudioStream, samples: npt.NDArray[np.float32], start: float
) -> None:
    rate = stream.codec_context.sample_rate
    step = 1024
    for begin in range(0, len(samples), step):
        frame = av.AudioFrame.from_ndarray(
            samples[None, begin : begin + step], format="fltp", layout="mono"
        )
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        frame.pts = round(start * rate) + begin
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def make_clip(
    path: Path,
    *,
    size: tuple[int, int] = (64, 48),
    frames: int = 12,
    rate: int | Fraction = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    audio: bool = False,
    audio_tracks: int = 1,
    audio_codec: str = "aac",
    audio_seconds: float | None = None,
    audio_start: float = 0.0,
    languages: Sequence[str | None] = ("eng", "deu"),
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    pixel_aspect: Fraction | None = None,
    colour: tuple[int, int, int, int] | None = None,
    options: dict[str, str] | None = None,
    container: str | None = None,
    pictures: Sequence[Pixels] | None = None,
) -> Path:
    """Draw a clip and return ``path``.

    ``rate`` frames a second, or ``pts`` in ``time_base``. ``rotation``: degrees clockwise a player
    must turn the picture. ``colour``: matrix, primaries, transfer and range as FFmpeg counts them
    (range 1 limited, 2 full). ``options`` go to the video encoder, ``container`` names the muxer.
    """
    rate = Fraction(rate)
    time_base = time_base or 1 / rate
    stamps = list(pts) if pts is not None else list(range(frames))
    with av.open(f"file:{path}", "w", format=container or _muxer(path)) as output:
        settings = {"preset": "ultrafast", "crf": "12"} if codec.startswith("libx26") else {}
        video = cast(VideoStream, output.add_stream(codec, rate=rate, options=settings))
        video.width, video.height = size
        video.pix_fmt = pixel_format
        video.codec_context.time_base = time_base
        video.options = {**settings, **(options or {})}
        if pixel_aspect is not None:
            video.codec_context.sample_aspect_ratio = pixel_aspect
        if colour is not None:
            context = video.codec_context
            context.colorspace, context.color_primaries, context.color_trc, context.color_range = (
                colour
            )
        if rotation:
            video.set_display_rotation(-rotation)
        sounds = [
            _add_sound(output, audio_codec, 48000, languages[i] if i < len(languages) else None)
            for i in range(audio_tracks if audio else 0)
        ]
        for index, stamp in enumerate(stamps):
            picture = pictures[index] if pictures is not None else moving_picture(size, index)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if colour is not None:
                frame.colorspace, frame.color_range = colour[0], 2
            frame = frame.reformat(
                format=pixel_format,
                dst_colorspace=colour[0] if colour else None,
                src_color_range=2,
                dst_color_range=colour[3] if colour and colour[3] else 1,
            )
            frame.pts, frame.time_base = stamp, time_base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        last = float(time_base * (stamps[-1] + 1)) if stamps else 0.0
        for index, sound in enumerate(sounds):
            seconds = audio_seconds if audio_seconds is not None else max(last, 0.1)
            samples = sweep(seconds, start=300.0 * (index + 1))
            _mux_sound(output, sound, samples, audio_start)
    return path


def _muxer(path: Path) -> str:
    known = {
        ".mp4": "mp4",
        ".m4v": "mp4",
        ".mov": "mov",
        ".mkv": "matroska",
        ".webm": "webm",
        ".avi": "avi",
        ".ts": "mpegts",
        ".h264": "h264",
    }
    return known[path.suffix]


def make_sound(path: Path, *, seconds: float = 0.3, codec: str = "aac") -> Path:
    """A file with sound and no picture."""
    with av.open(f"file:{path}", "w") as output:
        stream = _add_sound(output, codec, 48000, None)
        _mux_sound(output, stream, tone(seconds), 0.0)
    return path


def read_frames(path: Path) -> list[Pixels]:
    """Every picture as stored (rotation not applied), uint8 ``(H, W, 3)`` RGB."""
    with av.open(f"file:{path}") as container:
        return [
            cast(Pixels, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)
        ]


def video_pts(path: Path) -> list[Fraction]:
    """Presentation time of every decoded picture, in seconds, in the decoder's order."""
    with av.open(f"file:{path}") as container:
        times: list[Fraction] = []
        for frame in container.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            times.append(frame.pts * frame.time_base)
        return times


def audio_packets(path: Path) -> list[list[tuple[str, Fraction]]]:
    """For every audio stream its packets: SHA-256 of the payload, and seconds."""
    with av.open(f"file:{path}") as container:
        streams = list(container.streams.audio)
        packets: dict[int, list[tuple[str, Fraction]]] = {s.index: [] for s in streams}
        for packet in container.demux(*streams) if streams else ():
            if packet.size and packet.pts is not None:
                digest = hashlib.sha256(bytes(packet)).hexdigest()
                packets[packet.stream_index].append((digest, packet.pts * packet.time_base))
        return list(packets.values())


@dataclass(frozen=True)
class Titles:
    """A subtitle stream: its events are ``(start, duration, text)`` in milliseconds."""

    codec: str
    events: Sequence[tuple[int, int, str]]
    language: str | None = None
    title: str | None = None
    marks: Disposition | None = None

    @property
    def packets(self) -> list[tuple[int, int, bytes]]:
        """Start, duration and payload as the codec stores them."""
        found = []
        for index, (start, duration, text) in enumerate(self.events):
            payload = text.encode()
            if self.codec == "mov_text":
                payload = len(payload).to_bytes(2, "big") + payload
            if self.codec == "ass":
                payload = f"{index},0,Default,,0,0,0,,{text}".encode()
            if self.codec == "hdmv_pgs_subtitle":
                # What a picture is composed of, as wide as the text says, and the end of it.
                composed = payload[:2].rjust(2, b"\0") + bytes([0, 48, 16, 0, index, 0x80, 0, 0, 0])
                payload = b"\x16" + len(composed).to_bytes(2, "big") + composed + b"\x80\0\0"
            found.append((start, duration, payload))
        return found


def make_film(
    path: Path,
    source: Path,
    *,
    titles: Sequence[Titles] = (),
    chapters: Sequence[tuple[float, float, str]] = (),
    tags: dict[str, str] | None = None,
    fonts: Sequence[tuple[str, bytes]] = (),
    cover: bytes | None = None,
    picture: dict[str, str] | None = None,
    dispositions: Sequence[Disposition] = (),
) -> Path:
    """Remux ``source`` with more beside it, and return ``path``.

    ``cover`` is a PNG file; ``picture`` holds tags of the picture stream; ``dispositions`` are
    those of the source's streams in their order; chapters are ``(start, end, title)`` in seconds.
    """
    with av.open(f"file:{source}") as old, av.open(f"file:{path}", "w") as new:
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for stream in old.streams:
            copies[stream.index].metadata.update(stream.metadata)
        for copy, disposition in zip(copies.values(), dispositions, strict=False):
            copy.disposition = disposition
        copies[0].metadata.update(picture or {})
        new.metadata.update(tags or {})
        others = [_add_titles(new, one) for one in titles]
        for name, data in fonts:
            new.add_attachment(name, "font/ttf", data)
        packets: list[tuple[float, Packet[Any]]] = []
        if cover is not None:
            packets += _add_cover(new, cover)
        for packet in old.demux():
            if packet.size and packet.dts is not None:
                time = float(packet.dts * packet.time_base)
                packet.stream = copies[packet.stream_index]
                packets.append((time, packet))
        for one, stream in zip(titles, others, strict=True):
            for start, duration, payload in one.packets:
                extra: Packet[Any] = Packet(payload)
                extra.stream, extra.time_base = stream, Fraction(1, 1000)
                extra.pts = extra.dts = start
                extra.duration = duration
                extra.is_keyframe = True
                packets.append((start / 1000, extra))
        for _, packet in sorted(packets, key=lambda pair: pair[0]):
            new.mux_one(packet)
        new.set_chapters(
            [
                {
                    "id": number,
                    "start": round(1000 * start),
                    "end": round(1000 * end),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": title},
                }
                for number, (start, end, title) in enumerate(chapters, 1)
            ]
        )
    return path


def _add_titles(container: OutputContainer, titles: Titles) -> Stream:
    # As ffmpeg writes mp4 files; their muxer compares ticks of these streams with those of others.
    tick = Fraction(1, 1_000_000 if titles.codec == "mov_text" else 1000)
    stream = container.add_mux_stream(titles.codec, time_base=tick)
    stream.disposition = titles.marks or Disposition(0)
    if titles.language is not None:
        stream.metadata["language"] = titles.language
    if titles.title is not None:
        stream.metadata["title"] = titles.title
    return stream


def _add_cover(container: OutputContainer, cover: bytes) -> list[tuple[float, Packet[Any]]]:
    if container.format.name == "matroska":
        container.add_attachment("cover.png", "image/png", cover)
        return []
    stream = container.add_mux_stream("png", width=8, height=8)
    stream.disposition = Disposition.attached_pic
    packet: Packet[Any] = Packet(cover)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = 0
    packet.is_keyframe = True
    return [(-1e9, packet)]


def png_picture() -> bytes:
    """A tiny PNG file."""
    ok, data = cv2.imencode(".png", moving_picture((8, 8), 3))
    assert ok
    return data.tobytes()


def subtitle_packets(path: Path) -> list[list[tuple[bytes, Fraction, Fraction]]]:
    """For every subtitle stream its packets: payload, start and duration in seconds."""
    with av.open(f"file:{path}") as container:
        streams = list(container.streams.subtitles)
        packets: dict[int, list[tuple[bytes, Fraction, Fraction]]] = {s.index: [] for s in streams}
        for packet in container.demux(*streams) if streams else ():
            if packet.size and packet.pts is not None:
                tick = packet.time_base
                packets[packet.stream_index].append(
                    (bytes(packet), packet.pts * tick, (packet.duration or 0) * tick)
                )
        return list(packets.values())


def chapters_of(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    """Start and end in seconds, and the title."""
    with av.open(f"file:{path}") as container:
        return [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
            for c in container.chapters()
            if c["time_base"] is not None
        ]
