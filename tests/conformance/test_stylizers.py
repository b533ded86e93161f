"""One suite for every backend: whatever runs a style keeps the same promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rtstyle.backends import (
    FakeStylizer,
    Stylizer,
    available_backends,
    load_stylizer,
    tensorrt,
)
from rtstyle.backends.base import pad
from rtstyle.errors import ModelError
from rtstyle.styles import StyleSpec, find_style
from rtstyle.types import Pixels, Size
from tests.gpu import simulate_gpu
from tests.nets import conv_net, conv_reference, halving_net, identity_net, invert_net, make_pack

SIZES = [(1, 1), (2, 2), (1, 40), (15, 17), (65, 49), (64, 48)]
"""Width and height."""


@dataclass(frozen=True)
class Way:
    """A backend at a precision."""

    backend: str
    precision: str
    simulated: bool = False
    """On the stand-in of a GPU, where there may be none."""

    def load(self, spec: StyleSpec) -> Stylizer:
        """A stylizer of ``spec``; the fake one inverts colours whatever the style."""
        if self.backend == "fake":
            return FakeStylizer(spec, invert=True)
        return load_stylizer(spec, backend=self.backend, precision=self.precision)


REAL = [Way(b.name, p) for b in available_backends() for p in b.precisions]
SIMULATED = [Way("tensorrt", precision, simulated=True) for precision in tensorrt.PRECISIONS]
WAYS = [*REAL, *SIMULATED, Way("fake", "fp32")]


def name_of(way: Way) -> str:
    return f"{way.backend}-{way.precision}{'-simulated' if way.simulated else ''}"


def prepared(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Iterator[Way]:
    """The way asked for; of a simulated GPU, all memory must be free again at the end."""
    found: Way = request.param
    if not found.simulated:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield found
        return
    machine = simulate_gpu(monkeypatch, folder / "cache")
    yield found
    assert machine.holds_nothing


@pytest.fixture(params=WAYS, ids=name_of)
def way(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Way]:
    yield from prepared(request, monkeypatch, tmp_path)


@pytest.fixture(params=[*REAL, *SIMULATED], ids=name_of)
def real(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Way]:
    yield from prepared(request, monkeypatch, tmp_path)


@pytest.fixture
def invert(tmp_path: Path) -> StyleSpec:
    """255 minus the picture; sizes must be multiples of 4, and 4 at least."""
    return find_style(make_pack(tmp_path / "invert", "invert", invert_net()))


def noise(width: int, height: int, count: int = 1, seed: int = 0) -> Pixels:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def difference(a: Pixels, b: Pixels) -> int:
    return int(np.abs(a.astype(int) - b).max())


def psnr(a: Pixels, b: Pixels) -> float:
    error = float(np.square(a.astype(float) - b).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def test_both_real_backends_are_here_to_be_tested() -> None:
    assert {way.backend for way in REAL} >= {"openvino", "onnxruntime"}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_comes_back_at_its_size(
    way: Way, invert: StyleSpec, size: tuple[int, int], count: int
) -> None:
    batch = noise(*size, count)
    with way.load(invert) as stylizer:
        result = stylizer(batch)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert np.array_equal(result, 255 - batch)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_net_sees_the_reflected_picture(
    real: Way, tmp_path: Path, size: tuple[int, int]
) -> None:
    spec = find_style(make_pack(tmp_path / "conv", "conv", conv_net(seed=3)))
    batch = noise(*size, count=2, seed=5)
    width, height = size
    expected = conv_reference(pad(batch, spec.size_rule), seed=3)[:, :height, :width]
    with real.load(spec) as stylizer:
        result = stylizer(batch)
    if real.precision == "fp32":
        assert difference(result, expected) <= 1
    else:
        assert psnr(result, expected) >= 40


def test_a_picture_of_a_batch_does_not_depend_on_its_neighbours(real: Way, tmp_path: Path) -> None:
    spec = find_style(make_pack(tmp_path / "conv", "conv", conv_net()))
    batch = noise(32, 24, count=3)
    with real.load(spec) as stylizer:
        together = stylizer(batch)
        alone = np.concatenate([stylizer(picture[None]) for picture in batch])
    assert difference(together, alone) <= (1 if real.precision == "fp32" else 4)


def test_sizes_the_net_cannot_take_are_padded_for_it(real: Way, tmp_path: Path) -> None:
    folder = make_pack(tmp_path / "half", "half", halving_net(), minimum=2, multiple_of=2)
    flat = np.full((1, 7, 5, 3), 77, np.uint8)
    with real.load(find_style(folder)) as stylizer:
        assert np.array_equal(stylizer(flat), flat)


def test_a_wrong_size_rule_is_an_error_and_not_a_wrong_picture(real: Way, tmp_path: Path) -> None:
    folder = make_pack(tmp_path / "half", "half", halving_net(), minimum=2, multiple_of=1)
    with real.load(find_style(folder)) as stylizer:
        with pytest.raises(ModelError, match=r"half.*size rule"):
            stylizer(noise(7, 5))
        assert stylizer(noise(8, 6)).shape == (1, 6, 8, 3)


@pytest.mark.parametrize(
    ("batch", "error"),
    [
        (np.zeros((4, 4, 3), np.uint8), ValueError),
        (np.zeros((1, 3, 4, 4), np.uint8), ValueError),
        (np.zeros((1, 4, 4, 4), np.uint8), ValueError),
        (np.zeros((0, 4, 4, 3), np.uint8), ValueError),
        (np.zeros((1, 0, 4, 3), np.uint8), ValueError),
        (np.zeros((1, 4, 4, 3), np.float32), TypeError),
        (np.zeros((1, 4, 4, 3), np.int8), TypeError),
        ([[[[0, 0, 0]]]], TypeError),
        (None, TypeError),
    ],
    ids=["rank", "planes", "alpha", "none", "flat", "float", "signed", "list", "nothing"],
)
def test_what_is_no_batch_is_refused(
    way: Way, invert: StyleSpec, batch: Pixels, error: type[Exception]
) -> None:
    with way.load(invert) as stylizer:
        with pytest.raises(error, match="batch"):
            stylizer(batch)
        assert np.array_equal(stylizer(noise(8, 8)), 255 - noise(8, 8))


def strided(batch: Pixels) -> Pixels:
    return np.repeat(np.repeat(batch, 2, axis=1), 2, axis=2)[:, ::2, ::2]


def upside_down(batch: Pixels) -> Pixels:
    return batch[:, ::-1].copy()[:, ::-1]


def fortran(batch: Pixels) -> Pixels:
    return np.asfortranarray(batch)


def read_only(batch: Pixels) -> Pixels:
    copy = batch.copy()
    copy.flags.writeable = False
    return copy


@pytest.mark.parametrize("layout", [strided, upside_down, fortran, read_only])
def test_any_memory_layout_is_taken(
    way: Way, invert: StyleSpec, layout: Callable[[Pixels], Pixels]
) -> None:
    batch = noise(16, 12)
    with way.load(invert) as stylizer:
        assert np.array_equal(stylizer(layout(batch)), 255 - batch)


@pytest.mark.parametrize("size", [(16, 12), (15, 11)], ids=str)
@pytest.mark.parametrize("net", [identity_net, invert_net, conv_net])
def test_the_batch_is_left_alone_and_the_result_is_its_own(
    way: Way, tmp_path: Path, net: Callable[[], bytes], size: tuple[int, int]
) -> None:
    spec = find_style(make_pack(tmp_path / "p", "p", net()))
    first, second = noise(*size, seed=1), noise(*size, seed=2)
    kept = first.copy()
    with way.load(spec) as stylizer:
        result = stylizer(first)
        assert not np.may_share_memory(result, first)
        snapshot = result.copy()
        stylizer(second)
        first[:] = 0
        assert np.array_equal(result, snapshot)
        result[:] = 9
        assert np.array_equal(stylizer(kept), snapshot)
    assert np.array_equal(second, noise(*size, seed=2))


def test_the_result_outlives_the_stylizer(way: Way, invert: StyleSpec) -> None:
    batch = noise(64, 64)
    with way.load(invert) as stylizer:
        result = stylizer(batch)
    assert np.array_equal(result, 255 - batch)


def test_the_same_batch_gives_the_same_result(real: Way, tmp_path: Path) -> None:
    spec = find_style(make_pack(tmp_path / "conv", "conv", conv_net(channels=16)))
    batch = noise(67, 45)
    with real.load(spec) as one, real.load(spec) as two:
        first = one(batch)
        assert all(np.array_equal(one(batch), first) for _ in range(3))
        assert np.array_equal(two(batch), first)


def test_pictures_of_a_batch_come_back_each_in_its_place(way: Way, invert: StyleSpec) -> None:
    with way.load(invert) as stylizer:
        assert stylizer.batch_hint >= 1
        for count in (stylizer.batch_hint, 2 * stylizer.batch_hint + 1, 17, 1):
            batch = np.concatenate([noise(45, 31, seed=index) for index in range(count)])
            assert np.array_equal(stylizer(batch), 255 - batch)


def test_sizes_may_change_from_call_to_call(way: Way, invert: StyleSpec) -> None:
    with way.load(invert) as stylizer:
        for width, height in [*SIZES, *reversed(SIZES)]:
            batch = noise(width, height)
            assert np.array_equal(stylizer(batch), 255 - batch)


def test_two_styles_run_side_by_side(real: Way, invert: StyleSpec, tmp_path: Path) -> None:
    other = find_style(make_pack(tmp_path / "same", "same", identity_net()))
    batch = noise(12, 12)
    with real.load(invert) as one, real.load(other) as two:
        for _ in range(2):
            assert np.array_equal(one(batch), 255 - batch)
            assert np.array_equal(two(batch), batch)
        one.close()
        assert np.array_equal(two(batch), batch)


def test_warming_up_changes_nothing(way: Way, invert: StyleSpec) -> None:
    with way.load(invert) as stylizer:
        stylizer.warm_up(Size(33, 21), batch=stylizer.batch_hint)
        stylizer.warm_up(Size(33, 21))
        stylizer.warm_up(Size(1, 1))
        assert np.array_equal(stylizer(noise(33, 21)), 255 - noise(33, 21))


def test_closing_twice_is_allowed_and_using_it_afterwards_is_not(
    way: Way, invert: StyleSpec
) -> None:
    stylizer = way.load(invert)
    stylizer(noise(8, 8))
    stylizer.close()
    stylizer.close()
    with pytest.raises(RuntimeError, match="closed"):
        stylizer(noise(8, 8))
    with pytest.raises(RuntimeError, match="closed"):
        stylizer.warm_up(Size(8, 8))


def test_leaving_by_an_error_closes(way: Way, invert: StyleSpec) -> None:
    with pytest.raises(KeyError), way.load(invert) as stylizer:
        raise KeyError
    with pytest.raises(RuntimeError):
        stylizer(noise(8, 8))


def test_info_says_what_runs(way: Way, invert: StyleSpec) -> None:
    with way.load(invert) as stylizer:
        info = stylizer.info
        assert stylizer.spec == invert
    assert info.name.startswith(way.backend)
    assert info.precision == way.precision
    assert info.device
    assert info.reason
    assert info.requested == f"{way.backend}/{'auto' if way.backend == 'fake' else way.precision}"


def test_reduced_precision_really_is_reduced(tmp_path: Path) -> None:
    """Were a precision a mere label, its result would equal that of fp32."""
    spec = find_style(make_pack(tmp_path / "conv", "conv", conv_net(channels=16)))
    batch = noise(128, 128)
    results = {}
    for way in REAL:
        with way.load(spec) as stylizer:
            results[name_of(way)] = stylizer(batch)
    whole = results.get("openvino-fp32")
    for name, result in results.items():
        if whole is not None and name == "openvino-bf16":
            assert not np.array_equal(result, whole), name


@pytest.mark.parametrize("threads", [1, 2])
def test_bounding_the_threads_changes_no_pixel(real: Way, invert: StyleSpec, threads: int) -> None:
    with load_stylizer(
        invert, backend=real.backend, precision=real.precision, threads=threads
    ) as stylizer:
        assert np.array_equal(stylizer(noise(64, 40)), 255 - noise(64, 40))
