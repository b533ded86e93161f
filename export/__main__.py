"""``python -m export NAME --assets DIR``: train, export and bundle a pack by its recipe.

A recipe is ``recipes/NAME.toml``: the card of the pack and the settings of its training, in one or
more stages. A run is resumed where it stopped; a finished one is only exported again.
"""

from __future__ import annotations

import argparse
import tomllib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rtstyle.export import PackCard
from rtstyle.train import JohnsonTrainer, JohnsonTraining, johnson_pack

HERE = Path(__file__).parent
RECIPES = HERE / "recipes"
PACKS = HERE.parent / "rtstyle" / "styles" / "packs"
_REPORT_EVERY = 50


@dataclass(frozen=True, slots=True)
class Recipe:
    """One bundled pack: what it says of itself and how it was trained."""

    card: PackCard
    training: dict[str, Any]
    """Settings of all stages, as in JohnsonTraining; paths are relative to the assets folder."""
    stages: tuple[dict[str, Any], ...]
    """What each stage sets besides, and ``stop_at``, its last iteration where it is cut short.
    Each starts from the one before."""
    begins_with: str | None
    """Another recipe, from whose last checkpoint the first stage starts."""

    @classmethod
    def read(cls, name: str) -> Recipe:
        """The recipe of that name."""
        values = tomllib.loads((RECIPES / f"{name}.toml").read_text())
        card = PackCard(name=name, family="johnson", **values["card"])
        return cls(card, values["training"], tuple(values["stages"]), values.get("begins_with"))

    def runs(self, assets: Path, folder: Path, device: str) -> list[JohnsonTraining]:
        """The settings of every stage, with their paths in place."""
        initial = None if self.begins_with is None else folder / self.begins_with
        found = []
        for number, stage in enumerate(self.stages, start=1):
            settings = {**self.training, **stage}
            settings.pop("stop_at", None)
            for key in ("style_image", "photos", "features"):
                settings[key] = assets / settings[key]
            last = number == len(self.stages)
            output = folder / (self.card.name if last else f"{self.card.name}-{number}")
            found.append(JohnsonTraining(output=output, initial=initial, device=device, **settings))
            initial = output
        return found


def follow(settings: JohnsonTraining, stop_at: int | None = None) -> None:
    """Train, from where the last run in the output folder stopped."""
    trainer = JohnsonTrainer(settings)
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
    arguments = parser.parse_args()
    for name in arguments.names:
        recipe = Recipe.read(name)
        runs = recipe.runs(arguments.assets, arguments.runs, arguments.device)
        for stage, settings in zip(recipe.stages, runs, strict=True):
            follow(settings, stage.get("stop_at"))
        spec, parity = johnson_pack(
            runs[-1].output,
            arguments.packs / name,
            recipe.card,
            photos=runs[-1].photos,
            overwrite=True,
        )
        print(f"{spec.file.parent}: {parity}")


if __name__ == "__main__":
    main()
