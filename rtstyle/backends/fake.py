"""A stylizer without a net, for the tests of programs that use rtstyle."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from rtstyle.backends.base import BaseStylizer
from rtstyle.errors import BackendError
from rtstyle.styles.spec import SizeRule, StyleSpec
from rtstyle.types import BackendInfo, Pixels

_SPEC = StyleSpec(
    name="fake",
    title="Fake",
    family="foreign",
    file=Path("fake.onnx"),
    sha256=None,
    size_rule=SizeRule(),
    licence="MIT",
    source="no net at all",
)


class FakeStylizer(BaseStylizer):
    """Gives the batch back, or its negative; can be slow, and can fail.

    ``delay``: seconds each call takes at least. ``fail_at``: the call that raises, 1 being the
    first; warming up is not counted. ``error``: what it raises, BackendError unless given.
    """

    def __init__(
        self,
        spec: StyleSpec | None = None,
        *,
        invert: bool = False,
        delay: float = 0.0,
        fail_at: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        super().__init__(
            spec or _SPEC,
            BackendInfo(
                name="fake", device="none", precision="fp32", requested="fake/auto", reason="a test"
            ),
        )
        self._invert = invert
        self._delay = delay
        self._fail_at = fail_at
        self._error = error
        self.calls = 0
        """Calls so far, the failed one included."""

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def __call__(self, batch: Pixels) -> Pixels:
        """Give ``batch`` back or its negative; see ``Stylizer``."""
        if not self._closed:
            self.calls += 1
            if self.calls == self._fail_at:
                raise self._error or BackendError(f"fake failed at call {self.calls} as asked")
        return super().__call__(batch)

    def _run(self, batch: Pixels) -> Pixels:
        if self._delay > 0:
            time.sleep(self._delay)
        return np.subtract(255, batch) if self._invert else batch.copy()

    def _release(self) -> None:
        pass
