"""What is written beside the pictures of a film."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from av.container import OutputContainer

from rtstyle.media.tracks import AnyPacket


class Companions(Protocol):
    """What a VideoWriter asks of that which it writes beside its pictures."""

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence per thing that did not go as a viewer would expect."""
        ...

    def attach(self, output: OutputContainer, shift: Fraction) -> None:
        """Add the output's other streams; times will be ``shift`` seconds less than the source's.

        Raises OutputError where the container cannot hold the sound.
        """
        ...

    def packets(self, until: Fraction | None) -> Iterator[AnyPacket]:
        """What is due up to ``until`` seconds of the output; None for all that is left."""
        ...

    def end(self, at: Fraction) -> Iterator[AnyPacket]:
        """The last packets, where the output ends early: none begins at ``at`` seconds or later."""
        ...

    def complete(self, output: OutputContainer, end: Fraction) -> None:
        """Add what is written last, to an output whose last picture or sound ends at ``end``."""
        ...

    def check(self, path: Path) -> None:
        """Note what the finished file does not say although it was given to it."""
        ...

    def lose(self, kind: str) -> None:
        """Count a packet of a stream of that kind which the muxer refused as damaged."""
        ...

    def close(self) -> None:
        """Release the source; calling it twice is allowed."""
        ...
