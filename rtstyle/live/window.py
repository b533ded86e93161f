"""A window through SDL (pygame-ce), which works beside PyAV; it must be used by the main thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rtstyle.errors import OutputNotWritable
from rtstyle.types import Pixels, Size

if TYPE_CHECKING:
    import pygame

KEYS = {
    "n": "next",
    "right": "next",
    "p": "previous",
    "left": "previous",
    "up": "stronger",
    "+": "stronger",
    "=": "stronger",
    "down": "weaker",
    "-": "weaker",
    "c": "colour",
    "b": "split",
    "m": "mix",
    "r": "record",
    "s": "snapshot",
    "i": "overlay",
    "q": "quit",
    "escape": "quit",
}
"""What each key asks for, by SDL's name of it."""


_BLIND = ("dummy", "offscreen", "evdev")


class Display(Protocol):
    """Where a viewer looks, and says what he wants."""

    def show(self, pixels: Pixels) -> None:
        """Show uint8 ``(H, W, 3)`` RGB now."""
        ...

    def wishes(self) -> Iterator[str]:
        """Values of ``KEYS`` that were asked for since the last call."""
        ...

    def close(self) -> None:
        """Calling it twice is allowed."""
        ...


class Window:
    """Shows pictures scaled to the window, with their own shape."""

    def __init__(self, title: str, size: Size) -> None:
        """Raises OutputNotWritable where pygame is missing or no display is there."""
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            import pygame
        except ImportError:
            raise OutputNotWritable(
                'a window needs pygame-ce: pip install "rtstyle[live]"; or give --output '
                "FILE, mjpeg, virtualcam or none"
            ) from None
        self._pygame = pygame
        self._screen: pygame.Surface | None = None
        try:
            pygame.display.init()
            # Where there is no display SDL takes a driver that shows nothing, and does not say so.
            if pygame.display.get_driver() in _BLIND and "SDL_VIDEODRIVER" not in os.environ:
                raise pygame.error("there is no display")
            pygame.display.set_caption(title)
            self._screen = pygame.display.set_mode((size.width, size.height), pygame.RESIZABLE)
        except pygame.error as error:
            pygame.display.quit()
            raise OutputNotWritable(
                f"no window opens here ({error}); run it on a desktop, or give --output FILE, "
                "mjpeg, virtualcam or none"
            ) from None

    def show(self, pixels: Pixels) -> None:
        """Show uint8 ``(H, W, 3)`` RGB, fitted into the window as it is now."""
        if self._screen is None:
            raise ValueError("the window is closed")
        pygame = self._pygame
        height, width = pixels.shape[:2]
        picture = pygame.image.frombuffer(np.ascontiguousarray(pixels), (width, height), "RGB")
        screen = pygame.display.get_surface() or self._screen
        room = screen.get_size()
        if room != (width, height):
            scale = min(room[0] / width, room[1] / height)
            inner = (max(1, round(width * scale)), max(1, round(height * scale)))
            picture = pygame.transform.smoothscale(picture, inner)
            screen.fill((0, 0, 0))
        place = ((room[0] - picture.get_width()) // 2, (room[1] - picture.get_height()) // 2)
        screen.blit(picture, place)
        pygame.display.flip()

    def wishes(self) -> Iterator[str]:
        """What keys and the window's close button asked for since the last call."""
        if self._screen is None:
            return
        for event in self._pygame.event.get():
            if event.type == self._pygame.QUIT:
                yield "quit"
            elif event.type == self._pygame.KEYDOWN:
                wish = KEYS.get(self._pygame.key.name(event.key))
                if wish is not None:
                    yield wish

    def close(self) -> None:
        """Close the window; calling it twice is allowed."""
        if self._screen is not None:
            self._screen = None
            self._pygame.display.quit()
