"""Frames into numbered pictures in a folder, with a file of their times."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from rtstyle.errors import OutputError, OutputNotWritable, UsageError
from rtstyle.files import Protected
from rtstyle.media.deep import to_bytes
from rtstyle.media.facts import Facts
from rtstyle.media.numbered import STAMPS_NAME, NumberedName, numbered_name
from rtstyle.media.output import check_name
from rtstyle.media.picture_codec import encode, kind_of
from rtstyle.media.picture_file import Leaf
from rtstyle.media.picture_folder import PartFolder, check_folder
from rtstyle.media.sequence import is_sequence
from rtstyle.media.stamps import end_line, stamp_line
from rtstyle.media.under import on_white
from rtstyle.types import Alpha, AnyPixels, Frame, SinkReport, VideoInfo

_QUALITY = {
    ".jpg": cv2.IMWRITE_JPEG_QUALITY,
    ".jpeg": cv2.IMWRITE_JPEG_QUALITY,
    ".webp": cv2.IMWRITE_WEBP_QUALITY,
}
_USUAL_QUALITY = 95
_PNG_LEVEL = 1
"""Of 0 to 9; for a painting level 4 takes half as long again and saves 6 %."""
_HDR_TRANSFERS = (16, 18)
_NOT_HELD = {"audio": "sound", "subtitle": "subtitles", "attachment": "attachments"}


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """How to write pictures."""

    quality: int | None = None
    """Of JPEG and WebP: 1..100, larger is better; None for 95."""
    audio: str = "copy"
    """``none`` where it is clear that pictures hold no sound; a note says so otherwise."""
    subtitles: str = "copy"

    def check(self, pattern: NumberedName) -> None:
        """Raise UsageError where the settings do not fit the kind of picture."""
        if self.audio == "aac":
            raise UsageError("pictures hold no sound to encode; leave --audio aac out")
        if self.quality is None:
            return
        if pattern.ending not in _QUALITY:
            raise UsageError(f"{pattern.ending[1:]} is lossless and takes no quality; leave it out")
        if not 1 <= self.quality <= 100:
            raise UsageError(
                f"quality {self.quality} is out of range; {pattern.ending[1:]} takes 1 to 100 "
                "(best)"
            )


def check_sequence_output(
    output: Path,
    *,
    source: Path | None,
    overwrite: bool,
    options: PictureOptions,
) -> NumberedName:
    """Refuse numbered pictures that cannot be written, before anything is decoded or loaded.

    ``source`` is what is read: a film, a pattern or a timestamps file. Raises UsageError,
    OutputNotWritable and OutputExists; returns the pattern of the names.
    """
    pattern = numbered_name(output)
    if pattern is None or not cv2.haveImageWriter(f"x{pattern.ending}"):
        raise OutputNotWritable(
            f"{output.name}: names no pictures that can be written; use a name such as %06d.png"
        )
    options.check(pattern)
    check_name(pattern.folder / pattern.name(1))
    folder = source.parent if source is not None and is_sequence(source) else None
    check_folder(pattern, source=folder, overwrite=overwrite, protected=read_by_a_run(source))
    return pattern


def read_by_a_run(source: Path | None) -> Protected:
    """What is read of ``source``: a film, or all that lies in the folder of numbered pictures."""
    if source is None:
        return Protected()
    if not is_sequence(source):
        return Protected([source])
    try:
        return Protected(source.parent / name for name in os.listdir(source.parent))
    except OSError:
        return Protected()


class SequenceWriter:
    """Writes frames as pictures that get their names when all of them are there.

    Implements FrameSink. Until ``finish`` they lie in a folder of their own within the
    destination's, from which ``abort`` (or leaving by an exception) removes them; only where the
    disk is full, or fails, are they kept. Numbers begin at 1, and are written whole where they have
    more digits than the pattern says.
    """

    def __init__(
        self,
        output: Path,
        info: VideoInfo,
        options: PictureOptions | None = None,
        *,
        source: Path | None = None,
        start: Fraction | None = None,
        overwrite: bool = False,
    ) -> None:
        """``info`` is that of the source. Times are written as in the source, or from zero where a
        range begins at ``start`` (seconds of the clip).

        Raises what check_sequence_output raises, OutputError where another run writes the same
        pictures, and DiskFull.
        """
        self._options = options or PictureOptions()
        self._pattern = check_sequence_output(
            output, source=source, overwrite=overwrite, options=self._options
        )
        self._info = info
        begins = info.start_pts * info.time_base
        self._zero = Fraction(0) if start is None else begins + start
        self._count = 0
        self._bytes = 0
        self._last: Fraction | None = None
        self._end = Fraction(0)
        self._open = True
        self._notes = list(_left_out(info, self._options))
        self._part = PartFolder(self._pattern, overwrite=overwrite, protected=read_by_a_run(source))
        self._notes.extend(
            f"what an earlier run left unfinished is kept in {path.name}"
            for path in self._part.left_by_others
        )

    def write(self, frame: Frame) -> None:
        """Write one picture.

        Raises ValueError for a frame of another size than announced or a pts that does not grow,
        DiskFull, OutputError.
        """
        self._require_open()
        if frame.size != self._info.size:
            raise ValueError(
                f"frame {frame.index} is {frame.size}, but the video is {self._info.size}"
            )
        if self._last is not None and frame.seconds <= self._last:
            raise ValueError(
                f"pts {frame.pts} of frame {frame.index} does not follow the last one's"
            )
        data = self._encoded(frame)
        try:
            self._part.write(self._pattern.name(self._count + 1), data)
            self._part.append(STAMPS_NAME, stamp_line(frame.seconds - self._zero).encode())
        except OSError as error:
            raise self._failed(self._part.failed(error)) from None
        except OutputError as error:
            raise self._failed(error) from None
        self._count += 1
        self._bytes += len(data)
        self._last = frame.seconds
        length = (frame.duration or 0) * frame.time_base
        self._end = frame.seconds + (length or 1 / (self._info.average_rate or Fraction(25)))

    def finish(self) -> SinkReport:
        """Give the pictures and the timestamps their names.

        Raises OutputError where no frame was written, OutputExists where pictures appeared in the
        folder meanwhile, DiskFull.
        """
        self._require_open()
        if self._count == 0:
            self.abort()
            raise OutputError(f"{str(self._pattern)!r}: no frame to write; nothing was made")
        self._complete()
        self._part.place(self._names)
        return self._report(str(self._pattern))

    def finish_early(self) -> SinkReport | None:
        """Keep what was written so far, with its times, in the folder ``<folder>.partial``; the
        destination stays as it was. None, and no folder, where nothing was written."""
        self._require_open()
        if self._count == 0:
            self.abort()
            return None
        self._complete()
        return self._report(str(self._part.place_partial()))

    def abort(self) -> None:
        """Give up: nothing stays. Calling it twice is allowed."""
        self._open = False
        self._part.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    def _encoded(self, frame: Frame) -> bytes:
        ending = self._pattern.ending
        kind = kind_of(Path(self._pattern.name(1)))
        deep = kind is not None and kind.deep and frame.pixels.dtype == np.uint16
        pixels = frame.pixels if deep else to_bytes(frame.pixels)
        alpha = frame.alpha
        if alpha is not None and not (kind is not None and kind.transparent):
            note = f"transparent pictures are laid on white: {ending} has no transparency"
            if note not in self._notes:
                self._notes.append(note)
            pixels, alpha = on_white(pixels, alpha), None
        if ending in (".tif", ".tiff") and (deep or alpha is not None):
            # In which OpenCV does not say what is transparency.
            return encode(Path(self._pattern.name(1)), [Leaf(pixels, alpha)], Facts())[0]
        data = _by_opencv(pixels, alpha, ending, self._settings())
        if data is None:
            raise OutputNotWritable(
                f"{str(self._pattern)!r}: {frame.size} does not fit into {ending}; use a .png name"
            )
        return data

    def _settings(self) -> list[int]:
        ending = self._pattern.ending
        if ending in _QUALITY:
            return [_QUALITY[ending], self._options.quality or _USUAL_QUALITY]
        return [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL] if ending == ".png" else []

    def _complete(self) -> None:
        self._open = False
        widest = self._pattern.digits
        if widest and self._count >= 10**widest:
            self._notes.append(
                f"there are more pictures than {widest} digits count; the numbers from "
                f"{10**widest} on have more"
            )
        try:
            self._part.append(STAMPS_NAME, end_line(self._end - self._zero).encode())
        except OutputError as error:
            raise self._failed(error) from None

    def _failed(self, error: OutputError) -> OutputError:
        """Give up and say why; what is whole stays, with its times."""
        self._open = False
        if self._count == 0:
            self.abort()
            return error
        # One that has no time in the file.
        (self._part.path / self._pattern.name(self._count + 1)).unlink(missing_ok=True)
        self._part.keep()
        return type(error)(f"{error} (what was written is kept in {self._part.path.name})")

    def _names(self) -> Iterator[str]:
        return (self._pattern.name(number) for number in range(1, self._count + 1))

    def _report(self, path: str) -> SinkReport:
        return SinkReport(path, self._count, self._bytes, tuple(self._notes))

    def _require_open(self) -> None:
        if not self._open:
            raise ValueError(f"{str(self._pattern)!r} is finished or was given up")


def _by_opencv(
    pixels: AnyPixels, alpha: Alpha | None, ending: str, settings: list[int]
) -> bytes | None:
    """A picture's file; None where its size has no place in it."""
    samples = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    if alpha is not None:
        clear = alpha if pixels.dtype == np.uint8 else np.multiply(alpha, 257, dtype=np.uint16)
        samples = np.dstack([samples, clear])
    try:
        done, data = cv2.imencode(ending, samples, settings)
    except cv2.error:
        return None
    return data.tobytes() if done else None


def _left_out(info: VideoInfo, options: PictureOptions) -> Iterator[str]:
    """A sentence for each thing of the source that pictures cannot hold."""
    unwanted = {"audio": options.audio, "subtitle": options.subtitles}
    kinds = {stream.kind for stream in info.streams}
    lost = [
        name for kind, name in _NOT_HELD.items() if kind in kinds and unwanted.get(kind) != "none"
    ]
    if lost:
        yield f"pictures hold no {' and no '.join(lost)}; write a video file to keep them"
    if info.pixel_aspect != 1:
        yield (
            f"the source's pixels are {info.pixel_aspect} times as wide as high, which pictures "
            "do not say; they look squeezed"
        )
    if info.bits > 8 and info.codec in ("png", "tif", "tiff"):
        yield (
            f"the net paints with 8 bits a sample; the source's {info.bits} are kept only in what "
            "--strength leaves of it"
        )
    if info.colour.transfer in _HDR_TRANSFERS:
        yield "the source is HDR; the pictures hold its values as they are, and look flat"
