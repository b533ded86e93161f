"""Capture, loop and sinks with cameras that are played by the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import BackendError, CameraBusy, CameraError, CameraLost, OutputError
from rtstyle.live import Capture, Live, Mixer, Recorder, record_to
from rtstyle.live.virtual import VirtualCamera, open_virtual_camera, virtual_camera_steps
from rtstyle.media import CAPTURE_CLOCK, open_camera
from rtstyle.types import Frame, Pixels, SinkReport, Size
from tests.cameras import (
    SIZE,
    WAIT,
    Desk,
    Eye,
    ScriptedCamera,
    ScriptedDisplay,
    number_of,
    numbered,
    until,
)
from tests.clips import make_clip


@pytest.fixture
def mixer() -> Iterator[Mixer]:
    with Mixer([FakeStylizer()]) as one:
        assert one.wait_ready(SIZE, WAIT)
        yield one


def test_every_shown_picture_is_the_newest_however_slow_the_net(mixer: Mixer) -> None:
    desk = Desk()
    late: list[int] = []
    stop = threading.Event()
    slow = FakeStylizer(replace(FakeStylizer().spec, name="slow"), delay=0.05)

    def look(frame: Frame) -> None:
        if len(eye.seen) >= 15:
            stop.set()

    class Watching(FakeStylizer):
        def __call__(self, batch: Pixels) -> Pixels:
            late.append(capture.captured - number_of(batch[0]))
            return slow(batch)

    eye = Eye(look)
    with Capture(desk.open) as capture, Mixer([Watching()]) as watched:
        report = Live(capture, watched, [eye]).run(stop)
    assert report.shown == len(eye.seen) >= 15
    # The net is ten times slower than the camera, and is still never given an old picture.
    assert sorted(late)[len(late) // 2] <= 1
    assert report.dropped > report.shown
    assert report.captured - report.shown - report.dropped - report.skipped in (0, 1)
    assert eye.seen == sorted(eye.seen)
    assert report.net_p50_ms >= 50
    assert report.delay_p50_ms >= report.net_p50_ms * 0.9


@pytest.mark.parametrize("way", ["error", "hang", "repeat"])
def test_a_lost_camera_is_noticed_and_found_again(way: str) -> None:
    desk = Desk()
    with Capture(desk.open, stall_seconds=0.3, backoff=(0.02, 0.1)) as capture:
        until(lambda: capture.captured > 5)
        desk.unplug(way)
        until(lambda: capture.state == "lost")
        assert capture.losses == 1
        desk.plug()
        before = capture.captured
        until(lambda: capture.captured > before + 5)
        assert capture.state == "running"
        assert capture.reconnects == 1
    until(lambda: desk.open_now == 0)


def test_a_scene_that_stands_still_is_opened_anew_once_and_then_believed() -> None:
    desk = Desk()
    with Capture(desk.open, stall_seconds=0.15, backoff=(0.01, 0.02)) as capture:
        until(lambda: capture.captured > 2)
        desk.limit, desk.plugged, desk.way = None, False, "repeat"
        desk_open = desk.open

        def reopen(stop: threading.Event) -> ScriptedCamera:
            desk.openings += 1
            return ScriptedCamera(desk)

        capture.open = reopen
        until(lambda: desk.openings >= 2)
        before = capture.captured
        until(lambda: capture.captured > before + 150)
        assert desk.openings <= 3
        assert capture.state == "running"
        del desk_open


def test_drivers_that_hang_for_ever_do_not_pile_up_threads() -> None:
    desk = Desk()

    def open_(stop: threading.Event) -> ScriptedCamera:
        desk.openings += 1
        return ScriptedCamera(desk)

    with Capture(open_, stall_seconds=0.05, open_seconds=0.05, backoff=(0.001, 0.002)) as capture:
        until(lambda: capture.captured > 2)
        desk.unplug("hang")
        until(lambda: desk.openings == 3)
        time.sleep(0.5)
        assert desk.openings == 3
        assert sum(t.name == "rtstyle-camera" for t in threading.enumerate()) == 3
        desk.plug()
        until(lambda: capture.reconnects == 1)


def test_a_camera_that_is_not_there_is_told_at_once(mixer: Mixer) -> None:
    def busy(stop: threading.Event) -> ScriptedCamera:
        raise CameraBusy("camera 0 does not open: another program may hold it")

    with Capture(busy) as capture, pytest.raises(CameraBusy, match="another program"):
        Live(capture, mixer, [Eye()]).run(threading.Event())


def test_another_size_after_a_reconnect_goes_on(mixer: Mixer) -> None:
    desk, stop = Desk(), threading.Event()
    sizes: list[Size] = []

    def look(frame: Frame) -> None:
        sizes.append(frame.size)
        if len(sizes) == 5:
            desk.size = Size(16, 12)
            desk.unplug("error")
            desk.plug()
        if len(sizes) == 15:
            stop.set()

    with Capture(desk.open, backoff=(0.01, 0.02)) as capture:
        Live(capture, mixer, [Eye(look)]).run(stop)
    assert sizes[0] == SIZE
    assert sizes[-1] == Size(16, 12)


def test_an_error_of_the_style_ends_the_run_and_keeps_what_was_recorded() -> None:
    with (
        Mixer([FakeStylizer(fail_at=4)]) as mixer,
        Capture(Desk().open) as capture,
        pytest.raises(BackendError, match="as asked"),
    ):
        eye = Eye()
        Live(capture, mixer, [eye]).run(threading.Event())
    assert eye.finished
    assert len(eye.seen) == 3


def test_an_error_of_the_sink_reaches_the_caller(mixer: Mixer) -> None:
    def fail(frame: Frame) -> None:
        raise OutputError("no room")

    with Capture(Desk().open) as capture, pytest.raises(OutputError, match="no room"):
        Live(capture, mixer, [Eye(fail)]).run(threading.Event())


def test_keys_do_what_they_say(tmp_path: Path) -> None:
    names = ("one", "two")
    styles = [FakeStylizer(replace(FakeStylizer().spec, name=name)) for name in names]
    keys = ["next", "weaker", "colour", "split", "mix", "overlay", "snapshot", "record"]
    display = ScriptedDisplay([*keys, *["stronger"] * 5, "weaker", "record", "quit"])
    tape = tmp_path / "tape.mkv"
    with Mixer(styles) as mixer, Capture(Desk().open) as capture:
        report = Live(
            capture,
            mixer,
            open_display=lambda size: display,
            start_recording=lambda: record_to(str(tape), rate=30),
            snapshots=tmp_path,
        ).run(threading.Event())
        assert (mixer.style, mixer.keep_colour, mixer.split) == ("two", True, 0.5)
        assert mixer.mix == ("one", 0.5)
        assert mixer.strength == pytest.approx(0.9)
    assert display.closed
    assert (tmp_path / "rtstyle-1.png").is_file()
    with av.open(str(tape)) as film:
        assert sum(1 for _ in film.decode(video=0)) >= 3
    assert any("tape.mkv" in note for note in report.notes)


def test_a_snapshot_takes_a_free_name_also_without_hard_links(
    mixer: Mixer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    monkeypatch.setattr("rtstyle.files._exclusive_rename", lambda: None)
    (tmp_path / "rtstyle-1.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "rtstyle-2.png").write_bytes(b"mine")
    display = ScriptedDisplay(["snapshot", "snapshot", "quit"])
    with Capture(Desk().open) as capture:
        live = Live(capture, mixer, open_display=lambda size: display, snapshots=tmp_path)
        live.run(threading.Event())
    assert (tmp_path / "rtstyle-1.png").is_symlink()
    assert (tmp_path / "rtstyle-2.png").read_bytes() == b"mine"
    made = ["rtstyle-1.png", "rtstyle-2.png", "rtstyle-3.png", "rtstyle-4.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == made


def test_a_recording_that_runs_when_the_show_is_ended_is_finished(
    mixer: Mixer, tmp_path: Path
) -> None:
    stop = threading.Event()
    tape = tmp_path / "tape.mkv"
    seen = 0

    def look(frame: Frame) -> None:
        nonlocal seen
        seen += 1
        if seen == 20:
            stop.set()

    display = ScriptedDisplay(["record"])
    with Capture(Desk(interval=0.02).open) as capture:
        report = Live(
            capture,
            mixer,
            [Eye(look)],
            open_display=lambda size: display,
            start_recording=lambda: record_to(str(tape), rate=30),
        ).run(stop)
    assert any(note.startswith("tape.mkv: ") for note in report.notes)
    with av.open(str(tape)) as film:
        assert sum(1 for _ in film.decode(video=0)) >= 10


def test_a_film_as_camera_loses_nothing_before_its_style_is_loaded(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=8, rate=4, audio=True)
    out = tmp_path / "out.mp4"
    with (
        Mixer([FakeStylizer(invert=True)]) as mixer,
        Capture(lambda stop: open_camera(str(clip), stop=stop)) as capture,
    ):
        report = Live(capture, mixer, [record_to(str(out), rate=4)]).run(threading.Event())
    assert (report.captured, report.skipped) == (8, 0)
    with av.open(str(out)) as film:
        pictures = list(film.decode(video=0))
    assert len(pictures) == report.shown == 8 - report.dropped
    times = [float(picture.time or 0) for picture in pictures]
    assert times[0] == 0
    assert times == sorted(set(times))
    assert 1.0 < times[-1] < 10.0  # its own pace, not as fast as it decodes


def test_a_film_whose_pictures_lie_far_apart_is_not_taken_for_lost(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2, rate=1)
    with (
        Mixer([FakeStylizer()]) as mixer,
        Capture(lambda stop: open_camera(str(clip), stop=stop), stall_seconds=0.2) as capture,
    ):
        report = Live(capture, mixer, [Eye()]).run(threading.Event())
    assert (report.captured, report.losses) == (2, 0)


def test_a_camera_that_never_gives_a_picture_is_an_error_in_time(mixer: Mixer) -> None:
    desk = Desk()
    desk.unplug("hang")
    capture = Capture(lambda stop: ScriptedCamera(desk), open_seconds=0.1)
    with capture, pytest.raises(CameraLost, match=r"gave no picture in 0\.1 s"):
        Live(capture, mixer, [Eye()]).run(threading.Event())
    desk.plug()


def test_a_recording_that_fails_does_not_end_what_is_on_show(mixer: Mixer) -> None:
    class Full(Eye):
        def show(self, frame: Frame) -> None:
            raise OutputError("the disk is full")

    display = ScriptedDisplay(["record", *["overlay"] * 5, "quit"])
    with Capture(Desk().open) as capture:
        report = Live(capture, mixer, open_display=lambda size: display, start_recording=Full).run(
            threading.Event()
        )
    assert report.shown >= 5
    assert report.notes == ("recording failed: the disk is full",)


def test_a_viewer_reads_what_troubles_a_sink(mixer: Mixer) -> None:
    eye = Eye()
    eye.trouble = "receiver lost"  # type: ignore[attr-defined]
    with Capture(Desk().open) as capture:
        live = Live(capture, mixer, [Eye(), eye])
        assert next(live._lines()) == "receiver lost"


def test_a_recorder_too_slow_drops_and_counts_and_never_blocks() -> None:
    gate = threading.Event()

    class Slow:
        def __init__(self) -> None:
            self.frames: list[Frame] = []

        def write(self, frame: Frame) -> None:
            assert gate.wait(WAIT)
            self.frames.append(frame)

        def finish(self) -> SinkReport:
            return SinkReport("slow", len(self.frames), 0)

        def abort(self) -> None:
            pass

    slow = Slow()
    recorder = Recorder(lambda size, rate: slow, name="slow", rate=30)  # type: ignore[arg-type,return-value]
    for index in range(40):
        recorder.show(Frame(numbered(index), 10**9 + index, CAPTURE_CLOCK, None, index))
    assert 28 <= recorder.dropped <= 32
    gate.set()
    told = recorder.finish()
    assert f"{recorder.dropped} dropped" in told
    assert len(slow.frames) + recorder.dropped == 40
    stamps = [frame.pts for frame in slow.frames]
    assert stamps == sorted(set(stamps))


def test_a_recording_keeps_its_size_when_the_camera_changes_its_own(tmp_path: Path) -> None:
    recorder = record_to(str(tmp_path / "a.mkv"), rate=10)
    for index, size in enumerate([SIZE, SIZE, Size(64, 24)]):
        pts = index * 10**8
        recorder.show(Frame(numbered(index, size), pts, CAPTURE_CLOCK, None, index))
    recorder.finish()
    with av.open(str(tmp_path / "a.mkv")) as film:
        pictures = list(film.decode(video=0))
    assert [(one.width, one.height) for one in pictures] == [(32, 24)] * 3
    assert [round(float(one.time or 0), 2) for one in pictures] == [0.0, 0.1, 0.2]


def test_a_mirror_swaps_left_and_right() -> None:
    class Half(ScriptedCamera):
        def read(self) -> Frame | None:
            frame = super().read()
            if frame is not None:
                frame.pixels[:, :4, 2] = 200
            return frame

    desk = Desk(interval=0.02)
    with Capture(lambda stop: Half(desk), mirror=True) as capture:
        frame = capture.frames.get(WAIT)
    assert frame is not None
    assert (frame.pixels[0, 0, 2], frame.pixels[0, -1, 2]) == (0, 200)


class NoDriver:
    def Camera(self, **settings: object) -> object:  # noqa: N802
        raise RuntimeError("'v4l2loopback' backend: No v4l2 loopback device found")


def test_a_missing_virtual_camera_is_told_with_its_remedy() -> None:
    with pytest.raises(CameraError, match=r"no virtual camera opens .* run: sudo|install OBS"):
        open_virtual_camera(NoDriver(), SIZE, 30.0)
    assert "modprobe v4l2loopback" in virtual_camera_steps("linux")
    assert "OBS" in virtual_camera_steps("win32")
    assert "OBS" in virtual_camera_steps("darwin")


def test_a_virtual_camera_gets_every_picture_in_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, ...]] = []

    class Loopback:
        device = "/dev/video9"

        def __init__(self, **settings: object) -> None:
            self.settings = settings

        def send(self, pixels: Pixels) -> None:
            sent.append(pixels.shape)

        def close(self) -> None:
            sent.append(())

    class Module:
        Camera = Loopback

    monkeypatch.setattr("rtstyle.live.virtual._pyvirtualcam", lambda: Module)
    camera = VirtualCamera(rate=25)
    for size in (SIZE, Size(64, 64)):
        camera.show(Frame(numbered(1, size), 1, CAPTURE_CLOCK, None, 0))
    assert camera.finish() == "/dev/video9: 2 frames shown"
    camera.abort()
    assert sent == [(24, 32, 3), (24, 32, 3), ()]
