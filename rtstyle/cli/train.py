"""``rtstyle train``: a painting becomes a style."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtstyle.cli.export import echo_pack
from rtstyle.errors import UsageError

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from rtstyle.train import JohnsonTrainer, JohnsonTraining

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_LOG_EVERY = 50


@click.group()
def train() -> None:
    """Train a style of your own from one painting."""


def _options(*options: Callable[..., Any]) -> Callable[..., Any]:
    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_required = _options(
    click.option("--style-image", type=_FILE, required=True, help="The painting."),
    click.option(
        "--photos",
        type=_FOLDER,
        required=True,
        help="A folder of varied photos, better 1000 than 100; a few are held aside for checks.",
    ),
    click.option(
        "--features",
        type=_FILE,
        required=True,
        help="VGG weights: vgg19_16x.safetensors (quick), or torchvision's "
        "vgg16-397923af.pth or vgg19-dcbb9e9d.pth.",
    ),
    click.option(
        "-o",
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        required=True,
        help="Folder for checkpoints, loss curve, sample sheets and the finished pack. "
        "The same command again resumes the run that is in it.",
    ),
)
_net = _options(
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
    click.option("--rate", type=float, default=1e-3, show_default=True, help="Learning rate."),
    click.option(
        "--initial",
        type=click.Path(exists=True, path_type=Path),
        help="Start from this checkpoint; a narrower one is widened.",
    ),
    click.option("--seed", type=int, default=0, show_default=True),
)
_weights = _options(
    click.option(
        "--content-weight",
        type=float,
        default=1.0,
        show_default=True,
        help="More keeps faces and text clearer.",
    ),
    click.option(
        "--style-weight",
        type=float,
        default=1.0,
        show_default=True,
        help="More paints more boldly.",
    ),
    click.option(
        "--variation-weight",
        type=float,
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
_machine = _options(
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16"]),
        default="auto",
        show_default=True,
        help="bf16 is about twice as fast where the device has the units.",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option(
        "--compile/--no-compile",
        default=False,
        help="Compile the step: a minute or two once, then faster (needs a C++ compiler).",
    ),
    click.option("--checkpoint-every", type=click.IntRange(1), default=250, show_default=True),
    click.option("--sample-every", type=click.IntRange(1), default=250, show_default=True),
)
_card = _options(
    click.option("--name", help="Name of the style.  [default: from the painting's file name]"),
    click.option("--title", help="Title for people.  [default: from the name]"),
    click.option("--licence", default="unspecified", help="Licence of the finished style."),
)


@train.command(
    epilog="Example: rtstyle train johnson --style-image wave.jpg --photos ~/Pictures "
    "--features vgg19_16x.safetensors -o runs/wave"
)
@_required
@_net
@_weights
@_machine
@_card
def johnson(
    *,
    name: str | None,
    title: str | None,
    licence: str,
    content_layers: str,
    **options: Any,  # noqa: ANN401 - click gives them by name
) -> None:
    """Train a Johnson net by perceptual loss; ends with OUTPUT/pack, a style ready to run."""
    from rtstyle.train import JohnsonTrainer, JohnsonTraining, resolve_device, resolve_precision

    options["device"] = resolve_device(options["device"])
    options["precision"] = resolve_precision(options["precision"], options["device"])
    layers = tuple(layer.strip() for layer in content_layers.split(","))
    settings = JohnsonTraining(content_layers=layers, **options)
    name = name or name_from(settings.style_image)
    trainer = JohnsonTrainer(settings)
    click.echo(
        f"training width {settings.width} on {len(trainer.photos.train)} photos "
        f"in {settings.precision} on {settings.device}"
        + (f", resuming at iteration {trainer.iteration}" if trainer.iteration else "")
    )
    _show(trainer, settings)
    _finish(settings, name, title, licence)


def _show(trainer: JohnsonTrainer, settings: JohnsonTraining) -> None:
    left = settings.iterations - trainer.iteration
    terminal = sys.stdout.isatty()
    bar: ProgressBar[str] = click.progressbar(
        length=left,
        label="training",
        show_pos=True,
        hidden=not terminal,
        item_show_func=lambda losses: str(losses or ""),
    )
    with bar:
        for progress in trainer.run():
            losses = "  ".join(f"{k} {v:.3f}" for k, v in progress.losses.items())
            bar.update(1, losses)
            if not terminal and progress.iteration % _LOG_EVERY == 0:
                click.echo(
                    f"{progress.iteration}/{progress.iterations}  {losses}  "
                    f"{progress.eta_seconds / 60:.0f} min left"
                )


def _finish(settings: JohnsonTraining, name: str, title: str | None, licence: str) -> None:
    from rtstyle.export import PackCard
    from rtstyle.train import johnson_pack

    card = PackCard(
        name=name,
        title=title or name.replace("-", " ").title(),
        family="johnson",
        licence=licence,
        source=f"trained with `rtstyle train johnson` from {settings.style_image.name}",
    )
    spec, parity = johnson_pack(
        settings.output, settings.output / "pack", card, photos=settings.photos, overwrite=True
    )
    echo_pack(spec, parity)


def name_from(file: Path) -> str:
    """A style name made of a file's name."""
    name = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:64]
    if not name:
        raise UsageError(f"{file.name} gives no style name; add --name")
    return name
