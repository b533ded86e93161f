"""Repair of presentation times."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction

import pytest

from rtstyle.media.timeline import Timeline

FINE = Fraction(1, 12800)
STEP = 512


def repaired(stamps: list[int | None], tick: Fraction = FINE) -> tuple[list[int], int]:
    line = Timeline(tick, Fraction(25))
    return [line.place(stamp) for stamp in stamps], line.repaired


@pytest.mark.parametrize(
    "stamps", [[0, 512, 1024], [-512, 0, 512], [7, 8, 9000], [0, 1, 12800 * 3600]]
)
def test_growing_times_are_left_alone(stamps: list[int | None]) -> None:
    assert repaired(stamps) == (stamps, 0)


def test_missing_times_follow_by_one_frame() -> None:
    assert repaired([None, None, None]) == ([0, STEP, 2 * STEP], 3)
    assert repaired([100, None, 100 + 2 * STEP]) == ([100, 100 + STEP, 100 + 2 * STEP], 1)


def test_a_repeated_time_is_put_between_its_neighbours() -> None:
    times, count = repaired([0, STEP, STEP, 2 * STEP, 3 * STEP])
    assert times == [0, STEP, STEP + STEP // 2, 2 * STEP, 3 * STEP]
    assert count == 1


def test_a_coarse_clock_moves_followers_by_a_frame_at_most() -> None:
    stamps = [0, 1, 1, 2, 4]
    times, count = repaired([*stamps], Fraction(1, 25))
    assert times == [0, 1, 2, 3, 4]
    assert count == 2


def test_after_a_new_clock_the_distances_are_kept() -> None:
    hour = 12800 * 3600
    times, count = repaired([hour, hour + STEP, 0, STEP, 2 * STEP])
    assert times == [hour + i * STEP for i in range(5)]
    assert count == 1


@pytest.mark.parametrize("wild", [12800 * 3600, 10 * 12800, -12800 * 3600, -30 * 12800])
def test_one_wild_stamp_moves_no_other(wild: int) -> None:
    stamps = [wild if index == 7 else index * STEP for index in range(12)]
    line = Timeline(FINE, Fraction(25))
    times = [line.place(*pair) for pair in itertools.zip_longest(stamps, stamps[1:])]
    assert times == [index * STEP for index in range(12)]
    assert line.repaired == 1


def test_what_follows_a_gap_or_a_new_clock_tells_it_from_a_wild_stamp() -> None:
    hour = 12800 * 3600
    for stamps, wanted in (
        ([0, STEP, hour, hour + STEP], [0, STEP, hour, hour + STEP]),
        ([hour, hour + STEP, 0, STEP], [hour + index * STEP for index in range(4)]),
        ([0, STEP, hour], [0, STEP, hour]),
    ):
        line = Timeline(FINE, Fraction(25))
        pairs = itertools.zip_longest(stamps, stamps[1:])
        assert [line.place(*pair) for pair in pairs] == wanted


def test_stamps_of_other_days_are_wild_unless_they_go_on_from_there() -> None:
    day = 12800 * 3600 * 24
    for stamps, wanted in (
        ([0, STEP, day], [0, STEP, 2 * STEP]),
        ([0, STEP, 3 * day, day, 4 * STEP], [0, STEP, 2 * STEP, 3 * STEP, 4 * STEP]),
        ([0, STEP, day, day], [0, STEP, 2 * STEP, 3 * STEP]),
        ([0, STEP, day, day + STEP], [0, STEP, day, day + STEP]),
    ):
        line = Timeline(FINE, Fraction(25), ends=6 * STEP)
        pairs = itertools.zip_longest(stamps, stamps[1:])
        assert [line.place(*pair) for pair in pairs] == wanted


@pytest.mark.parametrize("ends", [None, 12800 * 3600 * 48])
def test_a_still_of_a_day_of_which_the_header_knows_is_left_alone(ends: int | None) -> None:
    day = 12800 * 3600 * 24
    line = Timeline(FINE, Fraction(25), ends=ends)
    stamps = [0, day, 2 * day]
    pairs = itertools.zip_longest(stamps, stamps[1:])
    assert [line.place(*pair) for pair in pairs] == stamps


def test_lost_frames_without_times_leave_a_gap() -> None:
    line = Timeline(FINE, Fraction(25))
    line.place(None)
    line.skip()
    assert line.place(None) == 2 * STEP


def test_any_input_gives_strictly_growing_times_near_the_wanted_ones() -> None:
    generator = random.Random(5)
    for _ in range(200):
        wanted = [index * STEP for index in range(40)]
        stamps: list[int | None] = [*wanted]
        for place in generator.sample(range(1, 40), 6):
            earlier = wanted[place] - STEP * generator.choice((1, 1, 2))
            stamps[place] = generator.choice((None, earlier))
        times, _ = repaired(stamps)
        assert all(b > a for a, b in itertools.pairwise(times))
        assert max(abs(a - b) for a, b in zip(times, wanted, strict=True)) <= 2 * STEP
