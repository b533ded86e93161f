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
from rtstyle.train.muon import Muon, orthogonalized
from rtstyle.train.teacher import Teacher
from rtstyle.train.tone import Grade, with_tone
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
        crop=0,
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
        skip=True,
    )
    trainer = AnimeTrainer(settings)
    begun = load_generator(distil.output).state_dict()
    assert all(torch.equal(begun[name], now) for name, now in trainer.net.state_dict().items())
    assert np.isfinite(_run(trainer)[-1]["total"])
    assert any((settings.output / "teacher").iterdir())


@pytest.mark.parametrize(("skip", "share"), [(False, 0.6), (True, 0.85)])
def test_distillation_comes_nearer_to_its_teacher(
    distil: DistilTraining, tmp_path: Path, skip: bool, share: float
) -> None:
    """Less so with a skip, which begins with the photo and not with noise."""
    few = photo_folder(tmp_path / "few", count=2)
    settings = replace(distil, photos=few, iterations=80, sample_every=999, skip=skip)
    losses = _run(DistilTrainer(settings))
    for name in ("pixels", "total"):
        assert _mean(losses[-8:], name) < share * _mean(losses[:8], name), name


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
def test_bf16_and_a_fast_net_train(kind: str, distil: DistilTraining, anime: AnimeTraining) -> None:
    trainer = (
        DistilTrainer(replace(distil, precision="bf16", net="fast", iterations=2))
        if kind == "distil"
        else AnimeTrainer(replace(anime, precision="bf16", net="fast", pretraining=1, iterations=1))
    )
    assert all(np.isfinite(value) for x in _run(trainer) for value in x.values())


def test_other_settings_or_shapes_are_refused(distil: DistilTraining, tmp_path: Path) -> None:
    _run(DistilTrainer(distil), 1)
    with pytest.raises(UsageError, match="other settings"):
        DistilTrainer(replace(distil, tone="teacher"))
    with pytest.raises(UsageError, match="another net: AnimeGenerator of width 4"):
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
        {"photo_limit": 0},
    ],
)
def test_settings_are_checked(anime: AnimeTraining, change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(anime, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"size": 50}, {"crop": 52}, {"crop": 46}, {"tone": "mine"}, {"photo_limit": 0}]
)
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


def _bands(period: int = 8) -> Pixels:
    """Grey, with darker rows: a contrast that a teacher draws over."""
    photo: Pixels = np.full((96, 96, 3), 120, np.uint8)
    photo[::period] = 90
    return photo


def test_tone_is_the_photos_and_lines_the_teachers() -> None:
    photo = _bands()
    dark: Pixels = np.full_like(photo, 60)
    dark[::8] = 0
    target = with_tone(dark, photo).astype(float)
    assert abs(target.mean() - photo.mean()) < 4, "the teacher is 60 levels darker"
    assert np.ptp(target[24:72].mean(axis=(1, 2))) > 45, "its lines are stronger than the photo's"


def test_nothing_is_drawn_on_a_clear_sky() -> None:
    sky: Pixels = np.full((96, 96, 3), (120, 160, 220), np.uint8)
    drips = sky.copy()
    drips[:, ::7] = 20
    assert np.array_equal(with_tone(drips, sky), sky)


def test_no_halo_stands_along_an_edge() -> None:
    """A teacher that darkens one side must not lighten what lies beyond the edge."""
    photo: Pixels = np.full((96, 96, 3), 200, np.uint8)
    photo[:, 48:] = 60
    dark = photo.copy()
    dark[:, :48] = 140
    target = with_tone(dark, photo).astype(float)
    # A window that holds the edge takes a tenth of the change; a blur took half of it.
    assert np.abs(target - photo).max() < 12


