"""``rtstyle styles calibrate``, and the same at the end of an export."""

from __future__ import annotations

from pathlib import Path

import click

from rtstyle.cli.terminal import echo, keep_going
from rtstyle.errors import BackendUnavailable, ModelError, UsageError
from rtstyle.pipeline import calibrate_pack
from rtstyle.styles import StyleSpec, bundled_styles, find_style


@click.command(short_help="Let a style run in int8 where the processor is quick at that.")
@click.argument("name", metavar="NAME|PACKDIR")
@click.option(
    "--photos",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of photos; 48 of them are taken.",
)
def calibrate(*, name: str, photos: Path) -> None:
    """Measure on photos how far a style's activations reach, and note it on its card.

    Processors with 8-bit units (VNNI) then run it two to three times as fast, where they have no
    bfloat16 ones. A style that would suffer visibly (below 40 dB) is refused and stays as it is.
    """
    keep_going()
    spec = find_style(name)
    if spec in bundled_styles():
        raise UsageError(f"{spec.name} is bundled and calibrated already; name one of your own")
    calibration = calibrate_pack(spec, photos)
    echo(
        f"{spec.name}: int8 has {calibration.psnr_int8_db:.1f} dB against float32 "
        f"on {calibration.pictures} photos"
    )


def calibrate_exported(spec: StyleSpec, photos: Path) -> None:
    """Calibrate a new pack; one that does not suit int8, or no OpenVINO, is said and no error."""
    try:
        calibration = calibrate_pack(spec, photos)
    except (ModelError, BackendUnavailable) as error:
        echo(f"note: no int8: {error}")
    else:
        echo(f"int8: {calibration.psnr_int8_db:.1f} dB against float32")
