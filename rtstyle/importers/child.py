"""The process that looks at a file of others: reads it, builds its net, runs its graph.

It is told by a pipe, an order of JSON and then plain bytes, and answers alike; nothing that it
says is ever unpickled. Before each order it bounds what memory the order may take on top of what
the process has: what a file asks for beyond that fails here, where nobody is hurt.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtstyle.errors import RtstyleError
from rtstyle.memory import caused_by_memory
from rtstyle.runtimes import import_onnxruntime

if sys.platform != "win32":
    import resource

Array = npt.NDArray[Any]
Parts = list[bytes]

MOST_MEMORY = 4 * 2**30
"""Of one order, however large its file or its picture is."""
_OPEN_BYTES, _OPEN_TIMES = 384 * 2**20, 8
"""For a runtime to take a graph in: so much, and so many times the file."""
_RUN_BYTES, RUN_BYTES_A_PIXEL = 192 * 2**20, 8192
"""A net of 512 channels at the full size takes a fourth of that."""
_READ_BYTES, _READ_TIMES = 320 * 2**20, 8
"""For a graph to be parsed, checked and rewritten."""
_WEIGHTS_BYTES, _WEIGHTS_TIMES = 640 * 2**20, 24
"""For weights to be unpacked, and their net built, exported and run once."""
_IDLE_BYTES = 384 * 2**20
"""To be told of the next order in."""
_MOST_GROWTH = 64
"""How many times as large as what it was fed the results of a graph may be together."""
_FEW_BYTES = 2**20


class _TooLargeError(Exception):
    """A result that nobody asked for."""


def serve(pipe: Connection) -> None:
    """The process: does as it is told until the pipe is closed."""
    # Ctrl-C goes to all processes of a terminal; the other one ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _no_dump()
    nets: list[Any] = []
    orders: dict[str, Callable[[dict[str, Any]], tuple[dict[str, Any], Parts]]] = {
        "open": lambda order: _open(pipe, order, nets),
        "run": lambda order: _run(pipe, order, nets),
        "graph": lambda order: _graph(pipe, order),
        "weights": lambda order: _weights(pipe, order),
    }
    with contextlib.suppress(EOFError, OSError):
        _say(pipe, {})
        while True:
            order = json.loads(pipe.recv_bytes())
            try:
                answer, parts = orders[order["do"]](order)
            except (EOFError, BrokenPipeError):
                raise
            except Exception as error:
                # Whatever libraries throw at what nobody here made; what was taken is let go of.
                answer, parts = _complaint(error), []
            _say(pipe, answer)
            for part in parts:
                pipe.send_bytes(part)
            del answer, parts
            allow(_IDLE_BYTES)


def _complaint(error: Exception) -> dict[str, Any]:
    if caused_by_memory(error):
        return {"memory": True}
    if isinstance(error, RtstyleError):
        return {"refused": [type(error).__name__, str(error)]}
    return {"error": " ".join(str(error).split())[:120] or type(error).__name__}


def _open(pipe: Connection, order: dict[str, Any], nets: list[Any]) -> tuple[dict[str, Any], Parts]:
    model = pipe.recv_bytes()
    onnxruntime = import_onnxruntime()
    allow(_OPEN_BYTES + _OPEN_TIMES * len(model))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if order["plain"]:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    nets.append(onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]))
    return {"net": len(nets) - 1}, []


def _run(pipe: Connection, order: dict[str, Any], nets: list[Any]) -> tuple[dict[str, Any], Parts]:
    feed: Mapping[str, Array] = {
        name: np.frombuffer(pipe.recv_bytes(), np.dtype(kind)).reshape(lengths)
        for name, kind, lengths in order["feed"]
    }
    fed = sum(value.size for value in feed.values())
    allow(_RUN_BYTES + RUN_BYTES_A_PIXEL * (fed // 3))
    results = [np.asarray(result) for result in nets[order["net"]].run(order["names"], feed)]
    got = sum(result.nbytes for result in results)
    if got > _MOST_GROWTH * 4 * fed + _FEW_BYTES:
        raise _TooLargeError(f"it gives {got} bytes for a picture of {fed}")
    told = [[result.dtype.name, list(result.shape)] for result in results]
    return {"results": told}, [np.ascontiguousarray(result).tobytes() for result in results]


def _graph(pipe: Connection, order: dict[str, Any]) -> tuple[dict[str, Any], Parts]:
    data = pipe.recv_bytes()
    from rtstyle.importers.wrap import admit_foreign, read_graph

    allow(_READ_BYTES + _READ_TIMES * len(data))
    foreign = read_graph(data, order["name"])
    admit_foreign(foreign, order["layout"], order["name"])
    return {"facts": foreign.facts}, [foreign.model.SerializeToString()]


def _weights(pipe: Connection, order: dict[str, Any]) -> tuple[dict[str, Any], Parts]:
    name, shape = order["name"], order["shape"]
    picture = np.frombuffer(pipe.recv_bytes(), np.uint8).reshape(shape)
    data = pipe.recv_bytes()
    from rtstyle.importers.checkpoint import from_checkpoint
    from rtstyle.importers.places import bytes_of
    from rtstyle.importers.tensors import read_tensorflow, read_tensors

    prefix = order["prefix"]
    size = len(data) if prefix is None else bytes_of(Path(prefix))
    allow(_WEIGHTS_BYTES + _WEIGHTS_TIMES * size)
    digest = ""
    if prefix is None:
        state = read_tensors(data, name)
    else:
        state, digest = read_tensorflow(Path(prefix))
    made = from_checkpoint(state, name, picture, size=size, align_corners=order["align_corners"])
    rule = [made.rule.minimum, made.rule.multiple_of]
    facts = {"kind": made.kind, "family": made.family, "rule": rule, "notes": list(made.notes)}
    return {**facts, "digest": digest}, [made.model, made.expected.tobytes()]


def _say(pipe: Connection, answer: dict[str, Any]) -> None:
    pipe.send_bytes(json.dumps(answer).encode())


def _no_dump() -> None:
    if sys.platform != "win32":
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def allow(more: int) -> None:
    """Let this process take ``more`` bytes beyond what it has, MOST_MEMORY at most; POSIX only.

    On Linux what it can write to is bounded, since libraries reserve addresses that they never
    touch. A limit that whoever started it has set is never exceeded.
    """
    if sys.platform == "win32":
        return
    more = min(more, MOST_MEMORY)
    which = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    with contextlib.suppress(OSError, ValueError):
        soft, hard = _given(which)
        has = _data_bytes()
        bound = 2 * MOST_MEMORY if has is None else has + more
        least = [n for n in (bound, soft, hard) if n != resource.RLIM_INFINITY]
        resource.setrlimit(which, (min(least), hard))


_FIRST: dict[int, tuple[int, int]] = {}


def _given(which: int) -> tuple[int, int]:
    """The limits with which this process began."""
    if sys.platform == "win32":
        raise OSError("no limits here")
    return _FIRST.setdefault(which, resource.getrlimit(which))


def _data_bytes() -> int | None:
    """Bytes that this process can write to; None where this system does not tell."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return None
