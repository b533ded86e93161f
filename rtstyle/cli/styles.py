"""``rtstyle styles``: list, show, sheet, import, pull, calibrate, remove."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from rtstyle.cli.apart import is_address, refuse_addresses, refuse_style
from rtstyle.cli.calibrate import calibrate
from rtstyle.cli.pull import pull
from rtstyle.cli.sample import sample_picture
from rtstyle.cli.sheet import Cell, draw_sheet
from rtstyle.cli.terminal import echo, echo_json, keep_going
from rtstyle.errors import UnknownStyle, UsageError
from rtstyle.media import check_image_output, read_image, write_image
from rtstyle.pipeline import open_stylizer
from rtstyle.styles import StyleSpec, bundled_styles, find_style, remove, user_styles
from rtstyle.types import Pixels

_MEASURED = {
    "gmac_640x360": ("cost at 640x360", "{:.1f} G multiply-accumulates a frame"),
    "numbers_a_pixel": ("memory", "{:.0f} numbers a pixel at once, of 4 bytes in float32"),
    "max_difference_fp32": ("float32 against its source", "{:.2g} of 255 at most"),
    "psnr_bf16_db": ("bf16 against float32", "{:.1f} dB"),
    "psnr_fp16_db": ("fp16 against float32", "{:.1f} dB"),
    "psnr_int8_db": ("int8 against float32", "{:.1f} dB"),
    "pan_warping_error": (
        "flicker",
        "{:.3g} warping error (a noisy picture, panned a pixel a frame; less is steadier)",
    ),
    "pan_warping_error_source": ("flicker before", "{:.3g} warping error of that picture itself"),
}
_RANGES = ("0..1", "-1..1", "0..255", "imagenet")
"""Of rtstyle.importers.hints, which is imported only to import."""


@click.group(short_help="List and show the styles there are.")
def styles() -> None:
    """List and show the styles there are.

    Wherever a style is asked for, a name from 'rtstyle styles list', a folder that 'rtstyle
    train' or 'rtstyle export' made, or an ONNX file will do.
    """


styles.add_command(pull)
styles.add_command(calibrate)


@styles.command("list", short_help="The styles there are, as a table.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_styles(*, as_json: bool) -> None:
    """The bundled styles, the default first, then those that were imported."""
    imported = user_styles()
    specs = (*bundled_styles(), *imported.specs)
    for line in imported.broken:
        echo(f"note: {line}", err=True)
    if as_json:
        echo_json([_plain(spec) for spec in specs])
        return
    if not specs:
        echo("no style is bundled here; use --style FILE.onnx or PACKDIR")
        return
    header = ("NAME", "TITLE", "SIZE", "LICENCE", "GMAC AT 640x360")
    rows = [(spec.name, spec.title, _megabytes(spec), spec.licence, _gmac(spec)) for spec in specs]
    for line in table([header, *rows]):
        echo(line)


@styles.command(short_help="One style in full.")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def show(*, name: str, as_json: bool) -> None:
    """Everything there is to know of the style NAME (or a pack folder, or an ONNX file)."""
    spec = find_style(name)
    if as_json:
        echo_json(_plain(spec))
        return
    echo(f"{spec.title} ({spec.name})")
    for key, value in card(spec):
        echo(f"  {key + ':':<26} {value}")


@styles.command("import", short_help="Make a style net of others a style here.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--as", "name", metavar="NAME", help="Name of the style.  [default: from FILE]")
@click.option("--licence", default="unknown", show_default=True, help="Licence of the style.")
@click.option("--layout", type=click.Choice(("nchw", "nhwc")), help="ONNX: order of the axes.")
@click.option("--range", "values", type=click.Choice(_RANGES), help="ONNX: values of the input.")
@click.option("--output-range", type=click.Choice(_RANGES), help="ONNX: values of the output.")
@click.option("--order", type=click.Choice(("rgb", "bgr")), help="ONNX: order of the colours.")
@click.option(
    "--size-multiple",
    type=click.IntRange(1, 256),
    metavar="N",
    help="ONNX: width and height must be multiples of N.",
)
@click.option(
    "--align-corners/--no-align-corners",
    default=None,
    help="AnimeGANv2: how its upsampling places its samples. Aligned is the default of the net in "
    "bryandlee/animegan2-pytorch, and so of torch.hub's weights; that project's script runs those "
    "it converted from TensorFlow without.  [default: aligned]",
)
@click.option("--overwrite", is_flag=True, help="Replace the imported style of that name.")
def import_(
    *,
    file: Path,
    name: str | None,
    licence: str,
    layout: str | None,
    values: str | None,
    output_range: str | None,
    order: str | None,
    size_multiple: int | None,
    align_corners: bool | None,
    overwrite: bool,
) -> None:
    """Make FILE a style that is found by its name.

    FILE is an ONNX image-to-image net, or weights of pytorch/examples' TransformerNet (.pth),
    lengstrom/fast-style-transfer (.npz, or a TensorFlow checkpoint where tensorflow is installed),
    CartoonGAN (.safetensors, .pth) or AnimeGANv2 (.pt). How an ONNX net wants its pictures is found
    by showing it one, where you do not say so; one made for a single size is freed of it where that
    can be done.
    """
    keep_going()
    if is_address(file):
        raise UnknownStyle(f"{file}: is an address; fetch the file first, and name that")
    from rtstyle.importers import Hints, import_style

    found = import_style(
        file,
        picture=sample_picture(),
        name=name,
        licence=licence,
        hints=Hints(layout, values, output_range, order, size_multiple),
        align_corners=align_corners,
        overwrite=overwrite,
    )
    echo(f"{file.name}: {found.kind}")
    for note in found.notes:
        echo(f"note: {note}")
    for key, value in card(found.spec):
        echo(f"  {key + ':':<26} {value}")
    echo(f"use it: rtstyle video in.mp4 -o out.mp4 --style {found.spec.name}")


@styles.command("remove", short_help="Delete an imported style.")
@click.argument("name")
def remove_style(*, name: str) -> None:
    """Delete the imported style NAME; bundled ones stay."""
    keep_going()
    echo(f"removed {remove(name)}")


@styles.command(short_help="Draw every style on one picture.")
@click.option(
    "-o",
    "--output",
    default="sheet.png",
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The picture to write.",
)
@click.option(
    "--picture",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The picture to stylize.  [default: one that rtstyle draws]",
)
@click.option(
    "--style",
    "names",
    multiple=True,
    metavar="NAME|FILE.onnx|PACKDIR",
    help="Show only this style; can be given several times.  [default: every bundled style]",
)
@click.option("--columns", type=click.IntRange(min=1), metavar="N", help="Pictures in a row.")
@click.option("--overwrite", is_flag=True, help="Replace the sheet if it is there.")
def sheet(
    *,
    output: Path,
    picture: Path | None,
    names: tuple[str, ...],
    columns: int | None,
    overwrite: bool,
) -> None:
    """Draw the source and every style on it, with their names, into one picture."""
    keep_going()
    refuse_addresses(output)
    check_image_output(output, source=picture, overwrite=overwrite)
    refuse_style([output], names)
    specs = [find_style(name) for name in names] or list(bundled_styles())
    if not specs:
        raise UsageError("no style is bundled here; name one with --style FILE.onnx or PACKDIR")
    source = sample_picture() if picture is None else read_image(picture)
    cells = [Cell("Source", picture.name if picture else "drawn by rtstyle", source)]
    cells += stylized_cells(specs, source)
    write_image(output, draw_sheet(cells, columns=columns), overwrite=overwrite)
    echo(f"{len(specs)} styles -> {output}")


def stylized_cells(specs: Sequence[StyleSpec], source: Pixels) -> Iterator[Cell]:
    """``source`` in each style, one after another."""
    for spec in specs:
        with open_stylizer(spec) as stylizer:
            painted = stylizer(source[None])[0]
        yield Cell(spec.title, f"{spec.name}  |  {_megabytes(spec)}  |  {spec.licence}", painted)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the columns of ``rows`` aligned."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def card(spec: StyleSpec) -> Iterator[tuple[str, str]]:
    """The lines of a style's card, as name and value."""
    yield "family", spec.family
    yield "licence", spec.licence
    yield "source", spec.source
    yield "file", f"{spec.file} ({_megabytes(spec)})"
    yield "sha256", spec.sha256 or "not given: a bare file"
    rule = spec.size_rule
    yield "sizes", f"any; padded to at least {rule.minimum} and a multiple of {rule.multiple_of}"
    for key, value in spec.measured.items():
        words, form = _MEASURED.get(key, (key, "{:g}"))
        yield words, form.format(value)


def _megabytes(spec: StyleSpec) -> str:
    return f"{spec.file.stat().st_size / 1e6:.1f} MB"


def _gmac(spec: StyleSpec) -> str:
    found = spec.measured.get("gmac_640x360")
    return "unknown" if found is None else f"{found:.1f}"


def _plain(spec: StyleSpec) -> dict[str, Any]:
    plain = dataclasses.asdict(spec)
    return {**plain, "file": str(spec.file), "bytes": spec.file.stat().st_size}
