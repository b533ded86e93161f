"""The protocol of everything that takes frames."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rtstyle.types import Frame, SinkReport


class FrameSink(Protocol):
    """Takes frames in presentation order. Leaving its context by an exception aborts."""

    def write(self, frame: Frame) -> None:
        """Take one frame; its pts must be greater than the last one's."""
        ...

    def finish(self) -> SinkReport:
        """Write what is pending, check the result, and put it under its final name."""
        ...

    def abort(self) -> None:
        """Give up; nothing stays under the final name. Calling it twice is allowed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
