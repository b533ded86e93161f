"""Where ``rtstyle live`` puts its pictures: what was chosen, checked and opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rtstyle.addresses import is_url
from rtstyle.cli.apart import refuse_style
from rtstyle.cli.terminal import echo
from rtstyle.errors import CameraError, OutputNotWritable, UsageError
from rtstyle.files import same_place
from rtstyle.live import (
    Beside,
    LiveSink,
    MjpegServer,
    Nowhere,
    OrElse,
    Place,
    VirtualCamera,
    parse_place,
    record_to,
)
from rtstyle.media import EncodeOptions, check_address, check_output

_NO_FILE = ("window", "virtualcam", "mjpeg", "none")
_CRASH_PROOF = (".mkv",)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the options say of the outputs."""

    output: str
    record: str | None
    fps: float | None
    bitrate: int | None
    """Kilobits a second."""
    insecure: bool
    overwrite: bool

    @property
    def is_served(self) -> bool:
        """Whether pictures are fetched from us, not sent."""
        return self.output == "mjpeg" or (is_url(self.output) and is_http(self.output))

    def check(self, camera: str, styles: Sequence[str] = ()) -> None:
        """Refuse what cannot be, before anything is opened; ``styles`` are those to be loaded."""
        if self.is_served:
            parse_place(self.output, insecure=self.insecure)
        elif self.insecure:
            raise UsageError("--insecure is for --output http://HOST:PORT; leave it out")
        targets = [] if self.is_served or self.output in _NO_FILE else [self.output]
        targets += [] if self.record is None else [self.record]
        for target in targets:
            check_place(target, camera, overwrite=self.overwrite)
        files = [Path(target) for target in targets if not is_url(target)]
        same = self.record == self.output or (len(files) == 2 and same_place(*files))
        if self.record is not None and same:
            raise UsageError(
                f"{self.record}: --record and --output name the same file; leave one out"
            )
        refuse_style(files, styles)
        if self.bitrate is not None and not any(is_url(target) for target in targets):
            raise UsageError("--bitrate is for addresses that are sent to; leave it out")
        for target in targets:
            if not (is_url(target) or os.path.isfile(camera) or is_crash_proof(target)):
                warn(f"{target}: after a crash nothing of it can be played; of an .mkv it can")

    def open(self, stack: ExitStack) -> tuple[list[LiveSink], Beside | None]:
        """The sinks, given up at the end of ``stack``, and the recording beside what is on show."""
        bits = None if self.bitrate is None else 1000 * self.bitrate
        to = partial(record_to, rate=self.fps, overwrite=self.overwrite, bits=bits, tell=warn)
        sinks: list[LiveSink] = []
        beside: Beside | None = None
        if self.record is not None:
            recorder = to(self.record)
            stack.callback(recorder.abort)
            # Where nothing is on show the recording is all there is, and its error ends the run.
            beside = None if self.output == "none" else Beside(recorder, warn)
            sinks.append(beside or recorder)
        if self.is_served:
            sinks.append(serve(parse_place(self.output, insecure=self.insecure)))
        elif self.output == "none":
            sinks.append(Nowhere())
        elif self.output == "virtualcam":
            sinks.append(OrElse(lambda: VirtualCamera(rate=self.fps), stand_in))
        elif self.output != "window":
            sinks.append(to(self.output))
        for sink in sinks:
            stack.callback(sink.abort)
        return sinks, beside


def check_place(target: str, camera: str, *, overwrite: bool) -> None:
    """Refuse a file or address that cannot be written."""
    if is_url(target):
        check_address(target)
        return
    source = Path(camera) if os.path.isfile(camera) else None
    options = EncodeOptions(audio="none", subtitles="none")
    check_output(Path(target), source=source, overwrite=overwrite, options=options)


def is_http(url: str) -> bool:
    """Whether the address is one that browsers open."""
    return url.lower().startswith(("http://", "https://"))


def is_crash_proof(name: str) -> bool:
    """Whether what was written of such a file plays although it was never finished."""
    return Path(name).suffix.lower() in _CRASH_PROOF


def serve(place: Place) -> MjpegServer:
    """Serve pictures, and say where."""
    server = MjpegServer(place)
    where = ", with an address of this machine in its place" if place.is_everywhere else ""
    echo(f"pictures are at {server.url}{where}", secret=True)
    echo("open it in OBS (Media or Browser source), VLC or a browser; Ctrl-C ends it")
    return server


def stand_in(reason: CameraError) -> MjpegServer:
    """What is done without a virtual camera, which must not end a show."""
    warn(f"{reason}; until then the pictures are served at an address")
    try:
        return serve(Place(any_port=True))
    except OutputNotWritable as error:
        raise CameraError(f"{reason}; or, to be given an address instead: {error}") from None


def warn(line: str) -> None:
    """Say it at once; a terminal that was closed must not end a show."""
    echo(f"warning: {line}", err=True)
