"""The window beside PyAV, on a display of its own: Xvfb. On CI it must be there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clips import make_clip

ROOT = Path(__file__).resolve().parents[2]

# A process of its own, since SDL and a display are for the life of one.
PROBE = """
import sys
import av, cv2, numpy as np
from rtstyle.live import Window
from rtstyle.types import Size
window = Window("probe", Size(64, 48))
import pygame
picture = np.zeros((48, 64, 3), np.uint8)
picture[:, :32] = (250, 10, 20)
for _ in range(3):
    window.show(picture)
screen = pygame.display.get_surface()
print(tuple(screen.get_at((5, 5)))[:3], tuple(screen.get_at((60, 5)))[:3])
window.show(np.full((48, 128, 3), 90, np.uint8))
print(tuple(screen.get_at((32, 24)))[:3], tuple(screen.get_at((32, 2)))[:3])
for key in (pygame.K_n, pygame.K_UP, pygame.K_x, pygame.K_q):
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
pygame.event.post(pygame.event.Event(pygame.QUIT))
print(*window.wishes())
window.close(); window.close()
"""


@pytest.fixture
def display() -> Iterator[dict[str, str]]:
    """The environment of a program that shall see a display."""
    if shutil.which("Xvfb") is None:
        assert os.environ.get("CI") != "true", "CI must have Xvfb: apt-get install xvfb"
        pytest.skip("no Xvfb here: apt-get install xvfb")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=(writing,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            number = told.readline().strip()
        assert number, "Xvfb did not start"
        own = ("SDL_VIDEODRIVER", "PYGAME_HIDE_SUPPORT_PROMPT")
        environment = {key: value for key, value in os.environ.items() if key not in own}
        yield {**environment, "DISPLAY": f":{number}", "PYTHONPATH": str(ROOT)}
    finally:
        server.terminate()
        server.wait()


def run(*words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("pygame")
    return subprocess.run(
        [sys.executable, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_window_shows_pictures_and_takes_keys_while_pyav_is_loaded(
    display: dict[str, str],
) -> None:
    done = run("-c", PROBE, environment=display)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "(250, 10, 20) (0, 0, 0)",
        "(90, 90, 90) (0, 0, 0)",
        "next stronger quit quit",
    ]


def test_live_opens_a_window_and_ends_with_the_film(
    display: dict[str, str], tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "a.mp4", size=(64, 48), frames=20, rate=10)
    words = ("-m", "rtstyle.cli.main", "live", "--camera", str(clip), "--style", "great-wave-32")
    done = run(*words, environment=display)
    assert done.returncode == 0, done.stderr
    assert " of 20 pictures shown" in done.stdout


def test_without_a_display_the_message_says_what_else_there_is(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", size=(64, 48), frames=3)
    bare = {
        key: value
        for key, value in os.environ.items()
        if key not in ("DISPLAY", "WAYLAND_DISPLAY") and "SDL" not in key
    }
    words = ("-m", "rtstyle.cli.main", "live", "--camera", str(clip), "--style", "great-wave-32")
    done = run(*words, environment={**bare, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 4
    assert "no window opens here" in done.stderr
    assert "--output FILE" in done.stderr
