"""Photos as training batches.

A batch is a pure function of seed and iteration, so that a resumed run sees what an unbroken one
would have seen, with no sampler state to store.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from rtstyle.errors import InputError
from rtstyle.types import Pixels

_EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
_LARGEST_SCALE = 1.3
_MOST_DRAWS = 20
"""A photo wanted: after as many in vain, one that stands the other way is cut to shape."""


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Photos for training and a few held aside for validation."""

    train: tuple[Path, ...]
    held_aside: tuple[Path, ...]

    @classmethod
    def from_folder(
        cls, folder: str | Path, *, held_aside: int = 16, limit: int | None = None
    ) -> PhotoSet:
        """Every picture below ``folder``; which are held aside depends on their names alone.

        ``limit`` is the most to train on, chosen by their names too.
        Raises InputError where there are too few to train on.
        """
        folder = Path(folder)
        found = sorted(
            p for p in folder.rglob("*") if p.suffix.lower() in _EXTENSIONS and p.is_file()
        )
        if len(found) < 2:
            raise InputError(
                f"{folder}: {len(found)} photos found; training needs at least 2 (better 1000) "
                f"of {', '.join(sorted(_EXTENSIONS))}"
            )
        held_aside = min(held_aside, len(found) // 2)

        def digest(path: Path) -> str:
            return hashlib.sha256(str(path.relative_to(folder)).encode()).hexdigest()

        shuffled = sorted(found, key=digest)
        chosen = shuffled[held_aside:][:limit]
        return cls(tuple(chosen), tuple(shuffled[:held_aside]))

    def batch(self, iteration: int, *, size: int, count: int, seed: int) -> Pixels:
        """Random crops for ``iteration``: uint8 ``(count, size, size, 3)`` RGB."""
        chance = np.random.default_rng((seed, iteration))
        picked = chance.integers(0, len(self.train), size=count)
        return np.stack([random_crop(read_photo(self.train[i]), size, chance) for i in picked])

    def whole(self, iteration: int, *, size: int, count: int, seed: int) -> Pixels:
        """Whole pictures for ``iteration``: uint8 ``(count, H, W, 3)`` RGB, as ``canvas`` cuts.

        The first one drawn says which way all of them stand; others are drawn until they agree.
        """
        chance = np.random.default_rng((seed, iteration))
        found: list[Pixels] = []
        upright = False
        for draw in range(_MOST_DRAWS * count):
            picture = read_photo(self.train[int(chance.integers(0, len(self.train)))])
            stands = picture.shape[0] > picture.shape[1]
            if draw == 0:
                upright = stands
            if stands == upright or draw >= (_MOST_DRAWS - 1) * count:
                found.append(canvas(picture, size, upright=upright))
            if len(found) == count:
                break
        return np.stack(found)


def read_photo(path: Path) -> Pixels:
    """uint8 ``(H, W, 3)`` RGB; raises InputError where OpenCV cannot read it."""
    data = np.fromfile(path, dtype=np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise InputError(f"{path}: not a picture that OpenCV can read; remove or replace it")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def resize_short_side(picture: Pixels, side: int) -> Pixels:
    """The picture scaled so that its shorter side has ``side`` pixels."""
    height, width = picture.shape[:2]
    scale = side / min(height, width)
    target = (max(side, round(width * scale)), max(side, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, target, interpolation=method), dtype=np.uint8)


def centre_crop(picture: Pixels, size: int) -> Pixels:
    """The middle ``(size, size, 3)`` of the picture scaled to that short side."""
    picture = resize_short_side(picture, size)
    top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
    return picture[top : top + size, left : left + size]


def random_crop(picture: Pixels, size: int, chance: np.random.Generator) -> Pixels:
    """A crop at a random scale and place, mirrored half of the time."""
    picture = resize_short_side(picture, round(size * chance.uniform(1.0, _LARGEST_SCALE)))
    top = int(chance.integers(0, picture.shape[0] - size + 1))
    left = int(chance.integers(0, picture.shape[1] - size + 1))
    crop = picture[top : top + size, left : left + size]
    return crop[:, ::-1] if chance.random() < 0.5 else crop


def canvas(picture: Pixels, size: int, *, upright: bool) -> Pixels:
    """Nearly the whole picture at one of two sizes: 4:3, or 3:4 where ``upright``.

    uint8 ``(size, size * 4 // 3, 3)`` or its transpose: scaled to cover, the overhang of the longer
    side cut off at both ends.
    """
    height, width = (size * 4 // 3, size) if upright else (size, size * 4 // 3)
    scale = max(height / picture.shape[0], width / picture.shape[1])
    target = (
        max(width, round(picture.shape[1] * scale)),
        max(height, round(picture.shape[0] * scale)),
    )
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = np.asarray(cv2.resize(picture, target, interpolation=method), dtype=np.uint8)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return scaled[top : top + height, left : left + width]
