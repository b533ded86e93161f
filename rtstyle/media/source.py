"""The protocol of everything that gives frames."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from rtstyle.types import Frame, SourceHealth, VideoInfo


class FrameSource(Protocol):
    """Frames in presentation order, pts strictly increasing. One thread at a time."""

    @property
    def info(self) -> VideoInfo:
        """What the header says."""
        ...

    @property
    def live(self) -> bool:
        """True where frames come at their own pace and may be dropped (a camera)."""
        ...

    @property
    def health(self) -> SourceHealth:
        """Counts so far; final once iteration has ended."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Release the file or device; calling it twice is allowed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
