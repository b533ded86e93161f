"""``rtstyle video``."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from fractions import Fraction
from functools import partial
from pathlib import Path

import click

from rtstyle.cli.apart import read_of, refuse_addresses, refuse_played, refuse_style
from rtstyle.cli.batch import Batch
from rtstyle.cli.choice import Choice, say_backend
from rtstyle.cli.interrupt import interruptible
from rtstyle.cli.jobs import MOST_JOBS, run_beside
from rtstyle.cli.options import (
    as_depth,
    companion_options,
    parse_rate,
    parse_time,
    picture_options,
    style_options,
    style_or_first,
)
from rtstyle.cli.preview import show_preview
from rtstyle.cli.progress import ProgressDisplay
from rtstyle.cli.report import check_report, write_report
from rtstyle.cli.terminal import echo, keep_going
from rtstyle.cli.together import check_pictures, check_together, means_folder
from rtstyle.errors import EXIT_FINISHED_WITH_LOSS, UsageError
from rtstyle.files import same_place
from rtstyle.pipeline import (
    CONTAINERS,
    checked_range,
    open_stylizer,
    plan_batch,
    stylize_video,
)
from rtstyle.styles import find_style, style_files
from rtstyle.types import RunReport

_EPILOG = """\b
Examples:
  rtstyle video holiday.mp4 -o painted.mp4
  rtstyle video holiday.mp4 -o painted.mp4 --style great-wave --strength 0.7
  rtstyle video film.mkv -o minute.mkv --start 1:00 --end 2:00
  rtstyle video films/ more.avi -o painted/ --skip-existing --jobs 2
  rtstyle video film.mkv --preview 8
  rtstyle video film.mkv -o 'frames/%06d.png'
  rtstyle video 'shot/%06d.png' -o shot.mp4 --fps 24


With several films or a folder OUTPUT is a folder, and each film keeps its name and its place in the
tree. A film that fails does not stop the others: failures are listed at the end, and the exit code
is that of the first.

Numbered pictures (PNG, JPEG, WebP, TIFF, BMP) are read and written by a pattern: %06d stands for a
number padded to six digits. Beside them timestamps.txt (timestamp format v2) holds their times; it
is written, and read where it is there, and can be INPUT itself. --quality is then that of JPEG or
WebP, 1 to 100 (best) [default: 95]. After Ctrl-C what was done of frames/%06d.png lies in
frames.partial; such a run cannot be resumed.

Ctrl-C stops the run and keeps what was done, with its sound, beside OUTPUT: painted.partial.mp4
for painted.mp4 (painted.partial-2.mp4 where that is taken, unless --overwrite is given). Ctrl-C
a second time stops at once. OUTPUT itself is there only once it is whole.


After Ctrl-C, a crash, a full disk or a power cut the same command with --resume goes on where the
run was: what is done lies in painted.mp4.parts until the film is whole.

