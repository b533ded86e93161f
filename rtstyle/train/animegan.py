"""Training of AnimeGANv2 (Chen, Liu and Chen, ISICA 2019, section 3.3; version 2's code).

First content alone, so that the generator gives the photo back; then against a discriminator. One
difference from the code: the discriminator's terms are unweighted, which Adam does not notice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parametrize

from rtstyle.errors import UsageError
from rtstyle.nets.anime_losses import DiscriminatorLoss, to_grey
from rtstyle.nets.animegan import AnimeDiscriminator
from rtstyle.train import checkpoint
from rtstyle.train.anime_loss import AnimeLoss, Photos
from rtstyle.train.anime_source import AnimeFolder, AnimeSource, DrawnAnime
from rtstyle.train.data import PhotoSet, centre_crop, read_photo
from rtstyle.train.device import check_precision
from rtstyle.train.edges import smooth_edges
from rtstyle.train.generator import (
    NetName,
    feature_net,
    fingerprint,
    generate,
    initial_generator,
    resumed_generator,
)
from rtstyle.train.loop import Trainer, as_batch, as_pictures, finite
from rtstyle.train.place import TEACHER, claim
from rtstyle.train.record import Samples, TrainingRecord
from rtstyle.train.teacher import Teacher, Tone, check_teaching
from rtstyle.train.tone import LINES, Grade
from rtstyle.types import Pixels

TERMS = ("content", "style", "colour", "variation", "adversarial", "discriminator", "total")
_PRETRAINING = 1000
_BETAS = (0.5, 0.999)
_SCALE_PHOTOS = 8


@dataclass(frozen=True, slots=True)
class AnimeTraining:
    """Settings of a run. Weights are those of the paper's section 4.1; variation is version 2's,
    for pictures in [0, 1]. Exactly one of ``anime`` and ``teacher`` gives the anime pictures.
    """

    photos: Path
    features: Path
    output: Path
    anime: Path | None = None
    """Folder of anime pictures."""
    teacher: Path | None = None
    """Generator whose pictures of the photos are the anime (see Teacher)."""
    net: NetName = "animegan"
    width: int = 32
    blocks: int = 4
    skip: bool = False
    """Detail past the middle of an AnimeGenerator; the published net has none."""
    discriminator_width: int = 64
    pretraining: int = _PRETRAINING
    """Iterations of content alone; 0 where ``initial`` paints already."""
    photo_limit: int | None = None
    """The most photos to train on: each costs one picture of the teacher."""
    iterations: int = 10000
    """Adversarial iterations, after them."""
    batch: int = 4
    size: int = 256
    """Height and width of the crops, a multiple of 4."""
    pretraining_rate: float = 2e-4
    rate: float = 2e-5
    discriminator_rate: float = 4e-5
    adversarial_weight: float = 300.0
    content_weight: float = 1.5
    style_weight: float = 3.0
    colour_weight: float = 10.0
    variation_weight: float = 2.0
    layer: str = "conv4_4"
    tone: Tone = "photo"
    """Whose coarse colours a teacher's pictures have."""
    lines: float = LINES
    """How strongly a teacher's fine detail is drawn on the photo's tone."""
    grade: Grade = field(default_factory=Grade)
    """Of a teacher's pictures, and of the photos whose colours are to be kept."""
    teacher_size: int = 288
    """Short side of the photos that a teacher is given, a multiple of 3."""
    precision: str = "fp32"
    """``fp32`` or ``bf16`` (autocast)."""
    device: str = "cpu"
    seed: int = 0
    initial: Path | None = None
    """A checkpoint of the same shape to start from."""
    cache: Path | None = None
    """Folder of the teacher's pictures; ``output``/teacher by default."""
    checkpoint_every: int = 250
    sample_every: int = 250

    @staticmethod
    def default_pretraining(initial: Path | None) -> int:
        """A generator that paints already would unlearn it."""
        return _PRETRAINING if initial is None else 0

    def __post_init__(self) -> None:
        if (self.anime is None) == (self.teacher is None):
            raise UsageError("give either --anime, a folder of pictures, or --teacher, a generator")
        check_precision(self.precision)
        check_teaching(self.tone, self.photo_limit)
        if self.size % 4 or self.size < 64:
            raise UsageError("--size must be a multiple of 4, at least 64")
        if self.teacher_size % 3 or self.teacher_size < 48:
            raise UsageError("teacher_size must be a multiple of 3, at least 48")
        if self.pretraining < 0 or self.iterations < 1 or self.batch < 1:
            raise UsageError("--iterations and --batch must be at least 1, --pretraining 0")


