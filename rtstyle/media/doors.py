"""What a name means: a film, or numbered pictures; to be read or to be written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Protocol

from rtstyle.errors import OutputExists, OutputNotWritable, UsageError
from rtstyle.media.codecs import BitDepth, EncodeOptions, keeps_alpha
from rtstyle.media.encode import VideoWriter
from rtstyle.media.file import VideoFile, open_video
from rtstyle.media.moving import MovingPicture, is_moving_webp
from rtstyle.media.numbered import is_picture, numbered_name
from rtstyle.media.output import check_output, muxer_of
from rtstyle.media.picture_codec import kind_of
from rtstyle.media.sequence import SequenceFile, exact_rate, is_sequence
from rtstyle.media.sequence_writer import (
    PictureOptions,
    SequenceWriter,
    check_sequence_output,
    read_by_a_run,
)
from rtstyle.media.sink import FrameSink
from rtstyle.types import DEFAULT_LIMITS, Limits, SinkReport, VideoInfo


class FileSink(FrameSink, Protocol):
    """A sink whose unfinished result can be kept."""

    def finish_early(self) -> SinkReport | None:
        """Keep what was written so far under another name; None where that is nothing."""
        ...


def open_source(
    path: str | Path,
    *,
    fps: Fraction | float | None = None,
    start: Fraction | None = None,
    end: Fraction | None = None,
    deinterlace: str = "auto",
    limits: Limits = DEFAULT_LIMITS,
    deep: bool = False,
    hdr: str = "tonemap",
    into: tuple[Path, EncodeOptions | PictureOptions] | None = None,
) -> VideoFile | SequenceFile | MovingPicture:
    """Open a film, or numbered pictures (a pattern or a timestamps file; see ``is_sequence``).

    ``into`` is what is to be written and how: pictures are read as deep and as transparent as that
    can hold, and with 8 bits on white where it is None.

    ``fps`` is the rate of pictures that have no times of their own. Raises what ``open_video`` and
    ``SequenceFile`` raise, and UsageError where a film is given a rate.
    """
    if is_sequence(path):
        return SequenceFile(
            path,
            fps=None if fps is None else exact_rate(fps),
            start=start,
            end=end,
            limits=limits,
            transparent=_transparency(into),
            deep=_deep_pictures(into),
        )
    if fps is not None:
        raise UsageError(f"{str(path)!r} has its own times; --fps is for numbered pictures")
    if is_moving_webp(path):
        clear = _transparency(into) != "none"
        return MovingPicture(path, start=start, end=end, limits=limits, transparent=clear)
    return open_video(
        path, start=start, end=end, deinterlace=deinterlace, limits=limits, deep=deep, hdr=hdr
    )


def is_pictures(path: str | Path) -> bool:
    """Whether ``path`` is read picture by picture, as numbered ones and a moving WebP are: there is
    no sound beside them, and no place in them from which a run could go on."""
    return is_sequence(path) or is_moving_webp(path)


def _transparency(into: tuple[Path, EncodeOptions | PictureOptions] | None) -> str:
    """Of TRANSPARENT: which pictures an output can hold as they are."""
    if into is None:
        return "none"
    output, options = into
    if isinstance(options, PictureOptions):
        return "all" if _held(output, "transparent") else "none"
    return "as first" if keeps_alpha(options, muxer_of(output)) else "none"


def _deep_pictures(into: tuple[Path, EncodeOptions | PictureOptions] | None) -> bool:
    return into is not None and isinstance(into[1], PictureOptions) and _held(into[0], "deep")


def _held(output: Path, what: str) -> bool:
    kind = kind_of(output)
    return kind is not None and bool(getattr(kind, what))


def options_for(
    output: Path,
    *,
    codec: str,
    quality: int | None,
    preset: str | None,
    encoder: str = "software",
    audio: str,
    subtitles: str,
    bit_depth: BitDepth = "auto",
) -> EncodeOptions | PictureOptions:
    """How to write ``output``, a video file or numbered pictures; raises UsageError for settings
    that do not fit it."""
    pattern = numbered_name(output)
    if pattern is None:
        if is_picture(output.name):
            raise OutputNotWritable(
                f"{str(output)!r}: a film becomes many pictures; number them, as "
                f"{str(output.with_name(f'{output.stem}-%06d{output.suffix}'))!r}"
            )
        return EncodeOptions(
            codec=codec,
            quality=quality,
            preset=preset,
            encoder=encoder,
            audio=audio,
            subtitles=subtitles,
            bit_depth=bit_depth,
        )
    # Refuses words that are none.
    EncodeOptions(codec=codec, encoder=encoder, audio=audio, subtitles=subtitles)
    if preset is not None or codec != "h264" or encoder != "software":
        raise UsageError(
            f"{output.name}: pictures have no codec, preset or encoder; leave --codec, --preset "
            "and --encoder out"
        )
    if bit_depth == 10:
        raise UsageError(f"{output.name}: pictures are written with 8 bits; leave --bit-depth out")
    options = PictureOptions(quality=quality, audio=audio, subtitles=subtitles)
    options.check(pattern)
    return options


def check_target(
    output: Path, *, source: Path, overwrite: bool, options: EncodeOptions | PictureOptions
) -> None:
    """Refuse a video file or pictures that cannot be written, before anything is loaded; see
    ``check_output`` and ``check_sequence_output``."""
    if isinstance(options, PictureOptions):
        check_sequence_output(output, source=source, overwrite=overwrite, options=options)
    else:
        check_output(output, source=_film(source), overwrite=overwrite, options=options)
        if output in read_by_a_run(source):
            raise OutputExists(
                f"{str(output)!r} leads to what this run reads, which is never overwritten: "
                "choose another name"
            )


def open_sink(
    output: Path,
    info: VideoInfo,
    options: EncodeOptions | PictureOptions,
    *,
    source: Path,
    start: Fraction | None = None,
    end: Fraction | None = None,
    overwrite: bool = False,
) -> FileSink:
    """The writer of a video file, with all else of the film ``source``, or of numbered pictures;
    ``options`` say which."""
    if isinstance(options, PictureOptions):
        return SequenceWriter(
            output, info, options, source=source, start=start, overwrite=overwrite
        )
    return VideoWriter(
        output,
        info,
        options,
        source=_film(source),
        start=start,
        end=end,
        overwrite=overwrite,
        protected=read_by_a_run(source),
    )


def _film(source: Path) -> Path | None:
    """``source`` where it is a file that may hold sound and more; pictures hold none."""
    return None if is_pictures(source) else source
