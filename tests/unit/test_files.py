"""The promises about files that everything else rests on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rtstyle import files

NO_LINKS = [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS]


@pytest.fixture(params=["renameat2", "link", "neither"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the system can do: each of the three ways to take a free name."""
    if request.param != "renameat2":
        monkeypatch.setattr(files, "_exclusive_rename", lambda: None)
    if request.param == "neither":

        def refused(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refused)
    return str(request.param)


def test_a_free_name_is_taken(tmp_path: Path, way: str) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"new")
    files.rename_new(source, target)
    assert target.read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["b"]


@pytest.mark.parametrize("taken", ["file", "dangling link", "folder"])
def test_a_taken_name_is_never_replaced(tmp_path: Path, way: str, taken: str) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"new")
    if taken == "file":
        target.write_bytes(b"old")
    elif taken == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        files.rename_new(source, target)
    assert source.read_bytes() == b"new"
    assert taken != "file" or target.read_bytes() == b"old"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("number", NO_LINKS)
def test_without_hard_links_files_still_get_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(files, "_exclusive_rename", lambda: None)
    files.write_whole(tmp_path / "a", b"one", overwrite=False)
    with pytest.raises(FileExistsError):
        files.write_whole(tmp_path / "a", b"two", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"one"
    files.write_whole(tmp_path / "a", b"two", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_gets_a_free_name(tmp_path: Path, way: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").touch()
    if way == "link":
        pytest.skip("folders have no hard links")
    files.rename_new(tmp_path / "a", tmp_path / "b")
    assert os.listdir(tmp_path / "b") == ["x"]


def test_creation_goes_through_no_link(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    link.symlink_to(victim)
    with pytest.raises(FileExistsError):
        files.create(link)
    assert not victim.exists()


def test_only_regular_files_are_opened_and_no_pipe_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"12")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("pipe", "link", "nothing"):
        with pytest.raises(OSError):
            files.read_regular(tmp_path / name, 10)
    assert files.read_regular(tmp_path / "file", 2) == b"12"
    with pytest.raises(OSError, match="more than 1 bytes"):
        files.read_regular(tmp_path / "file", 1)


@pytest.mark.parametrize("name", ["x" * 255, "ä" * 127, "film.mp4"])
def test_names_stay_legal(tmp_path: Path, name: str) -> None:
    path, descriptor = files.create_beside(tmp_path / name)
    os.close(descriptor)
    assert path.parent == tmp_path
    assert path.name.endswith(".part")
    assert name.startswith(path.name[:5])


def test_an_input_is_known_by_every_name(tmp_path: Path) -> None:
    film = tmp_path / "film"
    film.write_bytes(b"film")
    (tmp_path / "hard").hardlink_to(film)
    (tmp_path / "soft").symlink_to(film)
    (tmp_path / "other").touch()
    protected = files.Protected([film])
    assert all(tmp_path / name in protected for name in ("film", "hard", "soft"))
    assert tmp_path / "other" not in protected
    assert tmp_path / "nothing" not in protected
    assert protected.within(tmp_path) == tmp_path / "film"


def test_a_library_opens_the_file_that_was_created(tmp_path: Path) -> None:
    path, descriptor = files.create_beside(tmp_path / "a")
    try:
        path.rename(tmp_path / "moved")
        path.symlink_to(tmp_path / "victim")
        name = files.writable_url(path, descriptor)
        if name == path:
            pytest.skip("the system has no such name")
        name.write_bytes(b"ours")
    finally:
        os.close(descriptor)
    assert (tmp_path / "moved").read_bytes() == b"ours"
    assert not (tmp_path / "victim").exists()


def test_by_how_much_a_name_is_too_long(tmp_path: Path) -> None:
    assert files.name_excess(tmp_path / ("x" * 255)) == 0
    assert files.name_excess(tmp_path / ("長" * 86)) == 3
    assert files.name_excess(tmp_path / "no such folder" / ("x" * 300)) == 45
