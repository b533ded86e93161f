"""A video file as a source of frames."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from av.video.frame import VideoFrame

from rtstyle.errors import CorruptInput, InputError, LimitExceeded, UsageError
from rtstyle.media.alpha import read_alpha
from rtstyle.media.clock import clock_of, ends_at
from rtstyle.media.colour import colour_of, has_alpha
from rtstyle.media.deinterlace import check_deinterlace
from rtstyle.media.describe import describe
from rtstyle.media.hdr import SDR, hdr_name, is_hdr, is_ictcp
from rtstyle.media.mark import Finder, Mark, Tail
from rtstyle.media.read import PixelReader
from rtstyle.media.reel import Reel, Shot, Stamp
from rtstyle.media.sidedata import Beside, not_carried
from rtstyle.media.streams import shown
from rtstyle.media.timeline import Timeline, check_range
from rtstyle.media.upright import ChangeNotes, Upright
from rtstyle.types import (
    DEFAULT_LIMITS,
    Alpha,
    AnyPixels,
    Frame,
    Limits,
    SourceHealth,
    VideoInfo,
)

_log = logging.getLogger(__name__)
_LEAD = Fraction(2)
"""Seconds before a mark at which to look for it, so that filters have seen what lies before."""


def open_video(
    path: str | Path,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    after: Mark | None = None,
    deinterlace: str = "auto",
    limits: Limits = DEFAULT_LIMITS,
    deep: bool = False,
    hdr: str = "tonemap",
) -> VideoFile:
    """Open a video file and decode its first picture.

    ``start`` and ``end`` are seconds on the clip's own timeline, whose zero is its first picture;
    frames with ``start <= t < end`` are given. ``after`` is a mark that an earlier reading with the
    same range made: only what follows it is given. ``deinterlace`` is auto, which makes one picture
    of the two fields of interlaced frames, or off. With ``deep``, frames of a source that has more
    than 8 bits a sample are uint16; else all are uint8. ``hdr`` says what becomes of PQ and HLG:
    ``tonemap`` gives BT.709, ``keep`` the code values as they are, ``refuse`` raises InputError.

    Raises NotAVideo, NoVideoStream, CorruptInput, LimitExceeded, InputError for colours that cannot
    be converted, and UsageError for a range that cannot hold a frame.
    """
    return VideoFile(
        path,
        start=start,
        end=end,
        after=after,
        deinterlace=deinterlace,
        limits=limits,
        deep=deep,
        hdr=hdr,
    )


class VideoFile:
    """Frames of a file in presentation order, upright, each with its own pts.

    Implements FrameSource. Read once: a second iteration goes on where the first stopped.
    """

    live = False

    def __init__(
        self,
        path: str | Path,
        *,
        start: Fraction | None = None,
        end: Fraction | None = None,
        after: Mark | None = None,
        deinterlace: str = "auto",
        limits: Limits = DEFAULT_LIMITS,
        deep: bool = False,
        hdr: str = "tonemap",
    ) -> None:
        check_range(start, end)
        self._name = shown(path)
        self._start, self._end, self._limits = start, end, limits
        self._after = after
        self._notes = ChangeNotes(self._name)
        self._given = 0
        self._failures = 0
        self._tail = Tail()
        self._frames: Generator[Frame, None, None] | None = None
        self._reel = Reel(
            path,
            deinterlace=check_deinterlace(deinterlace) == "auto",
            max_pixels=limits.max_pixels,
            max_failures=limits.max_decode_failures,
        )
        first = self._reel.first
        self._upright = Upright(self._reel, self._notes)
        self._info = describe(
            self._reel.container,
            self._reel.stream,
            first,
            self._upright.orientation,
            self._upright.aspect,
            self._upright.said.data,
        )
        try:
            self._reader = self._choose_reader(first, deep, hdr)
        except BaseException:
            self._reel.close()
            raise
        self._ends = ends_at(self._reel.container, self._reel.stream, first.pts)
        self._timeline = self._new_timeline()
        clock = clock_of(self._reel.container)
        self._strays = clock.strays.get(self._reel.stream.index, 0)
        self._notes.sentences.extend(clock.notes)
        self._note_losses(first)
        self._frames = self._iterate()

    @property
    def info(self) -> VideoInfo:
        """What the header and the first picture say; colour with what is unsaid assumed."""
        return self._info

    @property
    def health(self) -> SourceHealth:
        """What had to be swallowed so far."""
        late = ("a stream that begins in the middle of the file was not carried over",)
        return SourceHealth(
            decode_failures=self._reel.failures,
            repaired_timestamps=self._timeline.repaired + self._strays,
            notes=(
                *self._notes.sentences,
                *self._note_fields(),
                *(late if self._reel.late_streams else ()),
            ),
        )

    def mark(self) -> Mark:
        """The place after the frame that was given last; for the thread that reads the frames.

        Raises ValueError before the first.
        """
        last = self._timeline.last
        if not self._given or last is None:
            raise ValueError("there is no place to mark before the first frame")
        return Mark(
            frames=self._given,
            stamps=self._tail.stamps,
            crc32=self._tail.crc32,
            last=last,
            offset=self._timeline.offset,
            repaired=self._timeline.repaired,
            failures=self._failures,
            deinterlaced=self._reel.deinterlaced,
            notes=tuple(self._notes.sentences),
        )

    def __iter__(self) -> Iterator[Frame]:
        if self._frames is None:
            raise ValueError(f"{self._name} is closed")
        return self._frames

    def close(self) -> None:
        """Release the file; calling it twice is allowed."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None
        self._reel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _iterate(self) -> Generator[Frame, None, None]:
        shots = self._shots() if self._after is None else self._following(self._after)
        for picture, stamp in shots:
            pts, seconds = self._place((picture, stamp))
            if self._start is not None and seconds < self._start:
                continue
            if self._end is not None and seconds >= self._end:
                break
            self._check_length(self._given, seconds - (self._start or 0))
            pixels = self._upright(self._reader(picture), picture, stamp, seconds)
            self._note_said(stamp.said)
            self._tail.add(stamp.pts, pixels)
            self._failures = stamp.failures
            self._given += 1
            yield Frame(
                pixels=pixels,
                pts=pts,
                time_base=self._info.time_base,
                duration=stamp.duration,
                index=self._given - 1,
                alpha=self._alpha(picture, stamp, seconds),
                captions=stamp.said.captions,
            )
        if self._given == 0:
            raise UsageError(f"{self._name}: no frame lies between start and end; it is shorter")

    def _new_timeline(self) -> Timeline:
        return Timeline(self._info.time_base, self._info.average_rate, ends=self._ends)

    def _place(self, shot: Shot) -> tuple[int, Fraction]:
        """When a picture is shown: in ticks, and in seconds from the clip's first."""
        _, stamp = shot
        for _ in range(stamp.lost):
            self._timeline.skip()
        pts = self._timeline.place(stamp.pts, stamp.following)
        return pts, (pts - self._info.start_pts) * self._info.time_base

    def _shots(self) -> Iterator[Shot]:
        """Pictures from somewhere before the range on."""
        begin = self._info.start_pts + int((self._start or 0) / self._info.time_base)
        return self._reel.shots_around(begin) or self._reel.shots()

    def _following(self, mark: Mark) -> Iterator[Shot]:
        """What follows a mark: found by a seek, or else by reading all that lies before it."""
        finder = Finder(mark)
        lead = int(_LEAD / self._info.time_base)
        shots: Iterator[Shot] = iter(())
        if finder.first is not None:
            shots = self._reel.shots_around(finder.first - lead) or self._reel.shots()
        for picture, stamp in shots:
            if finder.is_there(stamp.pts, partial(self._again, picture, stamp)):
                self._reel.go_on(failures=mark.failures, deinterlaced=mark.deinterlaced)
                self._timeline.go_on(last=mark.last, offset=mark.offset, repaired=mark.repaired)
                break
        else:
            self._reel.reopen()
            shots = self._counted(mark)
        self._given = mark.frames
        self._notes.sentences.extend(n for n in mark.notes if n not in self._notes.sentences)
        return shots

    def _again(self, picture: VideoFrame, stamp: Stamp) -> AnyPixels:
        """The pixels of a picture that an earlier reading gave."""
        pixels = self._upright(self._reader(picture), picture, stamp, Fraction(0))
        self._tail.add(stamp.pts, pixels)
        return pixels

    def _counted(self, mark: Mark) -> Iterator[Shot]:
        """What follows a mark, by its number of frames."""
        self._tail, self._timeline = Tail(), self._new_timeline()
        shots = self._shots()
        passed = 0
        for picture, stamp in shots:
            _, seconds = self._place((picture, stamp))
            if self._start is not None and seconds < self._start:
                continue
            passed += 1
            if passed > mark.frames - len(mark.crc32):
                self._again(picture, stamp)
            if passed == mark.frames:
                break
        if passed < mark.frames or self._tail.crc32 != mark.crc32:
            raise CorruptInput(
                f"{self._name}: it does not decode to the pictures that an earlier run read from "
                "it; start over with --overwrite"
            )
        return shots

    def _alpha(self, picture: VideoFrame, stamp: Stamp, seconds: Fraction) -> Alpha | None:
        alpha = read_alpha(picture)
        if alpha is None:
            return None
        if not self._info.alpha:
            # What writes the frames was told that all are opaque.
            if has_alpha(picture):
                self._notes(
                    "alpha",
                    f"pictures become transparent only at {float(seconds):.2f} s; that is ignored",
                )
            return None
        return cast(Alpha, self._upright(alpha, picture, stamp, seconds))

    def _choose_reader(self, first: VideoFrame, deep: bool, hdr: str) -> PixelReader:
        """What makes pixels of this file's pictures; from here on ``info`` says what they mean."""
        stored, maps = self._info.colour, False
        if is_ictcp(colour_of(first)) and hdr != "keep":
            raise InputError(
                f"{self._name}: its colours are stored as ICtCp (Dolby Vision), which cannot be "
                "converted; make a PQ, HLG or SDR version of it first"
            )
        if is_hdr(stored) and hdr == "refuse":
            raise InputError(
                f"{self._name}: it is HDR ({hdr_name(stored)}); allow --hdr tonemap to make it SDR"
            )
        if is_hdr(stored) and hdr == "tonemap":
            self._info, maps = replace(self._info, colour=SDR), True
        reader = PixelReader(first, stored, deep=deep, tone_map=maps)
        self._notes.sentences.extend(reader.notes)
        return reader

    def _check_length(self, index: int, seconds: Fraction) -> None:
        limits = self._limits
        if limits.max_frames is not None and index >= limits.max_frames:
            raise LimitExceeded(
                f"{self._name}: more than the {limits.max_frames} frames allowed; cut it first"
            )
        if limits.max_seconds is not None and seconds > limits.max_seconds:
            raise LimitExceeded(
                f"{self._name}: longer than the {limits.max_seconds:g} s allowed; cut it first"
            )

    def _note_losses(self, first: VideoFrame) -> None:
        if self._info.frames_hidden:
            self._notes.sentences.append(
                f"{self._info.frames_hidden} frame(s) of the source lie outside its edits, where "
                "no player shows them, and were left out"
            )

        slant = self._upright.orientation.slant
        if slant:
            self._notes.sentences.append(
                f"the source is to be shown turned by another {slant:g} degrees; only quarter "
                "turns are made"
            )

    def _note_said(self, said: Beside) -> None:
        for kind, note in not_carried(said).items():
            self._notes(kind, note)

    def _note_fields(self) -> list[str]:
        count = self._reel.deinterlaced
        if not count:
            return []
        return [
            f"the source is interlaced: the fields of {count} frame(s) were made into whole "
            "pictures (bwdif); --deinterlace off keeps them as they are"
        ]
