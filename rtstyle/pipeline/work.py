"""One conversion from lock to name: what is done of it, what is still to be done, and the film."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rtstyle import __version__
from rtstyle.errors import DiskFull, OutputError, RtstyleError
from rtstyle.files import Protected
from rtstyle.media import (
    EncodeOptions,
    FilmFile,
    Mark,
    PartFile,
    SegmentFacts,
    SegmentFile,
    VideoFile,
    choose_encoder,
    muxer_of,
    open_video,
    software_versions,
    tick_of,
)
from rtstyle.pipeline.assembly import Assembly
from rtstyle.pipeline.convert import ConversionStats, convert
from rtstyle.pipeline.journal import BESIDE, Journal, Key, placed_film, settings_beside
from rtstyle.pipeline.records import Placed
from rtstyle.pipeline.segments import Marking, Mover, SegmentRunner, SegmentSink
from rtstyle.pipeline.stats import Progress
from rtstyle.pipeline.work_folder import WorkFolder
from rtstyle.styles import StyleSpec
from rtstyle.types import AnyPixels, BackendInfo, Limits, SinkReport, SourceHealth, VideoInfo

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
        """Looks, and changes nothing: ``begin`` does. ``checking`` hears how many pictures of the
        finished film were checked, and of how many.

        Raises OutputExists where an earlier run's segments would be lost or the source lies among
        them, OutputNotWritable where something else has the name of their folder, and what
        open_video raises.
        """
        self._source, self._output, self._options = source, output, options
        self._muxer = muxer_of(output)
        self._start, self._end, self._limits = start, end, limits
        self._deinterlace, self._hdr = deinterlace, hdr
        self._resume, self._every = resume, segment_frames
        self._overwrite, self._protected = overwrite, Protected([source])
        self.journal = Journal(WorkFolder(output, self._protected), output.name)
        self._placed: Placed | None = None
        self._key: Key = {}
        if self.journal.folder.find():
            if resume:
                self._placed = placed_film(self.journal, output, options)
            elif not overwrite:
                self.journal.check()
        self._video = self._open(None)
        self._info, self._health = self._video.info, self._video.health
        self._assembly = Assembly.of(
            source,
            output,
            self._info,
            options,
            start=start,
            end=end,
            limits=limits,
            checking=checking,
        )
        self.shown_until = Fraction(0)
        """Seconds of the source's clock at which the last frame of a finished film ends."""
        self.losses: tuple[str, ...] = ()
        """What of the source is not in the finished film as it should be."""
        self._tail: tuple[SegmentFile, SegmentFacts] | None = None
        self._film: FilmFile | None = None
        self._part: PartFile | None = None

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
        """Frames that are done: in whole segments, which a later run can go on after, or in a film
        that has its name already."""
        return self.journal.frames if self._placed is None else self._placed.frames

    @property
    def notes(self) -> tuple[str, ...]:
        """What the journal has to say."""
        return tuple(self.journal.notes)

    def protect(self, *paths: Path) -> None:
        """What the run reads besides its source, and so never writes over."""
        self._protected.add(*paths)

    def begin(self, asked: Key, paint: Paint, batch: int) -> None:
        """Take the output for this run alone, and settle with the journal what is done already.

        Raises OutputError where another run writes it or the container does not take what goes
        beside the pictures, and what Journal.begin raises.
        """
        encoder = choose_encoder(self._options, self.info, self._muxer)
        key = {
            **_identity(self._source),
            **asked,
            **{k: v for k, v in asdict(self._options).items() if k not in BESIDE},
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
        # As it is read again.
        self._key = json.loads(json.dumps(key))
        self.journal.folder.open()
        if self._placed is not None:
            self.journal.require(key, self._placed)
            return
        self._part = self._open_part()
        self._assembly.rehearse(self._part)
        runner = SegmentRunner(
            self._open, self.journal.free_path, paint, self._options, self._muxer, batch
        )
        self.journal.begin(key, resume=self._resume, redo=runner)
        if self.journal.done:
            self.journal.notes.append(
                f"{self.journal.frames} frames of an earlier run were taken over"
            )
            self._video.close()
            self._video = self._open(self.journal.done[-1].next)

    def _open_part(self) -> PartFile:
        """The file in which the film is put together.

        What a killed run left there is dropped, or kept as ``joined`` where it alone holds
        segments.
        """
        journal, path = self.journal, self.journal.film(self._output.suffix)
        if self._resume and journal.has_moved and not journal.joined.exists() and path.exists():
            os.replace(path, journal.joined)
        journal.folder.free(path)
        return PartFile(
            self._output, overwrite=self._overwrite, protected=self._protected, path=path
        )

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
        if self._placed is not None:
            return True
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
        if self._placed is not None:
            return self._finish_placed(self._placed)
        frames = self._join_within_limits()
        assert self._film is not None
        assert self._part is not None
        self.losses = self._film.losses
        self.shown_until = self.journal.done[-1].facts.end * tick_of(self.info)
        self.journal.place(self._about_to_be_placed(self._part, frames))
        report = self._film.place(frames)
        self.journal.remove()
        return report

    def _about_to_be_placed(self, part: PartFile, frames: int) -> Placed:
        assert self._film is not None
        status = part.status()
        return Placed(
            device=status.st_dev,
            inode=status.st_ino,
            bytes=status.st_size,
            frames=frames,
            asked=self._key,
            shown_until=self.shown_until,
            settings=settings_beside(self._options),
            losses=self.losses,
            notes=tuple(self._film.notes),
            health=self._health,
        )

    def _finish_placed(self, placed: Placed) -> SinkReport:
        """Do what an earlier run was killed before: its film has its name and was checked."""
        self.losses, self.shown_until = placed.losses, placed.shown_until
        self._health = placed.health
        self.journal.notes.append(
            "the film was finished by an earlier run; what that had left was removed"
        )
        self.journal.remove()
        return SinkReport(str(self._output), placed.frames, placed.bytes, placed.notes)

    def _join_within_limits(self) -> int:
        """Put all pieces together; how many frames they are."""
        pieces = self._pieces()
        long = len(pieces) > _FEW
        # What an unfinished film holds cannot be moved into another.
        moves = long and all(file.offsets is None for file, _ in pieces)
        assert self._part is not None
        mover = Mover(self.journal, self._part) if moves else None
        self._film = self._assembly.open(self._part, pieces, room=long)
        try:
            return self._assembly.join(self._film, pieces, after_each=mover)
        except DiskFull:
            raise
        except OutputError:
            if not long or self._film.refused:
                raise
            # The index may have needed more room than there was; a second try needs none, and
            # finds in the first what has been removed already.
            if self._part.precious:
                self._part.rescue(self.journal.joined)
            else:
                self._part.remove()
                self._part = self._open_part()
            pieces = self._pieces()
            self._film = self._assembly.open(self._part, pieces, index_first=False)
            return self._assembly.join(self._film, pieces)

    def finish_early(self) -> SinkReport | None:
        """Keep what was done so far as ``<stem>.partial<ext>``, its sound ending with its pictures.

        None, and no file, where nothing was done. The segments stay.
        """
        pieces = self._pieces()
        if self._tail is not None:
            pieces.append(self._tail)
        if not pieces:
            return None
        assert self._part is not None
        self._film = self._assembly.open(self._part, pieces)
        frames = self._assembly.join(self._film, pieces, cut=True)
        return self._film.place_partial(frames)

    def _pieces(self) -> list[tuple[SegmentFile, SegmentFacts]]:
        return [(segment.file, segment.facts) for segment in self.journal.done]

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
        if self._part is not None:
            self._part.remove()
        self._video.close()
        if error is not None:
            self.journal.leave(keep=isinstance(error, DiskFull))
        self.journal.folder.close()
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
