"""``rtstyle train distil`` and ``rtstyle train animegan``: generators of anime pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rtstyle.cli.apart import check_folder
from rtstyle.cli.numbers import Number
from rtstyle.cli.terminal import echo
from rtstyle.cli.training import (
    FOLDER,
    card_options,
    check_apart,
    compile_option,
    finish,
    machine_options,
    name_from,
    options,
    output_option,
    show,
)

_PATH = click.Path(exists=True, path_type=Path)
_photos = click.option(
    "--photos",
    type=FOLDER,
    required=True,
    help="A folder of varied photos, better 1000 than 100; a few are held aside for checks.",
)
_photo_limit = click.option(
    "--photo-limit",
    type=click.IntRange(1),
    help="The most photos to train on: each costs one picture of the teacher.  [default: all]",
)
_features = click.option(
    "--features",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="VGG weights: vgg19_16x.safetensors (quick), or torchvision's vgg19-dcbb9e9d.pth.",
)
_net = options(
    click.option(
        "--net",
        type=click.Choice(["animegan", "fast"]),
        default="animegan",
        show_default=True,
        help="The paper's generator, or one at a tenth of its cost.",
    ),
    click.option(
        "--width",
        type=click.IntRange(4, 128),
        default=32,
        show_default=True,
        help="Channels of the first layer: 32 is the paper's.",
    ),
    click.option(
        "--blocks",
        type=click.IntRange(1, 16),
        default=4,
        show_default=True,
        help="Inverted residual blocks.",
    ),
    click.option("--initial", type=_PATH, help="Start from this checkpoint of the same shape."),
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True),
)
_teaching = options(
    click.option(
        "--tone",
        type=click.Choice(["photo", "teacher"]),
        default="photo",
        show_default=True,
        help="Whose coarse colours to learn; `photo` takes only lines and texture of the teacher.",
    ),
    click.option(
        "--lines",
        type=Number(0),
        default=1.25,
        show_default=True,
        help="With the photo's tone: how strongly to draw the teacher's fine detail.",
    ),
    click.option(
        "--cache",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of the teacher's pictures, which several runs may share.  "
        "[default: OUTPUT/teacher]",
    ),
)


_grading = options(
    click.option(
        "--saturation",
        type=Number(),
        default=1.0,
        show_default=True,
        help="Of the colours to learn.",
    ),
    click.option(
        "--contrast",
        type=Number(),
        default=0.0,
        show_default=True,
        help="Added in the middle greys.",
    ),
    click.option(
        "--shadows",
        type=(Number(), Number(), Number()),
        default=(0.0, 0.0, 0.0),
        metavar="R G B",
        help="Added to what is dark, of 1.",
    ),
    click.option(
        "--lights",
        type=(Number(), Number(), Number()),
        default=(0.0, 0.0, 0.0),
        metavar="R G B",
        help="Added to what is light, of 1.",
    ),
)
_GRADING = ("saturation", "contrast", "shadows", "lights")


def _weights(**defaults: float) -> Callable[..., Any]:
    """One option for each weight: ``content=1.5`` becomes --content-weight."""
    return options(
        *(
            click.option(f"--{name}-weight", type=Number(), default=default, show_default=True)
            for name, default in defaults.items()
        )
    )


@click.command(
    epilog="Example: rtstyle train distil --teacher hayao.safetensors --photos ~/Pictures "
    "--features vgg19_16x.safetensors -o runs/hayao"
)
@click.option(
    "--teacher",
    type=_PATH,
    required=True,
    help="CartoonGAN weights, or a checkpoint of `rtstyle train`.",
)
@_photos
@_photo_limit
@_features
@output_option
@_net
@click.option(
    "--skip/--no-skip",
    default=True,
    show_default=True,
    help="Detail goes past the middle of the net: learns sooner, and keeps faces.",
)
@click.option("--iterations", type=click.IntRange(1), default=8000, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True)
@click.option("--size", type=int, default=288, show_default=True, help="Short side of pictures.")
@click.option(
    "--crop",
    type=int,
    default=192,
    show_default=True,
    help="Side of the squares cut from them; 0 for whole pictures.",
)
@click.option("--rate", type=Number(), default=1e-2, show_default=True, help="Learning rate.")
@_teaching
@_grading
@_weights(pixels=1.0, detail=2.0, features=0.2)
@compile_option
@machine_options
@card_options
def distil(
    *,
    name: str | None,
    title: str | None,
    licence: str,
    **given: Any,  # noqa: ANN401 - click gives them by name
) -> None:
    """Teach a generator another net's pictures; ends with OUTPUT/pack, a style ready to run."""
    check_apart(
        given["output"], *(given[key] for key in ("teacher", "photos", "features", "initial"))
    )
    from rtstyle.train import (
        DistilTrainer,
        DistilTraining,
        Grade,
        resolve_device,
        resolve_precision,
    )

    given["device"] = resolve_device(given["device"])
    given["precision"] = resolve_precision(given["precision"], given["device"])
    grade = Grade(**{key: given.pop(key) for key in _GRADING})
    settings = DistilTraining(grade=grade, **given)
    name = name or name_from(settings.teacher)
    trainer = DistilTrainer(settings)
    _announce(settings.width, len(trainer.photos.train), given, trainer.iteration)
    show(trainer)
    origin = f"distilled with `rtstyle train distil` from {settings.teacher.name}"
    finish(settings.output, settings.photos, name, title, licence, origin)


