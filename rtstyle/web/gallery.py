"""Which styles the page offers, and a picture of each."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path
from typing import Any

from rtstyle.errors import ModelError
from rtstyle.styles import StyleSpec, bundled_styles, user_styles
from rtstyle.web.child import DEFAULT_BOUNDS, Bounds, Order
from rtstyle.web.jobs import run_child
from rtstyle.web.spool import Spool

SAMPLE = "sample.jpg"


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

    def styles(self) -> dict[str, StyleSpec]:
        """By name, the default first."""
        found = {spec.name: spec for spec in bundled_styles()}
        for spec in user_styles().specs:
            found.setdefault(spec.name, spec)
        return found

    def public(self) -> list[dict[str, Any]]:
        """What the page is told."""
        return [
            {"name": spec.name, "title": spec.title, "licence": spec.licence}
            for spec in self.styles().values()
        ]

    async def picture(self, spec: StyleSpec) -> Path:
        """The sample scene in a style, a JPEG file; drawn once. Raises ModelError."""
        target = self._spool.folder / f"style-{spec.sha256 or spec.name}.jpg"
        async with self._turn:
            if not target.exists():
                source = self._spool.folder / SAMPLE
                if not source.exists():
                    data = files("rtstyle.web").joinpath("page", SAMPLE).read_bytes()
                    source.write_bytes(data)
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
        return target

    async def close(self) -> None:
        """Leave off drawing."""
        if self._drawing is not None:
            self._drawing.cancel()
            await asyncio.gather(self._drawing, return_exceptions=True)
