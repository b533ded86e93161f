"""``python -m export NAME --assets DIR``: train, export and bundle a pack by its recipe.

A recipe is ``recipes/NAME.toml``: the card of the pack and the settings of its training. A run is
resumed where it stopped; a finished one is only exported again.
"""

from __future__ import annotations

import argparse
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtstyle.export import PackCard
from rtstyle.train import JohnsonTrainer, JohnsonTraining, johnson_pack

HERE = Path(__file__).parent
RECIPES = HERE / "recipes"
PACKS = HERE.parent / "rtstyle" / "styles" / "packs"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One bundled pack: what it says of itself and how it was trained."""

    card: PackCard
    settings: dict[str, Any]
    """As in JohnsonTraining; paths are relative to the assets folder."""
    begins_with: str | None
    """Another recipe, whose checkpoint this one starts from."""

    @classmethod
    def read(cls, name: str) -> Recipe:
        """The recipe of that name."""
        values = tomllib.loads((RECIPES / f"{name}.toml").read_text())
        card = PackCard(name=name, family="johnson", **values["card"])
        return cls(card, values["training"], values.get("begins_with"))

    def training(self, assets: Path, runs: Path, device: str) -> JohnsonTraining:
        """The settings with their paths in place."""
        settings = dict(self.settings)
        for key in ("style_image", "photos", "features"):
            settings[key] = assets / settings[key]
        for key in ("style_layers", "content_layers"):
            if key in settings:
                settings[key] = tuple(settings[key])
        if self.begins_with is not None:
            settings["initial"] = runs / self.begins_with
        return JohnsonTraining(output=runs / self.card.name, device=device, **settings)


def main() -> None:
    """Follow the recipes named on the command line, in that order."""
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    names = sorted(path.stem for path in RECIPES.glob("*.toml"))
    parser.add_argument("names", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--assets", type=Path, required=True, help="paintings, photos, features")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="checkpoints (default: runs)"
    )
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    for name in arguments.names:
        recipe = Recipe.read(name)
        settings = recipe.training(arguments.assets, arguments.runs, arguments.device)
        for progress in JohnsonTrainer(settings).run():
            if progress.iteration % 50 == 0:
                losses = "  ".join(f"{k} {v:.4f}" for k, v in progress.losses.items())
                print(f"{name} {progress.iteration}/{progress.iterations}  {losses}", flush=True)
        spec, parity = johnson_pack(
            settings.output, PACKS / name, recipe.card, photos=settings.photos, overwrite=True
        )
        print(f"{spec.file.parent}: {parity}")


if __name__ == "__main__":
    main()
