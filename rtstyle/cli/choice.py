"""What a user of ``rtstyle video`` chose, for whatever is done with it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rtstyle.cli.terminal import echo
from rtstyle.media import EncodeOptions
from rtstyle.types import BackendInfo


@dataclass(frozen=True, slots=True)
class Choice:
    """The options that a conversion and its preview share."""

    style: str
    net: dict[str, Any]
    """strength, backend and precision."""
    encoding: dict[str, Any]
    """codec, quality, preset, encoder, bit_depth, audio and subtitles."""
    deinterlace: str
    hdr: str
    start: Fraction | None
    end: Fraction | None
    resume: bool = False
    jobs: int = 1

    @property
    def options(self) -> EncodeOptions:
        return EncodeOptions(**self.encoding)


def say_backend(info: BackendInfo) -> None:
    """Tell which backend runs, and why."""
    echo(f"backend: {info}")
