"""Opening containers so that nothing but the named file is ever read, and naming what is inside."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from rtstyle.errors import NotAVideo, NoVideoStream
from rtstyle.media.many_tags import Covered, covered, crowd_of
from rtstyle.types import StreamInfo

S = TypeVar("S", bound=Stream)

# Demuxers that read one file and follow no reference out of it: no playlists, no scripts, no
# picture sequences, no devices.
_DEMUXERS = (
    "aac,ac3,aiff,amr,ape,apng,asf,asf_o,au,av1,avi,caf,dts,dv,eac3,flac,flv,gif,h261,h263,h264,hevc,"
    "ivf,m4v,matroska,webm,mjpeg,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nsv,nut,"
    "obu,ogg,rm,swf,tta,vc1,vvc,w64,wav,wtv,wv,yuv4mpegpipe"
)
_SAFE_OPTIONS = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
ANY_TEXT = "surrogateescape"
"""How tags are read and written: bytes that are no UTF-8 (titles of Windows-1251, Shift-JIS) stay
what they are. Such text is shown with ``printable``."""
LOOK_FURTHER = {"probesize": str(2**26), "analyzeduration": str(60_000_000)}
"""How far to read (bytes, and microseconds of the film) for a sound that is announced and not found
where FFmpeg looks, which is five seconds: one that is off the air for a while."""
_CLOCK = re.compile(r"(\d+):([0-5]?\d):([0-5]?\d(?:\.\d+)?)")
_FOREIGN_START = 10
"""Seconds."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def shown(path: str | Path) -> str:
    """The file's name on one line, for messages."""
    return Path(path).name.encode("unicode_escape", "surrogateescape").decode("ascii", "replace")


def printable(text: str) -> str:
    """Text of a file with bytes that are no UTF-8 written out, so that it can be printed."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def literal_url(path: Path) -> str:
    """A name libavformat takes as it is: no protocol, option or pattern is read into it."""
    return f"file:{os.path.abspath(path)}"


def check_readable(path: str | Path, kind: str = "video") -> Path:
    """``path`` as a Path; raises NotAVideo unless it is a regular file with bytes in it.

    ``kind`` is what it should hold, for messages.
    """
    if isinstance(path, str) and _URL.match(path) and not os.path.exists(path):
        raise NotAVideo(f"{path!r} is an address, not a file; download it first")
    path = Path(path)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise NotAVideo(f"{str(path)!r}: no such file; check the name") from None
    except PermissionError:
        raise NotAVideo(f"{str(path)!r}: permission denied; check its access rights") from None
    except (OSError, ValueError) as error:
        raise NotAVideo(f"{str(path)!r} cannot be opened ({error}); check the name") from None
    if stat.S_ISDIR(status.st_mode):
        raise NotAVideo(f"{str(path)!r} is a folder; name a {kind} file in it")
    if not stat.S_ISREG(status.st_mode):
        raise NotAVideo(f"{str(path)!r} is not a regular file; save the {kind} to a file first")
    if status.st_size == 0:
        raise NotAVideo(f"{str(path)!r} is empty; copy or download it again")
    return path


def open_container(path: str | Path, *, max_pixels: int | None = None) -> InputContainer:
    """Open ``path`` for demuxing, and no other file or address.

    ``max_pixels`` also bounds what is decoded while the header is being understood. Where the file
    has thousands of tags, only ``said_by`` and ``said_by_stream`` tell all of them. Raises
    NotAVideo where FFmpeg does not know the file's content.
    """
    path = check_readable(path)
    try:
        crowd = crowd_of(path)
        file = covered(path, crowd) if crowd else literal_url(path)
        container = open_file(file, max_pixels)
        if any(is_silent(sound) for sound in container.streams.audio):
            container.close()
            file = covered(path, crowd) if crowd else literal_url(path)
            container = open_file(file, max_pixels, further=LOOK_FURTHER)
        return container
    except PermissionError:
        raise NotAVideo(f"{str(path)!r}: permission denied; check its access rights") from None
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if (kind := _picture_kind(path)) is not None:
            raise NotAVideo(f"{str(path)!r} is {kind}") from None
        raise NotAVideo(
            f"{str(path)!r} is not a video file that can be read ({reason}); "
            "check that it plays in a video player"
        ) from None


def _picture_kind(path: Path) -> str | None:
    """What a file is that holds a picture and no film, and what to do; None for all others."""
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError:
        return None
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & 2:
        return "a moving WebP, which is read by rtstyle video and rtstyle image only"
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    known = head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"GIF8"))
    if webp or known or head[4:12] in (b"ftypheic", b"ftypmif1", b"ftypavif"):
        return "a picture, not a film; use rtstyle image"
    return None


def open_file(
    file: str | Covered,
    max_pixels: int | None = None,
    further: Mapping[str, str] = MappingProxyType({}),
) -> InputContainer:
    """A name or an object that reads, opened for demuxing. Raises av.FFmpegError, OSError."""
    options = {**_SAFE_OPTIONS, **further}
    if max_pixels is not None:
        options["max_pixels"] = str(max_pixels)
    return av.open(file, "r", options=options, metadata_errors=ANY_TEXT)


def raw_packets(
    container: InputContainer, *streams: S, on_late: Callable[[], None] | None = None
) -> Generator[Packet[S], None, None]:
    """Packets of the streams as the file has them, and an empty one for each at the end.

    ``on_late`` is called where the file has a stream that begins too late to be found when it is
    opened, as broadcasts may, and PyAV tells of it. Raises av.FFmpegError where reading fails.
    """
    # Left open, the demuxer would outlive its container and read freed memory.
    with closing(container.demux(*streams)) as packets:  # type: ignore[type-var]
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except IndexError:
                # PyAV 18 ends every stream that FFmpeg knows by then, and looks for a late one
                # among those it found at first. All others have been ended before.
                if on_late is not None:
                    on_late()
                return
            yield cast("Packet[S]", packet)


def is_cover(stream: Stream) -> bool:
    """Whether a video stream is only a cover picture."""
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def pick_video(container: InputContainer, name: str) -> VideoStream:
    """The video stream to read: the first marked as default, else the first.

    Raises NoVideoStream where there is none that can be decoded. Cover pictures do not count.
    """
    moving = [stream for stream in container.streams.video if not is_cover(stream)]
    decodable = [stream for stream in moving if _decoder(stream) is not None]
    if not decodable:
        if moving:
            raise NoVideoStream(
                f"{name}: its video codec is unknown to this build; convert it to H.264 first"
            )
        held = "only sound" if container.streams.audio else "no video stream"
        if container.streams.video:
            held = "only a cover picture"
        raise NoVideoStream(f"{name}: holds {held}; name a file with moving pictures")
    # What is only announced has no size.
    there = [stream for stream in decodable if stream.codec_context.width] or decodable
    default = [stream for stream in there if stream.disposition & Disposition.default]
    return (default or there)[0]


def _decoder(stream: Stream) -> object | None:
    # Typed as always present; None where FFmpeg has no decoder for the stream.
    context: object | None = stream.codec_context
    return context


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of a stream's coding, whatever decodes it here."""
    return "unknown" if _decoder(stream) is None else stream.codec_context.codec.canonical_name