Exit codes: 0 done, 2 usage, 3 input, 4 output, 5 style, 6 backend, 8 done but frames were lost,
130 interrupted.
"""


@click.command(epilog=_EPILOG, short_help="Stylize a video, with its sound.")
@click.argument(
    "sources", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "-o",
    "--output",
    metavar="FILE|DIR",
    help="The file to write; its ending (.mp4, .mkv, .mov ...) chooses the container. A folder "
    "(made if it is not there) for several films or a folder of them. With --preview a picture.",
)
@style_options
@picture_options
@companion_options
@click.option(
    "--start",
    callback=parse_time,
    metavar="TIME",
    help="Begin here: seconds or [HH:]MM:SS[.fff].",
)
@click.option(
    "--end", callback=parse_time, metavar="TIME", help="Stop before this time of the input."
)
@click.option(
    "--fps",
    callback=parse_rate,
    metavar="N",
    help="Frames a second of numbered pictures without times, as 24, 23.976 or 24000/1001.  "
    "[default: 25]",
)
@click.option(
    "--container",
    type=click.Choice(CONTAINERS),
    help="Kind of the files in an output folder.  [default: as each film's, or mkv]",
)
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT (and the report) if it is there.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with a run of the same command that was killed or stopped, behind the last part "
    "that is whole. In an output folder, what is there already is left alone.",
)
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Leave alone what is in the output folder already, and convert the rest.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, MOST_JOBS),
    default=1,
    show_default=True,
    metavar="N",
    help="Convert N films of an output folder at a time, each in a process of its own with a net "
    "of its own and its share of the processor; for machines with many cores.",
)
@click.option(
    "--preview",
    "preview_count",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Only stylize N pictures spread over the film into a contact sheet, OUTPUT "
    "[default: INPUT-preview.png here], and estimate time and size of the whole.",
)
@click.option(
    "--report",
    "report_file",
    metavar="FILE.json",
    type=click.Path(path_type=Path),
    help="Write what happened, and how fast, as JSON; for an output folder a list.",
)
@click.pass_context
def video(
    ctx: click.Context,
    *,
    sources: tuple[Path, ...],
    output: str | None,
    style: str | None,
    strength: float,
    backend: str,
    precision: str,
    codec: str,
    quality: int | None,
    preset: str | None,
    encoder: str,
    bit_depth: str,
    hdr: str,
    audio: str,
    subtitles: str,
    deinterlace: str,
    start: Fraction | None,
    end: Fraction | None,
    fps: Fraction | None,
    container: str | None,
    overwrite: bool,
    skip_existing: bool,
    resume: bool,
    jobs: int,
    preview_count: int | None,
    report_file: Path | None,
) -> None:
    """Stylize the films INPUT and write them, with their sound, to OUTPUT."""
    keep_going()
    refuse_played(*sources)
    refuse_addresses(output, report_file)
    if output is None and preview_count is None:
        raise click.UsageError("Missing option '-o' / '--output'.", ctx)
    check_pictures(sources, output, preview=preview_count is not None, fps=fps is not None)
    many = preview_count is None and output is not None and means_folder(sources, output)
    if preview_count is not None and len(sources) > 1:
        raise UsageError("--preview looks at one film; name one")
    check_together(
        many=many,
        preview=preview_count is not None,
        container=container is not None,
        skip_existing=skip_existing,
        resume=resume,
        jobs=jobs > 1,
        report=report_file is not None,
    )
    choice = Choice(
        style=style_or_first(style),
        net={"strength": strength, "backend": backend, "precision": precision},
        encoding={
            "codec": codec,
            "quality": quality,
            "preset": preset,
            "encoder": encoder,
            "audio": audio,
            "subtitles": subtitles,
            "bit_depth": as_depth(bit_depth),
        },
        hdr=hdr,
        deinterlace=deinterlace,
        start=start,
        end=end,
        resume=resume,
        jobs=jobs,
    )
    if preview_count is not None:
        target = None if output is None else Path(output)
        refuse_style([target] if target else [], [choice.style])
        show_preview(choice, sources[0], target, preview_count, container, overwrite, fps)
        return
    assert output is not None
    if many:
        code = _many(
            choice,
            sources,
            Path(output),
            container=container,
            overwrite=overwrite,
            # A run that is gone on with made those that are there.
            skip_existing=skip_existing or resume,
            report_file=report_file,
        )
    else:
        code = _one(choice, sources[0], Path(output), overwrite, report_file, fps)
    if code:
        ctx.exit(code)


def _one(
    choice: Choice,
    source: Path,
    output: Path,
    overwrite: bool,
    report_file: Path | None,
    fps: Fraction | None,
) -> int:
    if report_file is not None:
        reads = (*read_of(source), *style_files(choice.style))
        check_report(report_file, others=reads, outputs=(output,), overwrite=overwrite)
    refuse_style([output], [choice.style])
    with interruptible(), ProgressDisplay(sys.stderr) as display:
        report = stylize_video(
            source,
            output,
            choice.style,
            **choice.net,
            **choice.encoding,
            deinterlace=choice.deinterlace,
            hdr=choice.hdr,
            start=choice.start,
            end=choice.end,
            fps=fps,
            resume=choice.resume,
            overwrite=overwrite,
            progress=display,
            checking=display.checking,
            on_backend=say_backend,
        )
    if report_file is not None:
        write_report(report, report_file, overwrite=overwrite)
    _say_result(report)
    return EXIT_FINISHED_WITH_LOSS if report.finished_with_loss else 0


def _many(
    choice: Choice,
    sources: tuple[Path, ...],
    folder: Path,
    *,
    container: str | None,
    overwrite: bool,
    skip_existing: bool,
    report_file: Path | None,
) -> int:
    checked_range(choice.start, choice.end)
    plan = plan_batch(
        sources,
        folder,
        choice.options,
        container=container,
        overwrite=overwrite,
        skip_existing=skip_existing,
        reads=style_files(choice.style),
    )
    if report_file is not None:
        jobs = (*plan.skipped, *plan.jobs)
        reads = (*(job.source for job in jobs), *style_files(choice.style))
        targets = [job.target for job in jobs]
        # The one folder that may be made for it is the batch's own.
        made = folder if same_place(report_file.parent, folder) else None
        check_report(report_file, others=reads, outputs=targets, overwrite=overwrite, made=made)
    # A style that is none must not leave a folder behind.
    find_style(choice.style)
    plan.make_folder()
    for note in plan.notes:
        echo(f"note: {note}")
    batch = Batch(plan)
    with interruptible():
        try:
            if plan.jobs:
                _run(choice, batch, overwrite)
        except KeyboardInterrupt:
            batch.list_failures()
            raise
        finally:
            if report_file is not None:
                batch.write_report(report_file, overwrite=overwrite)
    batch.say_result()
    return batch.exit_code


def _run(choice: Choice, batch: Batch, overwrite: bool) -> None:
    """Run a batch; one after another with one net for all, at strength 0 with none."""
    options = {
        "style": choice.style,
        **choice.net,
        **choice.encoding,
        "deinterlace": choice.deinterlace,
        "hdr": choice.hdr,
        "start": choice.start,
        "end": choice.end,
        "resume": choice.resume,
        "overwrite": overwrite,
    }
    if (processes := min(choice.jobs, len(batch.jobs))) > 1:
        run_beside(batch, options, processes=processes)
        return
    net = {key: choice.net[key] for key in ("backend", "precision")}
    needed = choice.net["strength"] > 0
    with open_stylizer(choice.style, **net) if needed else nullcontext() as stylizer:
        if stylizer is not None:
            say_backend(stylizer.info)
            options["style"] = None
        batch.run(partial(stylize_video, **options, stylizer=stylizer))


def _say_result(report: RunReport) -> None:
    for note in report.notes:
        echo(f"note: {note}")
    echo(
        f"done: {report.frames_out} frames in {report.seconds:.1f} s "
        f"({report.fps:.1f} fps) -> {report.output}"
    )
