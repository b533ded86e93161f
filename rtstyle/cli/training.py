"""What the commands of ``rtstyle train`` share."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtstyle.cli.apart import PACK_FILES, check_folder, refuse_reads
from rtstyle.cli.calibrate import calibrate_exported
from rtstyle.cli.export import echo_pack
from rtstyle.cli.terminal import echo
from rtstyle.errors import UsageError

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from rtstyle.train import Trainer

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_LOG_EVERY = 50


def options(*group: Callable[..., Any]) -> Callable[..., Any]:
    """Several options as one decorator."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(group):
            command = option(command)
        return command

    return add


output_option = click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for checkpoints, loss curve, sample sheets and the finished pack. "
    "The same command again resumes the run that is in it.",
)
compile_option = click.option(
    "--compile/--no-compile",
    default=False,
    help="Compile the step: a minute or two once, then faster (needs a C++ compiler).",
)
machine_options = options(
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16"]),
        default="auto",
        show_default=True,
        help="bf16 is about twice as fast where the device has the units.",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option("--checkpoint-every", type=click.IntRange(1), default=250, show_default=True),
    click.option("--sample-every", type=click.IntRange(1), default=250, show_default=True),
)
card_options = options(
    click.option("--name", help="Name of the style.  [default: from the file it is made from]"),
    click.option("--title", help="Title for people.  [default: from the name]"),
    click.option("--licence", default="unspecified", help="Licence of the finished style."),
)


_WRITTEN = (
    "checkpoint.safetensors",
    "resume.pt",
    "losses.csv",
    "losses.png",
    *(f"pack/{name}" for name in PACK_FILES),
)


def check_apart(output: Path, *reads: Path | None) -> None:
    """Refuse a folder in which a run would replace what it learns from; raises OutputExists."""
    check_folder(output)
    samples = [path.name for path in output.glob("samples-*.png")] if os.path.isdir(output) else []
    refuse_reads(output, (".", *_WRITTEN, *samples), reads)


def show(trainer: Trainer) -> None:
    """Train to the end: a bar on a terminal, a line now and then elsewhere."""
    left = trainer.length - trainer.iteration
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
                echo(
                    f"{progress.iteration}/{progress.iterations}  {losses}  "
                    f"{progress.eta_seconds / 60:.0f} min left"
                )


def finish(
    output: Path, photos: Path, name: str, title: str | None, licence: str, source: str
) -> None:
    """Turn the checkpoint in ``output`` into ``output``/pack and say how to use it."""
    from rtstyle.export import PackCard
    from rtstyle.train import PACK, checkpoint_pack

    title = title or name.replace("-", " ").title()
    # The family is the net's to say.
    card = PackCard(name=name, title=title, family="", licence=licence, source=source)
    spec, parity = checkpoint_pack(output, output / PACK, card, photos=photos, overwrite=True)
    calibrate_exported(spec, photos)
    echo_pack(spec, parity)


def name_from(file: Path) -> str:
    """A style name made of a file's name."""
    name = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:64]
    if not name:
        raise UsageError(f"{file.name} gives no style name; add --name")
    return name
