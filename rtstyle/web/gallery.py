"""Which styles the page offers, and a picture of each."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from rtstyle.errors import ModelError, OutputNotWritable
from rtstyle.files import create, read_regular, write_whole
from rtstyle.styles import StyleSpec, bundled_styles, user_styles
from rtstyle.styles.folders import user_cache_folder
from rtstyle.web.child import DEFAULT_BOUNDS, Bounds, Order
from rtstyle.web.process import run_child
from rtstyle.web.spool import Spool

SAMPLE = "sample.jpg"
_MOST_BYTES = 8 * 2**20
"""Of a kept picture; a real one has less than a tenth."""
_LOG = logging.getLogger(__name__)


class Gallery:
    """The bundled styles and the user's own, as they are now."""

    def __init__(
        self, spool: Spool, *, backend: str = "auto", bounds: Bounds = DEFAULT_BOUNDS
    ) -> None:
        self._spool, self._backend = spool, backend
        self._bounds = bounds
        # One after another: pictures of styles are not worth a busy machine.
        self._turn = asyncio.Lock()
        self._drawing: asyncio.Task[dict[str, Any]] | None = None
        self._told: set[str] = set()

    def styles(self) -> dict[str, StyleSpec]:
        """By name, the default first."""
        found = {spec.name: spec for spec in bundled_styles()}
        for spec in self._own():
            found.setdefault(spec.name, spec)
        return found

    def _own(self) -> Iterator[StyleSpec]:
        """The user's own; what is wrong with one hides no other, and is reported once."""
        found = user_styles()
        for reason in found.broken:
            if reason not in self._told:
                self._told.add(reason)
                _LOG.warning("a style cannot be used: %s", reason)
        yield from found.specs

    def public(self) -> list[dict[str, Any]]:
        """What the page is told."""
        return [
            {"name": spec.name, "title": spec.title, "licence": spec.licence}
            for spec in self.styles().values()
        ]

    async def picture(self, spec: StyleSpec) -> Path:
        """The sample scene in a style, a JPEG file; drawn once and kept in the user's cache.

        Raises ModelError.
        """
        data = files("rtstyle.web").joinpath("page", SAMPLE).read_bytes()
        kept = _kept(spec, data)
        if kept is not None and _is_whole(kept):
            return kept
        target = self._spool.folder / f"style-{spec.sha256 or spec.name}.jpg"
        async with self._turn:
            if not target.exists():
                source = self._spool.folder / SAMPLE
                try:
                    if not source.exists():
                        with os.fdopen(create(source, mode=0o600), "wb") as file:
                            file.write(data)
                except OSError as error:
                    reason = error.strerror or type(error).__name__
                    raise ModelError(f"{spec.name} cannot be shown: {reason}") from None
                order = Order(
                    "image",
                    str(source),
                    str(target),
                    spec.name,
                    backend=self._backend,
                    bounds=self._bounds,
                )
                self._drawing = asyncio.create_task(run_child(order))
                try:
                    said = await self._drawing
                except OSError as error:
                    said = {"error": f"no process could be started ({error.strerror})"}
                if not target.exists():
                    raise ModelError(f"{spec.name} cannot be shown: {said.get('error', '')}")
                if kept is not None:
                    _keep(target, kept)
        return target

    async def close(self) -> None:
        """Leave off drawing."""
        if self._drawing is not None:
            self._drawing.cancel()
            await asyncio.gather(self._drawing, return_exceptions=True)


def _kept(spec: StyleSpec, sample: bytes) -> Path | None:
    """Where the picture of a style is kept between servers; None for one without a hash, and
    where no cache folder is known."""
    if spec.sha256 is None:
        return None
    # Neither another net of this name nor another scene is taken for this one.
    scene = hashlib.sha256(sample).hexdigest()[:16]
    with contextlib.suppress(OutputNotWritable):
        return user_cache_folder() / "gallery" / f"{spec.sha256}-{scene}.jpg"
    return None


def _is_whole(picture: Path) -> bool:
    """Whether a JPEG file is there from its first mark to its last; a power cut may cut it."""
    try:
        data = read_regular(picture, _MOST_BYTES)
    except OSError:
        return False
    return data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")


def _keep(made: Path, kept: Path) -> None:
    """Copy ``made`` to ``kept``, whole or not at all; a cache that cannot be written is no loss."""
    # Two servers may draw the same picture.
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, read_regular(made, _MOST_BYTES), overwrite=True, follow=False)
