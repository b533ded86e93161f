"""``rtstyle verify``."""

from __future__ import annotations

import dataclasses
import sys
from fractions import Fraction
from pathlib import Path

import click

from rtstyle.cli.apart import refuse_played
from rtstyle.cli.options import parse_time
from rtstyle.cli.progress import ProgressDisplay
from rtstyle.cli.terminal import echo, echo_json, keep_going
from rtstyle.errors import EXIT_FINISHED_WITH_LOSS
from rtstyle.media import verify_video
from rtstyle.pipeline.stats import ProgressMeter
from rtstyle.types import Check, Fidelity

_EPILOG = """\b
Examples:
  rtstyle verify holiday.mp4 painted.mp4
  rtstyle verify film.avi painted.mkv --allow audio,depth
  rtstyle verify film.mkv minute.mkv --start 1:00 --end 2:00
  rtstyle verify holiday.mp4 painted.mp4 --json


Nothing but the two files is looked at. Every picture of both is decoded and compared by its time;
sound and subtitles are compared packet for packet; what the pictures show is not compared.
'left' marks what is not in OUTPUT for a reason: its container has no place for it, or --allow.

Exit codes: 0 all that should be kept is kept, 2 usage, 3 a file cannot be read, 8 something is
lost, 130 interrupted.
"""


@click.command(epilog=_EPILOG, short_help="Prove what of a video is in its conversion.")
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUTPUT", type=click.Path(path_type=Path))
@click.option(
    "--allow",
    multiple=True,
    metavar="NAME[,NAME...]",
    help="Let these checks fail, by their names in the table without a number: audio, depth ...; "
    "can be given several times.",
)
@click.option(
    "--start",
    callback=parse_time,
    metavar="TIME",
    help="OUTPUT holds INPUT from here on: seconds or [HH:]MM:SS[.fff].",
)
@click.option(
    "--end", callback=parse_time, metavar="TIME", help="OUTPUT holds INPUT up to this time of it."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def verify(
    ctx: click.Context,
    *,
    source: Path,
    output: Path,
    allow: tuple[str, ...],
    start: Fraction | None,
    end: Fraction | None,
    as_json: bool,
) -> None:
    """Prove from the files alone what of the video INPUT is in its conversion OUTPUT."""
    refuse_played(source, output)
    allowed = [name.strip() for names in allow for name in names.split(",")]
    with ProgressDisplay(sys.stderr, label="checking") as display:
        meter: ProgressMeter | None = None

        def show(frames: int, expected: int | None) -> None:
            nonlocal meter
            meter = meter or ProgressMeter(expected)
            display(meter.at(frames))

        fidelity = verify_video(source, output, start=start, end=end, allow=allowed, progress=show)
    try:
        if as_json:
            echo_json(_plain(fidelity))
        else:
            # Who wants no more than the verdict has it in the exit code.
            keep_going()
            _print_table(fidelity)
    finally:
        if not fidelity.kept:
            ctx.exit(EXIT_FINISHED_WITH_LOSS)


def _print_table(fidelity: Fidelity) -> None:
    width = max(len(check.name) for check in fidelity.checks)
    for check in fidelity.checks:
        echo(f"{_verdict(check):<4}  {check.name:<{width}}  {check.detail}")
    if fidelity.kept:
        left = sum(not check.kept for check in fidelity.checks)
        apart = "" if not left else ", less what is marked 'left'"
        echo(f"all that should be kept is kept{apart}")
    else:
        echo(f"lost: {', '.join(check.name for check in fidelity.lost)}")


def _verdict(check: Check) -> str:
    if check.kept:
        return "kept"
    return "LOST" if check.required else "left"


def _plain(fidelity: Fidelity) -> dict[str, object]:
    return {**dataclasses.asdict(fidelity), "kept": fidelity.kept}
