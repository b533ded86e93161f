"""Whether a film can be converted in the memory there is, told before it is begun.

On top of what the net takes (``rtstyle.backends.foresight``), a conversion holds pictures that wait
between its stages, and those that decoder and encoder keep. The figures for the codecs were
measured as whole processes at 640x360, 1920x1080 and 3840x2160, without a net, and lie above all
of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rtstyle.backends import Stylizer
from rtstyle.backends.base import BaseStylizer
from rtstyle.backends.foresight import need_of, refusal, scaled_down
from rtstyle.backends.processor import usable_cores
from rtstyle.errors import BackendOutOfMemory
from rtstyle.media import EncodeOptions, PictureOptions
from rtstyle.memory import FOR_THREADS, PROCESS, Room, available_memory, more_of, shown
from rtstyle.styles import StyleSpec
from rtstyle.types import Size, VideoInfo

QUEUE_DEPTH = 4
"""Frames that wait before the net and before the encoder: enough to bridge the encoder's uneven
pace, few enough that a 4K job holds some 200 MB of them."""

_IN_HAND = 2
"""Frames of each stage that lie in no queue: the one that is made and the one that is taken."""
_CODECS = {
    "h264": (148, 0),
    "hevc": (190, 45),
    "vp9": (150, 30),
    "av1": (222, 90),
    "ffv1": (90, 0),
    "prores": (64, 0),
}
"""Bytes a pixel and megabytes besides that decoder and encoder hold together, on two cores."""
_PICTURE_FILES = (48, 0)
_A_CORE = 4.5
"""Bytes a pixel more for each further core: both work on several frames at a time."""
_MOST_CORES = 16
_FIXED = 24 * 2**20


@dataclass(frozen=True, slots=True)
class Plan:
    """How a film is converted."""

    batch: int
    """Pictures that the net is given at once."""
    ahead: int
    """Frames that wait before the net, and before the encoder."""
    note: str | None
    """A sentence where that is less than usual."""


def plan_film(
    stylizer: Stylizer | None,
    info: VideoInfo,
    options: EncodeOptions | PictureOptions,
    *,
    batch: int,
) -> Plan:
    """The largest plan, of ``batch`` and QUEUE_DEPTH down to one and one, that memory suffices for.

    Raises BackendOutOfMemory where it suffices for none. What cannot be told, of the system or the
    style, is not refused.
    """
    usual = Plan(batch, QUEUE_DEPTH, None)
    room = available_memory()
    if room is None:
        return usual
    if room.source == PROCESS:
        room = Room(max(0, room.bytes - FOR_THREADS), PROCESS)
    net = stylizer if isinstance(stylizer, BaseStylizer) else None

    def need(size: Size, plan: Plan, spec: StyleSpec | None, precision: str) -> int:
        taken = frames_bytes(size, info, options, plan)
        if net is not None and spec is not None:
            more = need_of(net, spec, precision, size, batch=plan.batch, repeated=True)
            taken += more or 0
        return taken

    own, precision = (None, "") if net is None else (net.spec, net.info.precision)
    least = Plan(1, 1, None)
    for plan in dict.fromkeys((usual, Plan(1, QUEUE_DEPTH, None), least)):
        if need(info.size, plan, own, precision) <= room.bytes:
            return plan if plan == usual else Plan(plan.batch, plan.ahead, _note(room, usual, plan))
    what, needed = f"a film of {info.size}", need(info.size, least, own, precision)
    if net is None:
        raise _without_net(what, info.size, needed, room, lambda size: need(size, least, None, ""))

    def fits(spec: StyleSpec, precision: str, size: Size) -> bool:
        return need(size, least, spec, precision) <= room.bytes

    raise refusal(what, net, info.size, needed, room, fits)


def frames_bytes(
    size: Size, info: VideoInfo, options: EncodeOptions | PictureOptions, plan: Plan
) -> int:
    """About what is held of a film besides its net, in bytes, on top of what the process has."""
    sample, (a_pixel, besides) = 1, _PICTURE_FILES
    if isinstance(options, EncodeOptions):
        sample = 2 if options.keeps_depth and info.bits > 8 else 1
        a_pixel, besides = _CODECS.get(options.codec, _CODECS["hevc"])
    waiting = 2 * (plan.ahead + _IN_HAND)
    # A batch is copied to be given, and its result lives as long as one picture of it waits.
    pictures = 3 * sample * (waiting + plan.batch) + 3 * plan.batch + (waiting if info.alpha else 0)
    codecs = (a_pixel + _A_CORE * max(0, min(_MOST_CORES, usable_cores()) - 2)) * sample
    return round(size.width * size.height * (pictures + codecs)) + besides * 2**20 + _FIXED


def _note(room: Room, usual: Plan, plan: Plan) -> str:
    less = []
    if plan.batch < usual.batch:
        less.append(f"{plan.batch} picture at a time goes through the net instead of {usual.batch}")
    if plan.ahead < usual.ahead:
        less.append(f"{plan.ahead} waits between the stages instead of {usual.ahead}")
    return f"{room.source} has {shown(room.bytes)} of memory left, so {' and '.join(less)}: slower"


def _without_net(
    what: str, size: Size, needed: int, room: Room, need: Callable[[Size], int]
) -> BackendOutOfMemory:
    smaller = next((s for s in scaled_down(size) if need(s) <= room.bytes), None)
    way = more_of(room) if smaller is None else f"scale the source down to {smaller}"
    return BackendOutOfMemory(
        f"{what} needs about {shown(needed)} of memory, and {room.source} has "
        f"{shown(room.bytes)} left; {way}"
    )
