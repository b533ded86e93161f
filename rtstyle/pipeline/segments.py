"""A conversion in segments: each is encoded for itself and noted as done, and the film is put
together from them at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rtstyle.errors import OutputError
from rtstyle.media import (
    EncodeOptions,
    FrameClock,
    Mark,
    PartFile,
    SegmentFacts,
    SegmentFile,
    SegmentWriter,
    VideoFile,
    find_pictures,
)
from rtstyle.pipeline.convert import ConversionStats, convert
from rtstyle.pipeline.journal import Journal
from rtstyle.pipeline.records import Segment
from rtstyle.types import AnyPixels, Frame, VideoInfo

SEGMENT_FRAMES = 240
"""Frames that a killed run does again, at most. A segment begins with a key frame, and encoders
place one at least as often by themselves; a multiple of every batch, so that pictures are grouped
alike in a resumed run."""


class Marking:
    """Frames of a film, with a mark at every place where reading for a segment begins."""

    def __init__(self, video: VideoFile, *, every: int, warm_up: int = 0) -> None:
        """``every``: frames of a segment; ``warm_up``: frames before one, less than ``every``."""
        self._video, self.every, self.warm_up = video, every, warm_up
        self._marks: dict[int, Mark] = {}

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._video:
            before = frame.index + 1 + self.warm_up
            if before % self.every == 0:
                self._marks[before] = self._video.mark()
            yield frame

    def take(self, frames: int) -> Mark:
        """The mark for the segment that has so many frames before it, once."""
        return self._marks.pop(frames)

    def last(self) -> Mark:
        """The place behind the last frame; for when all are read."""
        return self._video.mark()


class SegmentSink:
    """Writes frames into one segment after another.

    A segment that has its frames is noted in the journal before the next begins.
    """

    def __init__(
        self,
        journal: Journal,
        info: VideoInfo,
        options: EncodeOptions,
        marks: Marking,
        *,
        muxer: str,
    ) -> None:
        """``marks``: the source, read on from where the journal's last segment says; ``muxer``:
        FFmpeg's name of the film's container."""
        self._journal, self._info, self._options, self._marks = journal, info, options, marks
        self._muxer = muxer
        done = journal.done
        self._clock = FrameClock(info, last=done[-1].facts.last if done else None)
        self._after = done[-1].next if done else None
        self._frames = journal.frames
        self._writer: SegmentWriter | None = None

    def write(self, frame: Frame) -> None:
        """Encode one frame, unless it only warms up.

        Raises ValueError, DiskFull, OutputError and EncoderUnavailable.
        """
        if frame.index < self._frames:
            return
        if self._writer is None:
            path = self._journal.free_path(len(self._journal.done))
            self._writer = SegmentWriter(
                path, self._info, self._options, self._clock, muxer=self._muxer
            )
        self._writer.write(frame)
        self._frames += 1
        if self._writer.frames == self._marks.every:
            self._note(self._finished(), self._marks.take(self._frames))

    def end(self) -> None:
        """The source has ended: what is begun is the last segment."""
        if self._writer is not None:
            self._note(self._finished(), self._marks.last())

    def cut(self) -> tuple[SegmentFile, SegmentFacts] | None:
        """The run ends early: finish what is begun, which no journal notes; None for nothing."""
        if self._writer is None:
            return None
        return SegmentFile(self._writer.path), self._finished()

    def abort(self) -> None:
        """Give up the segment that is begun."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    def _finished(self) -> SegmentFacts:
        assert self._writer is not None
        writer, self._writer = self._writer, None
        return writer.finish()

    def _note(self, facts: SegmentFacts, following: Mark) -> None:
        index = len(self._journal.done)
        self._journal.add(
            Segment(
                index=index,
                file=SegmentFile(self._journal.path(index)),
                after=self._after,
                warm_up=self._marks.warm_up if index else 0,
                facts=facts,
                next=following,
            )
        )
        self._after = following


class Mover:
    """Removes segments whose pictures are found on the disk in the film that is put together.

    The first stays, since it says how all were encoded. Call it after each segment was added.
    """

    def __init__(self, journal: Journal, part: PartFile) -> None:
        self._journal, self._part = journal, part
        self._added, self._next = 0, 1
        self._searched = 0

    def __call__(self) -> None:
        """Raises DiskFull and OutputNotWritable."""
        self._added += 1
        # What was added last is still in memory, wholly or in part.
        while self._next < self._added - 1:
            segment = self._journal.done[self._next]
            offsets = find_pictures(segment.file.path, self._part.path, self._searched)
            if offsets is None:
                return
            self._part.sync()
            self._part.precious = True
            self._journal.move(self._next, offsets)
            self._searched = offsets[-1]
            self._next += 1


@dataclass(slots=True)
class SegmentRunner:
    """Makes one segment from nothing but the source, as any machine that has it can."""

    open_source: Callable[[Mark | None], VideoFile]
    path: Callable[[int], Path]
    """Where a segment's own file is to be, by its index; nothing is there."""
    paint: Callable[[Any], AnyPixels]
    options: EncodeOptions
    muxer: str
    """FFmpeg's name of the film's container."""
    batch: int = 1

    def __call__(self, segment: Segment, before: Segment | None) -> Segment:
        """Make a segment anew, in a file of its own; the segment with that file and its facts.

        ``before``: the segment before it. Raises what reading, painting and writing raise, and
        OutputError where other frames come out than there were.
        """
        last = None if before is None else before.facts.last
        with self.open_source(segment.after) as video:
            clock = FrameClock(video.info, last=last)
            path = self.path(segment.index)
            writer = SegmentWriter(path, video.info, self.options, clock, muxer=self.muxer)
            try:
                frames = islice(video, segment.warm_up + segment.facts.frames)
                sink = _Cold(writer, segment.warm_up)
                convert(frames, sink, self.paint, batch=self.batch, stats=ConversionStats())
                facts = writer.finish()
            except BaseException:
                writer.abort()
                raise
        if sorted(facts.pts) != sorted(segment.facts.pts):
            raise OutputError(
                f"{path.name}: made anew it has other frames; start over with --overwrite"
            )
        return replace(segment, file=SegmentFile(path), facts=facts)


class _Cold:
    """A segment's frames without those that only warm up."""

    def __init__(self, writer: SegmentWriter, warm_up: int) -> None:
        self._writer, self._left = writer, warm_up

    def write(self, frame: Frame) -> None:
        if self._left:
            self._left -= 1
        else:
            self._writer.write(frame)
