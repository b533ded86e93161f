"""Sending to an address whose receiver goes away, comes back, hangs, or was never there."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import OutputError, OutputNotWritable
from rtstyle.live import Capture, Live, Mixer, Sender, record_to
from rtstyle.media import CAPTURE_CLOCK, Broadcast, open_camera
from rtstyle.media.broadcast import _MUXERS, usual_bits
from rtstyle.types import Frame, Pixels, SinkReport, Size
from tests.clips import make_clip, moving_picture

SIZE = Size(64, 48)
WAIT = 60.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


def frame(number: int, size: Size = SIZE, *, pts: int | None = None) -> Frame:
    pixels = moving_picture((size.width, size.height), number)
    return Frame(pixels, time.monotonic_ns() if pts is None else pts, CAPTURE_CLOCK, None, number)


class Show:
    """Gives a sender pictures until told to stop, as the live loop does."""

    def __init__(self, sender: Sender, pixels: Pixels | None = None) -> None:
        self.sender, self.pixels, self.stop = sender, pixels, threading.Event()
        self.error: BaseException | None = None
        self.longest = 0.0
        self.number = 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.stop.wait(0.01):
            one = frame(self.number)
            if self.pixels is not None:
                one = Frame(self.pixels, one.pts, CAPTURE_CLOCK, None, self.number)
            began = time.monotonic()
            try:
                self.sender.show(one)
            except OutputError as error:
                self.error = error
                return
            self.longest = max(self.longest, time.monotonic() - began)
            self.number += 1

    def close(self) -> None:
        self.stop.set()
        self.thread.join()


class Receiver:
    """Listens on one port, and can go away and come back there."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]

    def take(self, least: int) -> bytes:
        """At least so many bytes of one sender, who is then hung up on."""
        self.listener.settimeout(WAIT)
        line, _ = self.listener.accept()
        line.settimeout(WAIT)
        got = b""
        with line:
            while len(got) < least:
                more = line.recv(65536)
                assert more, "the sender hung up"
                got += more
        return got

    def leave(self) -> None:
        self.listener.close()

    def come_back(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))


def sender_to(url: str, told: list[str] | None = None, **how: object) -> Sender:
    return Sender(
        lambda size, rate: Broadcast(url, size, rate),
        name=url,
        backoff=(0.05, 0.1),
        tell=(told if told is not None else []).append,
    )


def played(data: bytes, folder: Path) -> list[float]:
    """Times of the pictures in what was received; the first must be a whole one."""
    file = folder / "got.ts"
    file.write_bytes(data)
    with av.open(str(file)) as film:
        first = next(packet for packet in film.demux(video=0))
        assert first.is_keyframe
    with av.open(str(file)) as film:
        return [float(picture.time or 0) for picture in film.decode(video=0)]


def test_a_receiver_that_goes_away_and_comes_back_ends_nothing(tmp_path: Path) -> None:
    receiver, told = Receiver(), list[str]()
    sender = sender_to(f"tcp://127.0.0.1:{receiver.port}", told)
    show = Show(sender)
    try:
        first = receiver.take(20_000)
        receiver.leave()
        until(lambda: sender.away)
        assert "receiver lost" in sender.trouble
        until(lambda: sender.unsent > 20)
        receiver.come_back()
        second = receiver.take(20_000)
        assert sender.losses >= 1
        assert sender.sent > 3
    finally:
        show.close()
        ended = sender.finish()
        receiver.leave()
    assert show.error is None
    assert "the receiver was lost" in ended
    assert "frames not sent" in ended
    assert any("calling it again" in line for line in told)
    assert any("the receiver is back" in line for line in told)
    for data in (first, second):
        times = played(data, tmp_path)
        assert len(times) > 3
        assert times[0] == 0
        assert times == sorted(set(times))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_receiver_that_comes_and_goes_leaves_nothing_behind() -> None:
    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), len(
            list(Path("/proc/self/task").iterdir())
        )

    receiver = Receiver()
    sender = sender_to(f"tcp://127.0.0.1:{receiver.port}")
    show = Show(sender)
    counts: list[tuple[int, int]] = []
    try:
        for number in range(10):
            receiver.take(4_000)
            until(lambda number=number: sender.losses > number)  # type: ignore[misc]
            counts.append(held())
    finally:
        show.close()
        sender.finish()
        receiver.leave()
    # One connection more or less may be on its way: a socket, FFmpeg's thread and x264's.
    assert abs(counts[-1][0] - counts[1][0]) <= 3
    assert abs(counts[-1][1] - counts[1][1]) <= 8


