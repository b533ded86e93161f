"""``rtstyle live``."""

from __future__ import annotations

import re
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from rtstyle.backends import BACKENDS, PRECISIONS
from rtstyle.cli.interrupt import interruptible
from rtstyle.cli.live_check import check_live
from rtstyle.cli.live_outputs import Chosen
from rtstyle.cli.numbers import Number
from rtstyle.cli.options import style_or_first
from rtstyle.cli.terminal import echo, keep_going
from rtstyle.cli.trouble import told_of
from rtstyle.errors import EXIT_FINISHED_WITH_LOSS
from rtstyle.live import (
    Capture,
    Live,
    LiveReport,
    Mixer,
    Window,
    free_name,
    record_to,
)
from rtstyle.media import open_camera
from rtstyle.pipeline import stop_on_interrupt
from rtstyle.types import Size

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")

_EPILOG = """\b
Examples:
  rtstyle live                                   # camera 0 in a window
  rtstyle live --style great-wave --style starry-night --mirror
  rtstyle live --output virtualcam               # for a call
  rtstyle live --output mjpeg                    # an address for OBS, VLC and browsers
  rtstyle live --camera clip.mp4 --output out.mp4
  rtstyle live --check                           # what is missing here?

\b
Keys: n p  next, previous style    up down  strength    c  own colours
      b    before and after        m  blend with the next style
      r    record    s  snapshot   i  words on or off   q  quit
"""


def parse_size(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Size | None:
    """Callback of an option: width and height as 1280x720."""
    if value is None:
        return None
    match = _SIZE.fullmatch(value.strip().lower())
    if match is None or "0" in (match[1].lstrip("0") or "0", match[2].lstrip("0") or "0"):
        raise click.BadParameter(f"{value!r} is no size; write 1280x720", ctx, parameter)
    return Size(int(match[1]), int(match[2]))


@click.command(epilog=_EPILOG, short_help="Stylize a camera, live.")
@click.option(
    "--camera",
    default="0",
    show_default=True,
    metavar="N|PATH|URL",
    help="A camera's number ('rtstyle cameras') or device; or a film or an address, played at its "
    "own pace.",
)
@click.option(
    "--style",
    "styles",
    multiple=True,
    metavar="NAME|FILE.onnx|PACKDIR",
    help="A style; give several to switch between them.  [default: the first bundled style]",
)
@click.option(
    "--output",
    default="window",
    show_default=True,
    metavar="window|virtualcam|mjpeg|FILE|URL|none",
    help="Where the pictures go. mjpeg serves them to OBS, VLC and browsers of this machine, as "
    "does http://HOST:PORT; sent are rtmp://, rtsp://, srt://, tcp:// and udp://.",
)
@click.option(
    "--bitrate",
    type=click.IntRange(100, 100_000),
    metavar="KBIT",
    help="The most kilobits a second sent to an address.  [default: by size, 3200 for 720p30]",
)
@click.option(
    "--insecure", is_flag=True, help="Let other machines watch http://HOST:PORT, unencrypted."
)
@click.option("--size", callback=parse_size, metavar="WxH", help="Ask the camera for this size.")
@click.option("--fps", type=Number(1, 240), help="Ask the camera for this rate.")
@click.option("--mirror", is_flag=True, help="Swap left and right, as in a mirror.")
@click.option(
    "--record",
    metavar="FILE",
    help="Also record what is shown, without words on it. Of an .mkv all but the last seconds can "
    "be played even after a crash.",
)
@click.option(
    "--strength",
    type=Number(0.0, 1.0),
    default=1.0,
    show_default=True,
    help="How much of the style: 0 is the source, 1 the full style.",
)
@click.option("--keep-colour", is_flag=True, help="Keep the camera's colours.")
@click.option("--seconds", type=Number(0.1), help="Stop after this long.")
@click.option("--backend", type=click.Choice(BACKENDS), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there already.")
@click.option(
    "--check", is_flag=True, help="Test camera, window, virtual camera and codecs; then stop."
)
@click.pass_context
def live(
    ctx: click.Context,
    *,
    camera: str,
    styles: tuple[str, ...],
    output: str,
    bitrate: int | None,
    insecure: bool,
    size: Size | None,
    fps: float | None,
    mirror: bool,
    record: str | None,
    strength: float,
    keep_colour: bool,
    seconds: float | None,
    backend: str,
    precision: str,
    overwrite: bool,
    check: bool,
) -> None:
    """Stylize a camera's pictures as they come; the newest always wins, so delay cannot grow.

    Sound is not carried. Ctrl-C, SIGTERM or a closed terminal ends it, and files are finished. Exit
    code 8: it ran to its end, but a recording beside it did not.
    """
    keep_going()
    if check:
        ctx.exit(check_live(camera, size=size, fps=fps))
    chosen = Chosen(output, record, fps, bitrate, insecure=insecure, overwrite=overwrite)
    chosen.check(camera, styles)
    with interruptible(), told_of("rtstyle.live.http"), ExitStack() as stack:
        # Everything that can refuse does so before a net is loaded.
        sinks, beside = chosen.open(stack)
        capture = stack.enter_context(
            Capture(lambda stop: open_camera(camera, size=size, fps=fps, stop=stop), mirror=mirror)
        )
        mixer = stack.enter_context(
            Mixer(
                styles or (style_or_first(None),),
                backend=backend,
                precision=precision,
                strength=strength,
                keep_colour=keep_colour,
            )
        )
        run = Live(
            capture,
            mixer,
            sinks,
            open_display=partial(Window, "rtstyle") if output == "window" else None,
            start_recording=lambda: record_to(
                str(free_name(Path(), "rtstyle", ".mkv")), rate=capture.rate
            ),
        )
        with stop_on_interrupt() as stop:
            report = run.run(stop, seconds=seconds)
        info = mixer.palette.info(0)
    echo(f"backend: {info}")
    for line in told(report):
        echo(line)
    if beside is not None and beside.failure:
        ctx.exit(EXIT_FINISHED_WITH_LOSS)


def told(report: LiveReport) -> list[str]:
    """The report as lines of text."""
    lines = [
        f"{report.shown} of {report.captured} pictures shown in {report.seconds:.1f} s "
        f"({report.fps:.1f} fps), {report.dropped} dropped, {report.repeats} repeated",
        f"delay from capture: median {report.delay_p50_ms:.0f} ms, p95 {report.delay_p95_ms:.0f} "
        f"ms; of it the net: median {report.net_p50_ms:.0f} ms, p95 {report.net_p95_ms:.0f} ms",
    ]
    if report.skipped:
        lines.append(f"note: {report.skipped} pictures came before the style was loaded")
    return lines + [f"note: {note}" for note in report.notes]
