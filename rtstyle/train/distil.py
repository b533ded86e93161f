"""A generator learns a teacher's pictures: regression, fine detail and perceptual loss.

Whole pictures, not crops: a teacher's tone depends on the whole picture, so that crops of it
contradict each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rtstyle.errors import UsageError
from rtstyle.nets.anime_losses import DetailLoss
from rtstyle.nets.losses import ContentLoss
from rtstyle.nets.vgg import VggFeatures
from rtstyle.train import checkpoint
from rtstyle.train.data import PhotoSet, canvas, read_photo
from rtstyle.train.device import check_precision
from rtstyle.train.generator import (
    NetName,
    feature_net,
    fingerprint,
    generate,
    initial_generator,
    resumed_generator,
)
from rtstyle.train.loop import Trainer, as_batch, as_pictures, finite, rate_factor
from rtstyle.train.muon import Muon
from rtstyle.train.place import TEACHER, claim
from rtstyle.train.record import Samples, TrainingRecord
from rtstyle.train.teacher import Teacher, Tone, check_teaching
from rtstyle.train.tone import LINES, Grade
from rtstyle.types import Pixels

TERMS = ("pixels", "detail", "features", "total")
_GRADIENT_NORM = 1.0


@dataclass(frozen=True, slots=True)
class DistilTraining:
    """Settings of a distillation."""

    teacher: Path
    """CartoonGAN weights, or a checkpoint of our own."""
    photos: Path
    features: Path
    output: Path
    net: NetName = "animegan"
    width: int = 32
    blocks: int = 4
    skip: bool = True
    """Detail past the middle of an AnimeGenerator: learns in a fraction of the iterations."""
    photo_limit: int | None = None
    """The most photos to train on: each costs one picture of the teacher."""
    iterations: int = 8000
    batch: int = 1
    size: int = 288
    """Short side of the pictures, which are cut to 4:3 or 3:4; a multiple of 12."""
    crop: int = 192
    """Side of the squares cut from those, a multiple of 4; 0 for whole pictures."""

    rate: float = 1e-2
    """Peak learning rate of Muon; warmed up, then cosine down to 2 % of it."""
    tone: Tone = "photo"
    """Whose coarse colours the targets have (see Teacher)."""
    lines: float = LINES
    """How strongly a teacher's fine detail is drawn on the photo's tone."""
    grade: Grade = field(default_factory=Grade)
    """Of the targets."""
    pixels_weight: float = 1.0
    detail_weight: float = 2.0
    features_weight: float = 0.2
    feature_layers: tuple[str, ...] = ("relu2_1", "relu3_1", "relu4_1")
    precision: str = "fp32"
    """``fp32`` or ``bf16`` (autocast), of teacher and student."""
    device: str = "cpu"
    seed: int = 0
    compile: bool = False
    """Compile the step with torch.compile: a minute or two for each way that pictures stand."""
    initial: Path | None = None
    """A checkpoint of the same shape to start from."""
    cache: Path | None = None
    """Folder of the teacher's pictures; ``output``/teacher by default."""
    checkpoint_every: int = 250
    sample_every: int = 250

    def __post_init__(self) -> None:
        check_precision(self.precision)
        check_teaching(self.tone, self.photo_limit)
        if self.size % 12 or self.size < 48:
            raise UsageError("--size must be a multiple of 12, at least 48")
        if self.crop % 4 or not (self.crop == 0 or 48 <= self.crop <= self.size):
            raise UsageError("--crop must be a multiple of 4 from 48 to --size, or 0")
        if self.iterations < 1 or self.batch < 1:
            raise UsageError("--iterations and --batch must be at least 1")


