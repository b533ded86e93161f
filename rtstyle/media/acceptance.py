"""Whether a finished conversion is what was asked for, before it gets its name.

The comparison is that of ``verify_video``, less what the user chose or what a run has counted and
said already. A picture or sound that is lost, added or moved refuses the file. Whatever else
``verify_video`` would call lost is a loss to be said; what it calls left is a note.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from rtstyle.errors import InputError
from rtstyle.media.codecs import EncodeOptions
from rtstyle.media.fidelity import PICTURES, Findings, Terms, examine
from rtstyle.media.films import Film
from rtstyle.media.output import muxer_of
from rtstyle.media.payload import READ_ERRORS, Mishaps
from rtstyle.media.streams import open_container, pick_video
from rtstyle.media.stretch import Stretch
from rtstyle.types import DEFAULT_LIMITS, Check, Limits, VideoInfo

_REFUSES = frozenset({*PICTURES, "size", "audio", "sync", "length", "reading"})
_SAID_HERE = frozenset({*PICTURES, "captions", "sphere", "stereo", "editions"})
"""What is not kept for a reason that nobody else says. Streams and labels that an output has no
place for are named where they are written."""
_STREAM_OF = {"sync": "audio", "length": "audio", "timing": "subtitle", "texts": "subtitle"}
_REMEDIES = {
    "audio": "try --audio aac, or an .mkv name",
    "sync": "try --audio aac, or an .mkv name",
    "length": "try --audio copy, or an .mkv name",
}
_COARSEST_TICK = Fraction(1, 1000)
"""Matroska counts milliseconds."""

Stamp = tuple[int, int, int, int]
"""Device, inode, size and time of change (nanoseconds) of a file."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a run knows of the file that it has written."""

    info: VideoInfo
    """What the writer was told of the pictures."""
    frames: int
    options: EncodeOptions
    moved: Fraction = Fraction(0)
    """Seconds by which the output's clock was made to be behind the source's."""
    stretch: Stretch = field(default_factory=Stretch)
    """The range that was asked for; with ``most``, a run that was ended early."""
    sound_ends: Fraction | None = None
    """Seconds of the source's timeline at which everything but the pictures was cut, where a run
    was ended early."""
    mishaps: Mishaps = field(default_factory=Mishaps)
    stamp: Stamp | None = None
    """The source's when it was opened, so that one that has changed since is not compared."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of checking a finished file; sentences without a name in front."""

    failures: tuple[Check, ...] = ()
    """Pictures or sound are not all there, or not where they were: the file must not be taken for
    the conversion."""
    losses: tuple[str, ...] = ()
    """Text or attached files are missing, or colours are tagged so that they look otherwise."""
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a report says of a file that passed."""
        return (
            *(f"not in the output as it should be: {loss}" for loss in self.losses),
            *self.notes,
        )

    @property
    def passed(self) -> bool:
        """Whether the file may have its name."""
        return not self.failures

    def refusal(self, name: str, kept_as: str) -> str:
        """The first failure on one line, where the file is kept, and what can be done."""
        first = self.failures[0]
        remedy = _REMEDIES.get(first.kind, "try an .mkv name, or another --codec")
        more = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
        return (
            f"{name}: the result is not whole: {first.name}: {first.detail}{more}; "
            f"it is kept as {kept_as}: {remedy}"
        )


def stamp_of(path: Path) -> Stamp | None:
    """What changes when the file does; None where it cannot be asked."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def check_conversion(
    source: Path,
    part: Path,
    output: Path,
    written: Written,
    *,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int, int | None], None] | None = None,
) -> Verdict:
    """Compare the finished ``part``, which is to be named ``output``, with its ``source``.

    ``progress`` hears how many pictures were read back and how many there should be; what it raises
    ends the check. Nothing is raised for a file that is wrong.
    """
    told = None if progress is None else _Told(progress, written.frames)
    if written.stamp is not None and stamp_of(source) != written.stamp:
        why = "it has changed since it was opened"
        return _check_alone(part, written, limits, told, why)
    terms = Terms(
        stretch=written.stretch,
        sound_ends=written.sound_ends,
        muxer=muxer_of(output),
        anew=written.options.audio == "aac",
        spare=written.mishaps.left_out,
        by_packets=True,
        promised=written.info,
    )
    try:
        found = examine(source, part, terms, limits=limits, progress=told)
    except (InputError, OSError, *READ_ERRORS) as error:
        return _check_alone(part, written, limits, told, str(error))
    return _judge(found, written)


