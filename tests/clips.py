"""Clips that tests draw for themselves, and ways to read a clip back that share no code with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
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
