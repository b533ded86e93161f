"""Compiled engines kept from one run to the next, and trusted only where this user wrote them.

An engine is machine code: loading one is running it. So nothing is taken from the folder that was
not signed with a key of this user's own, and the folder is for this user alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import stat
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rtstyle.errors import OutputNotWritable
from rtstyle.files import open_regular, write_whole
from rtstyle.styles.folders import user_cache_folder

KEPT = 48
"""Engines in the folder; of more, those used longest ago go."""

_KEY_FILE = "key"
_STEM_LENGTH = 40
_STEM = re.compile(rf"[0-9a-f]{{{_STEM_LENGTH}}}")
_PRIVATE = 0o600
_KEY_BYTES = 32
_MOST_BYTES = 2**31
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineKey:
    """All that an engine depends on; another value in any field is another engine."""

    model_sha256: str
    """Of the style's file."""
    graph_sha256: str
    """Of the graph that was rewritten from it and is compiled."""
    precision: str
    profile: str
    """Least, best and greatest shape."""
    package: str
    package_version: str
    device: str
    """Name and compute capability."""
    kind: str = "engine"

    @property
    def identity(self) -> bytes:
        """The fields as bytes."""
        return json.dumps(asdict(self), sort_keys=True).encode("utf-8")

    @property
    def stem(self) -> str:
        """The file's name less its ending."""
        return hashlib.sha256(self.identity).hexdigest()[:_STEM_LENGTH]


class EngineCache:
    """Engines in ``folder``, which is made where it is missing.

    Never raises for what the file system refuses: a cache that cannot be used is said to be off,
    once, and then holds nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._key: bytes | None = None
        try:
            self.folder = cache_folder() if folder is None else folder
            _private_folder(self.folder)
            self._key = _user_key(self.folder)
        except OSError as error:
            reason = error.strerror or error
            _log.warning("compiled engines are not kept: %s: %s", self.folder, reason)
        except OutputNotWritable as error:  # a user without a home folder
            _log.warning("compiled engines are not kept: %s", error)

    def load(self, key: EngineKey) -> bytes | None:
        """The engine, or None where there is none that can be trusted; the log says which."""
        if self._key is None:
            return None
        file, signature = self._files(key)
        try:
            data, signed = _read(file), _read(signature)
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = error.strerror or error
            _log.warning("the kept engine %s is compiled anew: %s", file.name, reason)
            return None
        if not hmac.compare_digest(self._sign(key, data), signed.strip()):
            _log.warning(
                "the kept engine %s is compiled anew: it is not as it was written", file.name
            )
            return None
        with contextlib.suppress(OSError):
            os.utime(file)
        return data

    def store(self, key: EngineKey, data: bytes) -> None:
        """Keep an engine; what the file system refuses is logged and passed over."""
        if self._key is None:
            return
        file, signature = self._files(key)
        try:
            for path, content in ((file, data), (signature, self._sign(key, data))):
                write_whole(path, content, overwrite=True, mode=_PRIVATE, follow=False)
            self._prune()
        except OSError as error:
            _log.warning("a compiled engine is not kept: %s", error.strerror or error)

    def _files(self, key: EngineKey) -> tuple[Path, Path]:
        stem = self.folder / key.stem
        return stem.with_suffix(".engine"), stem.with_suffix(".hmac")

    def _sign(self, key: EngineKey, data: bytes) -> bytes:
        assert self._key is not None
        # What it is for is signed along: an engine under another's name is no engine for that.
        what = len(key.identity).to_bytes(8, "big") + key.identity
        signer = hmac.new(self._key, what, hashlib.sha256)
        signer.update(data)
        return signer.hexdigest().encode("ascii")

    def _prune(self) -> None:
        found = (file for file in self.folder.glob("*.engine") if _STEM.fullmatch(file.stem))
        for file in sorted(found, key=_last_used, reverse=True)[KEPT:]:
            for old in (file, file.with_suffix(".hmac")):
                old.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where engines are kept: ``rtstyle/engines`` in the user's cache folder of this system.

    XDG_CACHE_HOME counts everywhere where it is an absolute path.
    """
    return user_cache_folder() / "engines"


def _private_folder(folder: Path) -> None:
    """Make ``folder`` this user's alone; where others could write, nothing in it is trusted."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise NotADirectoryError(None, "it is no folder of its own")
    if sys.platform == "win32":
        return
    if facts.st_uid != os.getuid():
        raise PermissionError(None, "it belongs to another user")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        folder.chmod(0o700)
        (folder / _KEY_FILE).unlink(missing_ok=True)
        _log.warning("%s was open to other users: engines in it are compiled anew", folder)


def _user_key(folder: Path) -> bytes:
    """The key of this user, made on first use."""
    file = folder / _KEY_FILE
    with contextlib.suppress(FileNotFoundError):
        key = _read(file)
        if len(key) == _KEY_BYTES:
            return key
        file.unlink()
    # Of two processes one wins, and both read the same.
    with contextlib.suppress(FileExistsError):
        write_whole(file, secrets.token_bytes(_KEY_BYTES), overwrite=False, mode=_PRIVATE)
    return _read(file)


def _read(file: Path) -> bytes:
    """The bytes of a plain file that is this user's alone; OSError where it is anything else."""
    with os.fdopen(open_regular(file), "rb") as stream:
        facts = os.fstat(stream.fileno())
        if facts.st_size > _MOST_BYTES:
            raise PermissionError(None, "it is too large")
        if sys.platform != "win32":
            if facts.st_uid != os.getuid():
                raise PermissionError(None, "it belongs to another user")
            if stat.S_IMODE(facts.st_mode) & 0o022:
                raise PermissionError(None, "other users may write it")
        return stream.read()


def _last_used(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
