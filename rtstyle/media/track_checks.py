"""Checks of sound and subtitles: content, times against the picture, and what was encoded anew."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from rtstyle.media.clock import can_seek, packets_of
from rtstyle.media.inventory import Pair, can_hold
from rtstyle.media.packets import ABSENT, COPIED, ENCODED, RETIMED, Comparison, Strand
from rtstyle.media.payload import READ_ERRORS, same_codec
from rtstyle.media.streams import codec_name, open_container
from rtstyle.media.stretch import Window
from rtstyle.media.tally import Extent, Extents, Tally
from rtstyle.types import Check

_LEAST_OFFSET = Fraction(1, 1000)
"""Seconds between sound and picture that nobody can set right: Matroska counts milliseconds."""
_TEXTS = frozenset({"subrip", "mov_text", "ass", "ssa", "webvtt", "text"})
_LEAST_OF_TEXTS = Fraction(9, 10)
"""How much of the time in which there is text must be kept, where its form is another."""
_MOST_OF_A_TEXT = Fraction(1, 2)
"""Seconds that may be missing besides: texts whose length is not said."""
_ENCODER_BLOCK = Fraction(1, 20)
"""Seconds by which sound encoded anew may end otherwise: a block and the encoder's delay."""
_WORTH_SEEKING = Fraction(10)
_BEFORE = Fraction(2)
"""Seconds that are decoded before a range, for codecs that need some to begin."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """How the times of two files compare."""

    shift: Fraction
    """Seconds by which the output as a whole is later."""
    tick: Fraction
    """Seconds; the coarser of the two picture clocks."""
    window: Window = field(default_factory=Window)
    """Seconds of the input's clock."""


def strands_of(
    pairs: Sequence[Pair], *, anew: bool, spare: Mapping[str, int]
) -> tuple[Strand, ...]:
    """The streams to compare; ``anew``: the sound was encoded anew, whatever its codec; ``spare``:
    how many packets of a kind were left out as damaged."""
    strands = []
    for pair in pairs:
        how = _how(pair, anew)
        if how is not None:
            theirs = None if pair.theirs is None else pair.theirs.index
            strands.append(Strand(pair.mine.index, theirs, how, spare.get(pair.kind, 0)))
    return tuple(strands)


def _how(pair: Pair, anew: bool) -> str | None:
    if pair.kind not in ("audio", "subtitle"):
        return None
    if pair.theirs is None:
        return ABSENT
    if pair.kind == "audio":
        return COPIED if same_codec(pair.mine, pair.theirs) and not anew else ENCODED
    if same_codec(pair.mine, pair.theirs):
        return COPIED
    both = {codec_name(pair.mine), codec_name(pair.theirs)}
    return RETIMED if both <= _TEXTS else None


def check_tracks(
    pairs: Sequence[Pair], found: Comparison, clocks: Clocks, input: Path, output: Path, muxer: str
) -> Iterator[Check]:
    """Whether each stream is all there, and as far from the picture as it was."""
    for pair in pairs:
        tally = found.tallies.get(pair.mine.index)
        extents = found.extents.get(pair.mine.index)
        if pair.theirs is None or pair.kind not in ("audio", "subtitle"):
            continue
        if tally is not None and same_codec(pair.mine, pair.theirs):
            yield _check_content(pair, tally)
        else:
            yield _encoded_anew(pair, muxer)
        if tally is not None:
            yield from _check_offset(pair, _offset(tally, clocks.shift), clocks)
        elif extents is not None and pair.kind == "subtitle":
            yield _check_texts(pair, extents, clocks)
        elif extents is not None:
            yield _check_filled(pair, extents, clocks)
            begins = _first_sound(input, pair.mine.index, clocks.window)
            begun = _first_sound(output, pair.theirs.index, Window())
            if begins and begun:
                offsets = [heard - begins[0] - clocks.shift for heard in begun]
                yield from _check_offset(pair, min(offsets, key=abs), clocks)


def _check_content(pair: Pair, tally: Tally) -> Check:
    if tally.first_different is not None:
        return Check(pair.name, False, f"{pair.described}: {_difference(tally)}")
    detail = f"{pair.described}: {tally.output_packets} packets, the same in both"
    if tally.lacked:
        detail += f"; {tally.lacked} more of the input's are not in the output"
    return Check(pair.name, not tally.lacked, detail)


def _difference(tally: Tally) -> str:
    number = tally.first_different
    at = tally.first_different_at
    where = f"packet {number}" + ("" if at is None else f" at {float(at):.3f} s")
    if number == tally.output_packets:
        what = f"the output lacks {where} and all that follow"
    elif number == tally.input_packets:
        what = f"the output goes on after the input's end with {where}"
    else:
        what = f"changed from {where} on"
    return f"{what} ({tally.input_packets} packets in the input, {tally.output_packets} in it)"


def _encoded_anew(pair: Pair, muxer: str) -> Check:
    assert pair.theirs is not None
    before, after = codec_name(pair.mine), codec_name(pair.theirs)
    holds = can_hold(muxer, pair.mine)
    reason = "" if holds else f"; {muxer} cannot hold {before}"
    detail = f"encoded anew from {before} to {after}{reason}"
    return Check(pair.name, False, detail, required=holds)


