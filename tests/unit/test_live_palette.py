"""A palette that loads what is asked for, and keeps a few: what a server's viewers share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import BackendError, BackendOutOfMemory
from rtstyle.live import Mixer, Palette
from rtstyle.styles import StyleSpec
from rtstyle.types import Pixels, Size

SIZE = Size(32, 24)
WAIT = 20.0


def spec(name: str) -> StyleSpec:
    return replace(FakeStylizer().spec, name=name, file=Path(f"{name}.onnx"))


def plain(value: int, size: Size = SIZE) -> Pixels:
    return np.full((size.height, size.width, 3), value, np.uint8)


def until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def loading(mixer: Mixer) -> bool:
    return mixer.is_loading


class Shop:
    """Loads styles and remembers them; ``negative-...`` ones invert."""

    def __init__(self) -> None:
        self.made: list[FakeStylizer] = []
        self.gate = threading.Event()
        self.gate.set()

    def load(self, style: StyleSpec) -> FakeStylizer:
        assert self.gate.wait(WAIT)
        if style.name.startswith("broken"):
            raise BackendError(f"{style.name} does not load")
        self.made.append(FakeStylizer(style, invert=style.name.startswith("negative")))
        return self.made[-1]

    @property
    def open(self) -> list[str]:
        return [one.spec.name for one in self.made if not one.closed]


def show(mixer: Mixer, name: str) -> None:
    mixer.palette.add(spec(name))
    mixer.style = name
    until(lambda: mixer.process(plain(10)) is not None and mixer.shown == name)
    # Only now is the one before not needed any more.
    mixer.process(plain(10))


def test_only_what_is_asked_for_is_loaded_and_the_last_few_stay() -> None:
    shop = Shop()
    with Palette([], load=shop.load, keep=2) as palette:
        for index in range(30):
            palette.add(spec(f"s{index}"))
        assert palette.wait(palette.add(spec("s3")), SIZE, WAIT)
        assert shop.open == ["s3"]
        mixer = Mixer(palette, style="s4")
        for index in range(4, 12):
            show(mixer, f"s{index}")
        until(lambda: palette.loaded == 3)
        assert sorted(shop.open) == ["s10", "s11", "s9"], "the one on show and the last two"
        mixer.close()
        until(lambda: palette.loaded == 2)
    assert shop.open == []


def test_the_old_style_stays_without_a_gap_until_the_new_one_is_ready() -> None:
    shop = Shop()
    with Palette([], load=shop.load, keep=0) as palette:
        palette.add(spec("negative-one"))
        mixer = Mixer(palette, style="negative-one")
        show(mixer, "negative-one")
        shop.gate.clear()
        palette.add(spec("same"))
        mixer.style = "same"
        for value in range(20, 60):
            assert mixer.process(plain(value))[0, 0, 0] == 255 - value
        assert loading(mixer)
        shop.gate.set()
        until(lambda: palette.is_ready(palette.index("same"), SIZE))
        assert mixer.process(plain(61))[0, 0, 0] in (127, 128), "half of either"
        assert mixer.process(plain(62))[0, 0, 0] == 62
        assert not loading(mixer)
        mixer.process(plain(63))
        until(lambda: shop.open == ["same"])


def test_a_style_that_fails_is_told_to_who_wanted_it_and_tried_again_when_asked_again() -> None:
    shop = Shop()
    with Palette([], load=shop.load, keep=2) as palette:
        palette.add(spec("good"))
        one, other = Mixer(palette, style="good"), Mixer(palette, style="good")
        show(one, "good")
        show(other, "good")
        palette.add(spec("broken"))
        one.style = "broken"
        until(lambda: one.trouble is not None)
        assert "broken does not load" in str(one.trouble)
        assert not loading(one)
        assert one.process(plain(30))[0, 0, 0] == 30
        assert one.shown == "good"
        assert other.trouble is None
        palette.add(spec("broken"))
        assert loading(one)
        until(lambda: one.trouble is not None)


def test_a_mistake_of_a_style_leaves_the_others_usable() -> None:
    def load(style: StyleSpec) -> FakeStylizer:
        if style.name == "bad":
            raise ZeroDivisionError("a mistake")
        return FakeStylizer(style)

    with Palette([], load=load, keep=1) as palette:
        with pytest.raises(BackendError, match="ZeroDivisionError"):
            palette.wait(palette.add(spec("bad")), SIZE, WAIT)
        assert palette.wait(palette.add(spec("good")), SIZE, WAIT)


class Counting(FakeStylizer):
    """Remembers the sizes it was warmed for."""

    def __init__(self, style: StyleSpec) -> None:
        super().__init__(style)
        self.sizes: list[Size] = []

    def warm_up(self, size: Size, *, batch: int = 1) -> None:
        self.sizes.append(size)
        super().warm_up(size, batch=batch)


def test_a_size_that_keeps_changing_is_not_warmed_for_until_it_stays() -> None:
    made: list[Counting] = []

    def load(style: StyleSpec) -> Counting:
        made.append(Counting(style))
        return made[-1]

    with Palette([], load=load, keep=1) as palette:
        palette.add(spec("one"))
        mixer = Mixer(palette, style="one")
        show(mixer, "one")
        for step in range(1, 200):
            mixer.process(plain(3, Size(32 + step, 24 + step)))
            time.sleep(0.001)
        last = Size(32 + step, 24 + step)
        until(lambda: palette.is_ready(0, last))
        # A slow machine may let some stay long enough.
        assert made[0].sizes[0] == SIZE
        assert made[0].sizes[-1] == last
        assert len(made[0].sizes) < 20


class OnlySmall(FakeStylizer):
    """Has no memory for large pictures."""

    def warm_up(self, size: Size, *, batch: int = 1) -> None:
        if size.width > 100:
            raise BackendOutOfMemory(f"no memory for {size}")
        super().warm_up(size, batch=batch)


def test_a_size_too_large_for_one_viewer_is_no_trouble_of_another() -> None:
    with Palette([], load=OnlySmall, keep=1) as palette:
        index = palette.add(spec("one"))
        small, large = Mixer(palette, style="one"), Mixer(palette, style="one")
        show(small, "one")
        big = Size(200, 100)
        with pytest.raises(BackendOutOfMemory):
            palette.wait(index, big, WAIT)
        assert large.process(plain(9, big)).shape == (100, 200, 3)
        assert "no memory" in str(large.trouble)
        assert small.process(plain(9))[0, 0, 0] == 9
        assert small.trouble is None


def test_a_style_imported_anew_under_its_name_is_the_one_that_is_shown() -> None:
    shop = Shop()
    with Palette([], load=shop.load, keep=1) as palette:
        palette.add(spec("mine"))
        mixer = Mixer(palette, style="mine")
        show(mixer, "mine")
        first = shop.made[0]
        palette.add(replace(spec("mine"), file=Path("elsewhere.onnx")))
        mixer.style = "mine"
        until(lambda: mixer.process(plain(5)) is not None and not mixer.is_loading)
        assert shop.made[-1] is not first
        assert shop.made[-1].calls > 0


def test_a_new_size_is_painted_at_once_while_it_is_warmed_for() -> None:
    shop = Shop()
    with Palette([], load=shop.load, keep=1) as palette:
        palette.add(spec("negative"))
        mixer = Mixer(palette, style="negative")
        show(mixer, "negative")
        for step in range(1, 40):
            other = Size(32 + 2 * step, 24 + step)
            painted = mixer.process(plain(40, other))
            assert painted.shape == (other.height, other.width, 3)
            assert abs(int(painted[3, 3, 0]) - 215) <= 1, "never the bare picture"
        until(lambda: palette.is_ready(0, other))
        assert mixer.process(plain(41, other))[0, 0, 0] == 214


def test_viewers_of_many_sizes_share_the_two_that_a_style_is_kept_warm_for() -> None:
    shop = Shop()
    sizes = [Size(32, 24), Size(64, 48), Size(96, 72), Size(128, 96)]
    with Palette([], load=shop.load, keep=1) as palette:
        index = palette.add(spec("negative"))
        mixers = [Mixer(palette, style="negative") for _ in sizes]
        for mixer, size in zip(mixers[:2], sizes, strict=False):
            mixer.process(plain(1, size))
            until(lambda size=size: palette.is_ready(index, size))  # type: ignore[misc]
        for mixer, size in zip(mixers[2:], sizes[2:], strict=True):
            painted = mixer.process(plain(40, size))
            assert painted.shape == (size.height, size.width, 3)
            assert painted[2, 2, 0] == 215
            assert palette.fit(index, size) == sizes[1]
            assert not mixer.is_loading
        mixers[0].close()
        until(lambda: any(palette.is_ready(index, size) for size in sizes[2:]))


def test_styles_are_freed_while_others_paint() -> None:
    shop = Shop()
    troubles: list[BaseException] = []

    def view(first: int) -> None:
        try:
            palette.add(spec(f"s{first}"))
            mixer = Mixer(palette, style=f"s{first}")
            for index in range(60):
                palette.add(spec(f"s{(first + index) % 9}"))
                mixer.style = f"s{(first + index) % 9}"
                for value in range(3):
                    mixer.process(plain(value + index))
                    time.sleep(0.001)
            mixer.close()
        except BaseException as error:
            troubles.append(error)

    with Palette([], load=shop.load, keep=1) as palette:
        threads = [threading.Thread(target=view, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert troubles == []
        until(lambda: palette.loaded <= 1)
    assert shop.open == []


def test_closing_does_not_wait_for_ever_for_a_style_that_is_being_loaded() -> None:
    shop = Shop()
    shop.gate.clear()
    palette = Palette([], load=shop.load, keep=1)
    palette.want("somebody", (palette.add(spec("slow")),), None)
    before = time.monotonic()
    palette.close(timeout=0.2)
    assert time.monotonic() - before < WAIT / 2
    shop.gate.set()
    palette.close()
    assert shop.open == []
