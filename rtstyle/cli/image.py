"""``rtstyle image``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from rtstyle.backends import Stylizer
from rtstyle.cli.apart import refuse_addresses, refuse_played
from rtstyle.cli.options import style_options, style_or_first
from rtstyle.cli.terminal import echo, keep_going
from rtstyle.errors import (
    EXIT_FINISHED_WITH_LOSS,
    BackendOutOfMemory,
    InputError,
    OutputError,
    OutputExists,
    OutputNotWritable,
    RtstyleError,
    UsageError,
)
from rtstyle.files import FileId, Protected, file_id, short_name, spelling
from rtstyle.media import (
    EncodeOptions,
    can_write,
    check_image_output,
    check_target,
    is_film_name,
    open_picture,
)
from rtstyle.pipeline import PictureReport, open_stylizer, stylize_image, stylize_video
from rtstyle.styles import style_files
from rtstyle.types import RunReport

_EPILOG = """\b
Examples:
  rtstyle image face.jpg -o painted.png
  rtstyle image *.jpg -o painted/ --style great-wave

  rtstyle image moving.gif -o painted.webp

With several pictures OUTPUT is a folder, and each keeps its name. A picture that fails does not
stop the others; failures are listed at the end and the exit code is that of the first.

A moving GIF, PNG or WebP keeps its frames and their times, or becomes a film where OUTPUT is named
as one (.mp4, .mkv, .mov, .webm); a TIFF keeps its pages. Transparency, colour profile, Exif data
and 16 bits a sample are kept where OUTPUT's kind of file can hold them; a note names what is not.

Exit codes: 0 done, 2 usage, 3 input, 4 output, 5 style, 6 backend, 8 done but frames were lost.
"""


@click.command(epilog=_EPILOG, short_help="Stylize pictures.")
@click.argument(
    "sources", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE|DIR",
    help="The picture to write, or a folder (made if it is not there) for one or many.",
)
@style_options
@click.option("--overwrite", is_flag=True, help="Replace pictures that are there already.")
@click.pass_context
def image(
    ctx: click.Context,
    *,
    sources: tuple[Path, ...],
    output: str,
    style: str | None,
    strength: float,
    backend: str,
    precision: str,
    overwrite: bool,
) -> None:
    """Stylize each picture INPUT and write it to OUTPUT."""
    keep_going()
    refuse_played(*sources)
    refuse_addresses(output)
    style = style_or_first(style)
    pairs = plan(sources, output, reads=style_files(style))
    failures: list[RtstyleError] = []
    lossy = False
    with ExitStack() as stack:
        stylizer: Stylizer | None = None
        for source, target in pairs:
            try:
                check_pair(source, target, overwrite=overwrite)
                # Only now, so that a bad path is refused before the style is loaded.
                if stylizer is None:
                    stylizer = _open(stack, style, backend, precision)
                lossy |= _paint(
                    source,
                    target,
                    strength,
                    overwrite,
                    stylizer,
                    name=f"{source}: " if len(pairs) > 1 else "",
                )
            except (InputError, OutputError, BackendOutOfMemory) as error:
                if len(pairs) == 1:
                    raise
                failures.append(error)
            else:
                echo(f"{source} -> {target}")
    if failures:
        echo(f"{len(failures)} of {len(pairs)} pictures failed:", err=True)
        for failure in failures:
            echo(f"  {failure}", err=True)
        ctx.exit(failures[0].exit_code)
    if lossy:
        ctx.exit(EXIT_FINISHED_WITH_LOSS)


def check_pair(source: Path, target: Path, *, overwrite: bool) -> None:
    """Refuse what cannot be read or written, before a style is loaded; raises InputError and
    OutputError."""
    if not is_film_name(target):
        check_image_output(target, source=source, overwrite=overwrite)
    with open_picture(source) as picture:
        picture.first()
        moves = picture.moves
    if not is_film_name(target):
        return
    if not moves:
        raise OutputNotWritable(
            f"{target.name}: a film, and {source.name} does not move; name a .png or .jpg"
        )
    check_target(target, source=source, overwrite=overwrite, options=_film_options(target))


def _film_options(target: Path) -> EncodeOptions:
    return EncodeOptions(codec="vp9" if target.suffix.lower() == ".webm" else "h264")


def _paint(
    source: Path,
    target: Path,
    strength: float,
    overwrite: bool,
    stylizer: Stylizer,
    *,
    name: str,
) -> bool:
    """Stylize one file and tell what is otherwise; whether frames were lost."""
    told: list[PictureReport | RunReport] = []
    if is_film_name(target):
        told.append(
            stylize_video(
                source,
                target,
                None,
                strength=strength,
                codec=_film_options(target).codec,
                overwrite=overwrite,
                stylizer=stylizer,
            )
        )
    else:
        stylize_image(
            source,
            None,
            output=target,
            strength=strength,
            overwrite=overwrite,
            on_report=told.append,
            stylizer=stylizer,
        )
    for note in told[0].notes:
        echo(f"note: {name}{note}")
    return told[0].finished_with_loss


def _open(stack: ExitStack, style: str, backend: str, precision: str) -> Stylizer:
    stylizer = stack.enter_context(open_stylizer(style, backend=backend, precision=precision))
    echo(f"backend: {stylizer.info}")
    return stylizer


def plan(
    sources: Sequence[Path], output: str, *, reads: Sequence[Path] = ()
) -> list[tuple[Path, Path]]:
    """Each source with its target; makes the folder where ``output`` means one.

    ``reads`` are files that are read besides. Raises UsageError where two sources would get one
    name, OutputExists where a picture would replace an input, OutputError where the folder cannot
    be made.
    """
    folder = Path(output)
    named_as_folder = output.endswith(("/", os.sep))
    if len(sources) == 1 and not named_as_folder and not os.path.isdir(folder):
        pairs = [(sources[0], folder)]
        _refuse_inputs(pairs, reads)
        return pairs
    if len(sources) > 1 and not named_as_folder and folder.suffix and not os.path.isdir(folder):
        raise UsageError(f"{output}: several pictures need a folder; write {output}/ to make one")
    pairs = [(source, folder / _target_name(source)) for source in sources]
    taken: dict[str | FileId, Path] = {}
    for source, target in pairs:
        # Two names of one file that is there already are one, too.
        for key in (spelling(target), file_id(target)):
            other = source if key is None else taken.setdefault(key, source)
            if other is not source:
                raise UsageError(f"{other} and {source} would both become {target}; rename one")
    _refuse_inputs(pairs, reads)
    try:
        folder.mkdir(exist_ok=True)
    except FileNotFoundError:
        raise OutputNotWritable(f"{output}: there is no folder {folder.parent}") from None
    except OSError as error:
        raise OutputNotWritable(f"{output}: cannot make this folder: {error.strerror}") from error
    return pairs


def _refuse_inputs(pairs: Sequence[tuple[Path, Path]], reads: Sequence[Path]) -> None:
    inputs = Protected((*(source for source, _ in pairs), *reads))
    for _, target in pairs:
        if target in inputs:
            raise OutputExists(
                f"{str(target)!r} is the input itself, or another file that is read; it is never "
                "overwritten: choose another name"
            )


def _target_name(source: Path) -> str:
    """The source's own name, as .png where its kind of picture can only be read."""
    return source.name if can_write(source) else short_name(source.stem, ".png")
