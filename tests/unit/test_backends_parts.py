"""Padding, the processor's features, and the fake."""

from __future__ import annotations

import time

import numpy as np
import pytest

from rtstyle.backends import FakeStylizer, processor_features
from rtstyle.backends.base import pad
from rtstyle.backends.processor import parse_cpuinfo
from rtstyle.errors import BackendError
from rtstyle.styles import SizeRule
from rtstyle.types import Size

XEON = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8488C
flags\t\t: fpu sse avx2 avx512f avx512_bf16 amx_tile amx_bf16

processor\t: 1
model name\t: another one
flags\t\t: fpu
"""
RYZEN = "model name\t: AMD Ryzen 9 7950X\nflags\t\t: avx2 avx512f avx512_bf16\n"
OLD = "model name\t: Intel(R) Core(TM) i5-2400\nflags\t\t: sse4_2 avx\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


@pytest.mark.parametrize("rule", [SizeRule(), SizeRule(4, 4), SizeRule(32, 8), SizeRule(9, 5)])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (15, 17), (64, 48)], ids=str)
def test_padding_keeps_the_picture_and_reflects_it(rule: SizeRule, size: tuple[int, int]) -> None:
    width, height = size
    random = np.random.default_rng(0)
    batch = random.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    padded = pad(batch, rule)
    fitted = rule.fit(Size(width, height))
    assert padded.shape == (2, fitted.height, fitted.width, 3)
    assert padded.flags.c_contiguous

    def mirrored(position: int, length: int) -> int:
        """Where a row or column beyond the edge is taken from: 0 1 2 1 0 1 2 ..."""
        period = max(2 * length - 2, 1)
        position %= period
        return min(position, period - position) if length > 1 else 0

    rows = [mirrored(y, height) for y in range(fitted.height)]
    columns = [mirrored(x, width) for x in range(fitted.width)]
    assert np.array_equal(padded, batch[:, rows][:, :, columns])


def test_features_are_read_from_the_first_processor() -> None:
    found = parse_cpuinfo(XEON, cores=2)
    assert found.model == "Intel(R) Xeon(R) Platinum 8488C"
    assert (found.cores, found.avx2, found.avx512) == (2, True, True)
    assert (found.avx512_bf16, found.amx_bf16, found.quick_bf16) == (True, True, True)
    assert "matrix" in found.bf16_units


def test_vector_units_alone_are_quick_too() -> None:
    found = parse_cpuinfo(RYZEN, cores=1)
    assert (found.amx_bf16, found.quick_bf16) == (False, True)
    assert "vector" in found.bf16_units


@pytest.mark.parametrize("text", [OLD, ARM])
def test_processors_without_the_units_are_known_to_lack_them(text: str) -> None:
    found = parse_cpuinfo(text, cores=1)
    assert found.quick_bf16 is False
    assert "no bf16" in found.bf16_units


def test_where_nothing_is_told_nothing_is_claimed() -> None:
    found = parse_cpuinfo("", cores=8)
    assert found.model
    assert found.cores == 8
    assert {found.avx2, found.avx512, found.avx512_bf16, found.amx_bf16} == {None}
    assert found.quick_bf16 is None


def test_this_processor_has_a_name_and_cores() -> None:
    found = processor_features()
    assert found.model
    assert found.cores >= 1


def test_the_fake_gives_the_picture_back_or_its_negative() -> None:
    batch = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    assert np.array_equal(FakeStylizer()(batch), batch)
    assert np.array_equal(FakeStylizer(invert=True)(batch), 255 - batch)


def test_the_fake_fails_at_the_call_asked_for_and_only_there() -> None:
    batch = np.zeros((1, 2, 2, 3), np.uint8)
    fake = FakeStylizer(fail_at=3)
    fake.warm_up(Size(2, 2))
    fake(batch)
    fake(batch)
    with pytest.raises(BackendError, match="call 3"):
        fake(batch)
    fake(batch)
    assert fake.calls == 4
    with pytest.raises(KeyboardInterrupt):
        FakeStylizer(fail_at=1, error=KeyboardInterrupt())(batch)


def test_the_fake_takes_its_time() -> None:
    batch = np.zeros((1, 2, 2, 3), np.uint8)
    start = time.monotonic()
    FakeStylizer(delay=0.05)(batch)
    assert time.monotonic() - start >= 0.05


def test_the_fake_knows_that_it_is_closed() -> None:
    fake = FakeStylizer()
    assert not fake.closed
    with fake:
        pass
    assert fake.closed
