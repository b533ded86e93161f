from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rtstyle.cli.main import main
from rtstyle.errors import InputError, ModelError, UnknownStyle, UsageError
from rtstyle.nets import JohnsonNet
from rtstyle.styles import load_pack
from rtstyle.train import JohnsonTrainer, JohnsonTraining, load_net
from rtstyle.train.checkpoint import RESUME, WEIGHTS
from rtstyle.train.data import PhotoSet, random_crop, read_photo
from rtstyle.train.record import TrainingRecord
from tests.features import feature_file, photo_folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Nets this small lose more to waiting threads than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def settings(tmp_path: Path) -> JohnsonTraining:
    photos = photo_folder(tmp_path / "photos")
    painting = tmp_path / "painting.png"
    stripes = np.zeros((64, 80, 3), np.uint8)
    stripes[:, ::4] = (0, 120, 255)
    cv2.imwrite(str(painting), stripes)
    return JohnsonTraining(
        style_image=painting,
        photos=photos,
        features=feature_file(tmp_path),
        output=tmp_path / "run",
        width=4,
        blocks=1,
        iterations=6,
        batch=2,
        size=64,
        style_size=64,
        checkpoint_every=3,
        sample_every=3,
    )


def _train(settings: JohnsonTraining, stop_after: int | None = None) -> list[dict[str, float]]:
    losses = []
    run = JohnsonTrainer(settings).run()
    for progress in run:
        losses.append(progress.losses)
        if progress.iteration == stop_after:
            break
    run.close()
    return losses


def test_the_loss_falls(settings: JohnsonTraining) -> None:
    losses = _train(replace(settings, iterations=60, rate=5e-3, checkpoint_every=60))
    first, last = losses[:5], losses[-5:]
    assert np.mean([x["total"] for x in last]) < 0.8 * np.mean([x["total"] for x in first])


def test_a_stopped_and_resumed_run_equals_an_unbroken_one(
    settings: JohnsonTraining, tmp_path: Path
) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        whole = replace(settings, output=tmp_path / "whole")
        unbroken = _train(whole)
        broken = _train(settings, stop_after=2) + _train(settings)
    finally:
        torch.use_deterministic_algorithms(False)
    assert len(broken) == len(unbroken) == 6
    assert broken[-1]["total"] == pytest.approx(unbroken[-1]["total"], rel=1e-4)
    kept = TrainingRecord(settings.output, resumed_at=6).read()
    assert [r["iteration"] for r in kept if r["set"] == "train"] == [str(i) for i in range(1, 7)]
    for ours, theirs in zip(
        load_net(settings.output).parameters(), load_net(whole.output).parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_a_finished_run_leaves_curve_sheets_and_losses(settings: JohnsonTraining) -> None:
    _train(settings)
    names = {p.name for p in settings.output.iterdir()}
    assert {WEIGHTS, RESUME, "losses.csv", "losses.png"} <= names
    sheet = cv2.imread(str(settings.output / "samples-000006.png"))
    assert sheet is not None and sheet.shape[0] == 2 * 64 + 3 * 6
    assert not any(name.endswith(".part") for name in names)


def test_resuming_with_other_settings_is_refused(settings: JohnsonTraining) -> None:
    _train(settings, stop_after=1)
    with pytest.raises(UsageError, match="other settings"):
        JohnsonTrainer(replace(settings, content_weight=3.0))


def test_a_broken_resume_file_is_named(settings: JohnsonTraining) -> None:
    _train(settings, stop_after=1)
    (settings.output / RESUME).write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match=r"resume\.pt"):
        JohnsonTrainer(settings)


def test_training_may_start_from_a_narrower_net(settings: JohnsonTraining, tmp_path: Path) -> None:
    _train(settings)
    wide = replace(settings, width=8, initial=settings.output, output=tmp_path / "wide")
    trainer = JohnsonTrainer(wide)
    assert trainer.net.width == 8
    photo = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        difference = (trainer.net(photo) - load_net(settings.output)(photo)).abs().mean()
    assert difference < 0.05


def test_bf16_training_runs(settings: JohnsonTraining) -> None:
    losses = _train(replace(settings, precision="bf16", iterations=2))
    assert all(np.isfinite(x["total"]) for x in losses)


@pytest.mark.parametrize(
    "change", [{"precision": "fp8"}, {"size": 65}, {"iterations": 0}, {"batch": 0}]
)
def test_settings_are_checked(settings: JohnsonTraining, change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(settings, **change)  # type: ignore[arg-type]


def test_photos_are_split_by_name_and_batches_by_iteration(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "photos", count=10)
    photos = PhotoSet.from_folder(folder, held_aside=3)
    assert len(photos.train) == 7 and len(photos.held_aside) == 3
    assert not set(photos.train) & set(photos.held_aside)
    a, again, b = (photos.batch(i, size=64, count=2, seed=0) for i in (4, 4, 5))
    assert a.shape == (2, 64, 64, 3) and a.dtype == np.uint8
    assert np.array_equal(a, again) and not np.array_equal(a, b)


def test_too_few_or_unreadable_photos_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 photos"):
        PhotoSet.from_folder(tmp_path)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        read_photo(broken)


def test_crops_of_long_pictures_stay_inside() -> None:
    chance = np.random.default_rng(0)
    picture = np.zeros((40, 300, 3), np.uint8)
    assert all(random_crop(picture, 64, chance).shape == (64, 64, 3) for _ in range(20))


def test_checkpoints_of_others_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(UnknownStyle, match="no such checkpoint"):
        load_net(tmp_path)
    foreign = tmp_path / "x.safetensors"
    save_file(JohnsonNet(4, 1).state_dict(), foreign)
    with pytest.raises(ModelError, match="not a checkpoint"):
        load_net(foreign)


def test_train_command_ends_with_a_pack_that_loads(
    settings: JohnsonTraining, tmp_path: Path
) -> None:
    arguments = [
        "train", "johnson",
        "--style-image", str(settings.style_image),
        "--photos", str(settings.photos),
        "--features", str(settings.features),
        "-o", str(settings.output),
        "--width", "4", "--iterations", "2", "--batch", "1", "--size", "64",
        "--style-size", "64", "--precision", "fp32", "--licence", "CC0-1.0",
    ]  # fmt: skip
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "parity" in result.output
    spec = load_pack(settings.output / "pack")
    assert (spec.name, spec.family, spec.licence) == ("painting", "johnson", "CC0-1.0")
    assert spec.measured["max_difference_fp32"] <= 1
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, "a finished run, asked for again, only exports again"


@pytest.mark.gpu
def test_training_on_a_gpu(settings: JohnsonTraining) -> None:
    losses = _train(replace(settings, device="cuda", precision="bf16"))
    assert all(np.isfinite(x["total"]) for x in losses)
