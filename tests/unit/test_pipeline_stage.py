"""A prefetched stage gives what its upstream gives, bounded, and always ends its thread."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator

import pytest

from rtstyle.pipeline import prefetch


class RefusalError(Exception):
    pass


def count_to(end: int, log: list[int] | None = None) -> Iterator[int]:
    for number in range(end):
        if log is not None:
            log.append(number)
        yield number


def settled(log: list[int]) -> int:
    """The length of ``log`` once it has stopped growing."""
    length = -1
    while length != len(log):
        length = len(log)
        time.sleep(0.1)
    return length


@pytest.mark.parametrize("depth", [1, 3, 100])
@pytest.mark.parametrize("end", [0, 1, 50])
def test_gives_every_item_in_order(depth: int, end: int) -> None:
    with prefetch(count_to(end), depth, name="numbers") as numbers:
        assert list(numbers) == list(range(end))
        assert list(numbers) == []


def test_none_is_an_item_like_any_other() -> None:
    with prefetch([None, None], 1, name="nothing") as items:
        assert list(items) == [None, None]


def test_runs_ahead_by_the_depth_and_no_further() -> None:
    log: list[int] = []
    with prefetch(count_to(1000, log), 3, name="numbers") as numbers:
        # Three wait in the queue, one in the worker's hand.
        assert settled(log) == 4
        assert next(numbers) == 0
        assert settled(log) == 5


def test_upstream_runs_in_another_thread_that_ends() -> None:
    def names() -> Iterator[str]:
        yield threading.current_thread().name

    with prefetch(names(), 1, name="look-here") as found:
        assert list(found) == ["rtstyle-look-here"]
    assert "rtstyle-look-here" not in {thread.name for thread in threading.enumerate()}


def test_error_arrives_after_the_items_before_it_with_its_traceback() -> None:
    original = RefusalError("third")

    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise original

    seen = []
    with (
        pytest.raises(RefusalError) as caught,
        prefetch(failing(), 8, name="numbers") as numbers,
    ):
        for number in numbers:
            seen.append(number)
    assert seen == [1, 2]
    assert caught.value is original
    assert "in failing" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_an_abandoned_upstream_is_closed_in_its_own_thread(taken: int) -> None:
    closed_in: list[str] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed_in.append(threading.current_thread().name)

    with prefetch(endless(), 2, name="endless") as ones:
        for _ in range(taken):
            next(ones)
        while not ones.ahead:
            time.sleep(0.01)
    assert closed_in == ["rtstyle-endless"]


def test_a_consumer_that_raises_ends_a_chain_whose_first_stage_waits_for_ever() -> None:
    release = threading.Event()

    def stuck() -> Iterator[int]:
        yield 1
        yield 2
        while not release.wait(0.01):
            pass

    def passed_on(numbers: Iterator[int]) -> Iterator[int]:
        yield from numbers

    stop = threading.Event()
    began = time.monotonic()
    with (
        pytest.raises(RefusalError),
        prefetch(stuck(), 1, name="first", stop=stop) as first,
        prefetch(passed_on(first), 1, name="second", stop=stop) as second,
    ):
        assert next(second) == 1
        threading.Timer(0.2, release.set).start()
        raise RefusalError
    assert time.monotonic() - began < 2.0


def test_closing_is_not_taken_for_the_end() -> None:
    numbers = prefetch(count_to(1000), 2, name="numbers")
    next(numbers)
    numbers.close()
    numbers.close()
    with pytest.raises(RuntimeError, match="closed"):
        next(numbers)


def test_a_stage_at_its_end_leaves_the_stages_that_share_its_event_alone() -> None:
    stop = threading.Event()
    with prefetch(count_to(5), 1, name="outer", stop=stop) as outer:
        with prefetch(count_to(2), 1, name="inner", stop=stop) as inner:
            assert list(inner) == [0, 1]
        assert list(outer) == [0, 1, 2, 3, 4]


def test_depth_must_hold_something() -> None:
    with pytest.raises(ValueError, match="depth"):
        prefetch([1], 0, name="numbers")
