"""The main job: a video in, a stylized video out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from rtstyle.backends import Stylizer
from rtstyle.errors import Interrupted, UsageError
from rtstyle.media import BitDepth, EncodeOptions, VideoWriter, check_output, open_video
from rtstyle.pipeline.brush import Style, check_choice, open_brush
from rtstyle.pipeline.convert import ConversionStats, convert
from rtstyle.pipeline.interrupt import stop_on_interrupt
from rtstyle.pipeline.stats import Progress
from rtstyle.types import (
    DEFAULT_LIMITS,
    BackendInfo,
    Limits,
    RunReport,
    SinkReport,
    SourceHealth,
    VideoInfo,
)

Seconds = Fraction | float | int

LOSS = Fraction(1, 100)
"""The share of missing or undecodable frames above which a run has finished with loss."""

_SHORTEST_SHORTAGE = Fraction(1, 4)
"""Seconds; lengths of a container are those of its longest stream, and sound ends on a packet."""


def stylize_video(
    source: str | Path,
    output: str | Path,
    style: Style | None,
    *,
    strength: float = 1.0,
    backend: str = "auto",
    precision: str = "auto",
    codec: str = "h264",
    quality: int | None = None,
    preset: str | None = None,
    audio: str = "copy",
    subtitles: str = "copy",
    bit_depth: BitDepth = "auto",
    hdr: str = "tonemap",
    start: Seconds | None = None,
    end: Seconds | None = None,
    overwrite: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[Progress], None] | None = None,
    on_backend: Callable[[BackendInfo], None] | None = None,
    stylizer: Stylizer | None = None,
    keep_partial: bool = True,
) -> RunReport:
    """Stylize the video ``source`` into the file ``output``, with its sound, and report.

    ``style`` is a bundled style's name, a pack folder, an ONNX file or a StyleSpec; ``stylizer``
    one that is loaded already (then ``style`` may be None, ``backend`` and ``precision`` are not
    looked at, and it stays open). ``strength`` 0..1 mixes the stylized picture with the source;
    0 is the source unchanged. ``codec`` is h264, hevc, av1 or ffv1, ``quality`` its CRF (lower is
    better) and ``preset`` its own word for speed; ``audio`` is copy, aac or none, ``subtitles``
    copy or none. ``bit_depth`` is 8, 10 or ``auto``, as the source has; ``hdr`` says whether PQ
    and HLG are tone-mapped to BT.709 (``tonemap``) or an error (``refuse``). ``start`` and ``end``
    are seconds from the source's first picture; frames with start <= t < end are taken. Chapters,
    covers, attachments and tags are kept as far as the container can hold them; a note names what
    it cannot.

    ``on_backend`` hears once which backend runs, ``progress`` after every frame, both in the
    calling thread; whatever they raise ends the run.

    The first Ctrl-C ends the run after the frame in work: what was done is kept, with its sound,
    as ``<stem>.partial<ext>`` beside the output, and Interrupted (a KeyboardInterrupt) says so;
    where that name is taken a number is added, or with ``overwrite`` it is replaced. The second
    Ctrl-C ends it at once and keeps nothing, as the first does without ``keep_partial``. A
    program with a handler of its own for the signal is not disturbed: what that raises ends the
    run, and nothing is kept.

    Raises UsageError, InputError, OutputError, ModelError and BackendError. What can be refused
    is refused before anything is decoded or loaded. A failed run leaves nothing under the name
    of the output, and an existing file there as it was.
    """
    source, output = Path(source), Path(output)
    check_choice(strength=strength, backend=backend, precision=precision, hdr=hdr)
    begin, finish = checked_range(start, end)
    options = EncodeOptions(
        codec=codec,
        quality=quality,
        preset=preset,
        audio=audio,
        subtitles=subtitles,
        bit_depth=bit_depth,
    )
    check_output(output, source=source, overwrite=overwrite, options=options)
    stats = ConversionStats()
    with (
        open_video(
            source, start=begin, end=finish, limits=limits, deep=options.keeps_depth, hdr=hdr
        ) as video,
        open_brush(
            style, strength=strength, backend=backend, precision=precision, stylizer=stylizer
        ) as brush,
    ):
        info = brush.info(f"{backend}/{precision}")
        if on_backend is not None:
            on_backend(info)
        batch = brush.batch_for(video.info.size)
        brush.warm_up(video.info.size, batch=batch)
        began = time.perf_counter()
        expected = expected_frames(video.info, begin, finish)
        with (
            stop_on_interrupt() as stop,
            VideoWriter(
                output,
                video.info,
                options,
                source=source,
                start=begin,
                end=finish,
                overwrite=overwrite,
            ) as sink,
        ):
            if not convert(
                video,
                sink,
                brush,
                batch=batch,
                stats=stats,
                frames_expected=expected,
                progress=progress,
                stop=stop,
            ):
                raise _interrupted(sink.finish_early() if keep_partial else None, expected)
            with stats.encode.busy():
                written = sink.finish()
        seconds = time.perf_counter() - began
    losses = losses_of(
        video.info,
        video.health,
        stats.decode.items,
        shown_until=stats.shown_until if begin is None and finish is None else None,
    )
    return RunReport(
        input=str(source),
        output=written.path,
        style=brush.spec.name,
        size=video.info.size,
        frames_in=stats.decode.items,
        frames_out=written.frames,
        dropped=stats.decode.items - written.frames,
        decode_failures=video.health.decode_failures,
        repaired_timestamps=video.health.repaired_timestamps,
        seconds=seconds,
        fps=written.frames / seconds if seconds > 0 else 0.0,
        latency_p50_ms=1000 * stats.stylize.latencies.percentile(0.50),
        latency_p95_ms=1000 * stats.stylize.latencies.percentile(0.95),
        backend=info,
        seconds_per_stage={
            "decode": stats.decode.busy_seconds,
            "stylize": stats.stylize.busy_seconds,
            "encode": stats.encode.busy_seconds,
        },
        notes=(
            *losses,
            *repairs(video.health),
            *brush.notes_on(video.info, options),
            *written.notes,
        ),
        finished_with_loss=bool(losses),
    )


def _interrupted(kept: SinkReport | None, expected: int | None) -> KeyboardInterrupt:
    if kept is None:
        return KeyboardInterrupt()
    total = "" if expected is None else f" of {expected}"
    return Interrupted(
        f"interrupted after {kept.frames}{total} frames; "
        f"what was done is kept as {Path(kept.path).name}",
        kept=kept.path,
        frames=kept.frames,
    )


def losses_of(
    info: VideoInfo, health: SourceHealth, frames: int, *, shown_until: Fraction | None
) -> list[str]:
    """A sentence for each way in which more than 1 % of the source is missing from the result.

    ``shown_until``: seconds of the source's clock at which the last of ``frames`` ends; None where
    only a range was read.
    """
    found = []
    promised = info.frames_in_header
    if shown_until is None:
        pass
    elif promised is None:
        found += _shortage(info, shown_until)
    elif frames < promised * (1 - LOSS):
        found.append(
            f"only {frames} of the {promised} frames that the header promises could be decoded; "
            "the source is damaged or cut short"
        )
    failures = health.decode_failures
    if failures > (frames + failures) * LOSS:
        found.append("more than 1 % of the frames could not be decoded; the source is damaged")
    return found


def _shortage(info: VideoInfo, shown_until: Fraction) -> list[str]:
    """Containers that count no frames (Matroska) still promise a length."""
    promised = info.duration_in_header
    # A clock that starts late counts from zero in some containers' lengths and not in others'.
    shown = shown_until - min(Fraction(0), info.start_pts * info.time_base)
    if promised is None or promised - shown <= max(promised * LOSS, _SHORTEST_SHORTAGE):
        return []
    return [
        f"the pictures end at {float(shown):.2f} s of the {float(promised):.2f} s that the header "
        "promises; the source is cut short, or its sound is longer than its picture"
    ]


def repairs(health: SourceHealth) -> list[str]:
    """A sentence for each thing the source was read otherwise than it is."""
    found = list(health.notes)
    if health.decode_failures:
        found.append(f"undecodable packets skipped: {health.decode_failures}")
    if health.repaired_timestamps:
        found.append(
            f"missing, repeated or backward timestamps repaired: {health.repaired_timestamps}"
        )
    return found


def expected_frames(
    info: VideoInfo, start: Fraction | None = None, end: Fraction | None = None
) -> int | None:
    """How many frames the header promises between ``start`` and ``end``; None where unknown."""
    if start is None and end is None and info.frames_in_header is not None:
        return info.frames_in_header
    last = info.duration_in_header
    if end is not None:
        last = end if last is None else min(last, end)
    if last is None or info.average_rate is None:
        return None
    return max(0, round((last - (start or 0)) * info.average_rate))


def checked_range(
    start: Seconds | None, end: Seconds | None
) -> tuple[Fraction | None, Fraction | None]:
    """``start`` and ``end`` as exact seconds; raises UsageError for a range that holds nothing."""
    begin, finish = _seconds("start", start), _seconds("end", end)
    if finish is not None and finish <= (begin or 0):
        raise UsageError(
            f"end ({float(finish):g} s) must be later than start ({float(begin or 0):g} s)"
        )
    return begin, finish


def _seconds(name: str, value: Seconds | None) -> Fraction | None:
    if value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{name} must be a number of seconds, got {value}")
    if value < 0:
        raise UsageError(f"{name} must not be negative, got {float(value):g} seconds")
    # A float such as 0.1 is meant as the decimal it prints as.
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)
