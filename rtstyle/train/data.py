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


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Photos for training and a few held aside for validation."""

    train: tuple[Path, ...]
    held_aside: tuple[Path, ...]

    @classmethod
    def from_folder(cls, folder: str | Path, *, held_aside: int = 16) -> PhotoSet:
        """Every picture below ``folder``; which are held aside depends on their names alone.

        Raises InputError where there are too few to train on.
        """
        folder = Path(folder)
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _EXTENSIONS)
        if len(found) < 2:
            raise InputError(
                f"{folder}: {len(found)} photos found; training needs at least 2 (better 1000) "
                f"of {', '.join(sorted(_EXTENSIONS))}"
            )
        held_aside = min(held_aside, len(found) // 2)

        def digest(path: Path) -> str:
            return hashlib.sha256(str(path.relative_to(folder)).encode()).hexdigest()

        shuffled = sorted(found, key=digest)
        return cls(tuple(shuffled[held_aside:]), tuple(shuffled[:held_aside]))

    def batch(self, iteration: int, *, size: int, count: int, seed: int) -> Pixels:
        """Random crops for ``iteration``: uint8 ``(count, size, size, 3)`` RGB."""
        chance = np.random.default_rng((seed, iteration))
        picked = chance.integers(0, len(self.train), size=count)
        return np.stack([random_crop(read_photo(self.train[i]), size, chance) for i in picked])


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
