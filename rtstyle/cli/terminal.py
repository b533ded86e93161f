"""What the command line says: the one place that prints, whatever the text and wherever it goes.

Text comes from file names, tags, style cards, servers and libraries, and may hold anything. Shown
is only what moves no cursor, turns no letter around and tells no secret. A stream that is closed,
full or has no reader costs what would have been shown there, and never the work that told of it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import click

from rtstyle.addresses import without_secrets_in
from rtstyle.errors import OutputError
from rtstyle.texts import is_plain, printable

_OWN = re.compile(r"\x1b\[(?:\?25[lh]|K)|[\r\n\t]")
_PIECES = re.compile(f"({_OWN.pattern})")
"""What bars on a terminal are drawn with: hide and show the cursor, wipe to the line's end."""
_STANDARD = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


class ReaderGoneError(Exception):
    """Whoever read standard output went away; a program then ends without a word."""


class LostOutputError(OutputError):
    """Standard output, on which the result was to stand, cannot be written."""


def shown(text: str, *, lines: bool = False) -> str:
    """``text`` as people may see it: printable, addresses without passwords and keys."""
    return printable(without_secrets_in(text), lines=lines)


def _drawable(text: str) -> str:
    """``printable``, but for the ends of lines and what bars are drawn with: the last sieve, for
    what others than ``echo`` print."""
    if text.isprintable():
        return text
    return "".join(
        piece if _OWN.fullmatch(piece) else printable(piece) for piece in _PIECES.split(text)
    )


def echo(text: str = "", *, err: bool = False, secret: bool = False) -> None:
    """Print one line, on standard error with ``err``; addresses in it whole with ``secret``, for
    those that the reader is to open."""
    _write((printable(text) if secret else shown(text)) + "\n", sys.stderr if err else sys.stdout)


def echo_json(content: object) -> None:
    """Print ``content`` as JSON, for programs."""
    _write(json_text(content, encoding=sys.stdout.encoding) + "\n", sys.stdout)


def echo_traceback(error: BaseException) -> None:
    """Print where an error came from, on standard error."""
    _write(shown("".join(traceback.format_exception(error)), lines=True), sys.stderr)


def redraw(line: str, stream: TextIO, *, end: str = "") -> None:
    """Print ``line`` over the line where the cursor is."""
    _write(f"\r{shown(line)}{end}", stream)


def log(line: str, stream: TextIO) -> None:
    """Print a line on a stream that may be any."""
    _write(shown(line) + "\n", stream)


def _write(text: str, stream: TextIO) -> None:
    click.echo(text, file=stream, nl=False)


def json_text(content: object, *, encoding: str | None = "utf-8") -> str:
    """``content``, in types JSON knows, as text that any terminal and any file takes."""
    for ascii_only in (False, True):
        text = json.dumps(content, indent=2, ensure_ascii=ascii_only)
        text = "".join(c if c == "\n" or is_plain(c) else _json_escaped(c) for c in text)
        with contextlib.suppress(UnicodeEncodeError):
            text.encode(encoding or "utf-8")
            break
    return text


def _json_escaped(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else json.dumps(character)[1:-1]


class Shown:
    """A standard stream that takes every text, and ends nothing that must go on.

    Stands in for ``sys.stdout`` and ``sys.stderr``. It offers no ``buffer``, since what is written
    past it would not be looked at.
    """

    def __init__(self, stream: TextIO, *, missing: bool = False, product: bool = False) -> None:
        """``missing``: the program was started without it. ``product``: what is written there may
        be the very result, see ``keep_going``."""
        self._stream = stream
        self._lost: BaseException | None = OSError(errno.EBADF, "it is closed") if missing else None
        self.strict = product
        """Whether the loss of it is an error."""

    def write(self, text: str) -> int:
        """Show ``text``; raises ReaderGoneError and LostOutputError where it is ``strict``."""
        if not isinstance(text, str):
            raise TypeError(f"text is written here, got {type(text).__name__}")
        if text and self._lost is None:
            try:
                self._show(_drawable(text))
            except (OSError, ValueError) as error:
                self._lose(error)
        self._complain(bool(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """``write`` each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what waits; raises as ``write``."""
        if self._lost is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)
                self._complain(True)

    def isatty(self) -> bool:
        """Whether somebody watches."""
        try:
            return self._lost is None and self._stream.isatty()
        except ValueError:
            return False

    def _show(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            code = self._stream.encoding or "ascii"
            self._stream.write(text.encode(code, "backslashreplace").decode(code))

    def _lose(self, error: BaseException) -> None:
        self._lost = error
        # What waits in buffers, and what children write, goes nowhere instead of failing again.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def _complain(self, wanted: bool) -> None:
        if self._lost is None or not (self.strict and wanted):
            return
        if isinstance(self._lost, BrokenPipeError):
            raise ReaderGoneError from self._lost
        reason = getattr(self._lost, "strerror", None) or self._lost
        raise LostOutputError(
            f"standard output cannot be written ({reason}); send it to another file or program"
        ) from self._lost

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        if name in ("buffer", "detach", "_stream"):
            raise AttributeError(name)
        return getattr(self._stream, name)


def keep_going() -> None:
    """From here on a command makes something: what it tells of it may be lost, it goes on."""
    if isinstance(sys.stdout, Shown):
        sys.stdout.strict = False


@contextmanager
def guarded() -> Iterator[None]:
    """Stand between the program and its standard streams, which may be missing, closed or full."""
    missing = _open_missing()
    before = sys.stdout, sys.stderr
    if isinstance(before[0], Shown):  # a command within a command
        yield
        return
    out = Shown(sys.stdout, missing="stdout" in missing, product=True)
    err = Shown(sys.stderr, missing="stderr" in missing)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield
    finally:
        out.strict = False
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def _open_missing() -> set[str]:
    """Put the null device where a standard stream is missing, and tell which were.

    Else the next file that is opened, a film for one, would get its number, and be written into
    by whatever writes to standard error.
    """
    missing = set()
    for number, (name, mode) in enumerate(_STANDARD):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            missing.add(name)
            # The number stays open to the end, as that of any standard stream.
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    return missing
