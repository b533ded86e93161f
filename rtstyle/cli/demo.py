"""``rtstyle demo``: the main job on a clip that the program draws itself."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import click

from rtstyle.cli.apart import refuse_addresses, refuse_style
from rtstyle.cli.interrupt import interruptible
from rtstyle.cli.options import style_or_first
from rtstyle.cli.progress import ProgressDisplay
from rtstyle.cli.sample import (
    SAMPLE_RATE,
    SAMPLE_SECONDS,
    SAMPLE_SIZE,
    SOUND_RATE,
    sample_frames,
    sample_sound,
)
from rtstyle.cli.sheet import before_after
from rtstyle.cli.terminal import echo, keep_going
from rtstyle.errors import DiskFull, OutputExists, OutputNotWritable
from rtstyle.files import is_disk_full, rename_new
from rtstyle.media import open_video, to_bytes, write_clip, write_image
from rtstyle.pipeline import open_stylizer, stylize_video
from rtstyle.types import Pixels, RunReport

NAMES = ("sample.mp4", "demo.mp4", "demo.png")
_SHOWN_AT = Fraction(2)

_EPILOG = """\b
Examples:
  rtstyle demo
  rtstyle demo --style great-wave -o tryout --overwrite

Files of an earlier demo are kept: a second run needs --overwrite or another folder.
"""


@click.command(epilog=_EPILOG, short_help="Draw a sample clip and stylize it.")
@click.option(
    "--style",
    metavar="NAME|FILE.onnx|PACKDIR",
    help="The style to show.  [default: the first bundled style]",
)
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    default=".",
    type=click.Path(path_type=Path),
    help="The folder to write into (made if it is not there).  [default: this folder]",
)
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier demo.")
def demo(*, style: str | None, folder: Path, overwrite: bool) -> None:
    """Draw a sample clip with a tune, stylize it, and show before and after.

    Writes sample.mp4 (the clip), demo.mp4 (the same, stylized) and demo.png (one frame of both).
    """
    keep_going()
    refuse_addresses(folder)
    if style is not None:
        refuse_style((folder / name for name in NAMES), [style])
    _check_folder(folder, overwrite=overwrite)
    with (
        interruptible(),
        _folder_of_work(folder) as work,
        open_stylizer(style_or_first(style)) as stylizer,
    ):
        sample, stylized, picture = (work / name for name in NAMES)
        echo(f"backend: {stylizer.info}")
        echo(f"drawing a sample clip, {SAMPLE_SIZE}, {SAMPLE_SECONDS} s")
        write_clip(
            sample,
            sample_frames(),
            rate=SAMPLE_RATE,
            sound=sample_sound(),
            sample_rate=SOUND_RATE,
        )
        with ProgressDisplay(sys.stderr) as display:
            report = stylize_video(
                sample,
                stylized,
                None,
                stylizer=stylizer,
                progress=display,
                # It would lie in the folder of work, which goes with the run.
                keep_partial=False,
            )
        write_image(picture, before_after(_frame(sample), _frame(stylized)))
        _place(work, folder, overwrite=overwrite)
    _say(report, stylizer.spec.title, folder)


@contextmanager
def _folder_of_work(folder: Path) -> Iterator[Path]:
    """A folder in ``folder``, gone at the end with all that is in it."""
    try:
        work = tempfile.TemporaryDirectory(prefix=".rtstyle-demo-", dir=folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    with work as name:
        yield Path(name)


def _place(work: Path, folder: Path, *, overwrite: bool) -> None:
    """Give the finished files their names; one that was taken meanwhile is left as it is."""
    for name in NAMES:
        try:
            if overwrite:
                os.replace(work / name, folder / name)
            else:
                rename_new(work / name, folder / name)
        except FileExistsError:
            raise OutputExists(
                f"{folder / name} appeared meanwhile and was left as it is; choose another folder "
                "with -o DIR"
            ) from None
        except OSError as error:
            raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> OutputNotWritable | DiskFull:
    if is_disk_full(error):
        return DiskFull(f"{folder}: no room left; free some space or choose another with -o DIR")
    return OutputNotWritable(
        f"{folder}: cannot write here ({error.strerror}); choose another with -o DIR"
    )


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    """Make the folder; refuse one that cannot be written or holds an earlier demo."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputNotWritable(
            f"{folder}: cannot make this folder ({error.strerror}); choose another with -o DIR"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputNotWritable(f"{folder}: this folder refuses files; choose another with -o DIR")
    there = [name for name in NAMES if os.path.lexists(folder / name)]
    if there and not overwrite:
        raise OutputExists(
            f"{folder}: holds {', '.join(there)} already; "
            "add --overwrite to replace, or choose another folder with -o DIR"
        )
    for name in there:
        if not (folder / name).is_file() or (folder / name).is_symlink():
            what = "a folder" if (folder / name).is_dir() else "no file of an earlier demo"
            raise OutputExists(f"{folder / name} is {what}; choose another with -o DIR")


def _frame(clip: Path) -> Pixels:
    with open_video(clip, start=_SHOWN_AT) as video:
        return to_bytes(next(iter(video)).pixels)


def _say(report: RunReport, title: str, folder: Path) -> None:
    for note in report.notes:
        echo(f"note: {note}")
    echo(
        f"done: {report.frames_out} frames in the style {title}, {report.seconds:.1f} s, "
        f"{report.fps:.1f} fps with {report.backend.name} {report.backend.precision}"
    )
    for name, what in zip(NAMES, ("the clip", "stylized", "before and after"), strict=True):
        echo(f"  {what + ':':<17} {(folder / name).resolve()}")
    echo("next: rtstyle video YOURS.mp4 -o painted.mp4, or rtstyle styles list")
