"""Errors, grouped by who must act on them. Each class carries the exit code of the command line.

RtstyleError                    1
├── UsageError                  2   the options contradict each other
├── InputError                  3   the source file must change
│   ├── NotAVideo                   not a media file at all
│   ├── NoVideoStream               media, but no picture in it
│   ├── CorruptInput                nothing, or too little, could be decoded
│   └── LimitExceeded               larger than Limits allow
├── OutputError                 4   the destination must change
│   ├── OutputExists
│   ├── OutputNotWritable
│   ├── DiskFull
│   └── EncoderUnavailable
├── ModelError                  5   the style must change
│   ├── UnknownStyle
│   ├── HashMismatch
│   ├── DownloadFailed
│   └── UnsafeModel
├── BackendError                6   the installation or the device must change
│   ├── BackendUnavailable
│   └── BackendOutOfMemory
└── CameraError                 7   the camera must change
    ├── CameraBusy
    └── CameraLost

Messages are one line: what happened, where, and the remedy. Programming mistakes stay ValueError,
TypeError and RuntimeError. Exit codes that are not errors: 0 success, 8 finished with loss
(see RunReport), 130 interrupted. A list, JSON or help that standard output cannot take is 4, and
141 without a word where its reader went away; what a command tells of its work changes no code.

Interrupted is a KeyboardInterrupt, and so not an error either.
"""

EXIT_FINISHED_WITH_LOSS = 8
EXIT_INTERRUPTED = 130


class RtstyleError(Exception):
    """Base of everything rtstyle raises on purpose; str() is one line fit for a user."""

    exit_code = 1


class UsageError(RtstyleError):
    """Options that contradict each other or lie outside their range."""

    exit_code = 2


class InputError(RtstyleError):
    """The source cannot be used."""

    exit_code = 3


class NotAVideo(InputError):
    """The source is missing, empty, a folder, or no media file."""


class NoVideoStream(InputError):
    """The source is media without moving pictures (sound only, or only a cover picture)."""


class CorruptInput(InputError):
    """Not one frame could be decoded, or too many in a row could not."""


class LimitExceeded(InputError):
    """The source is larger than Limits allow."""


class OutputError(RtstyleError):
    """The destination cannot be used."""

    exit_code = 4


class OutputExists(OutputError):
    """The destination is there already, or is the source itself."""


class OutputNotWritable(OutputError):
    """The destination's folder is missing or refuses files, or its extension is unknown."""


class DiskFull(OutputError):
    """The destination's file system has no room left."""


class EncoderUnavailable(OutputError):
    """The codec is not in this build, or cannot encode into this container or size."""


class ModelError(RtstyleError):
    """The style cannot be used."""

    exit_code = 5


class UnknownStyle(ModelError):
    """No style of that name, no such file."""


class HashMismatch(ModelError):
    """The model file is not the one its pack describes."""


class DownloadFailed(ModelError):
    """A style could not be fetched: no network, or a server that sends no such file."""


class UnsafeModel(ModelError):
    """The model file is refused: not ONNX, external data, unknown operators, wrong inputs."""


class BackendError(RtstyleError):
    """The inference backend cannot run."""

    exit_code = 6


class BackendUnavailable(BackendError):
    """The backend, device or precision asked for is not there."""


class BackendOutOfMemory(BackendError):
    """The net does not fit into the device's memory at this size."""


class CameraError(RtstyleError):
    """The camera cannot be used."""

    exit_code = 7


class CameraBusy(CameraError):
    """Another program holds the camera."""


class CameraLost(CameraError):
    """The camera stopped giving pictures."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM ended a conversion, and what was done is kept; str() is one line."""

    def __init__(self, message: str, *, kept: str, frames: int) -> None:
        """``kept``: the file with what was done; ``frames``: how many pictures are in it."""
        super().__init__(message)
        self.kept = kept
        self.frames = frames
