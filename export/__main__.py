"""``python -m export NAME --assets DIR``: train, export and bundle a pack by its recipe.

A recipe is ``recipes/NAME.toml``: the card of the pack and the settings of its training, in one or
more stages. A stage's ``kind`` says how it trains: ``johnson`` where it says nothing, ``distil`` or
``animegan``. A run is resumed where it stopped; a finished one is only exported again.
"""

from __future__ import annotations

import argparse
import tomllib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rtstyle.cli.calibrate import calibrate_exported
from rtstyle.export import PackCard
from rtstyle.pipeline import calibrate_pack
from rtstyle.styles import load_pack
from rtstyle.train import (
    AnimeTrainer,
    AnimeTraining,
    DistilTrainer,
    DistilTraining,
    Grade,
    JohnsonTrainer,
    JohnsonTraining,
    Trainer,
    checkpoint_pack,
)

HERE = Path(__file__).parent
RECIPES = HERE / "recipes"
PACKS = HERE.parent / "rtstyle" / "styles" / "packs"
_REPORT_EVERY = 50
_ASSETS = ("style_image", "photos", "features", "anime", "teacher")

Training = JohnsonTraining | DistilTraining | AnimeTraining
_KINDS: dict[str, type[Training]] = {
    "johnson": JohnsonTraining,
    "distil": DistilTraining,
    "animegan": AnimeTraining,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """One bundled pack: what it says of itself and how it was trained."""

    card: PackCard
    training: dict[str, Any]
    """Settings of all stages, as in their kind's settings; paths are relative to the assets."""
    stages: tuple[dict[str, Any], ...]
    """What each stage sets besides: its ``kind``; ``taught_by``, another recipe whose last
    checkpoint is the teacher; and ``stop_at``, its last iteration where it is cut short. Each
    starts from the one before."""
    begins_with: str | None
    """Another recipe, from whose last checkpoint the first stage starts."""

    @classmethod
    def read(cls, name: str) -> Recipe:
        """The recipe of that name."""
        values = tomllib.loads((RECIPES / f"{name}.toml").read_text())
        stages = tuple(values["stages"])
        family = "johnson" if stages[-1].get("kind", "johnson") == "johnson" else "animegan"
        card = PackCard(name=name, family=family, **values["card"])
        return cls(card, values["training"], stages, values.get("begins_with"))

    def runs(self, assets: Path, folder: Path, device: str) -> list[Training]:
        """The settings of every stage, with their paths in place."""
        initial = None if self.begins_with is None else folder / self.begins_with
        found = []
        for number, stage in enumerate(self.stages, start=1):
            settings = {**self.training, **stage}
            settings.pop("stop_at", None)
            kind = settings.pop("kind", "johnson")
            taught_by = settings.pop("taught_by", None)
            for key in _ASSETS:
                if key in settings:
                    settings[key] = assets / settings[key]
            if "grade" in settings:
                settings["grade"] = _grade(settings["grade"])
            if taught_by is not None:
                settings["teacher"] = folder / taught_by
            if kind != "johnson":
                # One folder for all recipes: a teacher's picture serves whoever learns from it.
                settings["cache"] = folder / "teacher"
            last = number == len(self.stages)
            output = folder / (self.card.name if last else f"{self.card.name}-{number}")
            training = _KINDS[kind]
            found.append(training(output=output, initial=initial, device=device, **settings))
            initial = output
        return found


def _grade(table: dict[str, Any]) -> Grade:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return Grade(**values)


def trainer_of(settings: Training) -> Trainer:
    """The trainer for these settings, where the last run in their output folder stopped."""
    if isinstance(settings, DistilTraining):
        return DistilTrainer(settings)
    if isinstance(settings, AnimeTraining):
        return AnimeTrainer(settings)
    return JohnsonTrainer(settings)


def follow(settings: Training, stop_at: int | None = None) -> None:
    """Train, from where the last run in the output folder stopped."""
    trainer = trainer_of(settings)
    left = None if stop_at is None else max(0, stop_at - trainer.iteration)
    run = trainer.run()
    for progress in islice(run, left):
        if progress.iteration % _REPORT_EVERY == 0:
            losses = "  ".join(f"{k} {v:.4f}" for k, v in progress.losses.items())
            where = f"{settings.output.name} {progress.iteration}/{progress.iterations}"
            print(f"{where}  {losses}", flush=True)
    # Closing it writes the checkpoint.
    run.close()


def main() -> None:
    """Follow the recipes named on the command line, in that order."""
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    names = sorted(path.stem for path in RECIPES.glob("*.toml"))
    parser.add_argument("names", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--assets", type=Path, required=True, help="paintings, photos, features")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="checkpoints, default: runs"
    )
    parser.add_argument("--packs", type=Path, default=PACKS, help="default: the bundled ones")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--calibrate", action="store_true", help="only measure the packs for int8 once more"
    )
    arguments = parser.parse_args()
    for name in arguments.names:
        recipe = Recipe.read(name)
        runs = recipe.runs(arguments.assets, arguments.runs, arguments.device)
        if arguments.calibrate:
            spec = load_pack(arguments.packs / name)
            print(f"{name}: int8 {calibrate_pack(spec, runs[-1].photos).psnr_int8_db} dB")
            continue
        for stage, settings in zip(recipe.stages, runs, strict=True):
            follow(settings, stage.get("stop_at"))
        spec, parity = checkpoint_pack(
            runs[-1].output,
            arguments.packs / name,
            recipe.card,
            photos=runs[-1].photos,
            overwrite=True,
        )
        print(f"{spec.file.parent}: {parity}")
        calibrate_exported(spec, runs[-1].photos)


if __name__ == "__main__":
    main()
