"""``rtstyle video --preview``: a contact sheet, and what the whole film would cost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

from rtstyle.cli.choice import Choice, say_backend
from rtstyle.cli.interrupt import interruptible
from rtstyle.cli.progress import span
from rtstyle.cli.sheet import Cell, draw_sheet
from rtstyle.cli.terminal import echo, redraw
from rtstyle.files import short_name
from rtstyle.media import check_image_output, is_sequence, write_image
from rtstyle.pipeline import Estimate, Preview, preview_video

_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def show_preview(
    choice: Choice,
    source: Path,
    output: Path | None,
    count: int,
    container: str | None,
    overwrite: bool,
    fps: Fraction | None,
) -> None:
    """Preview ``source`` as ``choice`` would convert it; see run_preview."""
    options = choice.options
    settings = " ".join((options.codec, *(f"{k} {v}" for k, v in options.told.items())))
    sound = {"none": "no sound"}.get(options.audio, f"sound {options.audio}")
    with interruptible():
        run_preview(
            partial(
                preview_video,
                style=choice.style,
                **choice.net,
                **choice.encoding,
                deinterlace=choice.deinterlace,
                hdr=choice.hdr,
                container=container,
                start=choice.start,
                end=choice.end,
                fps=fps,
                on_backend=say_backend,
            ),
            source,
            output,
            count=count,
            settings=f"{settings}, {sound}",
            overwrite=overwrite,
        )


def run_preview(
    preview: Callable[..., Preview],
    source: Path,
    output: Path | None,
    *,
    count: int,
    settings: str,
    overwrite: bool,
) -> None:
    """Write a sheet of ``count`` pictures of ``source`` and say what the whole would cost.

    ``preview`` is preview_video with its options given; ``settings`` names those that the size
    depends on. Without ``output`` the sheet is ``<stem>-preview.png`` in the current folder.
    """
    # Numbered pictures are known by their folder.
    stem = source.absolute().parent.name if is_sequence(source) else source.stem
    sheet = output or Path(short_name(stem, "-preview.png"))
    check_image_output(sheet, source=source, overwrite=overwrite)
    found = preview(source, count=count, progress=_counter(count))
    cells = [
        Cell(clock(moment.seconds), f"{number} of {len(found.moments)}", moment.pixels)
        for number, moment in enumerate(found.moments, 1)
    ]
    write_image(sheet, draw_sheet(cells), overwrite=overwrite)
    for note in found.notes:
        echo(f"note: {note}")
    echo(f"preview: {len(cells)} pictures -> {sheet}")
    for line in estimate_lines(found.estimate, settings):
        echo(line)


def estimate_lines(estimate: Estimate, settings: str) -> tuple[str, str]:
    """The estimate in one line, and what it rests on in another."""
    runs = "1 short run" if estimate.runs == 1 else f"{estimate.runs} short runs"
    return (
        f"the whole: {estimate.frames} frames, about {span(estimate.seconds)} of work "
        f"({estimate.fps:.1f} fps) and {size(estimate.bytes)} as {estimate.ending.lower()}",
        f"basis: {estimate.measured_frames} frames in {runs}, decoded, stylized and encoded on "
        f"this machine just now ({settings}); scenes that differ much change it",
    )


def clock(seconds: Fraction) -> str:
    """``0:07.25``, ``12:34.50`` or ``1:02:03.00``."""
    minutes, hundredths = divmod(int(seconds * 100), 6000)
    hours, minute = divmod(minutes, 60)
    rest = f"{hundredths // 100:02}.{hundredths % 100:02}"
    return f"{hours}:{minute:02}:{rest}" if hours else f"{minute}:{rest}"


def size(count: int) -> str:
    """``1.2 GB``, ``340 MB``, ``12 kB``."""
    unit, name = next((u for u in _UNITS if count >= u[0]), _UNITS[-1])
    return f"{count / unit:.{1 if count < 10 * unit else 0}f} {name}"


def _counter(count: int) -> Callable[[int], None]:
    """Shows on a terminal how many places are done."""

    def show(done: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == count else ""
            redraw(f"picture {done} of {count}", sys.stderr, end=end)

    return show
