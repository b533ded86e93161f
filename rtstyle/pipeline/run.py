"""The main job: a video in, a stylized video out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from rtstyle.backends import Stylizer
from rtstyle.errors import Interrupted, UsageError
from rtstyle.media import (
    BitDepth,
    EncodeOptions,
    check_target,
    ends_in_sound,
    is_pictures,
    options_for,
)
from rtstyle.memory import memory_told
from rtstyle.pipeline.brush import Style, check_choice, open_brush
from rtstyle.pipeline.convert import ConversionStats
from rtstyle.pipeline.interrupt import stop_on_interrupt
from rtstyle.pipeline.journal import was_placed
from rtstyle.pipeline.plain import PlainWork
from rtstyle.pipeline.segments import SEGMENT_FRAMES
from rtstyle.pipeline.stats import Progress, ProgressMeter
from rtstyle.pipeline.work import Work, asked_of
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


@memory_told("while a film was converted")
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
    encoder: str = "software",
    audio: str = "copy",
    subtitles: str = "copy",
    deinterlace: str = "auto",
    bit_depth: BitDepth = "auto",
    hdr: str = "tonemap",
    start: Seconds | None = None,
    end: Seconds | None = None,
    fps: Fraction | float | None = None,
    overwrite: bool = False,
    resume: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[Progress], None] | None = None,
    checking: Callable[[Progress], None] | None = None,
    on_backend: Callable[[BackendInfo], None] | None = None,
    stylizer: Stylizer | None = None,
    keep_partial: bool = True,
    segment_frames: int = SEGMENT_FRAMES,
) -> RunReport:
    """Stylize the video ``source`` into the file ``output``, with its sound, and report.

    ``style`` is a bundled style's name, a pack folder, an ONNX file or a StyleSpec; ``stylizer``
    one that is loaded already (then ``style`` may be None, ``backend`` and ``precision`` are not
    looked at, and it stays open). ``strength`` 0..1 mixes the stylized picture with the source;
    0 is the source unchanged. ``codec`` is h264, hevc, av1, vp9, prores or ffv1, ``quality`` its
    CRF (lower is better) and ``preset`` its own word for speed; ``encoder`` is software, hardware
    or auto; ``audio`` is copy, aac or none, ``subtitles`` copy or none. Transparency is kept by
    vp9 (.webm, .mkv), prores and ffv1. ``start`` and ``end`` are seconds from the source's first
    picture; frames with start <= t < end are taken. Chapters, covers, attachments and tags are kept
    as far as the container can hold them; a note names what it cannot. ``deinterlace`` is auto,
    which makes whole pictures of interlaced frames, or off. ``bit_depth`` is 8, 10 or ``auto``, as
    the source has; ``hdr`` says whether PQ and HLG are tone-mapped to BT.709 (``tonemap``) or an
    error (``refuse``).

    ``source`` may be numbered pictures, as a pattern such as ``shot/%06d.png`` or as the timestamps
    file beside them; without such a file ``fps`` is their rate (25 where it is None). ``output``
    may be such a pattern too: its folder is made where it is missing, ``quality`` is then that of
    JPEG or WebP (1..100, larger is better), and ``timestamps.txt`` keeps the times.

    The finished film is compared with its source, as ``verify_video`` does, before it gets its
    name: pictures or sound that are lost or moved refuse it, and it is kept under another.

    ``on_backend`` hears once which backend runs, ``progress`` after every frame, ``checking`` how
    far the finished film is compared, all in the calling thread; whatever they raise ends the run.

    Pictures are encoded in segments of ``segment_frames``, kept beside the output in
    ``<name>.parts`` until the film is put together. Whatever ends the run before, the same call
    with ``resume`` goes on behind the last whole segment, to the same frames at the same times; a
    source or setting that is another one is refused by name. Without ``resume`` segments of an
    earlier run are refused too, and with ``overwrite`` replaced. A folder of that name that is not
    known for this program's by its content is refused and left as it is. Numbered pictures on
    either side are converted without segments, and take no ``resume``.

    The first Ctrl-C ends the run after the frame in work: what was done is kept, with its sound,
    as ``<stem>.partial<ext>`` beside the output (pictures: in the folder ``<folder>.partial``), and
    Interrupted (a KeyboardInterrupt) says so; where that name is taken a number is added. The
    second Ctrl-C ends it at once and makes no such file, as
    the first does without ``keep_partial``. A program with a handler of its own for the signal is
    not disturbed: what that raises ends the run, and nothing is kept.

    Raises UsageError, InputError, OutputError, ModelError and BackendError. What can be refused
    is refused before anything is decoded or loaded. A failed run leaves nothing under the name
    of the output, and an existing file there as it was; whole segments stay, for ``resume``.
    """
    source, output = Path(source), Path(output)
    check_choice(strength=strength, backend=backend, precision=precision, hdr=hdr)
    begin, finish = checked_range(start, end)
    if segment_frames < 1:
        raise UsageError(f"a segment has at least one frame, got {segment_frames}")
    options = options_for(
        output,
        codec=codec,
        quality=quality,
        preset=preset,
        encoder=encoder,
        audio=audio,
        subtitles=subtitles,
        bit_depth=bit_depth,
    )
    work: Work | PlainWork
    if isinstance(options, EncodeOptions) and fps is None and not is_pictures(source):
        finished = resume and was_placed(source, output, options)
        check_target(output, source=source, overwrite=overwrite or finished, options=options)
        work = Work(
            source,
            output,
            options,
            start=begin,
            end=finish,
            deinterlace=deinterlace,
            hdr=hdr,
            overwrite=overwrite,
            resume=resume,
            limits=limits,
            segment_frames=segment_frames,
            checking=None if checking is None else _metered(checking),
        )
    else:
        check_target(output, source=source, overwrite=overwrite, options=options)
        work = PlainWork(
            source,
            output,
            options,
            start=begin,
            end=finish,
            fps=fps,
            deinterlace=deinterlace,
            hdr=hdr,
            overwrite=overwrite,
            resume=resume,
            limits=limits,
        )
    with (
        work,
        open_brush(
            style, strength=strength, backend=backend, precision=precision, stylizer=stylizer
        ) as brush,
    ):
        info = brush.info(f"{backend}/{precision}")
        if on_backend is not None:
            on_backend(info)
        began = time.perf_counter()
        batch = brush.plan(work.info, options)
        brush.warm_up(work.info.size, batch=batch)
        if isinstance(work, PlainWork):
            work.begin()
        else:
            work.protect(brush.spec.file)
            work.begin(asked_of(brush.spec, strength, info), brush, batch)
        before = work.frames
        expected = expected_frames(work.info, begin, finish)
        stats = ConversionStats()
        with stop_on_interrupt() as stop:
            if not work.convert(
                brush, batch=batch, stats=stats, expected=expected, progress=progress, stop=stop
            ):
                kept = work.finish_early() if keep_partial else None
                raise _interrupted(kept, expected, work.frames)
            with stats.encode.busy():
                written = work.finish()
        seconds = time.perf_counter() - began
    losses = losses_of(
        work.info,
        work.health,
        written.frames,
        shown_until=work.shown_until if begin is None and finish is None else None,
        source=source,
    )
    new = written.frames - before
    return RunReport(
        input=str(source),
        output=written.path,
        style=brush.spec.name,
        size=work.info.size,
        frames_in=before + stats.decode.items,
        frames_out=written.frames,
        dropped=before + stats.decode.items - written.frames,
        decode_failures=work.health.decode_failures,
        repaired_timestamps=work.health.repaired_timestamps,
        seconds=seconds,
        fps=new / seconds if seconds > 0 else 0.0,
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
            *work.notes,
            *repairs(work.health),
            *brush.notes_on(work.info, options),
            *written.notes,
        ),
        finished_with_loss=bool(losses or work.losses),
    )


def _metered(checking: Callable[[Progress], None]) -> Callable[[int, int | None], None]:
    meter: ProgressMeter | None = None

    def told(frames: int, expected: int | None) -> None:
        nonlocal meter
        meter = meter or ProgressMeter(expected)
        checking(meter.at(frames))

    return told


def _interrupted(
    kept: SinkReport | None, expected: int | None, resumable: int
) -> KeyboardInterrupt:
    if kept is None:
        return KeyboardInterrupt()
    total = "" if expected is None else f" of {expected}"
    further = f"; the same command with --resume goes on after {resumable}" if resumable else ""
    return Interrupted(
        f"interrupted after {kept.frames}{total} frames; "
        f"what was done is kept as {Path(kept.path).name}{further}",
        kept=kept.path,
        frames=kept.frames,
    )


def losses_of(
    info: VideoInfo,
    health: SourceHealth,
    frames: int,
    *,
    shown_until: Fraction | None,
    source: Path | None = None,
) -> list[str]:
    """A sentence for each way in which more than 1 % of the source is missing from the result.

    ``shown_until``: seconds of the source's clock at which the last of ``frames`` ends; None where
    only a range was read. ``source`` is looked at again where its pictures end before the length of
    the whole file.
    """
    found = []
    promised = info.frames_in_header
    if shown_until is None:
        pass
    elif promised is None:
        shortage = _shortage(info, shown_until)
        # A length of the whole file is that of its sound, where that goes on after the pictures.
        if shortage and (source is None or not ends_in_sound(source)):
            found += shortage
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
