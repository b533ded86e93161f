"""One conversion without segments: numbered pictures on either side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rtstyle.errors import UsageError
from rtstyle.media import EncodeOptions, PictureOptions, open_sink, open_source
from rtstyle.media.doors import FileSink
from rtstyle.pipeline.convert import ConversionStats, convert
from rtstyle.pipeline.stats import Progress
from rtstyle.types import AnyPixels, Limits, SinkReport, SourceHealth, VideoInfo


class PlainWork:
    """A source and a sink for one run, to which no later one can add; otherwise used as Work is."""

    frames = 0
    """Frames that a later run could go on after."""
    notes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    def __init__(
        self,
        source: Path,
        output: Path,
        options: EncodeOptions | PictureOptions,
        *,
        start: Fraction | None,
        end: Fraction | None,
        fps: Fraction | float | None,
        deinterlace: str,
        hdr: str,
        overwrite: bool,
        resume: bool,
        limits: Limits,
    ) -> None:
        """Raises UsageError for ``resume``, and what open_source raises."""
        if resume:
            raise UsageError("a run with pictures leaves nothing to resume; leave --resume out")
        self._source, self._output, self._options = source, output, options
        self._start, self._end, self._overwrite = start, end, overwrite
        self.shown_until = Fraction(0)
        """Seconds of the source's clock at which the last frame of a finished film ends."""
        self._stack = ExitStack()
        self._video = open_source(
            source,
            fps=fps,
            start=start,
            end=end,
            deinterlace=deinterlace,
            limits=limits,
            deep=isinstance(options, EncodeOptions) and options.keeps_depth,
            hdr=hdr,
            into=(output, options),
        )
        self._stack.callback(self._video.close)
        self._sink: FileSink | None = None

    @property
    def info(self) -> VideoInfo:
        """The source's."""
        return self._video.info

    @property
    def health(self) -> SourceHealth:
        """What had to be swallowed of the source so far."""
        return self._video.health

    def begin(self) -> None:
        """Open the output; raises what open_sink raises."""
        sink = open_sink(
            self._output,
            self.info,
            self._options,
            source=self._source,
            start=self._start,
            end=self._end,
            overwrite=self._overwrite,
        )
        self._sink = self._stack.enter_context(sink)

    def convert(
        self,
        paint: Callable[[Any], AnyPixels],
        *,
        batch: int,
        stats: ConversionStats,
        expected: int | None,
        progress: Callable[[Progress], None] | None,
        stop: threading.Event,
    ) -> bool:
        """Read, paint and write all frames; False where ``stop`` ended it early."""
        whole = convert(
            self._video,
            self._opened(),
            paint,
            batch=batch,
            stats=stats,
            frames_expected=expected,
            progress=progress,
            stop=stop,
        )
        self.shown_until = stats.shown_until
        return whole

    def finish(self) -> SinkReport:
        """Give the output its name; raises what the sink's finish raises."""
        return self._opened().finish()

    def finish_early(self) -> SinkReport | None:
        """Keep what was done so far under another name; None where that is nothing."""
        return self._opened().finish_early()

    def _opened(self) -> FileSink:
        if self._sink is None:
            raise ValueError("begin was not called")
        return self._sink

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)
