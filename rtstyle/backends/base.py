"""The protocol of a backend: bytes in, bytes out; and what every backend shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from rtstyle.backends.foresight import refuse_beyond
from rtstyle.errors import BackendError, BackendOutOfMemory, ModelError, RtstyleError
from rtstyle.memory import says_out_of_memory
from rtstyle.styles.admission import brief
from rtstyle.styles.spec import SizeRule, StyleSpec
from rtstyle.types import BackendInfo, Pixels, Size

_SIZES_FORESEEN = 4


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

    @property
    def batch_hint(self) -> int:
        """How many pictures a call should have where throughput counts; 1 is quickest to answer."""
        ...

    def warm_up(self, size: Size, *, batch: int = 1) -> None:
        """Run once on blank pictures of ``size``, so that the first frame is not the slow one."""
        ...

    def __call__(self, batch: Pixels) -> Pixels:
        """Stylize uint8 ``(N, H, W, 3)`` RGB of any height and width; the same shape comes back.

        The result is C-contiguous and the caller's own: no later call changes it. Raises ValueError
        or TypeError on a wrong shape or type, RuntimeError after ``close``, BackendOutOfMemory
        where the net does not fit, BackendError where the backend fails otherwise.
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


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """What is known of one backend on this machine."""

    name: str
    """As ``load_stylizer`` takes it."""
    version: str | None
    """None where the package is not installed."""
    devices: tuple[str, ...] = ()
    """As the backend names them: ``CPU``, ``CUDA:0``."""
    precisions: tuple[str, ...] = ()
    """What it can compute in here, the first being what ``auto`` takes."""
    problem: str | None = None
    """One sentence; None where it is ready."""
    fix: str | None = None
    """What to do about ``problem``."""


class BaseStylizer(ABC):
    """Checks, pads to the style's SizeRule and crops back; a backend adds how the net is run."""

    def __init__(self, spec: StyleSpec, info: BackendInfo) -> None:
        self._spec = spec
        self._info = info
        self._closed = False
        self._foreseen: tuple[tuple[Size, int], ...] = ()
        """Sizes and numbers of pictures that memory was found to suffice for, the newest first."""

    @property
    def spec(self) -> StyleSpec:
        """The style that runs."""
        return self._spec

    @property
    def info(self) -> BackendInfo:
        """Where and how it runs."""
        return self._info

    @property
    def batch_hint(self) -> int:
        """How many pictures a call should have where throughput counts."""
        return 1

    def working_bytes(self, size: Size, *, batch: int = 1, repeated: bool = False) -> int | None:
        """About how much memory running on ``batch`` pictures of ``size`` takes of the machine's.

        That is on top of what the process has, with what the pictures themselves take; never less
        than it turns out to be where it is known. ``repeated``: for run after run. None where it
        is not known.
        """
        del size, batch, repeated
        return None

    def lighter(self) -> tuple[str, ...]:
        """Precisions that this style can be had in here and that take less memory."""
        return ()

    def warm_up(self, size: Size, *, batch: int = 1) -> None:
        """Run once on blank pictures of ``size``, so that the first frame is not the slow one."""
        self._foresee(size, batch)
        BaseStylizer.__call__(self, np.zeros((batch, size.height, size.width, 3), np.uint8))

    def __call__(self, batch: Pixels) -> Pixels:
        """Stylize uint8 ``(N, H, W, 3)`` RGB; see ``Stylizer``."""
        if self._closed:
            raise RuntimeError(f"the stylizer of {self._spec.name} is closed")
        check_batch(batch)
        count, height, width, _ = batch.shape
        self._foresee(Size(width, height), count)
        try:
            padded = pad(batch, self._spec.size_rule)
            result = self._run(padded)
        except RtstyleError:
            raise
        except MemoryError as error:
            raise self._out_of_memory(Size(width, height)) from error
        except Exception as error:
            if says_out_of_memory(error):
                raise self._out_of_memory(Size(width, height)) from error
            raise BackendError(
                f"{self._info.name} failed on style {self._spec.name} at {width}x{height}: "
                f"{reason_of(error)}; try another --backend"
            ) from error
        if result.shape != padded.shape or result.dtype != np.uint8:
            raise self._wrong_shape(padded.shape, f"{result.dtype} {result.shape}")
        return np.ascontiguousarray(result[:count, :height, :width])

    def _foresee(self, size: Size, count: int) -> None:
        """Refuse what there is no memory for; the system would kill the process without a word."""
        if (size, count) not in self._foreseen:
            refuse_beyond(self, size, count)
            self._foreseen = ((size, count), *self._foreseen)[:_SIZES_FORESEEN]

    def close(self) -> None:
        """Free the net; calling it twice is allowed."""
        if not self._closed:
            self._closed = True
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _run(self, batch: Pixels) -> Pixels:
        """Run the net on a C-contiguous batch of an accepted size.

        The result must be memory of its own: not the batch's, nor any that a later run writes.
        """

    @abstractmethod
    def _release(self) -> None:
        """Drop the net; called once."""

    def _wrong_shape(self, given: tuple[int, ...], got: str) -> ModelError:
        return ModelError(
            f"style {self._spec.name} turns uint8 {given} into {got} instead of the same; "
            "its size rule or its graph is wrong: export it again"
        )

    def _out_of_memory(self, size: Size) -> BackendOutOfMemory:
        return BackendOutOfMemory(
            f"{self._info.device} ran out of memory on style {self._spec.name} at {size}; "
            "scale the picture down, close other programs, or take a narrower style"
        )


def check_batch(batch: Pixels) -> None:
    """Raise TypeError unless ``batch`` is a uint8 array, ValueError unless ``(N, H, W, 3)``."""
    if not isinstance(batch, np.ndarray):
        raise TypeError(f"a batch must be a numpy array, got {type(batch).__name__}")
    if batch.dtype != np.uint8:
        raise TypeError(f"a batch must be uint8, got {batch.dtype}")
    if batch.ndim != 4 or batch.shape[3] != 3 or 0 in batch.shape:
        raise ValueError(f"a batch must be (N, H, W, 3) and not empty, got {batch.shape}")


def pad(batch: Pixels, rule: SizeRule) -> Pixels:
    """``batch`` grown right and below by reflection to a size ``rule`` accepts, C-contiguous.

    Right and below only: the picture keeps its place on the net's grid of strides, and cropping is
    a slice from zero. A side of one pixel has nothing to reflect and is repeated.
    """
    _, height, width, _ = batch.shape
    fitted = rule.fit(Size(width, height))
    more = ((0, 0), (0, fitted.height - height), (0, fitted.width - width), (0, 0))
    if not any(after for _, after in more):
        return np.ascontiguousarray(batch)
    return np.pad(batch, more, mode="reflect")


def reason_of(error: BaseException) -> str:
    """What a runtime's message of many lines says happened, in one printable line.

    OpenVINO begins with places in its own sources; what happened is the last line that is none.
    """
    places = ("Exception from", "Check '", "While validating", "Summary", "-- ")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(places)]
    return brief((telling or lines or [type(error).__name__])[-1])
