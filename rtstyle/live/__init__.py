"""Live pictures: styles mixed frame by frame, where the newest frame wins.

A server gives every viewer a ``Mixer`` of one shared ``Palette``, puts the frames that arrive into
a ``Slot``, and calls ``mixer.process`` in a thread of its own on what it takes out. A palette made
with ``keep`` loads only what its viewers choose.
"""

from rtstyle.live.capture import Capture
from rtstyle.live.loop import Live, LiveReport, free_name
from rtstyle.live.mixer import Look, Mixer
from rtstyle.live.palette import Load, Palette
from rtstyle.live.sinks import (
    LiveSink,
    Nowhere,
    Recorder,
    VirtualCamera,
    open_virtual_camera,
    record_to,
    virtual_camera_steps,
)
from rtstyle.live.slot import Slot
from rtstyle.live.window import KEYS, Display, Window

__all__ = [
    "KEYS",
    "Capture",
    "Display",
    "Live",
    "LiveReport",
    "LiveSink",
    "Load",
    "Look",
    "Mixer",
    "Nowhere",
    "Palette",
    "Recorder",
    "Slot",
    "VirtualCamera",
    "Window",
    "free_name",
    "open_virtual_camera",
    "record_to",
    "virtual_camera_steps",
]
