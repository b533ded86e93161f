"""Pictures of styles: drawn once, kept for the next server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtstyle.errors import ModelError
from rtstyle.styles import find_style
from rtstyle.styles.folders import user_cache_folder

pytest.importorskip("aiohttp")

from rtstyle.web.gallery import Gallery
from rtstyle.web.spool import Spool


@pytest.fixture(autouse=True)
def spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def drawn(*, backend: str = "auto") -> bytes:
    """The picture of a style from a server of its own."""

    async def main() -> bytes:
        with Spool(max_bytes=1000) as spool:
            gallery = Gallery(spool, backend=backend)
            try:
                return (await gallery.picture(find_style("great-wave"))).read_bytes()
            finally:
                await gallery.close()

    return asyncio.run(main())


def test_a_picture_is_kept_for_the_next_server() -> None:
    first = drawn()
    pixels = cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    kept = list((user_cache_folder() / "gallery").iterdir())
    assert [file.read_bytes() for file in kept] == [first]
    # This backend cannot draw anything, and need not.
    assert drawn(backend="none of these") == first
    kept[0].write_bytes(first[:-100])
    with pytest.raises(ModelError, match="great-wave cannot be shown"):
        drawn(backend="none of these")
    assert drawn() == first


def test_without_a_cache_it_is_drawn_all_the_same() -> None:
    user_cache_folder().parent.mkdir(parents=True)
    user_cache_folder().write_text("in the way")
    assert drawn().startswith(b"\xff\xd8")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_stands_in_place_of_a_kept_picture_stays(tmp_path: Path, kind: str) -> None:
    first = drawn()
    (kept,) = (user_cache_folder() / "gallery").iterdir()
    kept.unlink()
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    if kind == "link":
        kept.symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(kept)
    else:
        kept.mkdir()
    before = os.lstat(kept)
    assert drawn() == first
    assert os.path.samestat(os.lstat(kept), before)
    assert victim.read_bytes() == b"mine"
    assert list(kept.parent.iterdir()) == [kept]
