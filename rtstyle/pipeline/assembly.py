"""Segments put together into the film, and the film compared with its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

from rtstyle.errors import OutputError
from rtstyle.media import (
    EncodeOptions,
    FilmFile,
    Mishaps,
    PartFile,
    SegmentFacts,
    SegmentFile,
    SegmentJoiner,
    Stretch,
    Verdict,
    Written,
    check_conversion,
    muxer_of,
    rehearse,
    stamp_of,
    stored_otherwise,
    tick_of,
)
from rtstyle.types import Limits, VideoInfo

Piece = tuple[SegmentFile, SegmentFacts]


@dataclass(frozen=True, slots=True)
class Assembly:
    """What the film of one conversion is made of, besides its pictures."""

    source: Path
    output: Path
    info: VideoInfo
    options: EncodeOptions
    start: Fraction | None
    end: Fraction | None
    limits: Limits
    stamp: tuple[int, int, int, int] | None
    """The source's when it was opened."""
    checking: Callable[[int, int | None], None] | None
    """Hears how many pictures of the finished film were checked, and of how many."""

    @classmethod
    def of(
        cls,
        source: Path,
        output: Path,
        info: VideoInfo,
        options: EncodeOptions,
        *,
        start: Fraction | None,
        end: Fraction | None,
        limits: Limits,
        checking: Callable[[int, int | None], None] | None,
    ) -> Assembly:
        """With the source as it is now."""
        return cls(source, output, info, options, start, end, limits, stamp_of(source), checking)

    def rehearse(self, part: PartFile) -> None:
        """Begin the film and give it up; raises what ``rtstyle.media.rehearse`` raises."""
        rehearse(
            self.output,
            self.info,
            self.options,
            part=part,
            source=self.source,
            start=self.start,
            end=self.end,
        )

    def open(
        self,
        part: PartFile,
        pieces: Sequence[Piece],
        *,
        room: bool = False,
        index_first: bool = True,
    ) -> FilmFile:
        """The film in ``part``, to be given to ``join``.

        ``room``: leave room for the index in front, which must be a matter of the film's length
        alone, so that a resumed run lays it out as an unbroken one does. Raises OutputError where
        there is no piece.
        """
        if not pieces:
            raise OutputError(f"{self.output.name}: no frame to write; nothing was made")
        facts = [facts for _, facts in pieces]
        seconds = (facts[-1].end - facts[0].first) * tick_of(self.info)
        film = FilmFile(
            self.output,
            self.info,
            self.options,
            part=part,
            source=self.source,
            start=self.start,
            end=self.end,
            keep_unfinished=False,
            extent=(_frames(pieces), seconds) if room else None,
            index_first=index_first,
        )
        film.notes.extend(stored_otherwise(self.info, self.options, muxer_of(self.output)))
        return film

    def join(
        self,
        film: FilmFile,
        pieces: Sequence[Piece],
        *,
        after_each: Callable[[], None] | None = None,
        cut: bool = False,
    ) -> int:
        """Put the pieces together, and check the film; how many frames they are.

        ``cut``: everything else ends with the pictures. Raises OutputError, DiskFull.
        """
        facts = [facts for _, facts in pieces]
        frames = _frames(pieces)
        joiner = SegmentJoiner(film, self.info, self.options, facts)
        for file, _ in pieces:
            joiner.add(file)
            if after_each is not None:
                after_each()
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
        moved, zero = film.moved * film.tick, self.info.start_pts * self.info.time_base
        written = Written(
            info=self.info,
            frames=frames,
            options=self.options,
            moved=moved,
            stretch=Stretch(self.start, self.end, most=None if ends is None else frames),
            sound_ends=None if ends is None else ends + moved - zero,
            mishaps=mishaps,
            stamp=self.stamp,
        )
        return check_conversion(
            self.source,
            path,
            self.output,
            written,
            limits=self.limits,
            progress=self.checking,
        )


def _frames(pieces: Sequence[Piece]) -> int:
    return sum(facts.frames for _, facts in pieces)
