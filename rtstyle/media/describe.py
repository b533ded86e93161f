"""What a file and its first picture say of a film."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtstyle.media.clock import length_of
from rtstyle.media.colour import bits_per_sample, colour_of, has_alpha, resolve_colour
from rtstyle.media.hdr import is_hdr, said_hdr
from rtstyle.media.hidden import count_shown
from rtstyle.media.marks import sphere_of, stereo_of
from rtstyle.media.orientation import Orientation
from rtstyle.media.streams import list_streams, rate_of
from rtstyle.media.timecode import timecode_rate
from rtstyle.types import Colour, Size, VideoInfo


def describe(
    container: InputContainer,
    stream: VideoStream,
    first: VideoFrame,
    orientation: Orientation,
    aspect: Fraction,
    said: Mapping[str, bytes],
) -> VideoInfo:
    """What an open file says of its pictures, and the ``first`` of them.

    ``orientation``: how they are to be seen; ``aspect``: width of a stored pixel over its height;
    ``said``: the first picture's side data, by their kinds.
    """
    stored = Size(first.width, first.height)
    time_base = stream.time_base or Fraction(1, 1000)
    shown, hidden = count_shown(container, stream)
    return VideoInfo(
        size=orientation.shown(stored),
        time_base=time_base,
        average_rate=rate_of(stream),
        frames_in_header=shown,
        duration_in_header=length_of(container, stream),
        rotation=orientation.turn,
        pixel_aspect=1 / aspect if orientation.lies else aspect,
        colour=_stream_colour(stream, first),
        codec=stream.codec_context.name,
        streams=list_streams(container),
        start_pts=first.pts or 0,
        # Browsers tag what they record as transparent, whether it is or not.
        alpha=has_alpha(first),
        bits=bits_per_sample(first),
        frames_hidden=hidden,
        mirrored=orientation.mirrored,
        sphere=sphere_of(said),
        stereo=stereo_of(said),
        timecode_rate=timecode_rate(container, stream),
    )


def _stream_colour(stream: VideoStream, first: VideoFrame) -> Colour:
    own = colour_of(first)
    context = stream.codec_context
    full = own.full_range
    if full is None:
        full = {1: False, 2: True}.get(int(context.color_range))

    def either(of_frame: int, of_stream: int) -> int:
        return of_frame if of_frame != 2 else int(of_stream)

    said = Colour(
        matrix=either(own.matrix, context.colorspace),
        primaries=either(own.primaries, context.color_primaries),
        transfer=either(own.transfer, context.color_trc),
        full_range=full,
    )
    if is_hdr(said):
        said = said_hdr(said)
    return resolve_colour(said, Size(first.width, first.height))