class _Told:
    """Progress against the number of pictures that were written, which no header need say."""

    def __init__(self, progress: Callable[[int, int | None], None], frames: int) -> None:
        self._progress = progress
        self._frames = frames

    def __call__(self, frames: int, in_header: int | None) -> None:
        self._progress(frames, self._frames)


def _judge(found: Findings, written: Written) -> Verdict:
    failures: list[Check] = []
    losses: list[str] = []
    notes: list[str] = []
    if found.match.output_frames != written.frames:
        failures.append(_counted(written.frames, found.match.output_frames))
    for check in found.checks:
        if check.kept or _is_chosen(check, written.options):
            continue
        sentence = f"{check.name}: {check.detail}"
        if not check.required:
            if check.kind in _SAID_HERE:
                notes.append(sentence)
            continue
        excuse = _excuse(check, found, written)
        if check.kind in _REFUSES and excuse is None:
            failures.append(check)
        else:
            losses.append(sentence if excuse is None else f"{sentence}; {excuse}")
    apart = found.match.shift + written.moved
    if abs(apart) > max(_COARSEST_TICK, found.match.tick):
        notes.append(f"the container moved picture and sound by {float(apart):+.3f} s")
    return Verdict(tuple(failures), tuple(losses), tuple(notes))


def _is_chosen(check: Check, options: EncodeOptions) -> bool:
    """Whether the user asked for what the check finds."""
    if check.kind in ("subtitle", "timing", "texts"):
        return options.subtitles == "none"
    if check.kind == "audio":
        # Left out, or encoded anew, whose completeness is a check of its own.
        return options.audio != "copy"
    if check.kind == "depth":
        return options.bit_depth == 8 or options.encoder != "software"
    return check.kind in ("sync", "length") and options.audio == "none"


def _excuse(check: Check, found: Findings, written: Written) -> str | None:
    """Why a difference is no fault of the conversion, as the end of a sentence."""
    if check.name in found.accounted:
        return found.accounted[check.name]
    mishaps = written.mishaps
    kind = _STREAM_OF.get(check.kind, check.kind)
    if check.kind in ("sync", "timing") and mishaps.moved.get(kind):
        return "packets with wrong timestamps were moved"
    if check.kind in ("sync", "length") and mishaps.left_out.get(kind):
        return "damaged packets were left out"
    match = found.match
    if check.kind in PICTURES and 0 < match.missing + match.added <= 2 * found.failures:
        return "what is shown of damaged packets depends on how they are decoded"
    hurt = found.failures or found.repaired or found.unlike
    as_many = match.input_frames == match.output_frames
    if hurt and (kind == "audio" or (check.kind in PICTURES and as_many)):
        return "the source is damaged"
    damaged = check.kind == "reading" and check.detail.startswith("the input")
    if damaged or (kind in ("audio", "subtitle") and found.unread):
        return "the source is damaged"
    return None


def _check_alone(
    part: Path, written: Written, limits: Limits, told: _Told | None, why: str
) -> Verdict:
    """Count the pictures of a file that cannot be compared, for whatever reason."""
    count = 0
    try:
        with open_container(part) as container:
            pick_video(container, part.name)
        with Film(part, limits) as film:
            for count, _ in enumerate(film.moments(), start=1):
                if told is not None:
                    told(count, None)
    except (InputError, OSError, *READ_ERRORS) as error:
        return Verdict((Check("reading", False, f"it cannot be read back ({error})"),))
    if count != written.frames:
        return Verdict((_counted(written.frames, count),))
    return Verdict(notes=(f"the result was not compared with the source: {why}",))


def _counted(written: int, found: int) -> Check:
    return Check("frames", False, f"{written} were written, but {found} can be read back")
