"""stylize_image: files and arrays in, an array and perhaps a file out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rtstyle.backends import FakeStylizer
from rtstyle.errors import NotAVideo, OutputExists, OutputNotWritable, UnknownStyle, UsageError
from rtstyle.media import read_image, write_image
from rtstyle.pipeline import open_stylizer, stylize_image
from tests.clips import moving_picture
from tests.nets import conv_net, conv_reference, make_pack

PICTURE = moving_picture((31, 17), 3)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_strength_mixes(strength: float) -> None:
    with FakeStylizer(invert=True) as stylizer:
        painted = stylize_image(PICTURE, None, strength=strength, stylizer=stylizer)
    exact = (1 - strength) * PICTURE + strength * (255.0 - PICTURE)
    assert painted.dtype == np.uint8
    assert np.abs(painted - exact).max() <= 0.51


def test_a_pack_runs_at_the_pictures_own_size(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "conv", name="conv", model=conv_net(), multiple_of=1)
    painted = stylize_image(PICTURE, pack, backend="onnxruntime")
    assert np.abs(painted.astype(int) - conv_reference(PICTURE[np.newaxis])[0]).max() <= 1


def test_a_file_comes_in_and_goes_out(tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    write_image(source, PICTURE)
    with FakeStylizer(invert=True) as stylizer:
        painted = stylize_image(str(source), None, output=str(target), stylizer=stylizer)
        assert np.array_equal(painted, 255 - PICTURE)
        assert np.array_equal(read_image(target), painted)
        with pytest.raises(OutputExists):
            stylize_image(source, None, output=target, stylizer=stylizer)
        stylize_image(PICTURE // 2, None, output=target, stylizer=stylizer, overwrite=True)
    assert np.array_equal(read_image(target), 255 - PICTURE // 2)


def test_the_source_array_is_not_changed() -> None:
    before = PICTURE.copy()
    with FakeStylizer(invert=True) as stylizer:
        stylize_image(PICTURE, None, stylizer=stylizer, strength=0.5)
        given = stylize_image(PICTURE, None, stylizer=stylizer, strength=0.0)
    given[:] = 0
    assert np.array_equal(PICTURE, before)


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (np.zeros((4, 4), np.uint8), ValueError),
        (np.zeros((1, 4, 4, 3), np.uint8), ValueError),
        (np.zeros((4, 4, 4), np.uint8), ValueError),
        (np.zeros((0, 4, 3), np.uint8), ValueError),
        (np.zeros((4, 4, 3), np.float32), TypeError),
    ],
)
def test_an_array_that_is_no_picture_is_refused(
    pixels: npt.NDArray[Any],
    kind: type[Exception],
) -> None:
    with FakeStylizer() as stylizer, pytest.raises(kind, match="a picture must be"):
        stylize_image(pixels, None, stylizer=stylizer)


def test_refusals_come_in_the_order_of_their_cost(tmp_path: Path) -> None:
    missing = tmp_path / "none.png"
    with pytest.raises(UsageError):
        stylize_image(missing, "no-such-style", output=tmp_path / "x.xyz", strength=2)
    with pytest.raises(OutputNotWritable):
        stylize_image(missing, "no-such-style", output=tmp_path / "x.xyz")
    with pytest.raises(NotAVideo):
        stylize_image(missing, "no-such-style")
    with pytest.raises(UnknownStyle):
        stylize_image(PICTURE, "no-such-style")


def test_open_stylizer_takes_a_path_and_checks_its_options(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "negative", name="negative")
    with open_stylizer(pack, backend="onnxruntime", threads=1) as stylizer:
        assert stylizer.spec.name == "negative"
        assert np.array_equal(stylizer(PICTURE[np.newaxis])[0], 255 - PICTURE)
    wrong: list[dict[str, Any]] = [{"backend": "abacus"}, {"precision": "int3"}, {"threads": 0}]
    for options in wrong:
        with pytest.raises(UsageError):
            open_stylizer(pack, **options)