def test_a_receiver_that_hangs_holds_up_neither_the_show_nor_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rtstyle.media.broadcast._TIMEOUT_MICROSECONDS", 300_000)
    receiver = Receiver()
    receiver.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131072)
    noise = np.random.default_rng(1).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    sender = Sender(
        lambda size, rate: Broadcast(
            f"tcp://127.0.0.1:{receiver.port}?send_buffer_size=131072",
            size,
            rate,
            bits=100_000_000,
        ),
        name="hung",
        backoff=(0.05, 0.1),
    )
    show = Show(sender, noise)
    try:
        until(lambda: sender.losses >= 2)
        assert sender.dropped + sender.unsent > 0
    finally:
        show.close()
        ended = sender.finish()
        receiver.leave()
    assert show.error is None
    assert "was lost" in ended


@pytest.mark.parametrize("scheme", ["tcp", "rtmp"])
def test_a_receiver_that_was_never_there_is_an_error(scheme: str) -> None:
    sender = sender_to(f"{scheme}://127.0.0.1:9/live?key=secret")
    show = Show(sender)
    show.thread.join(WAIT)
    assert isinstance(show.error, OutputNotWritable)
    assert "cannot send there" in str(show.error)
    assert "secret" not in str(show.error)
    with pytest.raises(OutputNotWritable):
        sender.finish()
    sender.abort()


def test_a_receiver_that_says_nothing_does_not_freeze_the_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rtstyle.media.broadcast._TIMEOUT_MICROSECONDS", 2_000_000)
    receiver = Receiver()  # takes the call, and never answers RTMP's greeting
    sender = sender_to(f"rtmp://127.0.0.1:{receiver.port}/live/x")
    show = Show(sender)
    show.thread.join(WAIT)
    receiver.leave()
    assert isinstance(show.error, OutputNotWritable)
    assert show.number > 10
    sender.abort()


class FakeLink:
    """A line that is slow to open, and breaks when told to."""

    def __init__(self, opening: float = 0.0) -> None:
        self.frames: list[Frame] = []
        self.opening, self.broken, self.closed = opening, False, False

    @property
    def answered(self) -> bool:
        return len(self.frames) >= 2

    def write(self, frame: Frame) -> None:
        if len(self.frames) == 1:
            time.sleep(self.opening)
        if self.broken:
            raise OutputError("broken, as asked")
        self.frames.append(frame)

    def finish(self) -> SinkReport:
        if self.broken:
            raise OutputError("broken at the end")
        return SinkReport("fake", len(self.frames), 0)

    def abort(self) -> None:
        self.closed = True


def test_the_time_that_opening_takes_is_no_delay_of_the_show() -> None:
    link = FakeLink(opening=1.0)
    sender = Sender(lambda size, rate: link, name="slow", rate=30)
    show = Show(sender)
    until(lambda: len(link.frames) > 10)
    show.close()
    sender.finish()
    times = [one.seconds for one in link.frames]
    assert times[0] == 0
    assert times == sorted(set(times))
    assert times[2] - times[1] < Fraction(1, 10)


def test_a_camera_that_changes_its_size_does_not_change_the_stream() -> None:
    link = FakeLink()
    sizes: list[Size] = []

    def open_(size: Size, rate: Fraction) -> FakeLink:
        sizes.append(size)
        return link

    sender = Sender(open_, name="x", rate=25)
    for number, size in enumerate((SIZE, SIZE, Size(80, 40))):
        sender.show(frame(number, size, pts=number * 4 * 10**7))
    sender.finish()
    assert sizes == [SIZE]
    assert [one.size for one in link.frames] == [SIZE] * 3
    assert [one.seconds for one in link.frames] == [0, Fraction(1, 25), Fraction(2, 25)]


def test_a_line_that_breaks_with_the_last_picture_is_told_not_raised() -> None:
    link, told = FakeLink(), list[str]()
    sender = Sender(lambda size, rate: link, name="x", tell=told.append)
    for number in range(4):
        sender.show(frame(number))
    until(lambda: len(link.frames) == 4)
    link.broken = True
    assert "lost once" in sender.finish()
    assert told == ["broken at the end"]
    assert link.closed


def test_what_is_told_of_a_bad_line_does_not_fill_the_terminal() -> None:
    told: list[str] = []
    links: list[FakeLink] = []

    def open_(size: Size, rate: Fraction) -> FakeLink:
        links.append(FakeLink())
        return links[-1]

    sender = Sender(open_, name="x", backoff=(0.01, 0.01), tell=told.append)
    show = Show(sender)
    for number in range(12):
        until(lambda number=number: len(links) > number and links[number].answered)  # type: ignore[misc]
        links[number].broken = True
    show.close()
    assert "lost 12 times" in sender.finish() or "lost 11 times" in sender.finish()
    assert len(told) == 11
    assert told[-1] == "x: more of this is counted, and told at the end"


