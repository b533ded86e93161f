"""Reading what a picture says keeps nothing of it."""

from __future__ import annotations

import gc

import av

from rtstyle.media.sidedata import beside


def test_a_picture_that_was_looked_at_is_freed_with_its_last_name() -> None:
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
        for _ in range(5):
            beside(av.VideoFrame(64, 48, "rgb24"))
        assert sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects()) == before
    finally:
        gc.enable()
