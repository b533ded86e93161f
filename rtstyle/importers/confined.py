"""Foreign graphs run in a process of their own, which is ended when they take too long.

What a runtime does with a graph that nobody here made is not in our hands: it may take hours, fill
the memory or crash. Arrays go to and fro as plain bytes, so nothing that the process says is ever
unpickled.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from rtstyle.errors import UnsafeModel
from rtstyle.runtimes import import_onnxruntime

Array = npt.NDArray[Any]

RUN_SECONDS = 30.0
"""For a picture of up to 256x256, and in proportion for larger ones."""
OPEN_SECONDS = 60.0
"""For the runtime to take the graph in."""
TOTAL_SECONDS = 300.0
"""For everything that is run to look at one file."""
_START_SECONDS = 120.0
_RUN_PIXELS = 256 * 256
_MOST_MEMORY = 8 * 2**30
_KINDS = ("float32", "float16", "uint8")


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

    def run(self, net: int, names: Sequence[str] | None, feed: Mapping[str, Array]) -> list[Array]:
        """See ``Session.run``."""
        order = {"do": "run", "net": net, "names": names and list(names)}
        order["feed"] = [[k, v.dtype.name, list(v.shape)] for k, v in feed.items()]
        shape = next(iter(feed.values())).shape
        height, width = shape[2:] if shape[1] == 3 else shape[1:3]
        limit = RUN_SECONDS * max(1.0, shape[0] * height * width / _RUN_PIXELS)
        about = f"for a picture of {width}x{height}"
        answer = self._ask(
            order, [np.ascontiguousarray(v).tobytes() for v in feed.values()], limit, about
        )
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

    def _hear_array(self, kind: str, lengths: list[int]) -> Array:
        assert self._pipe is not None, "the process was ended"
        try:
            data = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if kind not in _KINDS:
            raise RunError(f"it gives {kind}")
        return np.frombuffer(data, np.dtype(kind)).reshape(lengths)

    def _died(self) -> UnsafeModel:
        self.close()
        return UnsafeModel(
            f"{self._name} is refused: the process that ran it died, as one does that wants more "
            f"than {_MOST_MEMORY >> 30} GB; expected a net that is fit for video"
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


def serve(pipe: Connection) -> None:
    """The process: takes graphs and runs them until the pipe is closed."""
    # Ctrl-C goes to all processes of a terminal; the other one ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _bound_memory()
    onnxruntime = import_onnxruntime()
    nets: list[Any] = []
    with contextlib.suppress(EOFError, OSError):
        _say(pipe, {})
        while True:
            order = json.loads(pipe.recv_bytes())
            if order["do"] == "open":
                model = pipe.recv_bytes()
                try:
                    nets.append(_open(onnxruntime, model, plain=order["plain"]))
                except Exception as error:  # the runtime's own kinds, one for each complaint
                    _say(pipe, {"error": _why(error)})
                else:
                    _say(pipe, {"net": len(nets) - 1})
                continue
            feed = {
                name: np.frombuffer(pipe.recv_bytes(), np.dtype(kind)).reshape(lengths)
                for name, kind, lengths in order["feed"]
            }
            try:
                results = nets[order["net"]].run(order["names"], feed)
            except Exception as error:  # as above, one for each way not to fit
                _say(pipe, {"error": _why(error)})
                continue
            _say(pipe, {"results": [[r.dtype.name, list(r.shape)] for r in results]})
            for result in results:
                pipe.send_bytes(np.ascontiguousarray(result).tobytes())


def _open(onnxruntime: Any, model: bytes, *, plain: bool) -> Any:  # noqa: ANN401 - untyped package
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if plain:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _say(pipe: Connection, answer: dict[str, Any]) -> None:
    pipe.send_bytes(json.dumps(answer).encode())


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        least = _MOST_MEMORY if hard == resource.RLIM_INFINITY else min(hard, _MOST_MEMORY)
        resource.setrlimit(resource.RLIMIT_AS, (least, hard))
