"""Live pictures: styles mixed frame by frame, where the newest frame wins.

A server gives every viewer a ``Mixer`` of one shared ``Palette``, puts the frames that arrive into
a ``Slot``, and calls ``mixer.process`` in a thread of its own on what it takes out.
"""

from rtstyle.live.mixer import Look, Mixer
from rtstyle.live.palette import Palette
from rtstyle.live.slot import Slot

__all__ = ["Look", "Mixer", "Palette", "Slot"]
