"""A look before the long run: pictures spread over a film, and what the whole would cost."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np

from rtstyle.backends import Stylizer
from rtstyle.errors import UsageError
from rtstyle.files import short_name
from rtstyle.media import (
    BitDepth,
    EncodeOptions,
    FrameSource,
    VideoWriter,
    Weight,
    check_container,
    ending_for,
    is_pictures,
    measure_extent,
    open_source,
    to_bytes,
    weigh,
)
from rtstyle.pipeline.brush import Brush, Style, check_choice, open_brush
from rtstyle.pipeline.convert import ConversionStats, convert
from rtstyle.pipeline.run import Seconds, checked_range, expected_frames
from rtstyle.types import (
    DEFAULT_LIMITS,
    AnyPixels,
    BackendInfo,
    Frame,
    Limits,
    Pixels,
    VideoInfo,
)

_MARGIN = Fraction(1, 10)
"""The share of the film at either end that is not looked at: titles and credits."""
_MOST_FRAMES, _LONGEST_RUN, _SHORTEST_RUN = 144, 24, 8
"""Frames that all runs encode together; one run holds so many that few are enough to tell what
pictures after a key frame weigh, and so few that a preview on a slow machine takes a minute."""
_FIRST_STEP_BACK = Fraction(1, 4)
_KEY_EVERY = 250
_VP9_KEY_EVERY = 128
_AV1_KEY_EVERY_SECONDS = 5
_INDEX_ENTRY = 16
"""Bytes a container spends on a picture's place and time."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One stylized picture of the film."""

    seconds: Fraction
    """Where it stands, from the film's first picture."""
    pixels: Pixels
    """uint8 ``(H, W, 3)`` RGB, scaled down where it was wider than asked for."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the whole would cost, reckoned from short runs of the real conversion."""

    frames: int
    """Of the whole: from the header where it says so, else counted."""
    seconds: float
    bytes: int
    ending: str
    """The container that was measured: ``.mp4``."""
    measured_frames: int
    runs: int

    @property
    def fps(self) -> float:
        """Frames a second of the whole conversion."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Preview:
    """What ``preview_video`` found."""

    moments: tuple[Moment, ...]
    estimate: Estimate
    backend: BackendInfo
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Samples:
    """Sums over the runs."""

    frames: int = 0
    seconds: float = 0.0
    """Wall clock."""
    shown: Fraction = Fraction(0)
    """Seconds of film."""
    weights: list[Weight] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Job:
    """What every run of one preview has in common."""

    source: Path
    target: Path
    options: EncodeOptions
    deinterlace: str
    hdr: str
    limits: Limits
    begin: Fraction
    finish: Fraction | None
    fps: Fraction | float | None
    frames: int
    width: int


def preview_video(
    source: str | Path,
    style: Style | None,
    count: int,
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
    container: str | None = None,
    start: Seconds | None = None,
    end: Seconds | None = None,
    fps: Fraction | float | None = None,
    width: int = 480,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], None] | None = None,
    on_backend: Callable[[BackendInfo], None] | None = None,
    stylizer: Stylizer | None = None,
) -> Preview:
    """Stylize ``count`` pictures spread over a film, and estimate time and size of the whole.

    The options are those of ``stylize_video``; ``container`` is the ending without its dot, None
    for the source's own where it can be written. At each place a short piece is really converted
    into a temporary file, with its sound, and timed and weighed. Pictures come at most ``width``
    pixels wide. ``progress`` hears how many places are done. No file is left.

    Raises what ``stylize_video`` raises.
    """
    source = Path(source)
    if count < 1:
        raise UsageError(f"a preview needs at least one picture, got {count}")
    check_choice(strength=strength, backend=backend, precision=precision, hdr=hdr)
    begin, finish = checked_range(start, end)
    options = EncodeOptions(
        codec=codec,
        quality=quality,
        preset=preset,
        encoder=encoder,
        audio=audio,
        subtitles=subtitles,
        bit_depth=bit_depth,
    )
    ending = f".{container}" if container else ending_for(source, options)
    target = Path(short_name(source.stem, ending))
    check_container(target, options)
    with open_source(source, fps=fps, deinterlace=deinterlace, limits=limits, hdr=hdr) as video:
        info = video.info
    frames, length = _extent(source, info, begin, finish)
    first = begin or Fraction(0)
    samples, moments = _Samples(), dict[int, Moment]()
    with (
        open_brush(
            style, strength=strength, backend=backend, precision=precision, stylizer=stylizer
        ) as brush,
        tempfile.TemporaryDirectory(prefix="rtstyle-preview-") as folder,
    ):
        where = brush.info(f"{backend}/{precision}")
        if on_backend is not None:
            on_backend(where)
        brush.warm_up(info.size, batch=brush.batch_for(info.size))
        run = max(_SHORTEST_RUN, min(_LONGEST_RUN, _MOST_FRAMES // count))
        job = _Job(
            source,
            Path(folder, target),
            options,
            deinterlace,
            hdr,
            limits,
            first,
            finish,
            fps,
            run,
            width,
        )
        for done, at in enumerate(_places(first, length, count), 1):
            _sample(job, at, brush, samples, moments)
            if progress is not None:
                progress(done)
    return Preview(
        moments=tuple(moments[pts] for pts in sorted(moments)),
        estimate=_estimate(samples, frames, length, info, job),
        backend=where,
        notes=_notes(count, len(moments)),
    )


def _extent(
    source: Path, info: VideoInfo, begin: Fraction | None, finish: Fraction | None
) -> tuple[int, Fraction]:
    """Frames and seconds of what is to be converted."""
    frames, whole = expected_frames(info, begin, finish), info.duration_in_header
    start = begin or Fraction(0)
    if frames is None or whole is None or whole <= 0:
        measured = measure_extent(source)
        whole = measured.seconds
        span = min(whole, finish or whole) - start
        frames = measured.frames if span == whole else None
        if frames is None and whole > 0:
            frames = round(measured.frames * span / whole)
    length = min(whole, finish or whole) - start
    if length <= 0 and begin is not None:
        raise UsageError(
            f"{source.name}: no frame lies between start and end; it is {float(whole):.2f} s long"
        )
    return max(1, frames or 0), max(length, Fraction(0))


def _places(first: Fraction, length: Fraction, count: int) -> Iterator[Fraction]:
    """Seconds in the middle of ``count`` equal parts, without the margins."""
    for number in range(count):
        share = _MARGIN + (1 - 2 * _MARGIN) * Fraction(2 * number + 1, 2 * count)
        yield first + share * length


def _sample(
    job: _Job, at: Fraction, brush: Brush, samples: _Samples, moments: dict[int, Moment]
) -> None:
    """Convert a piece that begins at ``at``, unless its first picture is known already."""
    with _frames_from(job, at) as (video, first, frames):
        if first.pts in moments:
            return
        clock_start = video.info.start_pts * video.info.time_base
        seconds = first.seconds - clock_start
        stats, painted = ConversionStats(), list[Pixels]()

        def paint(batch: AnyPixels) -> AnyPixels:
            result = brush(batch)
            if not painted:
                painted.append(_at_most(to_bytes(result[0]), job.width))
            return result

        film = None if is_pictures(job.source) else job.source
        with VideoWriter(job.target, video.info, job.options, source=film, start=seconds) as sink:
            # The clock starts with a decoded picture: a long run seeks only once.
            began = time.perf_counter()
            convert(
                chain([first], islice(frames, job.frames - 1)),
                sink,
                paint,
                batch=brush.batch_for(video.info.size),
                stats=stats,
            )
            # Unlike finish, this ends the sound where the piece ends.
            written = sink.finish_early()
            took = time.perf_counter() - began
        assert written is not None
        piece = Path(written.path)
        samples.weights.append(weigh(piece))
        # Lossless pieces are large.
        piece.unlink()
    moments[first.pts] = Moment(seconds, painted[0])
    rate = video.info.average_rate or Fraction(25)
    samples.frames += written.frames
    samples.seconds += took
    samples.shown += max(stats.shown_until - first.seconds, 1 / rate)


@contextmanager
def _frames_from(job: _Job, at: Fraction) -> Iterator[tuple[FrameSource, Frame, Iterator[Frame]]]:
    """The film opened at its first picture from ``at`` on, or the last one before where none is.

    The last picture may be shown for long, and a header may promise more than there is.
    """
    back = Fraction(0)
    while True:
        place = max(job.begin, at - back)
        with open_source(
            job.source,
            fps=job.fps,
            start=place or None,
            end=job.finish,
            deinterlace=job.deinterlace,
            deep=job.options.keeps_depth,
            hdr=job.hdr,
            limits=job.limits,
        ) as video:
            frames = iter(video)
            try:
                first = next(frames)
            except UsageError:
                if place <= job.begin:
                    raise
            else:
                yield video, first, frames
                return
        back = max(_FIRST_STEP_BACK, 2 * back)


def _estimate(
    samples: _Samples, frames: int, length: Fraction, info: VideoInfo, job: _Job
) -> Estimate:
    """Scale the runs up. Each run begins with a key frame, which the whole has far more seldom."""
    weights = samples.weights
    first = sum(weight.first for weight in weights) / len(weights)
    after = sum(weight.pictures - 1 for weight in weights)
    other = sum(weight.others for weight in weights) / after if after else first
    rate = info.average_rate or Fraction(25)
    every = Fraction(_VP9_KEY_EVERY if job.options.codec == "vp9" else _KEY_EVERY)
    if job.options.codec == "av1":
        every = _AV1_KEY_EVERY_SECONDS * rate
    keys = min(frames, math.ceil(frames / every))
    sound = sum(weight.rest for weight in weights) / float(samples.shown) * float(length)
    container = min(weight.container for weight in weights) + _INDEX_ENTRY * frames
    return Estimate(
        frames=frames,
        seconds=frames * samples.seconds / samples.frames,
        bytes=round(keys * first + (frames - keys) * other + sound + container),
        ending=job.target.suffix,
        measured_frames=samples.frames,
        runs=len(weights),
    )


def _notes(wanted: int, found: int) -> tuple[str, ...]:
    if found == wanted:
        return ()
    return (
        f"{wanted} pictures were asked for, but only {found} different "
        f"{'one lies' if found == 1 else 'ones lie'} at the places looked at",
    )


def _at_most(pixels: Pixels, width: int) -> Pixels:
    """A copy of ``pixels``, scaled down where they are wider."""
    if pixels.shape[1] <= width:
        return pixels.copy()
    height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)
