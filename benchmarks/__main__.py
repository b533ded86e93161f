"""``python -m benchmarks``."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import click

from benchmarks.gpu import measure_gpu
from benchmarks.live import measure_live
from benchmarks.material import NETS, random_pack
from benchmarks.memory import measure_memory
from benchmarks.video import measure_video
from rtstyle.errors import RtstyleError
from rtstyle.styles import bundled_styles, find_style
from rtstyle.types import Size

F = TypeVar("F", bound=Callable[..., Any])


class SizeType(click.ParamType[Size]):
    """``640x360`` becomes a Size."""

    name = "WIDTHxHEIGHT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Size:
        if isinstance(value, Size):
            return value
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", str(value))
        if match is None:
            self.fail(f"{value!r} is no size; write 640x360", param, ctx)
        return Size(int(match[1]), int(match[2]))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def benchmarks() -> None:
    """Measure rtstyle on this machine."""


_RECORD = click.option(
    "--record",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write a JSON record of the run into this folder.",
)


def _shared(command: F) -> F:
    for option in (
        _RECORD,
        click.option(
            "--style",
            metavar="NAME|PACKDIR",
            help="The style that runs.  [default: a net of random weights, made on the spot]",
        ),
    ):
        command = option(command)
    return command


@benchmarks.command()
@_shared
@click.option(
    "--checkpoint",
    metavar="FILE.safetensors",
    type=click.Path(path_type=Path, exists=True),
    help="The style's weights for the two naive loops.  [default: random ones of its width]",
)
@click.option(
    "--net",
    type=click.Choice(NETS),
    default="johnson",
    show_default=True,
    help="Kind of the random net; without --style.",
)
@click.option(
    "--width", default=32, show_default=True, help="Width of the random net; without --style."
)
@click.option(
    "--clip",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The clip.  [default: one that rtstyle draws]",
)
@click.option("--frames", default=100, show_default=True, type=click.IntRange(min=2))
@click.option("--size", default="640x360", show_default=True, type=SizeType())
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(min=1))
def video(
    *,
    style: str | None,
    checkpoint: Path | None,
    net: str,
    width: int,
    clip: Path | None,
    frames: int,
    size: Size,
    repeat: int,
    record: Path | None,
) -> None:
    """The naive loops of today, ``rtstyle video`` and the net alone, on one clip and net.

    --frames and --size say how the clip is drawn; they do not change a clip that is given.
    """
    measure_video(
        style=style,
        checkpoint=checkpoint,
        net=net,
        width=width,
        clip=clip,
        frames=frames,
        size=size,
        repeat=repeat,
        record=record,
        command=_command(),
    )


@benchmarks.command()
@_shared
@click.option(
    "--frames",
    nargs=2,
    default=(1000, 20000),
    show_default=True,
    type=click.IntRange(min=2),
    help="The two lengths.",
)
@click.option("--size", default="96x54", show_default=True, type=SizeType())
def memory(*, style: str | None, frames: tuple[int, int], size: Size, record: Path | None) -> None:
    """Peak memory, open files and disk of a conversion at two lengths, each in a fresh process."""
    measure_memory(style=style, frames=frames, size=size, record=record, command=_command())


@benchmarks.command()
@click.option(
    "--style",
    "styles",
    metavar="NAME|PACKDIR",
    multiple=True,
    help="A style that runs; may be repeated.  [default: every bundled one]",
)
@click.option(
    "--size",
    "sizes",
    default=("640x360", "1280x720", "1920x1080"),
    show_default=True,
    multiple=True,
    type=SizeType(),
)
@click.option(
    "--seconds",
    default=3.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="How long each is run once it is warm.",
)
@click.option("--rehearse", is_flag=True, help="Run what runs on the processor too.")
@_RECORD
def gpu(
    *,
    styles: tuple[str, ...],
    sizes: tuple[Size, ...],
    seconds: float,
    rehearse: bool,
    record: Path | None,
) -> None:
    """Every style on every GPU backend and precision there is: speed, latency, truth.

    What is not there is said and passed over. Without a bundled style a net of random weights runs.
    """
    with TemporaryDirectory() as scratch:
        chosen = [find_style(style) for style in styles] or list(bundled_styles())
        if not chosen:
            folder = Path(scratch)
            pack = random_pack(folder / "pack", folder / "random.safetensors", width=16)
            chosen = [find_style(pack)]
        measure_gpu(
            styles=chosen,
            sizes=sizes,
            seconds=seconds,
            rehearse=rehearse,
            record=record,
            command=_command(),
        )


@benchmarks.command()
@click.option(
    "--style",
    "styles",
    metavar="NAME",
    multiple=True,
    default=("great-wave",),
    show_default=True,
    help="A style that runs; may be repeated.",
)
@click.option("--size", default="640x360", show_default=True, type=SizeType())
@click.option("--fps", default=30.0, show_default=True, type=click.FloatRange(1, 120))
@click.option(
    "--seconds",
    default=20.0,
    show_default=True,
    type=click.FloatRange(min=2),
    help="How long each is looked at.",
)
@click.option(
    "--browser/--no-browser", default=True, help="Also measure the page in Debian's Chromium."
)
@_RECORD
def live(
    *,
    styles: tuple[str, ...],
    size: Size,
    fps: float,
    seconds: float,
    browser: bool,
    record: Path | None,
) -> None:
    """Delay and frames of live pictures, to the sink and through the page in a browser.

    The pictures are drawn and carry their numbers. Stand-ins sleep, so that what the pipeline
    itself adds is seen apart from the processor's speed.
    """
    measure_live(
        styles=[find_style(style) for style in styles],
        size=size,
        fps=fps,
        seconds=seconds,
        browser=browser,
        record=record,
        command=_command(),
    )


def _command() -> str:
    return " ".join(["python -m benchmarks", *sys.argv[1:]])


if __name__ == "__main__":
    try:
        benchmarks(prog_name="python -m benchmarks")
    except RtstyleError as problem:
        print(f"benchmarks: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
