"""A film begun and given up, before hours of work go into one that cannot be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from rtstyle.media.codecs import EncodeOptions
from rtstyle.media.film import FilmFile
from rtstyle.media.output import muxer_of
from rtstyle.media.part_file import PartFile
from rtstyle.media.pictures import add_pictures
from rtstyle.types import VideoInfo


def rehearse(
    output: Path,
    info: VideoInfo,
    options: EncodeOptions,
    *,
    part: PartFile,
    source: Path,
    start: Fraction | None,
    end: Fraction | None,
) -> None:
    """Begin a film as it will be put together at the end, and give it up, so that what the encoder
    or the container refuses shows before hours of work and not after.

    Raises EncoderUnavailable, OutputError and DiskFull; ``part`` stays locked, and empty.
    """
    film = FilmFile(
        output,
        info,
        options,
        part=part,
        source=source,
        start=start,
        end=end,
        keep_unfinished=False,
    )
    try:
        add_pictures(
            film.container,
            info,
            options,
            tick=film.tick,
            muxer=muxer_of(output),
            name=output.name,
        )
        film.begin(info.start_pts)
        film.container.start_encoding()
    except (av.FFmpegError, OSError) as error:
        raise film.failed(error) from error
    finally:
        film.close()
    part.empty()
