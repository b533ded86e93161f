"""Still pictures: formats, depths, transparency, orientation, limits, names."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from rtstyle.errors import CorruptInput, LimitExceeded, NotAVideo
from rtstyle.media import read_image, write_image
from rtstyle.media.header import picture_size
from rtstyle.types import Limits, Pixels, Size
from tests.clips import moving_picture

PICTURE = moving_picture((37, 23), 2)


def encoded(suffix: str, picture: npt.NDArray[np.integer[Any]]) -> bytes:
    """A file's bytes; channels in OpenCV's order."""
    done, data = cv2.imencode(suffix, picture)
    assert done
    return bytes(data)


def swapped(picture: Pixels) -> Pixels:
    return np.ascontiguousarray(picture[..., ::-1])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm"])
def test_lossless_formats_come_back_as_they_were(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ünï 視{suffix}"
    write_image(path, PICTURE)
    assert np.array_equal(read_image(path), PICTURE)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
def test_lossy_formats_come_back_close(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"a{suffix}", PICTURE)
    assert np.abs(read_image(tmp_path / f"a{suffix}").astype(int) - PICTURE).mean() < 6


def test_grey_deep_and_transparent_pictures_are_read(tmp_path: Path) -> None:
    grey = PICTURE[..., 0]
    (tmp_path / "grey.png").write_bytes(encoded(".png", grey))
    assert np.array_equal(read_image(tmp_path / "grey.png"), np.repeat(grey[..., None], 3, axis=2))
    deep = swapped(PICTURE).astype(np.uint16) * 257
    (tmp_path / "deep.png").write_bytes(encoded(".png", deep))
    assert np.array_equal(read_image(tmp_path / "deep.png"), PICTURE)
    (tmp_path / "deep_grey.png").write_bytes(encoded(".png", deep[..., 0]))
    assert np.array_equal(read_image(tmp_path / "deep_grey.png")[..., 1], PICTURE[..., 2])
    alpha = np.full((23, 37, 1), 255, np.uint8)
    alpha[:10] = 0
    alpha[10] = 128
    clear = np.concatenate([swapped(PICTURE), alpha], axis=2)
    (tmp_path / "clear.png").write_bytes(encoded(".png", clear))
    read = read_image(tmp_path / "clear.png")
    assert np.array_equal(read[11:], PICTURE[11:])
    assert (read[:10] == 255).all()
    assert np.abs(read[10].astype(float) - (PICTURE[10] / 2 + 127.5)).max() < 1.5


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    jpeg = encoded(".jpg", swapped(PICTURE))
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHIHH", 0x112, 3, 1, 6, 0) + bytes(4)
    exif = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
    turned = read_image(tmp_path / "a.jpg")
    assert turned.shape == (37, 23, 3)
    wanted = cv2.rotate(PICTURE, cv2.ROTATE_90_CLOCKWISE)
    assert np.abs(turned.astype(int) - wanted).mean() < 8


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp", ".gif"])
def test_sizes_are_known_before_decoding(tmp_path: Path, suffix: str) -> None:
    data = encoded(suffix, swapped(PICTURE))
    assert picture_size(data) == Size(37, 23)
    for length in range(0, len(data), 7):
        assert picture_size(data[:length]) in (None, Size(37, 23))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    with pytest.raises(LimitExceeded, match="37x23"):
        read_image(path, limits=Limits(max_pixels=37 * 23 - 1))
    assert read_image(path, limits=Limits(max_pixels=37 * 23)).shape == (23, 37, 3)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    for name, data in (("empty.png", b""), ("text.png", b"hello" * 50)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(NotAVideo, match=name):
            read_image(tmp_path / name)
    for missing in (tmp_path / "missing.png", tmp_path):
        with pytest.raises(NotAVideo):
            read_image(missing)
    broken = encoded(".png", swapped(PICTURE))
    (tmp_path / "broken.png").write_bytes(broken[:40])
    with pytest.raises(CorruptInput, match=r"broken\.png"):
        read_image(tmp_path / "broken.png")


def test_wrong_pixels_are_refused(tmp_path: Path) -> None:
    for wrong in (PICTURE[..., 0], PICTURE.astype(np.float32), PICTURE[..., :2]):
        with pytest.raises(ValueError, match="uint8"):
            write_image(tmp_path / "a.png", wrong)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
