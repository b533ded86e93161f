"""What a running conversion shows on a terminal and elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from rtstyle.cli.progress import BatchDisplay, ProgressDisplay, bar_line, log_line, span
from rtstyle.pipeline import Job, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def steps(count: int, pause: float, total: int | None = None) -> list[Progress]:
    return [
        Progress(number, total, number * pause, 1 / pause, None if total is None else 1.0)
        for number in range(count + 1)
    ]


def play(stream: io.StringIO, shown: list[Progress], columns: int = 80) -> str:
    now = 0.0

    def clock() -> float:
        return now

    with ProgressDisplay(stream, clock=clock, columns=columns) as display:
        for progress in shown:
            now = progress.seconds
            display(progress)
    return stream.getvalue()


def test_elsewhere_a_line_each_ten_seconds_and_no_control_characters() -> None:
    text = play(io.StringIO(), steps(35, 1.0, total=35))
    assert [line.split()[1] for line in text.splitlines()] == ["10/35", "20/35", "30/35"]
    assert "\r" not in text


def test_a_short_run_elsewhere_is_quiet() -> None:
    assert play(io.StringIO(), steps(100, 0.05)) == ""


def test_a_terminal_sees_one_line_that_ends_with_the_last_frame() -> None:
    text = play(Terminal(), steps(100, 0.05, total=100))
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert "100 %  100/100 frames" in text.split("\r")[-1]
    # 5 seconds at ten a second, and the last.
    assert 40 <= text.count("\r") <= 52


@pytest.mark.parametrize("columns", [20, 40, 200])
def test_a_line_fits_the_terminal(columns: int) -> None:
    text = play(Terminal(), steps(50, 0.2, total=50), columns)
    assert {len(line.rstrip("\n")) for line in text.split("\r")[1:]} == {columns - 1}


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["file", "terminal"])
def test_a_label_stands_before_every_line(stream: io.StringIO) -> None:
    times = iter([0.0, 20.0])
    with ProgressDisplay(
        stream, label="file 3 of 12", clock=lambda: next(times), columns=80
    ) as display:
        display(Progress(1, 2, 1, 1, 1))
    text = stream.getvalue().replace("rtstyle: ", "").strip()
    assert text.startswith("file 3 of 12  ")
    assert "1/2 frames" in text


def job(name: str) -> Job:
    return Job(Path(name), Path("out") / name)


def test_films_beside_each_other_share_a_line() -> None:
    now = 0.0
    display = BatchDisplay(io.StringIO(), films=4, clock=lambda: now)
    a, b, c, d = map(job, "abcd")
    display.begun(a)
    display.begun(b)
    assert display.line() == "0 of 4 films, 2 in work  0 frames  0:00 so far"
    display.moved(a, Progress(10, 100, 1.0, 8.0, 11.0))
    display.moved(b, Progress(5, 50, 1.0, 4.5, 10.0))
    now = 70.0
    # Nobody knows how long c and d will take.
    assert display.line() == "0 of 4 films, 2 in work  15 frames  12.5 fps  1:10 so far"
    display.ended(a, frames=100)
    display.begun(c)
    display.put_off(c)
    display.ended(b)
    display.begun(c)
    display.begun(d)
    display.moved(c, Progress(3, 30, 1.0, 3.0, 9.0))
    assert display.line().endswith("103 frames  3.0 fps  1:10 so far")
    display.moved(d, Progress(1, 30, 1.0, 1.0, 29.0))
    assert display.line() == "2 of 4 films, 2 in work  104 frames  4.0 fps  0:29 left"


def test_a_line_of_films_makes_room_for_what_is_said_of_one() -> None:
    stream, now = Terminal(), 0.0
    with BatchDisplay(stream, films=2, clock=lambda: now, columns=40) as display:
        display.wipe()
        assert stream.getvalue() == ""
        display.begun(job("a"))
        now = 1.0
        display.moved(job("a"), Progress(1, 2, 1.0, 1.0, 1.0))
        display.moved(job("a"), Progress(2, 2, 1.0, 1.0, 0.0))
        display.wipe()
    drawn = stream.getvalue().split("\r")
    assert drawn == ["", "0 of 2 films, 1 in work  1 frames  1.0 fps"[:39], " " * 39, ""]


def test_films_elsewhere_are_a_line_each_ten_seconds() -> None:
    stream, now = io.StringIO(), 0.0
    with BatchDisplay(stream, films=2, clock=lambda: now) as display:
        for step in range(25):
            now = float(step)
            display.moved(job("a"), Progress(step, 100, now, 1.0, 1.0))
    assert [line.split("  ")[1] for line in stream.getvalue().splitlines()] == [
        "10 frames",
        "20 frames",
    ]


@pytest.mark.parametrize("line", [bar_line, log_line])
def test_unknown_parts_are_left_out(line: Callable[[Progress], str]) -> None:
    assert line(Progress(12, None, 65.0, 0.0, None)) == "12 frames  1:05 so far"


def test_a_header_that_promised_too_little_fills_the_bar_only_once() -> None:
    assert "[##############################]  100 %  9/5" in bar_line(Progress(9, 5, 1, 9, 0))


def test_a_terminal_line_is_ended_when_the_run_fails() -> None:
    stream = Terminal()
    now = 0.0
    with (
        pytest.raises(OSError),
        ProgressDisplay(stream, clock=lambda: now, columns=80) as display,
    ):
        now = 1.0
        display(Progress(1, 2, 1, 1, 1))
        raise OSError
    assert stream.getvalue().endswith("\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")],
)
def test_spans_of_time(seconds: float, text: str) -> None:
    assert span(seconds) == text