class AnimeTrainer(Trainer):
    """A run that can be stopped at any iteration of either phase and resumed with the same result.

    Iterations are counted through both phases.
    """

    def __init__(self, settings: AnimeTraining) -> None:
        self.settings = settings
        device = settings.device
        self.folder = claim(
            settings.output,
            pictures=[settings.photos, settings.anime],
            files=[settings.features, settings.teacher, settings.initial],
            cache=settings.cache,
        )
        torch.manual_seed(settings.seed)
        self.photos = PhotoSet.from_folder(settings.photos, limit=settings.photo_limit)
        self.anime = self._anime_source()
        self.net = initial_generator(settings)
        self.discriminator = AnimeDiscriminator(settings.discriminator_width)
        self.resumed = resumed_generator(self.net, settings.output, self._fingerprint)
        for net in (self.net, self.discriminator):
            net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = self._generator_optimizer()
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), settings.discriminator_rate, _BETAS
        )
        if self.resumed is not None:
            self.optimizer.load_state_dict(self.resumed.optimizer)
            for name, kept in self._beside.items():
                kept.load_state_dict(self.resumed.beside[name])
        crops = [
            centre_crop(read_photo(path), settings.size)
            for path in self.photos.held_aside[:_SCALE_PHOTOS]
        ]
        features = feature_net(settings.features, [settings.layer], device)
        self.loss = AnimeLoss(settings, features, as_batch(np.stack(crops), device)).to(device)
        self.discriminator_loss = DiscriminatorLoss()
        self.record = TrainingRecord(self.folder, resumed_at=self.iteration, terms=TERMS)

    @cached_property
    def _fingerprint(self) -> str:
        teacher = self.settings.teacher
        return fingerprint(
            self.settings, [self.settings.features, *([] if teacher is None else [teacher])]
        )

    @property
    def _beside(self) -> dict[str, AnimeDiscriminator | torch.optim.Optimizer]:
        return {
            "discriminator": self.discriminator,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def _anime_source(self) -> AnimeSource:
        settings = self.settings
        if settings.anime is not None:
            return AnimeFolder(settings.anime)
        assert settings.teacher is not None
        teacher = Teacher(
            settings.teacher,
            settings.cache or settings.output / TEACHER,
            tone=settings.tone,
            grade=settings.grade,
            lines=settings.lines,
            device=settings.device,
            precision=settings.precision,
        )
        return DrawnAnime(self.photos, teacher, settings.teacher_size)

    def _generator_optimizer(self) -> torch.optim.Adam:
        return torch.optim.Adam(self.net.parameters(), self.settings.pretraining_rate, _BETAS)

    @property
    def iteration(self) -> int:
        """Iterations of both phases done before this process began."""
        return 0 if self.resumed is None else self.resumed.iteration

    @property
    def length(self) -> int:
        """Iterations of both phases."""
        return self.settings.pretraining + self.settings.iterations

    @property
    def schedule(self) -> AnimeTraining:
        """How often to save and to validate."""
        return self.settings

    def _autocast(self) -> torch.autocast:
        enabled = self.settings.precision == "bf16"
        return torch.autocast(self.settings.device.split(":")[0], torch.bfloat16, enabled=enabled)

    def _logits(self, pictures: Tensor) -> Tensor:
        """``(N, 3, H, W)`` in [0, 1] -> what the discriminator thinks of them."""
        with parametrize.cached():
            # The spectral norms are found here, at float32: their iteration needs the digits.
            for module in self.discriminator.modules():
                if parametrize.is_parametrized(module, "weight"):
                    _ = module.weight
            with self._autocast():
                logits: Tensor = self.discriminator(pictures * 2 - 1)
        return logits

    def _batches(self, iteration: int) -> tuple[Photos, Tensor, Tensor]:
        """Photos, anime and edge-smoothed anime for an adversarial iteration."""
        settings = self.settings
        anime = self.anime.batch(
            iteration, size=settings.size, count=settings.batch, seed=settings.seed + 1
        )
        smooth = np.stack([smooth_edges(picture) for picture in anime])
        photos, device = self._photos(iteration), settings.device
        return photos, as_batch(anime, device), as_batch(smooth, device)

    def _photos(self, iteration: int) -> Photos:
        settings = self.settings
        pictures = self.photos.batch(
            iteration, size=settings.size, count=settings.batch, seed=settings.seed
        )
        return self._graded(pictures)

    def _graded(self, pictures: Pixels) -> Photos:
        """uint8 ``(N, H, W, 3)`` RGB -> the batch in [0, 1]."""
        device, grade = self.settings.device, self.settings.grade
        shown = as_batch(pictures, device)
        return Photos(shown, as_batch(grade(pictures), device) if grade.changes else shown)

    def step(self, iteration: int) -> dict[str, float]:
        """Train on the batch of ``iteration``, counted from 0 through both phases."""
        if iteration < self.settings.pretraining:
            return self._pretrain(iteration)
        if iteration == self.settings.pretraining:
            # Gradients of another scale: Adam's running squares begin anew.
            self.optimizer = self._generator_optimizer()
        return self._adversarial(iteration)

    def _pretrain(self, iteration: int) -> dict[str, float]:
        photos = self._photos(iteration).shown
        with self._autocast():
            losses = self.loss.pretraining(generate(self.net, photos), photos)
        values = finite(losses, iteration)
        self._descend(losses["total"], self.optimizer, self.settings.pretraining_rate)
        return values

    def _adversarial(self, iteration: int) -> dict[str, float]:
        settings = self.settings
        photos, anime, smooth = self._batches(iteration)
        grey = to_grey(anime)
        with self._autocast():
            generated = generate(self.net, photos.shown)
        shown = torch.cat([anime, generated.detach(), grey, smooth])
        judged = self.discriminator_loss(*self._logits(shown).chunk(4))
        self._descend(judged, self.discriminator_optimizer, settings.discriminator_rate)
        self.discriminator.requires_grad_(False)
        logits = self._logits(generated)
        self.discriminator.requires_grad_(True)
        with self._autocast():
            losses = self.loss(generated, photos, grey, logits)
        values = finite({**losses, "discriminator": judged}, iteration)
        self._descend(losses["total"], self.optimizer, settings.rate)
        return values

    @staticmethod
    def _descend(loss: Tensor, optimizer: torch.optim.Optimizer, rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def save(self, done: int) -> None:
        """Write the checkpoint after ``done`` iterations."""
        checkpoint.save(
            self.folder,
            self.net,
            self.optimizer,
            iteration=done,
            fingerprint=self._fingerprint,
            beside=self._beside,
        )

    @torch.no_grad()
    def validation(self) -> dict[str, float]:
        """Mean losses of the generator on the photos held aside, with every term."""
        # Evaluation stops the power iteration: looking must not change what comes after.
        self.discriminator.eval()
        sums: dict[str, float] = {}
        paths = self.photos.held_aside
        for index, path in enumerate(paths):
            photo = self._held_aside(path)
            anime = self.anime.batch(
                index, size=self.settings.size, count=1, seed=self.settings.seed + 2
            )
            grey = to_grey(as_batch(anime, self.settings.device))
            with self._autocast():
                generated = generate(self.net, photo.shown)
            logits = self._logits(generated)
            with self._autocast():
                losses = self.loss(generated, photo, grey, logits)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.item() / len(paths)
        self.discriminator.train()
        return sums

    def _held_aside(self, path: Path) -> Photos:
        return self._graded(centre_crop(read_photo(path), self.settings.size)[None])

    @torch.no_grad()
    def samples(self, count: int = 4) -> Samples:
        """Photos held aside, each with what the generator makes of it."""
        found = []
        for path in self.photos.held_aside[:count]:
            photo = self._held_aside(path).shown
            found.append((as_pictures(photo)[0], as_pictures(generate(self.net, photo))[0]))
        return found
