"""What of the source goes into an output beside its pictures: sound, subtitles, chapters, covers,
attached files and tags."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import Discard, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from rtstyle.errors import OutputError
from rtstyle.media.clock import can_seek, clock_of, packets_of
from rtstyle.media.extras import add_extra, left_out, read_extras, stored
from rtstyle.media.hidden import HiddenSound
from rtstyle.media.payload import Mishaps
from rtstyle.media.said import said_by
from rtstyle.media.streams import (
    copyable_sounds,
    has_foreign_clock,
    not_carried,
    open_container,
    packet_seconds,
    pick_video,
    shown,
    start_seconds,
)
from rtstyle.media.tags import Label, cut_chapters, dress, file_tags, not_stored
from rtstyle.media.texts import add_subtitles
from rtstyle.media.timecode import drop_timecodes, give_timecode, read_timecode
from rtstyle.media.tracks import AnyPacket, CopyTrack, EncodeTrack
from rtstyle.media.trial import fitting_subtitles, made_later

_SEEK_MARGIN = Fraction(2)
_SUBTITLE_MARGIN = Fraction(60)
"""Seconds before a range in which a subtitle may begin that is shown in it."""
_STRAGGLING = Fraction(1)
"""Seconds by which packets of two streams may lie in the wrong order in a file."""
_FROM_ZERO = ("matroska", "webm")
_MOST_WAITING = 256
"""Subtitles that are read before they are due, so that sound that follows in the file is not
late."""


class SourceCompanions:
    """All of a file but its pictures. Sound is copied packet for packet, or encoded anew as AAC;
    the rest is copied, as far as the container can hold it."""

    def __init__(
        self,
        source: Path,
        *,
        muxer: str,
        audio: str,
        subtitles: str,
        begin: Fraction | None,
        end: Fraction | None,
    ) -> None:
        """``audio`` is ``copy``, ``aac`` or ``none``, ``subtitles`` is ``copy`` or ``none``; only
        what lies in ``begin <= t < end`` (seconds of the source's own clock) is taken."""
        self._name, self._muxer, self._mode = shown(source), muxer, audio
        self._begin, self._end = begin, end
        self._container: InputContainer | None = open_container(source)
        container = self._container
        self._picture: VideoStream | None = pick_video(container, self._name)
        self._sounds = () if audio == "none" else copyable_sounds(container)
        extras = read_extras(container, source)
        covers = [extra.cover for extra in extras if extra.cover is not None]
        self._notes = not_carried(
            container, (self._picture, *covers), with_subtitles=subtitles != "none"
        )
        self._subtitles: tuple[SubtitleStream, ...] = ()
        if subtitles != "none":
            self._subtitles, notes = fitting_subtitles(container, muxer)
            self._notes.extend(notes)
        self._notes.extend(left_out(muxer, extras))
        self._extras = tuple(extra for extra in extras if stored(muxer, extra))
        self._chapters = container.chapters()
        self.tags = drop_timecodes(file_tags(said_by(container)))
        """What the source says of itself as a whole, and the output should."""
        self._timecode = read_timecode(container)
        self._timecode_given = False
        starts = [start_seconds(stream) for stream in container.streams]
        known = [start for start in starts if start is not None]
        start = clock_of(container).start or min(known, default=None)
        self.clock_start = start if has_foreign_clock(container) else None
        """Where the source's clock starts, if it means nothing (a broadcast); else None."""
        self._labels: list[Label] = []
        self._tracks: dict[int, CopyTrack | EncodeTrack] = {}
        self._shift = Fraction(0)
        self._begins: dict[int, Fraction] = {}
        self._lost: dict[str, int] = {}
        self._ready: list[AnyPacket] = []
        self._early: list[AnyPacket] = []
        self._waiting: AnyPacket | None = None
        self._demuxer: Generator[AnyPacket, None, None] | None = None

    @property
    def rates(self) -> tuple[int, ...]:
        """Samples a second of each stream of sound."""
        return tuple(stream.codec_context.sample_rate for stream in self._sounds)

    @property
    def still_bytes(self) -> int:
        """Bytes of what lies in no time: covers, attached files, tags."""
        tags = sum(4 * (len(key) + len(value)) + 64 for key, value in self.tags.items())
        return tags + sum(len(extra.data) for extra in self._extras)

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence per stream left behind and per repair."""
        changed = (
            f"the coding of {track.label.name} changes on the way, which the output cannot say: it "
            "may not play from there on; use --audio aac"
            for track in self._tracks.values()
            if isinstance(track, CopyTrack) and track.changes
        )
        return (*self._notes, *self.mishaps.sentences, *changed)

    @property
    def mishaps(self) -> Mishaps:
        """What could not be copied as it is, so far."""
        moved: dict[str, int] = {}
        left_out = dict(self._lost)
        for track in self._tracks.values():
            moved[track.kind] = moved.get(track.kind, 0) + track.repaired
            left_out[track.kind] = left_out.get(track.kind, 0) + track.damaged
        return Mishaps(left_out=left_out, moved=moved)

    def lose(self, kind: str) -> None:
        """Count a packet of a stream of that kind which the muxer refused as damaged."""
        self._lost[kind] = self._lost.get(kind, 0) + 1

    def attach(self, output: OutputContainer, shift: Fraction) -> None:
        """Add a stream for each of the source's, and covers, attachments and tags."""
        assert self._container is not None
        assert self._picture is not None
        self._shift = shift
        output.metadata.update(self.tags)
        self._labels.append(self._dress_pictures(output))
        for number, sound in enumerate(self._sounds, 1):
            name = f"sound {number}"
            try:
                self._tracks[sound.index] = (
                    CopyTrack(output, sound, name)
                    if self._mode == "copy"
                    else EncodeTrack(
                        output, sound, name, shift=shift, begin=self._begin, end=self._end
                    )
                )
            except (ValueError, av.FFmpegError) as error:
                raise OutputError(
                    f"the {sound.codec_context.name} sound of {self._name} does not fit into the "
                    f"output ({error}); use --audio aac or none, or an .mkv name"
                ) from None
        for subtitle in self._subtitles:
            name = f"subtitle {self._container.streams.subtitles.index(subtitle) + 1}"
            self._tracks[subtitle.index] = add_subtitles(
                output, subtitle, name, begin=self._begin, end=self._end
            )
        self._labels += [track.label for track in self._tracks.values()]
        first = [add_extra(output, extra) for extra in self._extras]
        self._ready = [packet for packet in first if packet is not None]
        if self._tracks:
            self._demuxer = self._demux()

    def _dress_pictures(self, output: OutputContainer) -> Label:
        assert self._picture is not None
        picture = output.streams.video[0]
        label = dress(picture, self._picture, "the picture", without=["timecode"])
        if self._timecode is not None:
            notes = give_timecode(picture, self._timecode, ranged=self._begin is not None)
            self._notes.extend(notes)
            self._timecode_given = not notes
        return label

    def packets(self, until: Fraction | None) -> Iterator[AnyPacket]:
        """What is due up to ``until`` seconds of the output, in the source's order."""
        ready, self._ready = self._ready, []
        yield from ready
        if self._demuxer is None:
            return
        early, self._early = sorted(self._early, key=self._time), []
        for held in early:
            if self._is_due(held, until):
                yield from self._take(held)
            else:
                self._early.append(held)
        while (packet := self._next()) is not None:
            if self._is_due(packet, until):
                yield from self._take(packet)
            elif packet.stream.type == "subtitle" and len(self._early) < _MOST_WAITING:
                self._early.append(packet)
            else:
                self._waiting = packet
                break
        for track in self._tracks.values():
            if until is None:
                yield from track.finish()
            elif until >= 0:
                yield from track.settle()

    def end(self, at: Fraction) -> Iterator[AnyPacket]:
        """The last packets, where the output ends early: none begins at ``at`` seconds or later."""
        for track in self._tracks.values():
            track.cut(at)
        early, self._early = sorted(self._early, key=self._time), []
        for held in early:
            if self._time(held) < at:
                yield from self._take(held)
        while (packet := self._next()) is not None:
            time = packet_seconds(packet)
            if time is None or time - self._shift > at + _STRAGGLING:
                break
            if time - self._shift < at:
                yield from self._take(packet)
        for track in self._tracks.values():
            yield from track.finish()

    def complete(self, output: OutputContainer, end: Fraction) -> None:
        """Add the chapters: muxers write those known when the file is closed, and only then is it
        known where it ends."""
        last = end + self._shift
        given, self._chapters = (
            self._chapters,
            cut_chapters(
                self._chapters,
                begin=self._begin,
                end=last if self._end is None else min(last, self._end),
                shift=self._shift,
                late=self._made_later(),
                muxer=self._muxer,
            ),
        )
        lost = len(given) - len(self._chapters)
        if lost and self._begin is None and self._end is None:
            self._notes.append(f"{lost} chapter(s) that begin after the end were left out")
        output.set_chapters(self._chapters)

    def _made_later(self) -> Fraction:
        """By how many seconds the muxer makes pictures and sound later, but no chapters."""
        if self._muxer not in _FROM_ZERO or self._mode != "copy":
            return Fraction(0)
        early = [s for s in self._sounds if self._begins.get(s.index, 0) < 0]
        late = (made_later(self._muxer, s, self._begins[s.index]) for s in early)
        return max(late, default=Fraction(0))

    def check(self, path: Path) -> None:
        """Note what the finished file does not say although it was given to it."""
        self._notes.extend(
            not_stored(
                path,
                self._muxer,
                tags=self.tags,
                labels=self._labels,
                chapters=self._chapters,
                timecode=self._timecode if self._timecode_given else None,
            )
        )

    def close(self) -> None:
        """Release the source; calling it twice is allowed."""
        # A packet, stream or demuxer must not outlive its container.
        self._waiting = None
        self._ready, self._early = [], []
        if self._demuxer is not None:
            self._demuxer.close()
            self._demuxer = None
        self._sounds, self._subtitles, self._extras, self._picture = (), (), (), None
        self._tracks.clear()
        if self._container is not None:
            self._container.close()
            self._container = None

    def _next(self) -> AnyPacket | None:
        packet, self._waiting = self._waiting, None
        if packet is None and self._demuxer is not None:
            packet = next(self._demuxer, None)
        return packet

    def _take(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        index = packet.stream_index
        for taken in self._tracks[index].take(packet, self._shift):
            self._begins.setdefault(index, packet_seconds(taken) or Fraction(0))
            yield taken

    def _time(self, packet: AnyPacket) -> Fraction:
        """Seconds of the output; the start where the packet does not say."""
        return (packet_seconds(packet) or self._shift) - self._shift

    def _is_due(self, packet: AnyPacket, until: Fraction | None) -> bool:
        time = packet_seconds(packet)
        return until is None or time is None or time - self._shift <= until

    def _demux(self) -> Generator[AnyPacket, None, None]:
        """Packets in the range; also those before it which a decoder needs, or which say what is
        shown when it begins."""
        assert self._container is not None
        wanted = [*self._sounds, *self._subtitles]
        for stream in self._container.streams:
            if stream.index not in self._tracks:
                stream.discard = Discard.all
        if self._begin is not None:
            self._seek(self._begin)
        # Subtitles may be minutes apart: that the range is over is told by the sound, or else by
        # the pictures.
        pace: Stream | None = self._sounds[0] if self._sounds else self._picture
        if not self._sounds and self._end is not None and pace is not None:
            pace.discard = Discard.default
            wanted.append(pace)
        done: set[int] = set()
        failures = 0
        copied = self._sounds if self._mode == "copy" else ()
        heard = {sound.index: HiddenSound() for sound in copied}
        while failures < 2 and len(done) < len(wanted):
            try:
                with closing(self._packets(self._container, wanted)) as packets:
                    for packet in packets:
                        failures = 0
                        time = packet_seconds(packet)
                        if self._is_over(packet, time, done, pace):
                            return
                        if (
                            packet.size
                            and packet.stream_index in self._tracks
                            and (
                                packet.stream_index not in done and not self._is_early(packet, time)
                            )
                        ):
                            sound = heard.get(packet.stream_index)
                            yield from (packet,) if sound is None else sound.take(packet)
                return
            except av.FFmpegError as error:
                failures += 1
                self._notes.append(
                    f"some sound or subtitles of {self._name} could not be read ({error.strerror})"
                )

    def _is_over(
        self, packet: AnyPacket, time: Fraction | None, done: set[int], pace: Stream | None
    ) -> bool:
        """Whether nothing in the range can follow; notes in ``done`` a stream that is past it."""
        if self._end is None or time is None or time < self._end:
            return False
        done.add(packet.stream_index)
        late = pace is not None and packet.stream_index == pace.index
        sounds = {stream.index for stream in self._sounds}
        return done >= self._tracks.keys() or (
            late and done >= sounds and time >= self._end + _STRAGGLING
        )

    def _is_early(self, packet: AnyPacket, time: Fraction | None) -> bool:
        copied = self._mode == "copy" and packet.stream.type == "audio"
        return copied and time is not None and self._begin is not None and time < self._begin

    def _packets(
        self, container: InputContainer, streams: list[Stream]
    ) -> Generator[AnyPacket, None, None]:
        yield from packets_of(container, *streams)

    def _seek(self, seconds: Fraction) -> None:
        assert self._container is not None
        if not can_seek(self._container):
            return
        stream: Stream | None = self._sounds[0] if self._sounds else self._picture
        assert stream is not None
        margin = max(_SEEK_MARGIN, _SUBTITLE_MARGIN if self._subtitles else Fraction(0))
        time_base = stream.time_base or Fraction(1, 1000)
        try:
            self._container.seek(int((seconds - margin) / time_base), stream=stream)
        except av.FFmpegError:
            # Reading from the start finds the same packets, later.
            return