class DistilLoss(nn.Module):
    """The weighted sum of L1, L1 of fine detail and feature distance."""

    def __init__(self, settings: DistilTraining, features: VggFeatures) -> None:
        super().__init__()
        self.settings = settings
        self.features = features
        self.detail = DetailLoss()
        self.content = ContentLoss()

    def forward(self, drawn: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Two ``(N, 3, H, W)`` RGB in [0, 1] -> the terms and their weighted ``total``."""
        settings = self.settings
        with torch.no_grad():
            wanted = self.features(target, settings.feature_layers)
        got = self.features(drawn, settings.feature_layers)
        pixels = functional.l1_loss(drawn, target)
        detail = self.detail(drawn, target)
        features = torch.stack([self.content(got[k], wanted[k]) for k in wanted]).mean()
        total = (
            settings.pixels_weight * pixels
            + settings.detail_weight * detail
            + settings.features_weight * features
        )
        return {"pixels": pixels, "detail": detail, "features": features, "total": total}


class DistilTrainer(Trainer):
    """A distillation that can be stopped at any iteration and resumed with the same result."""

    def __init__(self, settings: DistilTraining) -> None:
        self.settings = settings
        self.folder = claim(
            settings.output,
            pictures=[settings.photos],
            files=[settings.features, settings.teacher, settings.initial],
            cache=settings.cache,
        )
        torch.manual_seed(settings.seed)
        self.photos = PhotoSet.from_folder(settings.photos, limit=settings.photo_limit)
        self.net = initial_generator(settings)
        self.resumed = resumed_generator(self.net, settings.output, self._fingerprint)
        self.net.to(device=settings.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = Muon(self.net, settings.rate)
        if self.resumed is not None:
            self.optimizer.load_state_dict(self.resumed.optimizer)
        features = feature_net(settings.features, settings.feature_layers, settings.device)
        self.loss = DistilLoss(settings, features)
        self.teacher = Teacher(
            settings.teacher,
            settings.cache or settings.output / TEACHER,
            tone=settings.tone,
            grade=settings.grade,
            lines=settings.lines,
            device=settings.device,
            precision=settings.precision,
        )
        self._compiled: Callable[[Tensor, Tensor], dict[str, Tensor]] = self._forward
        if settings.compile:
            self._compiled = torch.compile(self._forward)
        self.record = TrainingRecord(self.folder, resumed_at=self.iteration, terms=TERMS)

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.settings, [self.settings.teacher, self.settings.features])

    @property
    def iteration(self) -> int:
        """Iterations done before this process began."""
        return 0 if self.resumed is None else self.resumed.iteration

    @property
    def length(self) -> int:
        """Iterations from the first to the last."""
        return self.settings.iterations

    @property
    def schedule(self) -> DistilTraining:
        """How often to save and to validate."""
        return self.settings

    def _forward(self, photos: Tensor, target: Tensor) -> dict[str, Tensor]:
        enabled = self.settings.precision == "bf16"
        with torch.autocast(self.settings.device.split(":")[0], torch.bfloat16, enabled=enabled):
            losses: dict[str, Tensor] = self.loss(generate(self.net, photos), target)
        return losses

    def step(self, iteration: int) -> dict[str, float]:
        """Train on the batch of ``iteration``, counted from 0."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate * rate_factor(iteration, settings.iterations)
        photos = self.photos.whole(
            iteration, size=settings.size, count=settings.batch, seed=settings.seed
        )
        targets = self.teacher(photos)
        # Cut and mirrored behind the teacher: its tone depends on the whole picture, and a photo is
        # rendered once.
        photos, targets = self._cut(iteration, photos, targets)
        losses = self._compiled(
            as_batch(photos, settings.device), as_batch(targets, settings.device)
        )
        values = finite(losses, iteration)
        self.optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), _GRADIENT_NORM)
        self.optimizer.step()
        return values

    def _cut(self, iteration: int, *batches: Pixels) -> list[Pixels]:
        """The same square of each batch, mirrored half of the time."""
        side, chance = self.settings.crop, np.random.default_rng((self.settings.seed, iteration, 1))
        height, width = batches[0].shape[1:3]
        top, left = (int(chance.integers(0, full - side + 1)) for full in (height, width))
        rows, columns = slice(top, top + side), slice(left, left + side)
        cut = [batch[:, rows, columns] if side else batch for batch in batches]
        return [batch[:, :, ::-1] for batch in cut] if chance.random() < 0.5 else cut

    def save(self, done: int) -> None:
        """Write the checkpoint after ``done`` iterations."""
        checkpoint.save(
            self.folder,
            self.net,
            self.optimizer,
            iteration=done,
            fingerprint=self._fingerprint,
        )

    def _held_aside(self, path: Path) -> tuple[Pixels, Pixels]:
        photo = read_photo(path)
        upright = photo.shape[0] > photo.shape[1]
        whole = canvas(photo, self.settings.size, upright=upright)[None]
        return whole, self.teacher(whole)

    @torch.no_grad()
    def validation(self) -> dict[str, float]:
        """Mean losses on the photos held aside."""
        device, paths = self.settings.device, self.photos.held_aside
        sums = dict.fromkeys(TERMS, 0.0)
        for path in paths:
            photo, target = self._held_aside(path)
            losses = self._forward(as_batch(photo, device), as_batch(target, device))
            for name, value in losses.items():
                sums[name] += value.item() / len(paths)
        return sums

    @torch.no_grad()
    def samples(self, count: int = 4) -> Samples:
        """Photos held aside, the teacher's picture of each, and the net's."""
        found = []
        for path in self.photos.held_aside[:count]:
            photo, target = self._held_aside(path)
            drawn = as_pictures(generate(self.net, as_batch(photo, self.settings.device)))
            found.append((photo[0], target[0], drawn[0]))
        return found
