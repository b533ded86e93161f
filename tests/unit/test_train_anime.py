from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from rtstyle.cli.main import main
from rtstyle.errors import ModelError, UnknownStyle, UsageError
from rtstyle.nets.animegan import AnimeGenerator
from rtstyle.styles import load_pack
from rtstyle.train import (
    AnimeTrainer,
    AnimeTraining,
    DistilTrainer,
    DistilTraining,
    Trainer,
    load_generator,
    load_net,
)
from rtstyle.train.anime_loss import AnimeLoss
from rtstyle.train.checkpoint import RESUME, WEIGHTS, save_weights
from rtstyle.train.data import PhotoSet, canvas, read_photo
from rtstyle.train.generator import feature_net
from rtstyle.train.teacher import Teacher, with_tone
from rtstyle.types import Pixels
from tests.features import feature_file, photo_folder

Losses = list[dict[str, float]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Nets this small lose more to waiting threads than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A net that gives every picture a colour cast and its own texture."""
    torch.manual_seed(11)
    file = tmp_path / "teacher.safetensors"
    save_weights(file, AnimeGenerator(4, 1), iteration=1)
    return file


@pytest.fixture
def distil(tmp_path: Path, teacher: Path) -> DistilTraining:
    return DistilTraining(
        teacher=teacher,
        photos=photo_folder(tmp_path / "photos"),
        features=feature_file(tmp_path),
        output=tmp_path / "distilled",
        width=4,
        blocks=1,
        iterations=6,
        size=48,
        checkpoint_every=3,
        sample_every=3,
    )


@pytest.fixture
def anime(tmp_path: Path) -> AnimeTraining:
    return AnimeTraining(
        photos=photo_folder(tmp_path / "photos"),
        anime=photo_folder(tmp_path / "anime", count=4),
        features=feature_file(tmp_path),
        output=tmp_path / "run",
        width=4,
        blocks=1,
        discriminator_width=4,
        pretraining=3,
        iterations=4,
        batch=2,
        size=64,
        checkpoint_every=2,
        sample_every=2,
    )


def _run(trainer: Trainer, stop_after: int | None = None) -> Losses:
    losses = []
    run = trainer.run()
    for progress in run:
        losses.append(progress.losses)
        if progress.iteration == stop_after:
            break
    run.close()
    return losses


def _mean(losses: Losses, name: str) -> float:
    return float(np.mean([x[name] for x in losses]))


def test_both_phases_leave_every_term(anime: AnimeTraining) -> None:
    trainer = AnimeTrainer(anime)
    losses = _run(trainer)
    assert [set(x) for x in losses[:3]] == [{"content", "total"}] * 3
    every = {"content", "style", "colour", "variation", "adversarial", "discriminator", "total"}
    assert [set(x) for x in losses[3:]] == [every] * 4
    assert all(np.isfinite(value) for x in losses for value in x.values())
    names = {p.name for p in anime.output.iterdir()}
    assert {WEIGHTS, RESUME, "losses.csv", "losses.png", "samples-000007.png"} <= names
    rows = trainer.record.read()
    assert [r["style"] == "" for r in rows if r["set"] == "train"] == [True] * 3 + [False] * 4
    last = rows[-1]
    assert last["set"] == "held aside" and float(last["adversarial"]) > 0


def test_the_total_is_the_weighted_sum(anime: AnimeTraining) -> None:
    losses = _run(AnimeTrainer(anime))[-1]
    weights = {"adversarial": 300, "content": 1.5, "style": 3, "colour": 10, "variation": 2}
    expected = sum(weight * losses[name] for name, weight in weights.items())
    assert losses["total"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("stop_after", [2, 3, 5])
def test_a_run_stopped_in_either_phase_equals_an_unbroken_one(
    anime: AnimeTraining, tmp_path: Path, stop_after: int
) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        whole = replace(anime, output=tmp_path / "whole")
        unbroken = _run(AnimeTrainer(whole))
        broken = _run(AnimeTrainer(anime), stop_after) + _run(AnimeTrainer(anime))
    finally:
        torch.use_deterministic_algorithms(False)
    assert len(broken) == len(unbroken) == 7
    for ours, theirs in zip(broken, unbroken, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    ours, theirs = (torch.load(x.output / RESUME, weights_only=True) for x in (anime, whole))
    for kept in ("net", "discriminator"):
        a, b = (x["net"] if kept == "net" else x["beside"][kept] for x in (ours, theirs))
        for name in a:
            torch.testing.assert_close(a[name], b[name], atol=1e-4, rtol=1e-3)


def test_looking_at_samples_changes_nothing(anime: AnimeTraining, tmp_path: Path) -> None:
    rarely = replace(anime, sample_every=100, output=tmp_path / "rarely")
    assert _run(AnimeTrainer(anime))[-1] == pytest.approx(_run(AnimeTrainer(rarely))[-1], rel=1e-5)


def test_content_falls_while_pretraining(anime: AnimeTraining) -> None:
    long = replace(
        anime, pretraining=40, iterations=1, pretraining_rate=5e-3, sample_every=99, batch=1
    )
    losses = _run(AnimeTrainer(long))[:40]
    assert _mean(losses[-5:], "content") < 0.9 * _mean(losses[:5], "content")


def test_the_discriminator_learns_and_colours_return(anime: AnimeTraining) -> None:
    settings = replace(
        anime,
        pretraining=0,
        iterations=40,
        rate=5e-3,
        discriminator_rate=2e-3,
        adversarial_weight=0.0,
        content_weight=0.0,
        style_weight=0.0,
        sample_every=99,
        batch=1,
    )
    losses = _run(AnimeTrainer(settings))
    for name in ("colour", "discriminator"):
        assert _mean(losses[-5:], name) < 0.8 * _mean(losses[:5], name), name


def test_weights_mean_the_same_for_every_feature_net(anime: AnimeTraining) -> None:
    photos = torch.rand(1, 3, 64, 64)
    found = []
    for factor in (1.0, 50.0):
        features = feature_net(anime.features, ["conv4_4"], "cpu")
        for parameter in features.convolutions["4_4"].parameters():
            parameter.mul_(factor)
        loss = AnimeLoss(anime, features, photos)
        found.append(loss.pretraining(photos.flip(1), photos)["content"].item())
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert 1 < found[0] < 1000


def test_a_distilled_net_can_be_refined_with_its_teachers_pictures(
    distil: DistilTraining, anime: AnimeTraining
) -> None:
    _run(DistilTrainer(distil))
    settings = replace(
        anime,
        anime=None,
        teacher=distil.teacher,
        initial=distil.output,
        pretraining=0,
        teacher_size=48,
    )
    trainer = AnimeTrainer(settings)
    begun = load_generator(distil.output).state_dict()
    assert all(torch.equal(begun[name], now) for name, now in trainer.net.state_dict().items())
    assert np.isfinite(_run(trainer)[-1]["total"])
    assert any((settings.output / "teacher").iterdir())


def test_distillation_comes_nearer_to_its_teacher(distil: DistilTraining, tmp_path: Path) -> None:
    few = photo_folder(tmp_path / "few", count=2)
    losses = _run(
        DistilTrainer(replace(distil, photos=few, iterations=80, rate=1e-2, sample_every=999))
    )
    for name in ("pixels", "total"):
        assert _mean(losses[-8:], name) < 0.7 * _mean(losses[:8], name), name


def test_a_distillation_stopped_and_resumed_equals_an_unbroken_one(
    distil: DistilTraining, tmp_path: Path
) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        whole = replace(distil, output=tmp_path / "whole")
        unbroken = _run(DistilTrainer(whole))
        broken = _run(DistilTrainer(distil), 2) + _run(DistilTrainer(distil))
    finally:
        torch.use_deterministic_algorithms(False)
    for ours, theirs in zip(broken, unbroken, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    sheet = cv2.imread(str(distil.output / "samples-000006.png"))
    assert sheet is not None and sheet.shape[0] == 3 * 48 + 4 * 6, "photo, teacher, student"
    assert {"pixels", "detail", "features"} <= DistilTrainer(distil).record.read()[0].keys()


@pytest.mark.parametrize("kind", ["distil", "anime"])
def test_bf16_and_a_folded_net_train(
    kind: str, distil: DistilTraining, anime: AnimeTraining
) -> None:
    trainer = (
        DistilTrainer(replace(distil, precision="bf16", fold=2, size=96, iterations=2))
        if kind == "distil"
        else AnimeTrainer(replace(anime, precision="bf16", fold=2, pretraining=1, iterations=1))
    )
    assert all(np.isfinite(value) for x in _run(trainer) for value in x.values())


def test_other_settings_or_shapes_are_refused(distil: DistilTraining, tmp_path: Path) -> None:
    _run(DistilTrainer(distil), 1)
    with pytest.raises(UsageError, match="other settings"):
        DistilTrainer(replace(distil, tone="teacher"))
    with pytest.raises(UsageError, match="width, blocks, fold"):
        DistilTrainer(replace(distil, width=8, initial=distil.output, output=tmp_path / "other"))
    with pytest.raises(ModelError, match="train johnson"):
        load_net(distil.output)
    with pytest.raises(UnknownStyle, match="no such weights"):
        DistilTrainer(replace(distil, teacher=tmp_path, output=tmp_path / "other"))
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(ModelError, match="CartoonGAN"):
        DistilTrainer(replace(distil, teacher=foreign, output=tmp_path / "other"))


def test_a_feature_net_without_the_layer_is_named(distil: DistilTraining) -> None:
    with pytest.raises(UsageError, match="has no relu7_1"):
        DistilTrainer(replace(distil, feature_layers=("relu7_1",)))


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "fp8"},
        {"size": 66},
        {"iterations": 0},
        {"batch": 0},
        {"tone": "grey"},
        {"anime": None},
        {"teacher": Path("both")},
        {"pretraining": -1},
        {"teacher_size": 50},
    ],
)
def test_settings_are_checked(anime: AnimeTraining, change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(anime, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"size": 60, "fold": 2}, {"size": 100}, {"tone": "mine"}])
def test_settings_of_a_distillation_are_checked(
    distil: DistilTraining, change: dict[str, object]
) -> None:
    with pytest.raises(UsageError):
        replace(distil, **change)  # type: ignore[arg-type]


def test_a_teacher_draws_a_photo_once(teacher: Path, tmp_path: Path) -> None:
    photos = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), np.uint8)
    first = Teacher(teacher, tmp_path / "cache", tone="teacher")
    drawn = first(photos)
    assert drawn.shape == photos.shape and drawn.dtype == np.uint8
    assert len(list((tmp_path / "cache").iterdir())) == 2

    again = Teacher(teacher, tmp_path / "cache", tone="teacher")
    again.net = torch.nn.Identity()
    assert np.array_equal(again(photos), drawn), "read from disk"
    kept = sorted((tmp_path / "cache").iterdir())
    kept[0].write_bytes(kept[0].read_bytes()[:40])
    mended = Teacher(teacher, tmp_path / "cache", tone="teacher")(photos)
    assert np.array_equal(mended, drawn), "a damaged picture is drawn anew"


def test_tone_is_the_photos_and_texture_the_teachers() -> None:
    photo = np.full((96, 96, 3), (200, 100, 50), np.uint8)
    dark: Pixels = np.full_like(photo, 80)
    dark[::8] = 110
    target = with_tone(dark, photo).astype(float)
    np.testing.assert_allclose(target.mean(axis=(0, 1)), (200, 100, 50), atol=2)
    rows = target[24:72].mean(axis=(1, 2))
    assert np.ptp(rows) == pytest.approx(30, abs=3)


def test_whole_pictures_stand_alike_within_a_batch(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "photos", count=4)
    for path in sorted(folder.iterdir())[:2]:
        picture = cv2.imread(str(path))
        assert picture is not None
        cv2.imwrite(str(path), picture.transpose(1, 0, 2))
    photos = PhotoSet.from_folder(folder, held_aside=0)
    shapes = {photos.whole(i, size=48, count=3, seed=0).shape for i in range(12)}
    assert shapes == {(3, 48, 64, 3), (3, 64, 48, 3)}
    assert np.array_equal(
        photos.whole(5, size=48, count=2, seed=1), photos.whole(5, size=48, count=2, seed=1)
    )


def test_a_canvas_keeps_nearly_the_whole_picture() -> None:
    """Of 3:2, an eighteenth goes at either end and no more."""
    picture = np.zeros((100, 150, 3), np.uint8)
    picture[:, :7] = picture[:, 143:] = 255
    cut = canvas(picture, 48, upright=False)
    assert cut.shape == (48, 64, 3)
    assert cut.max() == 0
    picture[:, 10:14] = 255
    assert canvas(picture, 48, upright=False)[:, :4].max() > 200


@pytest.mark.parametrize("command", ["distil", "animegan"])
def test_the_commands_end_with_a_pack_that_loads(
    command: str, distil: DistilTraining, anime: AnimeTraining
) -> None:
    arguments = [
        "train", command,
        "--photos", str(distil.photos), "--features", str(distil.features),
        "--width", "4", "--blocks", "1", "--iterations", "2", "--precision", "fp32",
        "--licence", "CC0-1.0", "-o", str(distil.output), "--batch", "1",
    ]  # fmt: skip
    if command == "distil":
        arguments += ["--teacher", str(distil.teacher), "--size", "48"]
    else:
        arguments += ["--anime", str(anime.anime), "--size", "64", "--pretraining", "1"]
        arguments += ["--discriminator-width", "4"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "parity" in result.output
    spec = load_pack(distil.output / "pack")
    expected = "teacher" if command == "distil" else "anime"
    assert (spec.name, spec.family, spec.licence) == (expected, "animegan", "CC0-1.0")
    assert command in spec.source
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, "a finished run, asked for again, only exports again"


def test_a_run_without_anime_is_a_usage_error(anime: AnimeTraining) -> None:
    arguments = [
        "train", "animegan", "--photos", str(anime.photos),
        "--features", str(anime.features), "-o", str(anime.output),
    ]  # fmt: skip
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and "--anime" in result.output


@pytest.mark.assets
def test_the_published_teachers_draw_and_the_shipped_features_reach(
    assets: Path, tmp_path: Path
) -> None:
    feature_net(assets / "features/vgg19_16x.safetensors", ["conv4_4", "relu4_1"], "cpu")
    photo = read_photo(sorted((assets / "photos/val").iterdir())[0])[:96, :128]
    teacher = Teacher(assets / "cartoongan/shinkai.safetensors", tmp_path / "cache", tone="teacher")
    drawn = teacher(photo[None])[0].astype(float)
    assert 5 < np.abs(drawn - photo).mean() < 80
    together = np.corrcoef(drawn.mean(axis=2).ravel(), photo.mean(axis=2).ravel())[0, 1]
    assert together > 0.7, "the same picture, painted"


@pytest.mark.gpu
def test_both_trainings_run_on_a_gpu(distil: DistilTraining, anime: AnimeTraining) -> None:
    for trainer in (
        DistilTrainer(replace(distil, device="cuda", precision="bf16")),
        AnimeTrainer(replace(anime, device="cuda", precision="bf16")),
    ):
        assert all(np.isfinite(value) for x in _run(trainer) for value in x.values())