@click.command(
    epilog="Example: rtstyle train animegan --anime ~/frames --photos ~/Pictures "
    "--features vgg19_16x.safetensors -o runs/anime"
)
@click.option("--anime", type=FOLDER, help="A folder of anime pictures.")
@click.option(
    "--teacher",
    type=_PATH,
    help="Instead of --anime: CartoonGAN weights or a checkpoint, whose pictures of the photos "
    "are the anime.",
)
@_photos
@_photo_limit
@_features
@output_option
@_net
@click.option(
    "--skip/--no-skip",
    default=False,
    show_default=True,
    help="Detail goes past the middle of the net; the published one has no such way.",
)
@click.option(
    "--pretraining",
    type=click.IntRange(0),
    help="Iterations of content alone.  [default: 1000, or 0 with --initial]",
)
@click.option("--iterations", type=click.IntRange(1), default=10000, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True)
@click.option("--size", type=int, default=256, show_default=True, help="Side of the crops.")
@click.option("--rate", type=Number(), default=2e-5, show_default=True, help="Learning rate.")
@click.option("--pretraining-rate", type=Number(), default=2e-4, show_default=True)
@click.option("--discriminator-rate", type=Number(), default=4e-5, show_default=True)
@click.option("--discriminator-width", type=click.IntRange(2), default=64, show_default=True)
@_weights(adversarial=300.0, content=1.5, style=3.0, colour=10.0, variation=2.0)
@_teaching
@_grading
@machine_options
@card_options
def animegan(
    *,
    name: str | None,
    title: str | None,
    licence: str,
    pretraining: int | None,
    **given: Any,  # noqa: ANN401 - click gives them by name
) -> None:
    """Train AnimeGANv2 on photos and anime; ends with OUTPUT/pack, a style ready to run."""
    check_apart(
        given["output"],
        *(given[key] for key in ("anime", "teacher", "photos", "features", "initial")),
    )
    from rtstyle.train import (
        AnimeTrainer,
        AnimeTraining,
        Grade,
        resolve_device,
        resolve_precision,
    )

    given["device"] = resolve_device(given["device"])
    given["precision"] = resolve_precision(given["precision"], given["device"])
    if pretraining is None:
        pretraining = AnimeTraining.default_pretraining(given["initial"])
    grade = Grade(**{key: given.pop(key) for key in _GRADING})
    settings = AnimeTraining(grade=grade, pretraining=pretraining, **given)
    origin = settings.anime or settings.teacher
    assert origin is not None, "the settings refuse a run without either"
    name = name or name_from(origin)
    trainer = AnimeTrainer(settings)
    _announce(settings.width, len(trainer.photos.train), given, trainer.iteration)
    show(trainer)
    source = f"trained with `rtstyle train animegan` from {origin.name}"
    finish(settings.output, settings.photos, name, title, licence, source)


def _announce(width: int, photos: int, given: dict[str, Any], iteration: int) -> None:
    echo(
        f"training width {width} on {photos} photos in {given['precision']} on {given['device']}"
        + (f", resuming at iteration {iteration}" if iteration else "")
    )


@click.command(name="smooth-edges")
@click.argument("pictures", type=FOLDER)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True)
def smooth_edges(pictures: Path, output: Path) -> None:
    """Write PICTURES with their edges smoothed away, as `animegan` shows them to its discriminator.

    Training does this by itself; the folder is for looking, or for other tools.
    """
    check_folder(output)
    from rtstyle.train import smooth_folder

    echo(f"{smooth_folder(pictures, output)} pictures with smooth edges in {output}")
