"""The mixer: what each setting makes of a picture, and when nets run at all."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import BackendError, UsageError
from rtstyle.live import Mixer, Palette, Slot
from rtstyle.styles import StyleSpec
from rtstyle.types import Pixels, Size

SIZE = Size(32, 24)
WAIT = 20.0


def spec(name: str) -> StyleSpec:
    return replace(FakeStylizer().spec, name=name, file=Path(f"{name}.onnx"))


def plain(value: int) -> Pixels:
    return np.full((SIZE.height, SIZE.width, 3), value, np.uint8)


def two() -> tuple[FakeStylizer, FakeStylizer]:
    """A style that changes nothing, and the negative."""
    return FakeStylizer(spec("same")), FakeStylizer(spec("negative"), invert=True)


def ready(mixer: Mixer) -> None:
    mixer.palette.prepare(SIZE)
    for index in range(len(mixer.styles)):
        assert mixer.palette.wait(index, SIZE, WAIT)


def test_a_switch_fades_over_two_pictures_and_runs_one_net_a_picture() -> None:
    same, negative = two()
    with Mixer([same, negative]) as mixer:
        ready(mixer)
        assert mixer.process(plain(100))[0, 0, 0] == 100
        calls = same.calls + negative.calls
        mixer.style = "negative"
        faded = mixer.process(plain(101))
        assert faded[0, 0, 0] == round((100 + 154) / 2)
        assert mixer.process(plain(102))[0, 0, 0] == 153
        assert same.calls + negative.calls == calls + 2


def test_a_switch_ends_on_a_picture_that_stands_still() -> None:
    with Mixer(two()) as mixer:
        ready(mixer)
        still = plain(100)
        mixer.process(still)
        mixer.style = "negative"
        mixer.process(still)
        assert mixer.process(still.copy())[0, 0, 0] == 155


def test_an_unchanged_picture_is_not_stylized_twice() -> None:
    same, negative = two()
    with Mixer([same, negative]) as mixer:
        ready(mixer)
        first = mixer.process(plain(7))
        calls = same.calls
        for _ in range(5):
            assert np.array_equal(mixer.process(plain(7)), first)
        assert same.calls == calls
        assert mixer.repeats == 5
        different = plain(7)
        different[-1, -1, -1] = 8
        assert mixer.process(different)[-1, -1, -1] == 8
        mixer.strength = 0.5
        mixer.process(different)
        assert same.calls == calls + 1  # the strength changed, the net's picture did not


def test_strength_blends_with_the_source() -> None:
    _, negative = two()
    with Mixer([negative], strength=0.25) as mixer:
        ready(mixer)
        assert mixer.process(plain(100))[0, 0, 0] == round(100 * 0.75 + 155 * 0.25)
        calls = negative.calls
        mixer.strength = 0.0
        assert mixer.process(plain(90))[0, 0, 0] == 90
        assert negative.calls == calls


def test_colours_are_the_sources_and_light_the_styles() -> None:
    picture = plain(0)
    picture[...] = (120, 90, 70)
    _, negative = two()
    with Mixer([negative], keep_colour=True) as mixer:
        ready(mixer)
        kept = mixer.process(picture)
    of_kept, of_source, of_style = (
        cv2.cvtColor(one, cv2.COLOR_RGB2YCrCb)[0, 0].astype(int)
        for one in (kept, picture, np.subtract(255, picture))
    )
    assert abs(of_kept[0] - of_style[0]) <= 1
    assert np.abs(of_kept[1:] - of_source[1:]).max() <= 1


def test_half_the_colours_lie_between_the_sources_and_the_styles() -> None:
    picture = plain(0)
    picture[...] = (120, 90, 70)
    with Mixer([two()[1]]) as mixer:
        ready(mixer)
        shades = []
        for share in (0.0, 0.5, 1.0):
            mixer.keep_colour = share
            shades.append(cv2.cvtColor(mixer.process(picture), cv2.COLOR_RGB2YCrCb)[0, 0])
    none, half, whole = (shade.astype(int) for shade in shades)
    assert abs(none[1] - whole[1]) > 10
    assert np.abs(half[1:] - (none[1:] + whole[1:]) / 2).max() <= 2
    assert abs(half[0] - none[0]) <= 1


def test_split_shows_the_source_left_of_a_line() -> None:
    with Mixer([two()[1]]) as mixer:
        ready(mixer)
        mixer.split = 0.5
        shown = mixer.process(plain(10))
        assert shown[3, 4, 0] == 10
        assert shown[3, 16, 0] == 255
        assert shown[3, 28, 0] == 245
        mixer.split = None
        assert mixer.process(plain(10))[3, 4, 0] == 245


def test_two_styles_blend() -> None:
    with Mixer(two()) as mixer:
        ready(mixer)
        mixer.mix = ("negative", 0.25)
        assert mixer.process(plain(100))[0, 0, 0] == round(100 * 0.75 + 155 * 0.25)
        assert mixer.mix == ("negative", 0.25)
        mixer.mix = None
        assert mixer.process(plain(100))[0, 0, 0] == 100


def test_the_source_is_shown_until_the_first_style_is_ready_then_the_last_one_stays() -> None:
    gates = {"same": threading.Event(), "negative": threading.Event()}
    ready_made = dict(zip(gates, two(), strict=True))

    def load(style: StyleSpec) -> FakeStylizer:
        assert gates[style.name].wait(WAIT)
        return ready_made[style.name]

    with Palette([spec("negative"), spec("same")], load=load) as palette:
        mixer = Mixer(palette)
        assert mixer.process(plain(10))[0, 0, 0] == 10
        assert mixer.shown is None
        gates["negative"].set()
        assert palette.wait(0, SIZE, WAIT)
        assert mixer.process(plain(11))[0, 0, 0] == 244
        mixer.style = "same"
        assert mixer.process(plain(12))[0, 0, 0] == 243
        assert f"{mixer.style} {mixer.shown}" == "same negative"
        gates["same"].set()
        assert palette.wait(1, SIZE, WAIT)
        mixer.process(plain(13))
        assert mixer.process(plain(14))[0, 0, 0] == 14
    assert all(one.closed for one in ready_made.values())


def test_a_style_that_does_not_load_is_stepped_over_and_told() -> None:
    def load(style: StyleSpec) -> FakeStylizer:
        if style.name == "broken":
            raise BackendError("broken does not load")
        return FakeStylizer(style)

    names = ("one", "broken", "two")
    with Palette([spec(name) for name in names], load=load) as palette:
        assert palette.wait(2, SIZE, WAIT)
        with pytest.raises(BackendError, match="broken does not load"):
            palette.wait(1, SIZE, WAIT)
        mixer = Mixer(palette)
        assert mixer.step(1) == "two"
        assert mixer.step(-1) == "one"


def test_a_mistake_in_a_loader_is_not_hidden_behind_the_source() -> None:
    def load(style: StyleSpec) -> FakeStylizer:
        raise ZeroDivisionError("a mistake")

    with Palette([spec("one")], load=load) as palette:
        mixer = Mixer(palette)
        with pytest.raises(ZeroDivisionError):
            palette.wait(0, SIZE, WAIT)
        with pytest.raises(ZeroDivisionError):
            mixer.process(plain(1))


def test_a_shared_palette_serves_viewers_from_their_own_threads() -> None:
    with Palette(two()) as palette:
        assert all(palette.wait(index, SIZE, WAIT) for index in range(2))
        results: dict[str, list[int]] = {}

        def view(name: str) -> None:
            mixer = Mixer(palette)
            mixer.style = name
            shown = [int(mixer.process(plain(index))[0, 0, 0]) for index in range(40)]
            results[name] = shown

        viewers = [threading.Thread(target=view, args=(name,)) for name in palette.names]
        for viewer in viewers:
            viewer.start()
        for viewer in viewers:
            viewer.join(WAIT)
    assert results["same"] == list(range(40))
    assert results["negative"] == [255 - index for index in range(40)]


def test_fifty_switches_lose_no_picture() -> None:
    with Mixer(two()) as mixer:
        ready(mixer)
        for index in range(100):
            if index % 2 == 0:
                mixer.step()
            shown = mixer.process(plain(index + 50))
            # A picture's own value or its negative, or half of what was before: never a stale one.
            assert index % 2 == 0 or shown[0, 0, 0] in (index + 50, 205 - index)


def test_a_change_of_size_is_warmed_for_and_never_breaks() -> None:
    with Mixer(two()) as mixer:
        ready(mixer)
        mixer.process(plain(1))
        other = np.full((10, 12, 3), 5, np.uint8)
        assert mixer.process(other).shape == other.shape
        assert mixer.wait_ready(Size(12, 10), WAIT)
        mixer.style = "negative"
        assert mixer.palette.wait(1, Size(12, 10), WAIT)
        mixer.process(other)
        assert mixer.process(other)[0, 0, 0] == 250


def test_a_stylizers_error_reaches_the_caller() -> None:
    with Mixer([FakeStylizer(spec("bad"), fail_at=2)]) as mixer:
        ready(mixer)
        mixer.process(plain(1))
        with pytest.raises(BackendError, match="as asked"):
            mixer.process(plain(2))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_settings_out_of_range_are_refused(value: float) -> None:
    with Mixer([two()[0]]) as mixer:
        with pytest.raises(UsageError, match="strength"):
            mixer.strength = value
        with pytest.raises(UsageError, match="keep_colour"):
            mixer.keep_colour = value
        with pytest.raises(UsageError, match="split"):
            mixer.split = value
        with pytest.raises(UsageError, match="mix"):
            mixer.mix = ("same", value)
        with pytest.raises(UsageError, match="not loaded here"):
            mixer.style = "other"


def test_a_palette_refuses_no_style_and_the_same_twice() -> None:
    with pytest.raises(UsageError, match="at least one"):
        Palette([])
    with pytest.raises(UsageError, match="twice"):
        Palette([two()[0], two()[0]])


def test_only_the_newest_waits_in_a_slot() -> None:
    slot: Slot[int] = Slot()
    assert slot.get(timeout=0.0) is None
    for item in range(4):
        slot.put(item)
    assert slot.get(timeout=WAIT) == 3
    assert slot.dropped == 3
    slot.put(9)
    slot.close()
    slot.put(10)
    assert slot.get(timeout=WAIT) == 9
    assert slot.get(timeout=WAIT) is None
