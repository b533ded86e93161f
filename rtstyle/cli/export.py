"""``rtstyle export``: a checkpoint becomes a style."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtstyle.cli.apart import PACK_FILES, check_folder, refuse_reads
from rtstyle.cli.calibrate import calibrate_exported
from rtstyle.cli.terminal import echo, keep_going
from rtstyle.errors import OutputExists

if TYPE_CHECKING:
    from rtstyle.export import Parity
    from rtstyle.styles import StyleSpec


@click.group()
def export() -> None:
    """Turn a trained net into a style that runs without torch."""
    keep_going()


@export.command(
    epilog="Example: rtstyle export onnx runs/wave --photos ~/Pictures -o wave-pack; "
    "then: rtstyle video in.mp4 -o out.mp4 --style wave-pack"
)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="PACK",
    help="Folder to write: style.json and model.onnx.",
)
@click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Photos on which the graph must agree with torch, or nothing is written.",
)
@click.option("--name", help="Name of the style.  [default: the output folder's name]")
@click.option("--title", help="Title for people.  [default: from the name]")
@click.option("--licence", default="unspecified", help="Licence of the style.")
@click.option("--source", "origin", help="From what it was made.")
@click.option("--overwrite", is_flag=True, help="Replace PACK.")
def onnx(
    checkpoint: Path,
    output: Path,
    photos: Path,
    name: str | None,
    title: str | None,
    licence: str,
    origin: str | None,
    overwrite: bool,
) -> None:
    """Export CHECKPOINT (of `rtstyle train`) to ONNX and check it against torch."""
    if os.path.exists(output) and not overwrite:
        raise OutputExists(f"{output}: exists already; give another -o or --overwrite")
    check_folder(output)
    refuse_reads(output, PACK_FILES, (checkpoint,))
    from rtstyle.cli.training import name_from
    from rtstyle.export import PackCard
    from rtstyle.train import checkpoint_pack

    name = name or name_from(output)
    card = PackCard(
        name=name,
        title=title or name.replace("-", " ").title(),
        family="johnson",
        licence=licence,
        source=origin or f"exported from {checkpoint.name}",
    )
    spec, parity = checkpoint_pack(checkpoint, output, card, photos=photos, overwrite=overwrite)
    calibrate_exported(spec, photos)
    echo_pack(spec, parity)


def echo_pack(spec: StyleSpec, parity: Parity) -> None:
    """Say what was checked and how to use the pack."""
    echo(f"parity: {parity}")
    echo(f"pack: {spec.file.parent}")
    echo(f"use it: rtstyle video in.mp4 -o out.mp4 --style {spec.file.parent}")
