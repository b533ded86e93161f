"""Foreign files are read, built and run in a process of its own, ended when it takes too long.

What a reader or a runtime does with a file that nobody here made is not in our hands: it may take
hours, fill the memory or crash. Everything goes to and fro as plain bytes, so nothing that the
process says is ever unpickled. What the process does is in ``rtstyle.importers.child``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from rtstyle.errors import ModelError, UnsafeModel, UsageError
from rtstyle.importers.child import serve

Array = npt.NDArray[Any]
Built = Callable[[], bytes]
"""Gives the pieces of an answer one after the other."""

RUN_SECONDS = 30.0
"""For a picture of up to 256x256, and in proportion for larger ones."""
OPEN_SECONDS = 60.0
"""For the runtime to take the graph in."""
TOTAL_SECONDS = 300.0
"""For everything that is run to look at one file."""
BUILD_SECONDS = 240.0
"""For a file to be read and its net to be built."""
_START_SECONDS = 120.0
_RUN_PIXELS = 256 * 256
_MOST_ANSWER = 2**31 - 1
_KINDS = ("float32", "float16", "uint8")
_REFUSALS = {kind.__name__: kind for kind in (ModelError, UnsafeModel, UsageError)}
"""What the process may refuse a file with."""


class RunError(Exception):
    """The runtime does not take the graph, or the graph does not take what it was fed."""


class Session(Protocol):
    """A graph that can be run."""

    def run(self, names: Sequence[str] | None, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs named, all of them for None, each float32, float16 or uint8.

        Raises RunError where the graph does not take ``feed``, UnsafeModel where it takes too long
        or its process dies.
        """
        ...


class Confinement:
    """One process for all graphs that come from the file ``name``; started when first needed.

    As a context: whatever it is left by, the process has ended then.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._spent = 0.0

    def open(self, model: bytes, *, plain: bool = False) -> Session:
        """The graph ``model`` at float32; with ``plain`` run as it stands, nothing fused.

        Raises RunError where the runtime does not take it, UnsafeModel where that takes too long.
        """
        self._start()
        answer = self._ask({"do": "open", "plain": plain}, [model], OPEN_SECONDS, "to be read")
        return _Remote(self, int(answer["net"]))

    def build(self, order: Mapping[str, Any], parts: list[bytes]) -> tuple[dict[str, Any], Built]:
        """Have a file read, and made a net of, as ``rtstyle.importers.child`` does for ``order``.

        The answer and two pieces of bytes at most, each asked for in turn. Raises what the process
        refuses the file with, RunError where it fails otherwise, UnsafeModel where it takes too
        long, needs too much memory or dies.
        """
        self._start()
        answer = self._ask(dict(order), parts, BUILD_SECONDS, "to be read")
        return answer, self._hear_bytes

    def run(self, net: int, names: Sequence[str] | None, feed: Mapping[str, Array]) -> list[Array]:
        """See ``Session.run``."""
        order = {"do": "run", "net": net, "names": names and list(names)}
        order["feed"] = [[k, v.dtype.name, list(v.shape)] for k, v in feed.items()]
        shape = next(iter(feed.values())).shape
        height, width = shape[2:] if shape[1] == 3 else shape[1:3]
        limit = RUN_SECONDS * max(1.0, shape[0] * height * width / _RUN_PIXELS)
        about = f"for a picture of {width}x{height}"
        parts = [np.ascontiguousarray(v).tobytes() for v in feed.values()]
        answer = self._ask(order, parts, limit, about)
        return [self._hear_array(kind, lengths) for kind, lengths in answer["results"]]

    def _start(self) -> None:
        if self._process is not None:
            return
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        try:
            process = context.Process(target=serve, args=(theirs,), daemon=True)
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            # What is left of it is the process's own, so that its death closes the pipe.
            theirs.close()
        self._process, self._pipe = process, ours
        self._hear(_START_SECONDS, "to start")
        self._spent = 0.0

    def _ask(
        self, order: dict[str, Any], parts: list[bytes], limit: float, about: str
    ) -> dict[str, Any]:
        assert self._pipe is not None, "the process was ended"
        try:
            self._pipe.send_bytes(json.dumps(order).encode())
            for part in parts:
                self._pipe.send_bytes(part)
        except OSError as error:
            raise self._died() from error
        answer = self._hear(limit, about)
        if "memory" in answer:
            self.close()
            raise UnsafeModel(
                f"{self._name} is refused: it wants more memory {about} than a style may; "
                "expected a net that is fit for video"
            )
        if "refused" in answer:
            kind, text = answer["refused"]
            raise _REFUSALS.get(str(kind), UnsafeModel)(str(text))
        if "error" in answer:
            raise RunError(str(answer["error"]))
        return answer

    def _hear(self, limit: float, about: str) -> dict[str, Any]:
        assert self._pipe is not None, "the process was ended"
        began = time.monotonic()
        try:
            if not self._pipe.poll(min(limit, max(0.0, TOTAL_SECONDS - self._spent) + 0.001)):
                self.close()
                spent = time.monotonic() - began
                if spent < limit:
                    about, limit = "to be looked at", TOTAL_SECONDS
                raise UnsafeModel(
                    f"{self._name} is refused: it takes more than {limit:g} s {about}; expected a "
                    "net that is fit for video"
                )
            answer: dict[str, Any] = json.loads(self._pipe.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._died() from error
        finally:
            self._spent += time.monotonic() - began
        return answer

    def _hear_bytes(self) -> bytes:
        assert self._pipe is not None, "the process was ended"
        try:
            return self._pipe.recv_bytes(_MOST_ANSWER)
        except (EOFError, OSError) as error:
            raise self._died() from error

    def _hear_array(self, kind: str, lengths: list[int]) -> Array:
        data = self._hear_bytes()
        if kind not in _KINDS:
            raise RunError(f"it gives {kind}")
        return np.frombuffer(data, np.dtype(kind)).reshape(lengths)

    def _died(self) -> UnsafeModel:
        self.close()
        return UnsafeModel(
            f"{self._name} is refused: the process that looked at it died, as one does that wants "
            "too much memory; expected a net that is fit for video"
        )

    def close(self) -> None:
        """End the process; calling it twice is allowed."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Remote:
    """A graph in the other process."""

    def __init__(self, confinement: Confinement, net: int) -> None:
        self._confinement, self._net = confinement, net

    def run(self, names: Sequence[str] | None, feed: Mapping[str, Array]) -> list[Array]:
        return self._confinement.run(self._net, names, feed)