def copyable_sounds(container: InputContainer) -> tuple[AudioStream, ...]:
    """The audio streams whose codec is known, and of which something was found."""
    known = (stream for stream in container.streams.audio if _decoder(stream) is not None)
    return tuple(stream for stream in known if not is_silent(stream))


def is_silent(stream: Stream) -> bool:
    """Whether a stream of sound is only announced: nothing of it lies where the file begins, so
    that not even its rate is known. Broadcasts announce languages that are not on air."""
    if stream.type != "audio" or _decoder(stream) is None:
        return False
    return not cast(AudioStream, stream).codec_context.sample_rate


def copyable_subtitles(container: InputContainer) -> tuple[SubtitleStream, ...]:
    """The subtitle streams whose codec is known."""
    return tuple(stream for stream in container.streams.subtitles if _decoder(stream) is not None)


def list_streams(container: InputContainer) -> tuple[StreamInfo, ...]:
    """Every stream of the container, in its order."""
    return tuple(
        StreamInfo(
            index=stream.index,
            kind=stream.type,
            codec=stream.codec_context.name if _decoder(stream) is not None else "unknown",
            language=None if stream.language in (None, "und") else printable(stream.language),
        )
        for stream in container.streams
    )


def left_behind(container: InputContainer, carried: Iterable[int]) -> tuple[str, ...]:
    """One sentence for each kind of stream that is not among the ``carried`` indices.

    Streams in which a container keeps its chapters or its timecode are left out: what they say is
    carried otherwise.
    """
    indices = set(carried) | set(_of_the_container(container))
    counts: dict[str, int] = {}
    for stream in container.streams:
        if stream.index not in indices:
            kind = "cover picture" if is_cover(stream) else f"{stream.type} stream"
            counts[kind] = counts.get(kind, 0) + 1
    return tuple(
        f"{count} {kind}{'s' if count > 1 else ''} not carried over"
        for kind, count in counts.items()
    )


