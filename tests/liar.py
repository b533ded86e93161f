"""A server on this machine that sends files as it is told to: whole, cut short, slowly, lying."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Liar:
    """What one server does next, and what it was asked."""

    data: bytes
    answers: list[Callable[[Request], None]] = field(default_factory=list)
    """Taken one a request; ``whole`` when they are used up."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of each request."""
    closing: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    scheme: str = "http"

    def address(self, path: str = "/style.onnx", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


class Request(BaseHTTPRequestHandler):
    """One request; the answers below write through it."""

    protocol_version = "HTTP/1.1"
    liar: Liar

    def do_GET(self) -> None:
        self.close_connection = True
        self.liar.asked.append((self.path, self.headers.get("Range")))
        answer = self.liar.answers.pop(0) if self.liar.answers else whole
        # The client had enough, as it should.
        with suppress(BrokenPipeError, ConnectionResetError):
            answer(self)

    def begin(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        del format, args


def whole(request: Request) -> None:
    """The file, or the part of it that was asked for."""
    body(request, request.liar.data)


def body(request: Request, data: bytes, *, cut: int | None = None) -> None:
    """``data`` from the byte asked for on; only ``cut`` bytes of what is announced."""
    span = request.headers.get("Range")
    start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
    rest = data[start:]
    headers = {"Content_Length": str(len(rest))}
    if span:
        headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
    request.begin(206 if span else 200, **headers)
    request.wfile.write(rest[:cut])


def cut(bytes_sent: int) -> Callable[[Request], None]:
    return lambda request: body(request, request.liar.data, cut=bytes_sent)


def other_file(request: Request) -> None:
    """A file of the same length that is not the one."""
    body(request, bytes(len(request.liar.data)))


def without_ranges(request: Request) -> None:
    request.begin(200, Content_Length=str(len(request.liar.data)))
    request.wfile.write(request.liar.data)


def page(request: Request) -> None:
    text = b"<html>log in to this hotel's network</html>"
    request.begin(200, Content_Type="text/html", Content_Length=str(len(text)))
    request.wfile.write(text)


def status(code: int) -> Callable[[Request], None]:
    return lambda request: request.begin(code, Content_Length="0")


def redirect(place: Callable[[Liar], str]) -> Callable[[Request], None]:
    return lambda request: request.begin(302, Location=place(request.liar), Content_Length="0")


def short_file(request: Request) -> None:
    """What a Git LFS store that is used up sends: the pointer in the file's place."""
    text = b"version https://git-lfs.github.com/spec/v1\n"
    request.begin(200, Content_Length=str(len(text)))
    request.wfile.write(text)


def endless(request: Request) -> None:
    """No length, and far more than the file; not more than a disk holds, should nobody stop."""
    request.begin(200)
    for _ in range(50):
        request.wfile.write(request.liar.data)


def stall(request: Request) -> None:
    """The beginning, and then nothing."""
    request.begin(200, Content_Length=str(len(request.liar.data)))
    request.wfile.write(request.liar.data[:100])
    request.wfile.flush()
    request.liar.closing.wait(20)


def drip(request: Request) -> None:
    """A byte now and then, for ever."""
    request.begin(200, Content_Length=str(len(request.liar.data)))
    for byte in request.liar.data:
        if request.liar.closing.wait(0.02):
            return
        request.wfile.write(bytes((byte,)))
        request.wfile.flush()


def dripped_headers(request: Request) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not request.liar.closing.wait(0.02):
        request.wfile.write(b"X-Wait: 1\r\n"[:1])
        request.wfile.flush()


def slowly(request: Request) -> None:
    """The whole file, in a second or so."""
    request.begin(200, Content_Length=str(len(request.liar.data)))
    size = len(request.liar.data)
    for at in range(0, size, size // 10):
        request.wfile.write(request.liar.data[at : at + size // 10])
        request.wfile.flush()
        time.sleep(0.05)


@contextmanager
def serving(
    data: bytes, *answers: Callable[[Request], None], tls: ssl.SSLContext | None = None
) -> Iterator[Liar]:
    """A server for ``data`` on a port of its own, gone at the end with all its threads."""
    liar = Liar(data, list(answers))
    handler = type("Bound", (Request,), {"liar": liar})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    if tls is not None:
        # The handshake is for the request's own thread: one that fails must not end the server.
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        liar.scheme = "https"
    liar.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield liar
    finally:
        liar.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