def _check_texts(pair: Pair, extents: Extents, clocks: Clocks) -> Check:
    """Whether texts in another form are shown as long as they were, and not all earlier or later.

    Texts that overlap may be joined, and drawings have no words: their number says nothing.
    """
    mine, theirs = extents.mine, extents.theirs
    kept = theirs.filled >= mine.filled * _LEAST_OF_TEXTS - _MOST_OF_A_TEXT
    detail = f"{float(mine.filled):.3f} s with text, {float(theirs.filled):.3f} s in the output"
    begins, ends = (
        _begins_later(mine, theirs, clocks.shift),
        _ends_later(mine, theirs, clocks.shift),
    )
    if begins is not None and ends is not None:
        least = 2 * max(_LEAST_OFFSET, clocks.tick)
        if abs(begins) > least and abs(begins - ends) <= least:
            kept = False
            detail += f"; all are {_offset_words(begins)}"
    elif not mine.empty:
        kept = False
    return Check(f"texts {pair.number}", kept, f"{pair.name}: {detail}")


def _check_filled(pair: Pair, extents: Extents, clocks: Clocks) -> Check:
    """Whether sound that was encoded anew fills as much time and ends where it did.

    A gap may be filled with silence, but nothing that sounded may be missing. Where the input's
    clock leaps there is no saying how long it is.
    """
    mine, theirs = extents.mine, extents.theirs
    slack = _ENCODER_BLOCK + mine.longest + theirs.longest
    whole = theirs.filled >= mine.filled - slack
    detail = f"{float(mine.filled):.3f} s of sound, {float(theirs.filled):.3f} s in the output"
    ends = _ends_later(mine, theirs, clocks.shift)
    if ends is not None and abs(ends) > slack:
        whole = False
        detail += f"; it ends {_ms(abs(ends))} {'later' if ends > 0 else 'earlier'}"
    name = f"length {pair.number}"
    return Check(name, whole, f"{pair.name}: {detail}", required=not mine.leaps)


def _begins_later(mine: Extent, theirs: Extent, shift: Fraction) -> Fraction | None:
    if mine.begins is None or theirs.begins is None:
        return None
    return theirs.begins - mine.begins - shift


def _ends_later(mine: Extent, theirs: Extent, shift: Fraction) -> Fraction | None:
    if mine.ends is None or theirs.ends is None:
        return None
    return theirs.ends - mine.ends - shift


def _check_offset(pair: Pair, offset: Fraction | None, clocks: Clocks) -> Iterator[Check]:
    if offset is None or pair.theirs is None:
        return
    ticks = [stream.time_base or Fraction(0) for stream in (pair.mine, pair.theirs)]
    allowed = max(_LEAST_OFFSET, clocks.tick, *ticks)
    name = f"sync {pair.number}" if pair.kind == "audio" else f"timing {pair.number}"
    yield Check(name, abs(offset) <= allowed, f"{pair.name}: {_offset_words(offset)}")


def _offset(tally: Tally, shift: Fraction) -> Fraction | None:
    """By how much the stream is later against the pictures than it was, where that is most."""
    if tally.earliest_gap is None or tally.latest_gap is None:
        return None
    return max(tally.earliest_gap - shift, tally.latest_gap - shift, key=abs)


def _first_sound(path: Path, index: int, window: Window) -> tuple[Fraction, ...]:
    """When the first sample in the window is heard, in seconds of the file's clock.

    Without a window a second time stands beside it, a block later: encoders put a block of silence
    before their sound, which containers take off whole, in part or, where the sound starts late,
    not at all.
    """
    begin = window.begin
    found: tuple[Fraction, ...] = ()
    if begin is not None and begin > _WORTH_SEEKING:
        found = _heard_first(path, index, begin, sought=True)
    # Sound that seems to begin within the range may only have been sought too late.
    if not found or (begin is not None and found[0] > begin):
        found = _heard_first(path, index, begin, sought=False)
    return found


def _heard_first(
    path: Path, index: int, begin: Fraction | None, *, sought: bool
) -> tuple[Fraction, ...]:
    with open_container(path) as container:
        stream = cast(AudioStream, container.streams[index])
        try:
            if sought and begin is not None and stream.time_base is not None:
                if not can_seek(container):
                    return ()
                container.seek(int((begin - _BEFORE) / stream.time_base), stream=stream)
            with closing(_decoded(container, stream)) as frames:
                for frame in frames:
                    if frame.pts is None or frame.time_base is None:
                        continue
                    heard = frame.pts * frame.time_base
                    ends = heard + Fraction(frame.samples, frame.sample_rate or 1)
                    if begin is not None and ends > begin:
                        return (max(heard, begin),)
                    if begin is None:
                        return heard, ends
        except READ_ERRORS:
            return ()
    return ()


def _decoded(container: InputContainer, stream: AudioStream) -> Generator[AudioFrame, None, None]:
    with closing(packets_of(container, stream)) as packets:
        for packet in packets:
            yield from stream.decode(packet)


def _offset_words(offset: Fraction) -> str:
    if abs(offset) < Fraction(1, 10**5):
        return "as far from the picture as in the input"
    return f"{_ms(abs(offset))} {'later' if offset > 0 else 'earlier'} against the picture"


def _ms(seconds: Fraction) -> str:
    return f"{float(seconds * 1000):.2f} ms"
