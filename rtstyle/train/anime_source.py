"""Anime pictures as training batches, from a folder or drawn by a teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtstyle.train.data import PhotoSet, random_crop
from rtstyle.train.teacher import Teacher
from rtstyle.types import Pixels


class AnimeFolder:
    """Crops of the pictures in a folder; raises InputError where there are fewer than 2."""

    def __init__(self, folder: Path) -> None:
        self.pictures = PhotoSet.from_folder(folder, held_aside=0)

    def batch(self, iteration: int, *, size: int, count: int, seed: int) -> Pixels:
        """For ``iteration``: uint8 ``(count, size, size, 3)`` RGB."""
        return self.pictures.batch(iteration, size=size, count=count, seed=seed)


class DrawnAnime:
    """Crops of what a teacher makes of whole photos of short side ``whole``."""

    def __init__(self, photos: PhotoSet, teacher: Teacher, whole: int) -> None:
        self.photos, self.teacher, self.whole = photos, teacher, whole

    def batch(self, iteration: int, *, size: int, count: int, seed: int) -> Pixels:
        """For ``iteration``: uint8 ``(count, size, size, 3)`` RGB."""
        photos = self.photos.whole(iteration, size=self.whole, count=count, seed=seed)
        chance = np.random.default_rng((seed, iteration, 2))
        return np.stack([random_crop(drawn, size, chance) for drawn in self.teacher(photos)])


AnimeSource = AnimeFolder | DrawnAnime
