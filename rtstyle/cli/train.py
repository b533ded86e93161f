"""``rtstyle train``: pictures become a style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rtstyle.cli.numbers import Number
from rtstyle.cli.terminal import echo, keep_going
from rtstyle.cli.train_anime import animegan, distil, smooth_edges
from rtstyle.cli.training import (
    FILE,
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


@click.group()
def train() -> None:
    """Train a style of your own: from a painting, anime pictures, or another net."""
    keep_going()


_required = options(
    click.option("--style-image", type=FILE, required=True, help="The painting."),
    click.option(
        "--photos",
        type=FOLDER,
        required=True,
        help="A folder of varied photos, better 1000 than 100; a few are held aside for checks.",
    ),
    click.option(
        "--features",
        type=FILE,
        required=True,
        help="VGG weights: vgg19_16x.safetensors (quick), or torchvision's "
        "vgg16-397923af.pth or vgg19-dcbb9e9d.pth.",
    ),
    output_option,
)
_net = options(
    click.option(
        "--width",
        type=click.IntRange(4, 128),
        default=16,
        show_default=True,
        help="Channels of the first layer: 16 is fast, 32 the paper's.",
    ),
    click.option("--iterations", type=click.IntRange(1), default=4000, show_default=True),
    click.option("--batch", type=click.IntRange(1), default=4, show_default=True),
    click.option(
        "--size", type=int, default=256, show_default=True, help="Side of the training crops."
    ),
    click.option(
        "--style-size",
        type=click.IntRange(64, 2048),
        default=384,
        show_default=True,
        help="Short side the painting is scaled to; larger paints with smaller strokes.",
    ),
    click.option("--rate", type=Number(), default=1e-3, show_default=True, help="Learning rate."),
    click.option(
        "--initial",
        type=click.Path(exists=True, path_type=Path),
        help="Start from this checkpoint; a narrower one is widened.",
    ),
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True),
)
_weights = options(
    click.option(
        "--content-weight",
        type=Number(),
        default=1.0,
        show_default=True,
        help="More keeps faces and text clearer.",
    ),
    click.option(
        "--style-weight",
        type=Number(),
        default=1.0,
        show_default=True,
        help="More paints more boldly.",
    ),
    click.option(
        "--variation-weight",
        type=Number(),
        default=2.0,
        show_default=True,
        help="More leaves flat areas calmer.",
    ),
    click.option(
        "--content-layers",
        default="relu4_1",
        show_default=True,
        help="Comma-separated names of VGG layers.",
    ),
)


@train.command(
    epilog="Example: rtstyle train johnson --style-image wave.jpg --photos ~/Pictures "
    "--features vgg19_16x.safetensors -o runs/wave"
)
@_required
@_net
@_weights
@compile_option
@machine_options
@card_options
def johnson(
    *,
    name: str | None,
    title: str | None,
    licence: str,
    content_layers: str,
    **options: Any,  # noqa: ANN401 - click gives them by name
) -> None:
    """Train a Johnson net by perceptual loss; ends with OUTPUT/pack, a style ready to run."""
    check_apart(
        options["output"],
        *(options[key] for key in ("style_image", "photos", "features", "initial")),
    )
    from rtstyle.train import JohnsonTrainer, JohnsonTraining, resolve_device, resolve_precision

    options["device"] = resolve_device(options["device"])
    options["precision"] = resolve_precision(options["precision"], options["device"])
    layers = tuple(layer.strip() for layer in content_layers.split(","))
    settings = JohnsonTraining(content_layers=layers, **options)
    name = name or name_from(settings.style_image)
    trainer = JohnsonTrainer(settings)
    echo(
        f"training width {settings.width} on {len(trainer.photos.train)} photos "
        f"in {settings.precision} on {settings.device}"
        + (f", resuming at iteration {trainer.iteration}" if trainer.iteration else "")
    )
    show(trainer)
    origin = f"trained with `rtstyle train johnson` from {settings.style_image.name}"
    finish(settings.output, settings.photos, name, title, licence, origin)


train.add_command(distil)
train.add_command(animegan)
train.add_command(smooth_edges)