def has_foreign_clock(container: InputContainer) -> bool:
    """Whether the container's clock starts anywhere, as a broadcast's does, and not near zero."""
    if container.format.name in ("mpegts", "mpeg"):
        return True
    starts = [start_seconds(stream) for stream in container.streams if stream.type != "data"]
    known = [start for start in starts if start is not None]
    # Nobody waits so long for a film to begin; it was cut out of a longer recording.
    return bool(known) and min(known) >= _FOREIGN_START


def not_carried(
    container: InputContainer, pictures: Iterable[VideoStream], *, with_subtitles: bool
) -> list[str]:
    """What nothing is known of, and what no output holds."""
    kinds = ("audio", "subtitle", "attachment")
    carried = {stream.index for stream in container.streams if stream.type in kinds}
    carried |= {stream.index for stream in pictures}
    notes = list(left_behind(container, carried))
    for number, sound in enumerate(container.streams.audio, 1):
        if is_silent(sound):
            said = [codec_name(sound)]
            if sound.language not in (None, "und"):
                said.append(shown(Path(sound.language or "")))
            notes.append(
                f"sound {number} ({', '.join(said)}) is announced, but nothing of it was found "
                "where the file begins: it was left out"
            )
    unknown = sum(_decoder(stream) is None for stream in container.streams.audio)
    if unknown:
        notes.append(f"{unknown} audio stream(s) of unknown codec not carried over")
    unknown = len(container.streams.subtitles) - len(copyable_subtitles(container))
    if unknown and with_subtitles:
        notes.append(f"{unknown} subtitle stream(s) of unknown codec not carried over")
    return notes


def _of_the_container(container: InputContainer) -> Iterator[int]:
    for stream in container.streams:
        told = stream.type == "data" and "timecode" in stream.metadata
        # The titles of chapters, which the demuxer has read already.
        read = stream.type == "data" and stream.discard == Discard.all
        if told or read:
            yield stream.index


def rate_of(stream: VideoStream) -> Fraction | None:
    """Frames a second on average, by what the header says; None where that is unknown or cannot be.

    Some demuxers and files give that of the clock's ticks, which no pictures have unless the times
    of the first ones say so as well.
    """
    average, guessed = stream.average_rate, stream.guessed_rate
    if average is None or stream.time_base is None or average * stream.time_base < 1:
        return average or guessed
    if guessed is not None and guessed < average:
        return guessed
    return average if average * stream.time_base == 1 else None


def start_seconds(stream: Stream) -> Fraction | None:
    """When the stream's header says that it starts; None where it does not say."""
    if stream.start_time is None or stream.time_base is None:
        return None
    return stream.start_time * stream.time_base


def packet_seconds(packet: Packet[Any]) -> Fraction | None:
    """When a packet is shown, or else when it is decoded; None where it does not say."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    return None if ticks is None else ticks * packet.time_base


def duration_seconds(container: InputContainer, stream: Stream) -> Fraction | None:
    """How long the header says that the stream is; where it only says so of the whole file, that.

    Matroska has no field for a stream's length, but its writers tag each stream with it.
    """
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    whole = None if container.duration is None else Fraction(container.duration, av.time_base)
    tagged = _tagged_seconds(stream)
    if tagged is None or whole is None:
        return whole
    if container.metadata.get("encoder", container.metadata.get("ENCODER", "")).startswith("Lavf"):
        # FFmpeg's writer counts from the file's beginning, others from the stream's.
        tagged = max(Fraction(0), tagged - max(Fraction(0), start_seconds(stream) or Fraction(0)))
    # A tag that a file was given before it was cut says more than is there.
    return min(tagged, whole)


def has_length(stream: Stream) -> bool:
    """Whether the header says how long this very stream is."""
    return stream.duration is not None or _tagged_seconds(stream) is not None


def end_pts(container: InputContainer, stream: Stream, start: int | None) -> int | None:
    """The pts at which the header says that a stream ends, ``start`` being its first one; None
    where it does not say how long the stream is."""
    seconds = duration_seconds(container, stream)
    if seconds is None or stream.time_base is None:
        return None
    return (start or 0) + int(seconds / stream.time_base)


def _tagged_seconds(stream: Stream) -> Fraction | None:
    for key, value in stream.metadata.items():
        # A tag in a language is named "DURATION-eng".
        clock = _CLOCK.fullmatch(value) if key.partition("-")[0] == "DURATION" else None
        if clock is not None:
            hours, minutes, seconds = clock.groups()
            length = 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
            return length if length > 0 else None
    return None