def test_a_grade_is_what_it_says() -> None:
    picture: Pixels = np.array([[[200, 100, 100], [0, 0, 0], [255, 255, 255]]], np.uint8)
    assert np.array_equal(Grade()(picture), picture)
    grey = Grade(saturation=0)(picture)
    assert np.ptp(grey[0, 0]) == 0 and grey[0, 0, 0] == round(200 * 0.299 + 100 * 0.701)
    lit = Grade(shadows=(0, 0, 0.1), lights=(-0.1, 0, 0))(picture)
    assert lit[0, 1].tolist() == [0, 0, 26] and lit[0, 2].tolist() == [230, 255, 255]
    strong = Grade(contrast=0.5)(picture)
    assert strong[0, 1:].tolist() == picture[0, 1:].tolist() and strong[0, 0, 0] > 200
    for wrong in ({"saturation": -1.0}, {"contrast": float("nan")}, {"lights": (1.0, 2.0)}):
        with pytest.raises(UsageError, match="grade"):
            Grade(**wrong)


def test_a_graded_teacher_gives_graded_targets(teacher: Path, tmp_path: Path) -> None:
    photos = np.random.default_rng(0).integers(0, 256, (1, 48, 64, 3), np.uint8)
    plain, grey = (
        Teacher(teacher, tmp_path / "cache", grade=grade)(photos)
        for grade in (None, Grade(saturation=0))
    )
    assert np.ptp(grey, axis=3).max() <= 1 < np.ptp(plain, axis=3).max()


def test_colours_are_kept_as_graded(anime: AnimeTraining) -> None:
    """A generator that gives the photo back has no colour loss, but where a grade is wanted."""
    first = []
    for grade in (Grade(), Grade(saturation=2)):
        settings = replace(
            anime,
            skip=True,
            pretraining=0,
            grade=grade,
            output=anime.output / str(grade.saturation),
        )
        first.append(_run(AnimeTrainer(settings), 1)[0]["colour"])
    assert first[0] == pytest.approx(0, abs=1e-6) and first[1] > 1e-3


def test_a_limit_takes_so_many_photos_and_always_the_same(distil: DistilTraining) -> None:
    few = DistilTrainer(replace(distil, photo_limit=2)).photos
    every = PhotoSet.from_folder(distil.photos)
    assert few.train == every.train[:2] and few.held_aside == every.held_aside


def test_crops_of_photo_and_target_show_the_same_place(
    distil: DistilTraining, tmp_path: Path
) -> None:
    trainer = DistilTrainer(replace(distil, size=96, crop=48))
    rows, columns = np.mgrid[:96, :128]
    places = np.stack([rows, columns, rows], axis=-1)[None].astype(np.uint8)
    for iteration in range(8):
        one, other = trainer._cut(iteration, places, places)
        assert one.shape == (1, 48, 48, 3) and np.array_equal(one, other)
    mirrored = {int(trainer._cut(i, places)[0][0, 0, 0, 1]) % 128 > 47 for i in range(12)}
    assert mirrored == {True, False}


def test_a_matrix_is_made_orthogonal() -> None:
    for shape in ((12, 40), (40, 12)):
        values = torch.linalg.svdvals(orthogonalized(torch.randn(shape)))
        assert values.min() > 0.5 and values.max() < 1.3


def test_muon_descends_and_is_resumed(tmp_path: Path) -> None:
    def net() -> torch.nn.Sequential:
        torch.manual_seed(0)
        conv, norm = torch.nn.Conv2d(3, 8, 3), torch.nn.GroupNorm(1, 8)
        return torch.nn.Sequential(conv, norm, torch.nn.Conv2d(8, 3, 1))

    x, y = torch.rand(4, 3, 12, 12), torch.rand(4, 3, 10, 10) * 0.1

    def steps(net: torch.nn.Module, optimizer: Muon, count: int) -> float:
        for _ in range(count):
            loss = (net(x) - y).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.item())

    whole, first = net(), net()
    optimizer = Muon(whole, 0.02)
    begun = steps(whole, optimizer, 1)
    steps(whole, optimizer, 60)
    broken = Muon(first, 0.02)
    steps(first, broken, 20)
    second, resumed = net(), Muon(net(), 0.02)
    second.load_state_dict(first.state_dict())
    resumed = Muon(second, 0.02)
    resumed.load_state_dict(broken.state_dict())
    steps(second, resumed, 41)
    for ours, theirs in zip(second.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert steps(whole, optimizer, 1) < 0.2 * begun


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
        arguments += ["--teacher", str(distil.teacher), "--size", "48", "--crop", "48"]
        arguments += ["--lights", "0.1", "0", "0", "--net", "fast"]
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
