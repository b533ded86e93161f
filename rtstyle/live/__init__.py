"""Live pictures: styles mixed frame by frame, where the newest frame wins.

A server gives every viewer a ``Mixer`` of one shared ``Palette``, puts the frames that arrive into
a ``Slot``, and calls ``mixer.process`` in a thread of its own on what it takes out. A palette made
with ``keep`` loads only what its viewers choose.
"""

from rtstyle.live.capture import Capture
from rtstyle.live.loop import Live, LiveReport, free_name
from rtstyle.live.mixer import Look, Mixer
from rtstyle.live.mjpeg import MjpegServer
from rtstyle.live.palette import Load, Palette
from rtstyle.live.place import Place, parse_place
from rtstyle.live.sender import Sender, Tell
from rtstyle.live.sinks import Beside, LiveSink, Nowhere, Recorder, record_to
from rtstyle.live.slot import Slot
from rtstyle.live.virtual import (
    OrElse,
    VirtualCamera,
    open_virtual_camera,
    virtual_camera_steps,
)
from rtstyle.live.window import KEYS, Display, Window

__all__ = [
    "KEYS",
    "Beside",
    "Capture",
    "Display",
    "Live",
    "LiveReport",
    "LiveSink",
    "Load",
    "Look",
    "Mixer",
    "MjpegServer",
    "Nowhere",
    "OrElse",
    "Palette",
    "Place",
    "Recorder",
    "Sender",
    "Slot",
    "Tell",
    "VirtualCamera",
    "Window",
    "free_name",
    "open_virtual_camera",
    "parse_place",
    "record_to",
    "virtual_camera_steps",
]
