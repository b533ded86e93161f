"""What a decoded picture says beside its samples: FFmpeg's side data, and what becomes of it.

What belongs to the stream as a whole (sphere, stereo, display matrix, light levels) is given by
FFmpeg with each of its pictures. docs/films.md lists all kinds, and what is done with each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame

_NOTED = {
    "AFD": "which part of the picture matters to televisions (AFD)",
    "ICC_PROFILE": "a colour profile (ICC), by which some players correct colours",
    "S12M_TIMECODE": "a timecode in each picture (SMPTE ST 12-1)",
    "DYNAMIC_HDR_PLUS": "HDR10+ (its curves for single scenes)",
    "DYNAMIC_HDR_VIVID": "HDR Vivid (its curves for single scenes)",
    "DOVI_RPU_BUFFER": "Dolby Vision (its curves for single scenes)",
    "DOVI_METADATA": "Dolby Vision (its curves for single scenes)",
    "AMBIENT_VIEWING_ENVIRONMENT": "in what light the film was graded",
    "REGIONS_OF_INTEREST": "which regions of its pictures matter",
    "DETECTION_BBOXES": "what was detected in its pictures",
}
"""Kinds that neither the pixels take up nor an output holds, and on which players may act."""
_OF_ENCODERS = (
    bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef"),
    bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e"),
)
"""x264's and x265's: what settings a film was encoded with, which is not true of its copy."""
_UUID = 16


@dataclass(frozen=True, slots=True)
class Beside:
    """The side data of one picture."""

    data: Mapping[str, bytes] = field(default_factory=dict)
    """By FFmpeg's names of their kinds (AV_FRAME_DATA_...)."""
    foreign: bool = False
    """Whether there are data of a maker of its own (unregistered SEI)."""
    unknown: bool = False
    """Whether there is a kind that PyAV does not know, which hides the others."""

    @property
    def captions(self) -> bytes:
        """Closed captions of ATSC A/53: triplets of cc_data; none for a picture without."""
        return self.data.get("A53_CC", b"")


def side_data_of(picture: VideoFrame) -> SideDataContainer:
    """As ``picture.side_data``, which would leave picture and data holding each other: megabytes a
    frame, until the collector comes by."""
    return SideDataContainer(picture)  # type: ignore[call-arg]


def beside(picture: VideoFrame) -> Beside:
    """What ``picture`` says beside its samples; nothing is raised for what is not known."""
    try:
        found = side_data_of(picture)
    except ValueError:
        return Beside(unknown=True)
    if not len(found):
        return _EMPTY
    data: dict[str, bytes] = {}
    foreign = False
    for one in found:
        kind = one.type.name
        if kind == "SEI_UNREGISTERED":
            foreign |= bytes(one)[:_UUID] not in _OF_ENCODERS
        else:
            data[kind] = bytes(one)
    return Beside(data, foreign)


_EMPTY = Beside()


def not_carried(said: Beside) -> dict[str, str]:
    """By its kind, a sentence for each thing that no output holds."""
    notes = {
        kind: f"the source's pictures say {_NOTED[kind]}, which was not carried over"
        for kind in said.data
        if kind in _NOTED
    }
    if "DOVI_METADATA" in notes:
        notes.pop("DOVI_RPU_BUFFER", None)
    if said.foreign:
        notes["SEI_UNREGISTERED"] = (
            "the source's pictures hold data of their maker's own (unregistered SEI), which were "
            "not carried over"
        )
    if said.unknown:
        notes["unknown"] = (
            "the source's pictures say something that this build of PyAV cannot name; it was not "
            "carried over"
        )
    return notes
