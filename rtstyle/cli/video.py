"""``rtstyle video``."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import click

from rtstyle.cli.interrupt import interruptible
from rtstyle.cli.options import parse_time, style_options, style_or_first
from rtstyle.cli.progress import ProgressDisplay
from rtstyle.cli.report import check_report, write_report
from rtstyle.errors import EXIT_FINISHED_WITH_LOSS
from rtstyle.pipeline import stylize_video
from rtstyle.types import BackendInfo, RunReport

_EPILOG = """\b
Examples:
  rtstyle video holiday.mp4 -o painted.mp4
  rtstyle video holiday.mp4 -o painted.mp4 --style great-wave --strength 0.7
  rtstyle video film.mkv -o minute.mkv --start 1:00 --end 2:00


Ctrl-C stops the run and keeps what was done, with its sound, beside OUTPUT: painted.partial.mp4
for painted.mp4 (painted.partial-2.mp4 where that is taken, unless --overwrite is given). Ctrl-C
a second time stops at once and keeps nothing. OUTPUT itself is there only once it is whole.

Exit codes: 0 done, 2 usage, 3 input, 4 output, 5 style, 6 backend, 8 done but frames were lost,
130 interrupted.
"""


@click.command(epilog=_EPILOG, short_help="Stylize a video, with its sound.")
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUTPUT",
    type=click.Path(path_type=Path),
    help="The file to write; its ending (.mp4, .mkv, .mov ...) chooses the container.",
)
@style_options
@click.option(
    "--codec",
    type=click.Choice(["h264", "hevc", "av1", "ffv1"]),
    default="h264",
    show_default=True,
    help="Picture codec; h264 plays everywhere, ffv1 is lossless.",
)
@click.option(
    "--quality",
    type=int,
    metavar="CRF",
    help="Picture quality of the codec; lower is better and larger.  [default: 18 for h264]",
)
@click.option(
    "--preset",
    metavar="P",
    help="The codec's own word for speed against size, such as veryfast or slow.",
)
@click.option(
    "--audio",
    type=click.Choice(["copy", "aac", "none"]),
    default="copy",
    show_default=True,
    help="Keep the sound bit for bit, encode it anew as AAC, or leave it out.",
)
@click.option(
    "--subtitles",
    type=click.Choice(["copy", "none"]),
    default="copy",
    show_default=True,
    help="Keep the subtitles that OUTPUT's container can hold, or leave them out.",
)
@click.option(
    "--start",
    callback=parse_time,
    metavar="TIME",
    help="Begin here: seconds or [HH:]MM:SS[.fff].",
)
@click.option(
    "--end", callback=parse_time, metavar="TIME", help="Stop before this time of the input."
)
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT (and the report) if it is there.")
@click.option(
    "--report",
    "report_file",
    metavar="FILE.json",
    type=click.Path(path_type=Path),
    help="Write what happened, and how fast, as JSON.",
)
@click.pass_context
def video(
    ctx: click.Context,
    *,
    source: Path,
    output: Path,
    style: str | None,
    strength: float,
    backend: str,
    precision: str,
    codec: str,
    quality: int | None,
    preset: str | None,
    audio: str,
    subtitles: str,
    start: Fraction | None,
    end: Fraction | None,
    overwrite: bool,
    report_file: Path | None,
) -> None:
    """Stylize the video INPUT and write it, with its sound, to OUTPUT."""
    if report_file is not None:
        check_report(report_file, others=(source, output), overwrite=overwrite)
    with interruptible(), ProgressDisplay(sys.stderr) as display:
        report = stylize_video(
            source,
            output,
            style_or_first(style),
            strength=strength,
            backend=backend,
            precision=precision,
            codec=codec,
            quality=quality,
            preset=preset,
            audio=audio,
            subtitles=subtitles,
            start=start,
            end=end,
            overwrite=overwrite,
            progress=display,
            on_backend=_say_backend,
        )
    if report_file is not None:
        write_report(report, report_file)
    _say_result(report)
    if report.finished_with_loss:
        ctx.exit(EXIT_FINISHED_WITH_LOSS)


def _say_backend(info: BackendInfo) -> None:
    click.echo(f"backend: {info}")


def _say_result(report: RunReport) -> None:
    for note in report.notes:
        click.echo(f"note: {note}")
    click.echo(
        f"done: {report.frames_out} frames in {report.seconds:.1f} s "
        f"({report.fps:.1f} fps) -> {report.output}"
    )
