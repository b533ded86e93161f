"""Training of a Johnson net by perceptual loss (arXiv:1603.08155, section 3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rtstyle.errors import UsageError
from rtstyle.nets.johnson import SIZE_MINIMUM, SIZE_MULTIPLE, JohnsonNet
from rtstyle.nets.losses import ContentLoss, StyleLoss, TotalVariationLoss, gram_matrix
from rtstyle.nets.vgg import VggFeatures, load_features
from rtstyle.nets.widen import widen
from rtstyle.train import checkpoint
from rtstyle.train.data import PhotoSet, centre_crop, read_photo, resize_short_side
from rtstyle.train.device import check_precision
from rtstyle.train.loop import Trainer, as_batch, as_pictures, finite, rate_factor
from rtstyle.train.place import claim
from rtstyle.train.record import TrainingRecord
from rtstyle.types import Pixels

_GRADIENT_NORM = 1.0


@dataclass(frozen=True, slots=True)
class JohnsonTraining:
    """Settings of a run. Weights are relative to losses of about 0 to 1 (see nets.losses)."""

    style_image: Path
    photos: Path
    features: Path
    output: Path
    width: int = 16
    blocks: int = 5
    iterations: int = 4000
    batch: int = 4
    size: int = 256
    """Height and width of the training crops, a multiple of 4."""
    style_size: int = 384
    """Short side to which the painting is scaled: larger paints with smaller strokes."""
    rate: float = 1e-3
    """Peak learning rate of Adam; warmed up, then cosine down to 2 % of it."""
    content_weight: float = 1.0
    style_weight: float = 1.0
    variation_weight: float = 2.0
    content_layers: tuple[str, ...] = ("relu4_1",)
    style_layers: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
    precision: str = "fp32"
    """``fp32`` or ``bf16`` (autocast)."""
    device: str = "cpu"
    seed: int = 0
    compile: bool = False
    """Compile the step with torch.compile: a minute and a half once, then 1.4x as fast."""
    initial: Path | None = None
    """A checkpoint to start from instead of random weights; a narrower net is widened."""
    checkpoint_every: int = 250
    sample_every: int = 250

    def __post_init__(self) -> None:
        check_precision(self.precision)
        if self.size % SIZE_MULTIPLE or self.size < 4 * SIZE_MINIMUM:
            raise UsageError(f"--size must be a multiple of {SIZE_MULTIPLE}, at least 64")
        if self.iterations < 1 or self.batch < 1:
            raise UsageError("--iterations and --batch must be at least 1")

    def fingerprint(self) -> str:
        """Digest of everything that must stay the same when a run is resumed."""
        free = {"output", "checkpoint_every", "sample_every", "compile", "device", "initial"}
        kept = {k: str(v) for k, v in asdict(self).items() if k not in free}
        kept["style_image"] = hashlib.sha256(self.style_image.read_bytes()).hexdigest()
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


class PerceptualLoss(nn.Module):
    """The weighted sum of content, style and total variation for one painting."""

    def __init__(
        self, settings: JohnsonTraining, features: VggFeatures, style_image: Tensor
    ) -> None:
        super().__init__()
        self.settings = settings
        self.features = features
        self.layers = tuple(dict.fromkeys(settings.content_layers + settings.style_layers))
        with torch.no_grad():
            taps = features(style_image, settings.style_layers)
        self.style = StyleLoss({layer: gram_matrix(taps[layer]) for layer in taps})
        self.content = ContentLoss()
        self.variation = TotalVariationLoss()

    def forward(self, stylized: Tensor, photos: Tensor) -> dict[str, Tensor]:
        """Two ``(N, 3, H, W)`` RGB in [0, 1] -> the terms and their weighted ``total``."""
        settings = self.settings
        with torch.no_grad():
            wanted = self.features(photos, settings.content_layers)
        got = self.features(stylized, self.layers)
        content = torch.stack(
            [self.content(got[layer], wanted[layer]) for layer in settings.content_layers]
        ).mean()
        style = self.style(got)
        variation = self.variation(stylized.float())
        total = (
            settings.content_weight * content
            + settings.style_weight * style
            + settings.variation_weight * variation
        )
        return {"content": content, "style": style, "variation": variation, "total": total}


class JohnsonTrainer(Trainer):
    """A run that can be stopped at any iteration and resumed with the same result."""

    def __init__(self, settings: JohnsonTraining) -> None:
        self.settings = settings
        self.folder = claim(
            settings.output,
            pictures=[settings.photos],
            files=[settings.style_image, settings.features, settings.initial],
        )
        torch.manual_seed(settings.seed)
        self.photos = PhotoSet.from_folder(settings.photos)
        self.net = self._initial_net()
        self.resumed = checkpoint.load_resume(settings.output, self.net)
        if self.resumed is not None and self.resumed.fingerprint != settings.fingerprint():
            raise UsageError(
                f"{settings.output} holds a run with other settings; "
                "give another -o, or move its resume.pt away to start over"
            )
        self.net.to(device=settings.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.net.parameters(), settings.rate)
        if self.resumed is not None:
            self.optimizer.load_state_dict(self.resumed.optimizer)
        self.loss = self._perceptual_loss()
        self._compiled: Callable[[Tensor], dict[str, Tensor]] = self._forward
        if settings.compile:
            self._compiled = torch.compile(self._forward)
        self.record = TrainingRecord(self.folder, resumed_at=self.iteration)

    @property
    def iteration(self) -> int:
        """Iterations done before this process began."""
        return 0 if self.resumed is None else self.resumed.iteration

    def _initial_net(self) -> JohnsonNet:
        settings = self.settings
        if settings.initial is None:
            return JohnsonNet(settings.width, settings.blocks)
        net = checkpoint.load_net(settings.initial)
        if net.width == settings.width:
            return net
        return widen(net, settings.width)

    def _perceptual_loss(self) -> PerceptualLoss:
        settings = self.settings
        features = load_features(settings.features)
        features.to(device=settings.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        painting = resize_short_side(read_photo(settings.style_image), settings.style_size)
        style_image = as_batch(painting[None], settings.device)
        return PerceptualLoss(settings, features, style_image).to(settings.device)

    def _forward(self, photos: Tensor) -> dict[str, Tensor]:
        enabled = self.settings.precision == "bf16"
        device = self.settings.device.split(":")[0]
        with torch.autocast(device, torch.bfloat16, enabled=enabled):
            losses: dict[str, Tensor] = self.loss(self.net(photos), photos)
        return losses

    @property
    def length(self) -> int:
        """Iterations from the first to the last."""
        return self.settings.iterations

    @property
    def schedule(self) -> JohnsonTraining:
        """How often to save and to validate."""
        return self.settings

    def save(self, done: int) -> None:
        """Write the checkpoint after ``done`` iterations."""
        checkpoint.save(
            self.folder,
            self.net,
            self.optimizer,
            iteration=done,
            fingerprint=self.settings.fingerprint(),
        )

    def step(self, iteration: int) -> dict[str, float]:
        """Train on the batch of ``iteration``, counted from 0."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate * rate_factor(iteration, settings.iterations)
        pictures = self.photos.batch(
            iteration, size=settings.size, count=settings.batch, seed=settings.seed
        )
        losses = self._compiled(as_batch(pictures, settings.device))
        self.optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), _GRADIENT_NORM)
        self.optimizer.step()
        return finite(losses, iteration)

    @torch.no_grad()
    def validation(self) -> dict[str, float]:
        """Mean losses on the photos held aside."""
        sums: dict[str, float] = {}
        for path in self.photos.held_aside:
            crop = centre_crop(read_photo(path), self.settings.size)
            for name, value in self._forward(as_batch(crop[None], self.settings.device)).items():
                sums[name] = sums.get(name, 0.0) + value.item() / len(self.photos.held_aside)
        return sums

    @torch.no_grad()
    def samples(self, count: int = 4) -> list[tuple[Pixels, Pixels]]:
        """Photos held aside, each with its stylized self, uint8 ``(size, size, 3)``."""
        pairs = []
        for path in self.photos.held_aside[:count]:
            crop = centre_crop(read_photo(path), self.settings.size)
            stylized = self.net(as_batch(crop[None], self.settings.device))
            pairs.append((crop, as_pictures(stylized)[0]))
        return pairs
