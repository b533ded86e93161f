"""``rtstyle cameras``: which cameras there are, and what they can give."""

from __future__ import annotations

import dataclasses
import sys

import click

from rtstyle.cli.terminal import echo, echo_json
from rtstyle.media import CameraDevice, list_cameras
from rtstyle.media.devices import missing_steps


@click.command(short_help="List cameras and their modes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def cameras(*, as_json: bool) -> None:
    """List the cameras of this system, and the sizes and rates each can give."""
    found = list_cameras()
    if as_json:
        echo_json([_plain(one) for one in found])
        return
    for line in report(found):
        echo(line)


def report(found: list[CameraDevice], platform: str = sys.platform) -> list[str]:
    """The devices as lines of text."""
    if not platform.startswith("linux"):
        return ["cameras can be listed on Linux only; try rtstyle live --camera 0, then 1"]
    if not found:
        steps = missing_steps() or "plug one in"
        return [f"no camera here; {steps}, or play a film: rtstyle live --camera FILE"]
    lines: list[str] = []
    for one in found:
        kind = "camera" if one.captures else "takes pictures (a virtual camera's input)"
        lines.append(f"{one.number}  {one.name}  {one.path}  {one.problem or kind}")
        lines += [f"     {mode}" for mode in one.modes]
        if one.advice is not None:
            lines.append(f"     note: {one.advice}")
    if not any(one.captures for one in found):
        lines.append("none of them gives pictures now")
    return lines


def _plain(one: CameraDevice) -> dict[str, object]:
    return {
        **dataclasses.asdict(one),
        "advice": one.advice,
        "modes": [
            {
                "coding": mode.coding,
                "width": mode.size.width,
                "height": mode.size.height,
                "fps": [float(rate) for rate in mode.rates],
            }
            for mode in one.modes
        ],
    }
