"""What every training has in common: the loop with its record, its checkpoints and its clock."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rtstyle.train.record import Samples, TrainingRecord
from rtstyle.types import Pixels

_WARM_UP_ITERATIONS = 50
_FINAL_RATE = 0.02


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """One iteration, as data for whoever shows it."""

    iteration: int
    """Iterations done."""
    iterations: int
    losses: dict[str, float]
    """Each term by its name, and ``total``; unweighted but for the total."""
    seconds: float
    """Since this process began to train."""
    eta_seconds: float


class Schedule(Protocol):
    """What the loop reads of a training's settings."""

    @property
    def checkpoint_every(self) -> int:
        """Iterations from one checkpoint to the next."""

    @property
    def sample_every(self) -> int:
        """Iterations from one validation with its sample sheet to the next."""


class Trainer(ABC):
    """A run that can be stopped at any iteration and resumed with the same result."""

    record: TrainingRecord

    @property
    @abstractmethod
    def iteration(self) -> int:
        """Iterations done before this process began."""

    @property
    @abstractmethod
    def length(self) -> int:
        """Iterations from the first to the last."""

    @property
    @abstractmethod
    def schedule(self) -> Schedule:
        """How often to save and to validate."""

    @abstractmethod
    def step(self, iteration: int) -> dict[str, float]:
        """Train on the batch of ``iteration``, counted from 0."""

    @abstractmethod
    def save(self, done: int) -> None:
        """Write the checkpoint after ``done`` iterations."""

    @abstractmethod
    def validation(self) -> dict[str, float]:
        """Mean losses on the photos held aside."""

    @abstractmethod
    def samples(self) -> Samples:
        """Photos held aside and what the net makes of them."""

    def run(self) -> Generator[TrainProgress, None, None]:
        """Train to the end, giving a record an iteration; closing the iterator saves first."""
        began, first, schedule = time.monotonic(), self.iteration, self.schedule
        done = first
        try:
            for iteration in range(first, self.length):
                losses = self.step(iteration)
                done = iteration + 1
                self.record.add(done, losses)
                if done % schedule.sample_every == 0 or done == self.length:
                    self.record.validate(done, self.validation(), self.samples())
                if done % schedule.checkpoint_every == 0:
                    self.save(done)
                seconds = time.monotonic() - began
                eta = seconds / (done - first) * (self.length - done)
                yield TrainProgress(done, self.length, losses, seconds, eta)
        finally:
            if done > first:
                self.save(done)


def rate_factor(iteration: int, iterations: int) -> float:
    """Of the peak learning rate: 50 iterations up, then cosine down to 2 %."""
    warm = min(1.0, (iteration + 1) / _WARM_UP_ITERATIONS)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, iteration / iterations)))
    return warm * (_FINAL_RATE + (1 - _FINAL_RATE) * cosine)


def finite(losses: Mapping[str, Tensor], iteration: int) -> dict[str, float]:
    """The losses as numbers; raises FloatingPointError where one of them is none."""
    values = {name: value.item() for name, value in losses.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss ({name}) is {value} at iteration {iteration}; "
                "resume with a lower --rate or --precision fp32"
            )
    return values


def as_batch(pictures: Pixels, device: str) -> Tensor:
    """uint8 ``(N, H, W, 3)`` -> float32 ``(N, 3, H, W)`` in [0, 1], channels last in memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
    return tensor.permute(0, 3, 1, 2).float().div(255)


def as_pictures(batch: Tensor) -> Pixels:
    """float ``(N, 3, H, W)`` in [0, 1] -> uint8 ``(N, H, W, 3)``, clamped and rounded."""
    levels = batch.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()
