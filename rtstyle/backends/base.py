"""The protocol of a backend: bytes in, bytes out."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rtstyle.styles.spec import StyleSpec
from rtstyle.types import BackendInfo, Pixels, Size


class Stylizer(Protocol):
    """A style, loaded and ready to run. Not thread-safe: one thread at a time."""

    @property
    def spec(self) -> StyleSpec:
        """The style that runs."""
        ...

    @property
    def info(self) -> BackendInfo:
        """Where and how it runs."""
        ...

    def warm_up(self, size: Size) -> None:
        """Run once on a blank picture of ``size``, so that the first frame is not the slow one."""
        ...

    def __call__(self, batch: Pixels) -> Pixels:
        """Stylize uint8 ``(N, H, W, 3)`` RGB of any height and width; the same shape comes back.

        Raises ValueError or TypeError on a wrong shape or type, BackendOutOfMemory where the net
        does not fit, BackendError where the backend fails otherwise.
        """
        ...

    def close(self) -> None:
        """Free the net; calling it twice is allowed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
