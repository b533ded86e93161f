from __future__ import annotations

from pathlib import Path

import cv2
import pytest

import export.__main__ as command
from export.__main__ import RECIPES, Recipe
from rtstyle.nets.animegan import AnimeGenerator
from rtstyle.styles import bundled_styles, load_pack
from rtstyle.train import AnimeTraining, DistilTraining, Grade, JohnsonTraining
from rtstyle.train.checkpoint import save_weights
from rtstyle.train.record import TrainingRecord
from tests.features import feature_file, photo_folder

TINY = """
[card]
title = "Tiny"
licence = "CC0-1.0"
source = "a test"

[training]
style_image = "painting.png"
photos = "photos"
features = "features.safetensors"
width = 4
blocks = 1
batch = 1
size = 64
style_size = 64

[[stages]]
iterations = 9
stop_at = 2

[[stages]]
iterations = 3
"""

ANIME = """
[card]
title = "Anime"
licence = "CC0-1.0"
source = "a test"

[training]
photos = "photos"
features = "features.safetensors"
width = 4
blocks = 1
batch = 1
skip = true

[training.grade]
saturation = 1.2
shadows = [0, 0, 0.1]

[[stages]]
kind = "distil"
crop = 0
teacher = "teacher.safetensors"
size = 48
iterations = 2

[[stages]]
kind = "animegan"
teacher = "teacher.safetensors"
size = 64
teacher_size = 48
discriminator_width = 4
pretraining = 0
iterations = 2
"""
SIBLING = """
[card]
title = "Sibling"
licence = "CC0-1.0"
source = "a test"

[training]
photos = "photos"
features = "features.safetensors"
width = 4
blocks = 1
net = "fast"

[[stages]]
kind = "distil"
taught_by = "anime"
tone = "teacher"
size = 48
crop = 48
iterations = 2
"""


def test_every_bundled_style_has_a_recipe_and_says_what_it_says() -> None:
    recipes = {path.stem: Recipe.read(path.stem) for path in RECIPES.glob("*.toml")}
    bundled = {spec.name: spec for spec in bundled_styles()}
    assert recipes.keys() == bundled.keys()
    for name, recipe in recipes.items():
        spec, card = bundled[name], recipe.card
        said = (spec.title, spec.family, spec.licence, spec.source)
        assert said == (card.title, card.family, card.licence, card.source)
        assert recipe.begins_with is None or recipe.begins_with in recipes


def test_a_recipe_is_followed_from_its_first_stage_to_the_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo_folder(tmp_path / "photos", count=6)
    painting = cv2.imread(str(tmp_path / "photos" / "00.jpg"))
    assert painting is not None
    cv2.imwrite(str(tmp_path / "painting.png"), painting)
    feature_file(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    monkeypatch.setattr(command, "RECIPES", tmp_path)
    line = f"export tiny --assets {tmp_path} --runs {tmp_path}/runs --packs {tmp_path}/packs"
    monkeypatch.setattr("sys.argv", line.split())
    command.main()
    assert "float32 differs by at most" in capsys.readouterr().out
    assert load_pack(tmp_path / "packs" / "tiny").title == "Tiny"
    first, last = (
        TrainingRecord(tmp_path / "runs" / name, resumed_at=99).read()
        for name in ("tiny-1", "tiny")
    )
    assert [r["iteration"] for r in first if r["set"] == "train"] == ["1", "2"]
    assert [r["iteration"] for r in last if r["set"] == "train"] == ["1", "2", "3"]


def test_a_net_is_distilled_refined_and_teaches_its_sibling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo_folder(tmp_path / "photos", count=6)
    feature_file(tmp_path)
    save_weights(tmp_path / "teacher.safetensors", AnimeGenerator(4, 1), iteration=1)
    (tmp_path / "anime.toml").write_text(ANIME)
    (tmp_path / "sibling.toml").write_text(SIBLING)
    monkeypatch.setattr(command, "RECIPES", tmp_path)
    first, second = Recipe.read("anime").runs(tmp_path, tmp_path / "runs", "cpu")
    assert isinstance(first, DistilTraining) and isinstance(second, AnimeTraining)
    assert second.initial == first.output
    assert first.grade == second.grade == Grade(1.2, shadows=(0, 0, 0.1))
    line = f"export anime sibling --assets {tmp_path} --runs {tmp_path}/runs --packs {tmp_path}/p"
    monkeypatch.setattr("sys.argv", line.split())
    command.main()
    for name, least in (("anime", 16), ("sibling", 8)):
        pack = load_pack(tmp_path / "p" / name)
        assert (pack.family, pack.size_rule.minimum) == ("animegan", least)
    assert list((tmp_path / "runs" / "teacher").glob("*.png")), "one cache for all"


@pytest.mark.assets
def test_every_recipe_can_be_followed(assets: Path, tmp_path: Path) -> None:
    for path in RECIPES.glob("*.toml"):
        for settings in Recipe.read(path.stem).runs(assets, tmp_path, "cpu"):
            files = [settings.photos, settings.features]
            files += [settings.style_image] if isinstance(settings, JohnsonTraining) else []
            assert all(file.exists() for file in files), files
