"""Clocks that start anew, jump or wrap in the middle of a file, and packets closer than a tick."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import pytest
from av.stream import Stream
from click.testing import CliRunner, Result

from rtstyle.backends import FakeStylizer
from rtstyle.cli.main import main
from rtstyle.media import clock
from rtstyle.media.scan import Found, Scan
from rtstyle.pipeline import Progress, stylize_video
from tests.clips import Titles, audio_packets, make_clip, make_film, subtitle_packets, video_pts
from tests.remux import AnyPacket, later, remux

FRAMES = 50
LENGTH = Fraction(2)
HOURS = Fraction(36000)
WRAP = Fraction(2**33, 90000)
SOUND_TAG, SCRIPT = 8, 18
CLOSE = Fraction(1, 500)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["video", *map(str, arguments), "--strength", "0"])


def verified(source: Path, output: Path) -> bool:
    return CliRunner().invoke(main, ["verify", str(source), str(output)]).exit_code == 0


def shifted(source: Path, path: Path, seconds: Fraction) -> Path:
    return remux(source, path, edit=lambda packet, _: later(packet, seconds))


def tail_of_flv(data: bytes, seconds: int) -> bytes:
    """The tags of an FLV, less its header, that many seconds later."""
    changed = bytearray(data)
    place = 13
    while place + 11 <= len(changed):
        if changed[place] != SCRIPT:
            time = int.from_bytes(changed[place + 4 : place + 7], "big") + 1000 * seconds
            changed[place + 4 : place + 7] = (time & 0xFFFFFF).to_bytes(3, "big")
            changed[place + 7] = time >> 24
        place += 15 + int.from_bytes(changed[place + 1 : place + 4], "big")
    return bytes(changed[13:])


def clip_of(path: Path) -> Path:
    if path.suffix == ".vob":
        return make_clip(
            path, frames=FRAMES, audio=True, codec="mpeg2video", audio_codec="mp2", container="vob"
        )
    container = "flv" if path.suffix == ".flv" else None
    return make_clip(path, frames=FRAMES, audio=True, container=container)


def joined(tmp_path: Path, name: str, *offsets: Fraction) -> Path:
    """A recording put together with ``cat`` from as many as there are offsets of their clocks."""
    path = tmp_path / name
    first = clip_of(tmp_path / f"first{path.suffix}")
    parts = []
    for number, offset in enumerate(offsets):
        if path.suffix == ".flv":
            data = first.read_bytes()
            parts.append((data[:13] if not number else b"") + tail_of_flv(data, int(offset)))
        elif offset:
            part = shifted(first, tmp_path / f"part{number}{path.suffix}", offset)
            parts.append(part.read_bytes())
        else:
            parts.append(first.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


def in_step(source: Path, output: Path, parts: int) -> None:
    """Whether every part of the output is the source's one, with its sound as far from its pictures
    as it was, and lies behind the one before it."""
    was_seen, was_heard = video_pts(source), [time for _, time in audio_packets(source)[0]]
    seen, heard = video_pts(output), [time for _, time in audio_packets(output)[0]]
    assert len(seen) == parts * FRAMES == len(was_seen)
    # Whether they are the same is what ``verify`` tells; broadcasts put headers before them.
    assert len(heard) == len(was_heard)
    assert all(one <= other for one, other in pairwise(heard))
    assert all(one < other for one, other in pairwise(seen))
    sounds = len(heard) // parts
    for part in range(parts):
        pictures = slice(part * FRAMES, (part + 1) * FRAMES)
        moved = [new - old for new, old in zip(seen[pictures], was_seen[pictures], strict=True)]
        assert max(moved) - min(moved) <= CLOSE
        along = slice(part * sounds, (part + 1) * sounds)
        apart = [new - old for new, old in zip(heard[along], was_heard[along], strict=True)]
        assert max(apart) - min(apart) <= CLOSE
        assert abs(apart[0] - moved[0]) <= CLOSE
    # Nothing but what sound of a part runs over its pictures lies between two.
    assert seen[-1] - seen[0] < parts * (LENGTH + Fraction(1, 10))
    assert max(other - one for one, other in pairwise(seen)) < Fraction(1, 5)


@pytest.mark.parametrize("target", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize(
    ("name", "offsets"),
    [
        ("twice.ts", (0, 0)),
        ("three.ts", (0, 0, 0)),
        ("ahead.ts", (0, HOURS)),
        ("behind.ts", (HOURS, 0)),
        ("between.ts", (0, 500, 0)),
        ("twice.mkv", (0, 0)),
        ("twice.flv", (0, 0)),
        ("twice.vob", (0, 0)),
        ("behind.flv", (5000, 0)),
    ],
)
def test_a_clock_that_starts_anew_is_mended_for_all_alike(
    tmp_path: Path, name: str, offsets: tuple[int | Fraction, ...], target: str
) -> None:
    source = joined(tmp_path, name, *map(Fraction, offsets))
    output = tmp_path / f"out{target}"
    result = run(source, "-o", output)
    assert result.exit_code == 0, result.output
    assert "note: the source's clock jumps (" in result.output
    in_step(source, output, len(offsets))
    assert verified(source, output)


@pytest.mark.parametrize("audio", ["copy", "aac"])
@pytest.mark.parametrize("name", ["twice.ts", "twice.mkv", "twice.flv"])
def test_a_range_counts_on_the_mended_clock(tmp_path: Path, name: str, audio: str) -> None:
    source = joined(tmp_path, name, Fraction(0), Fraction(0))
    for start, end, least, most in ((2.5, None, 37, 39), (1.5, 2.5, 23, 25), (None, 3.0, 74, 75)):
        output = tmp_path / "out.mkv"
        given = [*(("--start", start) if start else ()), *(("--end", end) if end else ())]
        result = run(source, "-o", output, "--overwrite", "--audio", audio, *given)
        assert result.exit_code == 0, result.output
        seen, heard = video_pts(output), [time for _, time in audio_packets(output)[0]]
        assert least <= len(seen) <= most
        assert abs((heard[-1] - heard[0]) - (seen[-1] - seen[0])) < Fraction(1, 10)
        assert abs(heard[0] - seen[0]) < Fraction(1, 20)


def test_a_real_wrap_of_a_broadcast_is_no_jump(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.ts")
    source = shifted(clip, tmp_path / "wrap.ts", WRAP - 2)
    result = run(source, "-o", tmp_path / "out.mkv")
    assert result.exit_code == 0, result.output
    assert "jumps" not in result.output
    in_step(source, tmp_path / "out.mkv", 1)
    assert verified(source, tmp_path / "out.mkv")


@pytest.mark.parametrize("target", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts"])
def test_a_film_cut_out_of_a_broadcast_begins_at_zero(
    tmp_path: Path, suffix: str, target: str
) -> None:
    source = shifted(clip_of(tmp_path / "a.mp4"), tmp_path / f"in{suffix}", HOURS)
    output = tmp_path / f"out{target}"
    result = run(source, "-o", output)
    assert result.exit_code == 0, result.output
    assert "earlier than in the source, so that the output begins at zero" in result.output
    assert video_pts(output)[0] < Fraction(1, 10)
    in_step(source, output, 1)
    assert verified(source, output)
    result = run(source, "-o", output, "--start", 1, "--overwrite")
    assert result.exit_code == 0, result.output
    assert len(video_pts(output)) == FRAMES // 2


def test_a_sound_that_begins_soon_after_zero_stays_there(tmp_path: Path) -> None:
    source = shifted(clip_of(tmp_path / "a.mp4"), tmp_path / "in.mkv", Fraction(3))
    assert run(source, "-o", tmp_path / "out.mkv").exit_code == 0
    assert video_pts(tmp_path / "out.mkv") == video_pts(source)


@pytest.mark.parametrize("target", [".mkv", ".mp4", ".mov"])
def test_packets_of_one_time_keep_it(tmp_path: Path, target: str) -> None:
    """As TrueHD in Matroska: several packets in a millisecond, for as long as the film is."""

    def crowd(packet: AnyPacket, number: int) -> AnyPacket:
        if packet.stream.type == "audio":
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = 5 * number // 6
            packet.duration = 0
        return packet

    clip = make_clip(tmp_path / "a.mp4", frames=10, audio=True, audio_seconds=4.0)
    source = remux(clip, tmp_path / "in.mkv", edit=crowd)
    before = audio_packets(source)[0]
    assert len({time for _, time in before}) < len(before) - 20
    output = tmp_path / f"out{target}"
    result = run(source, "-o", output)
    assert result.exit_code == 0, result.output
    assert "wrong timestamps" not in result.output
    after = audio_packets(output)[0]
    assert [digest for digest, _ in after] == [digest for digest, _ in before]
    late = [new - old for (_, new), (_, old) in zip(after, before, strict=True)]
    assert max(late) - min(late) < Fraction(1, 1000)
    assert verified(source, output)


def test_subtitles_move_with_the_pictures(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.mkv")
    titles = [Titles("subrip", ((200, 500, "One"), (1200, 400, "Two")), "eng")]
    part = make_film(tmp_path / "part.mkv", clip, titles=titles)
    source = tmp_path / "twice.mkv"
    source.write_bytes(part.read_bytes() * 2)
    result = run(source, "-o", tmp_path / "out.mkv")
    assert result.exit_code == 0, result.output
    begins = [time for _, time, _ in subtitle_packets(tmp_path / "out.mkv")[0]]
    seen = video_pts(tmp_path / "out.mkv")
    first, second = video_pts(clip)[0] - seen[0], seen[FRAMES] - seen[0]
    wanted = [Fraction(n, 10) for n in (2, 12)]
    assert len(begins) == 4
    for begun, want in zip(begins, [*wanted, *(time + second for time in wanted)], strict=True):
        assert abs(begun - want + first) <= CLOSE
    assert verified(source, tmp_path / "out.mkv")


def test_a_run_that_was_ended_goes_on_over_a_jump(tmp_path: Path) -> None:
    source = joined(tmp_path, "twice.ts", Fraction(0), Fraction(0))
    options: dict[str, Any] = {"segment_frames": 8, "strength": 0.0}

    class Ended(BaseException):
        pass

    def end(at: int) -> Callable[[Progress], None]:
        def told(progress: Progress) -> None:
            if progress.frames_done >= at:
                raise Ended

        return told

    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    with FakeStylizer() as stylizer:
        stylize_video(source, whole, None, stylizer=stylizer, **options)
        for at in (30, 70):
            with pytest.raises(Ended):
                stylize_video(
                    source,
                    output,
                    None,
                    stylizer=stylizer,
                    progress=end(at),
                    resume=at == 70,
                    **options,
                )
        report = stylize_video(source, output, None, stylizer=stylizer, resume=True, **options)
    assert any("were taken over" in note for note in report.notes)
    assert output.read_bytes() == whole.read_bytes()


SOUND = cast(Stream, SimpleNamespace(index=1, type="audio", time_base=Fraction(1, 1000)))
OTHER = cast(Stream, SimpleNamespace(index=2, type="audio", time_base=Fraction(1, 1000)))


def scanned(
    *packets: tuple[int, int], leaps: bool = True, streams: tuple[Stream, ...] = (SOUND, OTHER)
) -> Found:
    """``packets``: stream and milliseconds of each, one byte of a file after the other."""
    scan = Scan(streams, leaps=leaps)
    for place, (index, at) in enumerate(packets):
        packet = SimpleNamespace(stream_index=index, dts=at, pts=at, pos=place, duration=100)
        scan.take(cast(Any, packet))
    return scan.finish()


def both(*times: int) -> list[tuple[int, int]]:
    return [(index, at) for at in times for index in (1, 2)]


def offsets_of(found: Found, index: int) -> list[tuple[int, int]]:
    return [(j.place, round(1000 * j.offset)) for j in found.joints.get(index, ())]


def test_all_streams_move_alike_whoever_jumps_first() -> None:
    # The second stream's last packet before the jump lies behind the first's one after it.
    found = scanned(*both(0, 500), (1, 1000), (1, 0), (2, 1000), (1, 500), (2, 0), (2, 500))
    assert offsets_of(found, 1) == [(5, 1100)]
    assert offsets_of(found, 2) == [(8, 1100)]


def test_what_ends_last_before_a_jump_is_heard_to_its_end() -> None:
    found = scanned(*both(0, 500, 1000), (2, 1500), *both(0, 500))
    assert [*offsets_of(found, 1), *offsets_of(found, 2)] == [(7, 1600), (8, 1600)]


def test_a_stream_that_goes_on_shows_that_no_clock_has_jumped() -> None:
    times = [(1, at) for at in range(0, 60_000, 500)]
    found = scanned((2, 0), *times[:90], (2, 45_000), *times[90:])
    assert found.joints == {}
    assert found.notes == ()


def test_a_broadcast_leaps_ahead_and_a_film_pauses() -> None:
    gap = both(0, 500, 3_600_000, 3_600_500)
    assert offsets_of(scanned(*gap), 1) == [(4, -3_599_400)]
    paused = scanned(*gap, leaps=False)
    assert paused.joints == {}
    assert "between 0.500 s and 3600.000 s" in paused.notes[0]
    # Nobody waits for a day, but a picture alone may stand for as long.
    day = both(0, 500, 86_400_000, 86_400_500)
    assert offsets_of(scanned(*day, leaps=False), 1) == [(4, -86_399_400)]
    alone = [(1, at) for _, at in day[::2]]
    assert scanned(*alone, leaps=False, streams=(SOUND,)).joints == {}


@pytest.mark.parametrize("astray", [5000, 86_400_000, -3000])
def test_a_stray_moves_no_other(astray: int) -> None:
    packets = both(*range(10_000, 14_000, 100))
    packets[40] = (1, 12_000 + astray)
    found = scanned(*packets)
    assert offsets_of(found, 1) == [(40, -astray), (42, 0)]
    assert offsets_of(found, 2) == []
    assert found.strays[1] == 1
    assert found.notes == ("1 sound packet(s) had a time far off all others and were put in line",)


def test_what_was_put_in_between_leaves_the_rest_in_its_place() -> None:
    film, inserted = both(*range(0, 20_000, 100)), both(*range(500_000, 505_000, 100))
    goes_on = both(*range(25_000, 30_000, 100))
    found = scanned(*film, *inserted, *goes_on)
    assert [offset for _, offset in offsets_of(found, 1)] == [-480_000, 0]
    assert found.strays == {1: 0, 2: 0}
    assert len(found.notes) == 1


def test_any_number_of_short_parts_follow_each_other() -> None:
    found = scanned(*[packet for _ in range(6) for packet in both(0, 100, 200, 300, 400)])
    assert [offset for _, offset in offsets_of(found, 1)] == [500, 1000, 1500, 2000, 2500]
    assert "5 times" in found.notes[0]


def test_files_whose_times_cannot_jump_are_not_read_through(tmp_path: Path) -> None:
    with av.open(f"file:{clip_of(tmp_path / 'a.mp4')}") as container:
        assert clock.clock_of(container) == clock.Clock()
        assert clock.can_seek(container)


@pytest.mark.parametrize("astray", [20, -1])
def test_one_sound_packet_astray_costs_no_other_its_time(tmp_path: Path, astray: int) -> None:
    clip, source = clip_of(tmp_path / "a.flv"), tmp_path / "in.flv"
    data = bytearray(clip.read_bytes())
    place, sounds = 13, 0
    while sounds < 60:
        place += 15 + int.from_bytes(data[place + 1 : place + 4], "big")
        sounds += data[place] == SOUND_TAG
    time = int.from_bytes(data[place + 4 : place + 7], "big") + 1000 * astray
    data[place + 4 : place + 7] = time.to_bytes(3, "big")
    source.write_bytes(data)
    output = tmp_path / "out.mkv"
    result = run(source, "-o", output)
    assert result.exit_code == 0, result.output
    assert "1 sound packet(s) had a time far off all others and were put in line" in result.output
    wanted, after = audio_packets(clip)[0], audio_packets(output)[0]
    assert [digest for digest, _ in after] == [digest for digest, _ in wanted]
    late = [new - old for (_, new), (_, old) in zip(after, wanted, strict=True)]
    assert max(late) - min(late) <= CLOSE
    assert verified(source, output)
