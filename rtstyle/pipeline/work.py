"""One conversion from lock to name: what is done of it, what is still to be done, and the film."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rtstyle import __version__
from rtstyle.errors import DiskFull, OutputError, RtstyleError
from rtstyle.media import (
    EncodeOptions,
    FilmFile,
    Mark,
    Mishaps,
    PartFile,
    SegmentFacts,
    SegmentFile,
    SegmentJoiner,
    Stretch,
    Verdict,
    VideoFile,
    Written,
    check_conversion,
    choose_encoder,
    muxer_of,
    open_video,
    rehearse,
    software_versions,
    stamp_of,
    stored_otherwise,
    tick_of,
)
from rtstyle.pipeline.convert import ConversionStats, convert
from rtstyle.pipeline.journal import Journal, Key
from rtstyle.pipeline.segments import Marking, Mover, SegmentRunner, SegmentSink
from rtstyle.pipeline.stats import Progress
from rtstyle.styles import StyleSpec
from rtstyle.types import AnyPixels, BackendInfo, Limits, SinkReport, SourceHealth, VideoInfo

_NO_MATTER = ("audio", "subtitles")
"""Settings that may change between a run and its resumption, since segments hold only pictures."""

_FEW = 4
"""Segments that may lie on the disk twice for a moment, beside and in their film."""

Paint = Callable[[Any], AnyPixels]


class Work:
    """A source, its journal, and the output, locked against a second run.

    As a context: left by an exception it lets everything go, and keeps the segments that are done.
    """

    def __init__(
        self,
        source: Path,
        output: Path,
        options: EncodeOptions,
        *,
        start: Fraction | None,
        end: Fraction | None,
        deinterlace: str,
        hdr: str,
        overwrite: bool,
        resume: bool,
        limits: Limits,
        segment_frames: int,
        checking: Callable[[int, int | None], None] | None,
    ) -> None:
        """``checking`` hears how many pictures of the finished film were checked, and of how many.

        Raises OutputExists where an earlier run's segments would be lost, OutputError where
        another run writes the same output, and what open_video raises.
        """
        self._source, self._output, self._options = source, output, options
        self._muxer = muxer_of(output)
        self._start, self._end, self._limits = start, end, limits
        self._deinterlace, self._hdr = deinterlace, hdr
        self._resume, self._every, self._checking = resume, segment_frames, checking
        self._stamp = stamp_of(source)
        self.journal = Journal(output)
        if not resume and not overwrite:
            self.journal.check()
        self._video = self._open(None)
        self._info, self._health = self._video.info, self._video.health
        self.shown_until = Fraction(0)
        """Seconds of the source's clock at which the last frame of a finished film ends."""
        self.losses: tuple[str, ...] = ()
        """What of the source is not in the finished film as it should be."""
        self._tail: tuple[SegmentFile, SegmentFacts] | None = None
        self._film: FilmFile | None = None
        try:
            rescue = resume and self.journal.has_moved and not self.journal.joined.exists()
            self._part = PartFile(
                output, overwrite=overwrite, rescue=self.journal.joined if rescue else None
            )
        except BaseException:
            self._video.close()
            raise

    @property
    def info(self) -> VideoInfo:
        """The source's."""
        return self._info

    @property
    def health(self) -> SourceHealth:
        """What had to be swallowed of the source so far, by this run and those before."""
        return self._health

    @property
    def frames(self) -> int:
        """Frames in whole segments, which a later run can go on after."""
        return self.journal.frames

    @property
    def notes(self) -> tuple[str, ...]:
        """What the journal has to say."""
        return tuple(self.journal.notes)

    def begin(self, asked: Key, paint: Paint, batch: int) -> None:
        """Settle with the journal what is done already.

        Raises what Journal.begin raises, and OutputError where the container does not take what
        goes beside the pictures.
        """
        rehearse(
            self._output,
            self.info,
            self._options,
            part=self._part,
            source=self._source,
            start=self._start,
            end=self._end,
        )
        encoder = choose_encoder(self._options, self.info, self._muxer)
        key = {
            **_identity(self._source),
            **asked,
            **{k: v for k, v in asdict(self._options).items() if k not in _NO_MATTER},
            "start": None if self._start is None else str(self._start),
            "end": None if self._end is None else str(self._end),
            "deinterlacing": self._deinterlace,
            "encoder that was chosen": encoder.library,
            "settings of the encoder": " ".join(f"{k}={v}" for k, v in encoder.settings.items()),
            "hdr": self._hdr,
            "length of segments": self._every,
            "version of rtstyle": __version__,
            **software_versions(),
        }
        runner = SegmentRunner(
            self._open, self.journal.path, paint, self._options, self._muxer, batch
        )
        self.journal.begin(key, resume=self._resume, redo=runner)
        if self.journal.done:
            self.journal.notes.append(
                f"{self.journal.frames} frames of an earlier run were taken over"
            )
            self._video.close()
            self._video = self._open(self.journal.done[-1].next)

    def convert(
        self,
        paint: Paint,
        *,
        batch: int,
        stats: ConversionStats,
        expected: int | None,
        progress: Callable[[Progress], None] | None,
        stop: threading.Event,
    ) -> bool:
        """Read, paint and encode what is left; False where ``stop`` ended it early."""
        marks = Marking(self._video, every=self._every)
        with SegmentSink(self.journal, self.info, self._options, marks, muxer=self._muxer) as sink:
            whole = convert(
                marks,
                sink,
                paint,
                batch=batch,
                stats=stats,
                frames_expected=expected,
                frames_before=self.journal.frames,
                progress=progress,
                stop=stop,
            )
            if whole:
                sink.end()
            else:
                self._tail = sink.cut()
        self._health = self._video.health
        # An open film of hours holds an index of megabytes.
        self._video.close()
        return whole

    def finish(self) -> SinkReport:
        """Put the film together, check it, and give it its name; the segments are removed then.

        Raises OutputError where there is no frame or the film does not hold what it should,
        OutputExists where the name was taken meanwhile, DiskFull.
        """
        try:
            frames = self._join_and_move()
        except DiskFull:
            raise
        except OutputError:
            if not (self._part.precious and self._part.held):
                raise
            # The index may have needed more room than there was; a second try needs none, and
            # finds in the first what has been removed already.
            self._part.rescue(self.journal.joined)
            frames = self._join(self._pieces(), index_first=False)
        assert self._film is not None
        report = self._film.place(frames)
        self.losses = self._film.losses
        self.shown_until = self.journal.done[-1].facts.end * tick_of(self.info)
        self.journal.remove()
        return report

    def finish_early(self) -> SinkReport | None:
        """Keep what was done so far as ``<stem>.partial<ext>``, its sound ending with its pictures.

        None, and no file, where nothing was done. The segments stay.
        """
        pieces = self._pieces()
        if self._tail is not None:
            pieces.append(self._tail)
        if not pieces:
            return None
        frames = self._join(pieces, cut=True)
        assert self._film is not None
        return self._film.place_partial(frames)

    def _pieces(self) -> list[tuple[SegmentFile, SegmentFacts]]:
        return [(segment.file, segment.facts) for segment in self.journal.done]

    def _join_and_move(self) -> int:
        pieces = self._pieces()
        if any(file.offsets is not None for file, _ in pieces):
            # What an unfinished film holds cannot be moved into another.
            return self._join(pieces)
        if len(pieces) <= _FEW:
            return self._join(pieces)
        return self._join(pieces, mover=Mover(self.journal, self._part))

    def _join(
        self,
        pieces: list[tuple[SegmentFile, SegmentFacts]],
        *,
        mover: Mover | None = None,
        index_first: bool = True,
        cut: bool = False,
    ) -> int:
        """Put pieces together; how many frames they are."""
        if not pieces:
            raise OutputError(f"{self._output.name}: no frame to write; nothing was made")
        facts = [facts for _, facts in pieces]
        frames = sum(piece.frames for piece in facts)
        seconds = (facts[-1].end - facts[0].first) * tick_of(self.info)
        film = self._film = FilmFile(
            self._output,
            self.info,
            self._options,
            part=self._part,
            source=self._source,
            start=self._start,
            end=self._end,
            keep_unfinished=False,
            extent=(frames, seconds) if mover is not None else None,
            index_first=index_first,
        )
        film.notes.extend(stored_otherwise(self.info, self._options, self._muxer))
        joiner = SegmentJoiner(film, self.info, self._options, facts)
        for file, _ in pieces:
            joiner.add(file)
            if mover is not None:
                mover()
        shown_until = (facts[-1].end - film.moved) * film.tick
        film.complete(
            frames=frames,
            last=facts[-1].last,
            shown_until=shown_until,
            cut=cut,
            judge=partial(self._judge, film, frames, shown_until if cut else None),
        )
        return frames

    def _judge(
        self,
        film: FilmFile,
        frames: int,
        ends: Fraction | None,
        path: Path,
        mishaps: Mishaps,
    ) -> Verdict:
        """Compare the film with its source; ``ends``: seconds at which it was cut short."""
        info = self.info
        moved, zero = film.moved * film.tick, info.start_pts * info.time_base
        written = Written(
            info=info,
            frames=frames,
            options=self._options,
            moved=moved,
            stretch=Stretch(self._start, self._end, most=None if ends is None else frames),
            sound_ends=None if ends is None else ends + moved - zero,
            mishaps=mishaps,
            stamp=self._stamp,
        )
        return check_conversion(
            self._source,
            path,
            self._output,
            written,
            limits=self._limits,
            progress=self._checking,
        )

    def _open(self, after: Mark | None) -> VideoFile:
        return open_video(
            self._source,
            start=self._start,
            end=self._end,
            after=after,
            deinterlace=self._deinterlace,
            limits=self._limits,
            deep=self._options.keeps_depth,
            hdr=self._hdr,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._film is not None:
            self._film.close()
        self._part.remove()
        self._video.close()
        if error is None:
            return
        self.journal.leave(keep=isinstance(error, DiskFull))
        if isinstance(error, RtstyleError) and self.journal.done:
            raise type(error)(
                f"{error} ({self.journal.frames} frames are kept: the same command with --resume "
                "goes on from there)"
            ) from error


def asked_of(spec: StyleSpec, strength: float, backend: BackendInfo) -> Key:
    """What makes the pictures: equal where they are equal."""
    if strength == 0:
        return {"strength": 0.0}
    sha256 = spec.sha256
    if sha256 is None and spec.file.is_file():
        sha256 = hashlib.sha256(spec.file.read_bytes()).hexdigest()
    return {
        "strength": float(strength),
        "style": spec.name,
        "SHA-256 of the style": sha256,
        "backend": f"{backend.name} on {backend.device}",
        "precision": backend.precision,
    }


def _identity(source: Path) -> Key:
    status = source.stat()
    return {
        "size of the input in bytes": status.st_size,
        "time of the input's last change": status.st_mtime_ns,
    }
