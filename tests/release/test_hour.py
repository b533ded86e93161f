"""An hour of film: no frame is lost, and what the process holds does not grow with the film."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import pytest
from av.packet import Packet

from tests.clips import audio_packets, make_clip
from tests.remux import AnyPacket

ROOT = Path(__file__).resolve().parents[2]
RATE = 25
FRAMES = int(os.environ.get("RTSTYLE_FRAMES", 3600 * RATE))
_LOOP = 250
"""Frames that are encoded; the film is those again and again."""
_SETTLED = 500
"""Frames after which nothing may grow any more."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a packet is made of, since a muxer empties those it is given."""

    stream: int
    payload: bytes
    pts: int
    dts: int
    duration: int
    time_base: Fraction
    keyframe: bool

    @classmethod
    def of(cls, packet: AnyPacket) -> Self:
        assert packet.pts is not None
        assert packet.dts is not None
        return cls(
            packet.stream_index,
            bytes(packet),
            packet.pts,
            packet.dts,
            packet.duration or 0,
            packet.time_base,
            packet.is_keyframe,
        )

    def at(self, later: Fraction) -> AnyPacket:
        """A new packet, later by so many seconds."""
        packet: AnyPacket = Packet(self.payload)
        ticks = round(later / self.time_base)
        packet.time_base, packet.duration = self.time_base, self.duration
        packet.pts, packet.dts = self.pts + ticks, self.dts + ticks
        packet.is_keyframe = self.keyframe
        return packet


def long_film(path: Path, folder: Path) -> Path:
    """An hour of a small clip with B-frames and sound, muxed packet for packet."""
    # Sound in whole packets and a loop of the same length, so that both stay together.
    clip = make_clip(
        folder / "loop.mov",
        size=(64, 48),
        frames=_LOOP,
        rate=RATE,
        options={"g": "50", "bf": "2", "flags": "+cgop"},
        audio=True,
        audio_codec="pcm_s16le",
        audio_seconds=_LOOP / RATE,
    )
    with av.open(str(clip)) as loop, av.open(str(path), "w") as film:
        made = {s.index: film.add_stream_from_template(s, opaque=True) for s in loop.streams}
        once = [Stored.of(packet) for packet in loop.demux() if packet.size]
        for number in range(-(-FRAMES // _LOOP)):
            for stored in once:
                packet = stored.at(number * Fraction(_LOOP, RATE))
                packet.stream = made[stored.stream]
                film.mux_one(packet)
    return path


def picture_times(path: Path) -> list[Fraction]:
    """Seconds of every picture as stored, in order."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sorted(
            packet.pts * packet.time_base
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None
        )


# The muxer of mp4 holds where each packet lies until it writes the index.
@pytest.mark.parametrize(("name", "bytes_a_packet"), [("out.mkv", 0), ("out.mp4", 128)])
def test_an_hour_is_converted_whole_in_constant_memory(
    tmp_path: Path, name: str, bytes_a_packet: int
) -> None:
    source = long_film(tmp_path / "hour.mkv", tmp_path)
    output = tmp_path / name
    done = subprocess.run(
        [sys.executable, "-m", "tests.release.long_run", str(source), str(output)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    samples = found["samples"]
    settled = next(resident for frames, resident, _ in samples if frames >= _SETTLED)
    most = max(resident for _, resident, _ in samples)
    growth = most / settled - 1
    sys.stderr.write(
        f"{FRAMES} frames into {name} in {found['seconds']:.0f} s: {settled / 2**20:.1f} MiB after "
        f"{_SETTLED} frames, {most / 2**20:.1f} MiB at most ({growth:+.1%}), "
        f"{max(files for *_, files in samples)} files open at most\n"
    )
    assert (found["frames_in"], found["frames_out"], found["loss"]) == (FRAMES, FRAMES, False)
    before, after = picture_times(source), picture_times(output)
    tick = Fraction(1, 1000)
    assert len(after) == len(before) == FRAMES
    assert all(abs(one - other) <= tick for one, other in zip(before, after, strict=True))
    sound, kept = audio_packets(source)[0], audio_packets(output)[0]
    assert b"".join(bytes.fromhex(d) for d, _ in kept) == b"".join(
        bytes.fromhex(d) for d, _ in sound
    )
    # One more or less while a segment is closed and the next begun, but never more and more.
    half = len(samples) // 2
    assert max(files for *_, files in samples[half:]) <= max(files for *_, files in samples[:half])
    allowed = 0.05 * settled + bytes_a_packet * (FRAMES + len(kept))
    assert most - settled < allowed, f"memory grew by {growth:.1%}"
