from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from click.testing import CliRunner

from rtstyle.cli.main import main
from rtstyle.train import smooth_edges
from tests.features import photo_folder


def test_edges_are_blurred_and_nothing_else() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 30:] = (200, 120, 40)
    smooth = smooth_edges(picture)
    assert smooth.shape == picture.shape and smooth.dtype == np.uint8
    assert np.array_equal(smooth[:, :26], picture[:, :26])
    assert np.array_equal(smooth[:, 34:], picture[:, 34:])
    # Binomial 1 4 6 4 1 over 16: five and eleven sixteenths of the step on either side.
    for column, share in ((29, 5 / 16), (30, 11 / 16)):
        np.testing.assert_allclose(smooth[20, column], picture[20, 30] * share, atol=1)


def test_it_is_what_the_authors_loop_over_places_gives() -> None:
    chance = np.random.default_rng(0)
    small = chance.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = np.asarray(cv2.resize(small, (48, 36), interpolation=cv2.INTER_NEAREST), np.uint8)
    near = cv2.dilate(
        cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), 100, 200), np.ones((5, 5), np.uint8)
    )
    kernel = cv2.getGaussianKernel(5, 0)
    kernel = kernel * kernel.T
    padded = np.pad(picture, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    expected = picture.astype(np.float64)
    for y, x in zip(*np.nonzero(near), strict=True):
        expected[y, x] = (padded[y : y + 5, x : x + 5] * kernel[..., None]).sum(axis=(0, 1))
    assert 0.2 < (near > 0).mean() < 1
    assert np.abs(smooth_edges(picture) - expected).max() <= 1


def test_flat_and_mirrored_pictures() -> None:
    flat = np.full((20, 20, 3), 90, np.uint8)
    assert np.array_equal(smooth_edges(flat), flat)
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[8:] = 255
    assert np.array_equal(smooth_edges(picture[:, ::-1]), smooth_edges(picture)[:, ::-1])


def test_a_folder_of_smooth_pictures(tmp_path: Path) -> None:
    pictures = photo_folder(tmp_path / "anime" / "deep", count=3)
    target = tmp_path / "smooth"
    arguments = ["train", "smooth-edges", str(pictures.parent), "-o", str(target)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "3 pictures" in result.output
    names = sorted(str(p.relative_to(target)) for p in target.rglob("*.png"))
    assert names == [f"deep/0{i}.jpg.png" for i in range(3)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 4 and "not empty" in result.output, "nothing is written over"