def test_a_whole_run_outlives_its_receiver(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", size=(64, 48), frames=60, rate=20)
    receiver = Receiver()
    got: list[bytes] = []

    def receive() -> None:
        got.append(receiver.take(5_000))
        receiver.leave()

    listening = threading.Thread(target=receive)
    listening.start()
    with (
        Mixer([FakeStylizer()]) as mixer,
        Capture(lambda stop: open_camera(str(clip), stop=stop)) as capture,
    ):
        sink = record_to(f"tcp://127.0.0.1:{receiver.port}?key=secret")
        report = Live(capture, mixer, [sink]).run(threading.Event())
    listening.join()
    assert got
    assert report.captured == 60
    (note,) = report.notes
    assert "lost once" in note
    assert "secret" not in note


def test_a_stream_does_not_burst_over_its_line(tmp_path: Path) -> None:
    size, bits = Size(320, 240), 400_000
    receiver, got = Receiver(), list[bytes]()

    def receive() -> None:
        line, _ = receiver.listener.accept()
        with line:
            while data := line.recv(65536):
                got.append(data)

    listening = threading.Thread(target=receive)
    listening.start()
    rng = np.random.default_rng(1)
    with Broadcast(f"tcp://127.0.0.1:{receiver.port}", size, Fraction(25), bits=bits) as broadcast:
        for number in range(100):
            noise = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
            broadcast.write(Frame(noise, number, Fraction(1, 25), None, number))
        broadcast.finish()
    listening.join(WAIT)
    receiver.leave()
    sent = 8 * sum(map(len, got))
    # Four seconds and the buffer of one; noise without a limit is twenty times that.
    assert sent < 5 * bits * 1.3


def test_the_usual_limit_grows_with_the_picture() -> None:
    assert usual_bits(Size(1280, 720), Fraction(30)) == 3_200_000
    assert 5_500_000 < usual_bits(Size(1920, 1080), Fraction(30)) < 6_000_000
    assert usual_bits(Size(64, 48), Fraction(5)) == 500_000
    assert usual_bits(Size(7680, 4320), Fraction(60)) == 20_000_000


class Player(threading.Thread):
    """Listens as a streaming server does, and notes the times of what it gets."""

    def __init__(self, scheme: str, **options: str) -> None:
        super().__init__()
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.url = f"{scheme}://127.0.0.1:{one.getsockname()[1]}/live/x"
        self.options = options
        self.times: dict[str, list[float]] = {"video": [], "audio": []}
        self.start()

    def run(self) -> None:
        with av.open(self.url, options=self.options, timeout=(WAIT, WAIT)) as stream:
            for packet in stream.demux():
                if packet.pts is not None and packet.time_base is not None:
                    time_ = float(packet.pts * packet.time_base)
                    self.times[packet.stream.type].append(time_)
                if len(self.times["video"]) >= 60:
                    return


def play(player: Player) -> None:
    """Send until it has enough. Who calls before it listens is refused, and calls again."""
    sender: Sender | None = None
    deadline = time.monotonic() + WAIT
    number = 0
    while player.is_alive() and time.monotonic() < deadline:
        if sender is None:
            sender = sender_to(player.url)
        try:
            sender.show(frame(number, Size(320, 240)))
        except OutputNotWritable:
            sender.abort()
            sender = None
        number += 1
        time.sleep(0.02)
    player.join(WAIT)
    if sender is not None:
        sender.finish()


def test_rtmp_carries_a_silent_sound_track() -> None:
    player = Player("rtmp", listen="1")
    play(player)
    audio, video = player.times["audio"], player.times["video"]
    assert len(video) >= 60
    assert len(audio) > 20
    assert video[-1] - 0.1 <= audio[-1] <= video[-1] + 1.0


def test_rtsp_carries_the_pictures() -> None:
    player = Player("rtsp", rtsp_flags="listen", listen_timeout="60")
    play(player)
    assert len(player.times["video"]) >= 60


def test_a_protocol_that_this_build_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_MUXERS, "nix", "mpegts")
    with (
        Broadcast("nix://127.0.0.1:9", SIZE, Fraction(25)) as sink,
        pytest.raises(OutputNotWritable, match="this build of PyAV cannot send over nix"),
    ):
        for number in range(5):
            sink.write(frame(number, pts=number * 10**8))
