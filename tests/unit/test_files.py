"""The promises about files that everything else rests on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rtstyle import files
from rtstyle.own_names import OwnNames

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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.mp4", "./a.mp4"),
        ("a.mp4", "sub/../a.mp4"),
        ("sub/a.mp4", "link/a.mp4"),
        ("a.mp4", "A.MP4"),
        ("Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"),
        ("stra\u00dfe", "STRASSE"),
        ("hard", "soft"),
    ],
)
def test_two_spellings_of_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: str, other: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("link").symlink_to("sub")
    Path("hard").write_bytes(b"")
    os.link("hard", "other-name")
    Path("soft").symlink_to("other-name")
    assert files.same_place(Path(one), Path(other))
    assert files.same_place(Path(other), tmp_path / one)


@pytest.mark.parametrize("other", ["b.mp4", "sub/a.mp4", "a.mkv", "a\udcff.mp4", "x" * 5000])
def test_two_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert not files.same_place(Path("a.mp4"), Path(other))


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_a_whole_file_takes_the_place_of_a_regular_file_only(tmp_path: Path, kind: str) -> None:
    place, victim = tmp_path / "a", tmp_path / "victim"
    victim.write_bytes(b"mine")
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to(victim)
    before = os.lstat(place)
    for overwrite in (False, True):
        with pytest.raises(OSError):
            files.write_whole(place, b"new", overwrite=overwrite, follow=False)
    assert os.path.samestat(os.lstat(place), before)
    assert victim.read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == ["a", "victim"]


def test_a_link_to_a_file_is_written_where_it_points_only_when_told_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("link", "dangling"):
        with pytest.raises(FileExistsError):
            files.write_whole(tmp_path / name, b"new", overwrite=False)
    assert not (tmp_path / "nowhere").exists()
    files.write_whole(tmp_path / "link", b"new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_an_earlier_run_s_file_is_opened_and_nothing_else(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"12")
    mine.chmod(0o600)
    descriptor = files.open_own(mine)
    assert descriptor is not None
    assert files.has_name(descriptor, mine)
    mine.rename(tmp_path / "moved")
    assert not files.has_name(descriptor, mine)
    os.close(descriptor)
    (tmp_path / "link").symlink_to(tmp_path / "moved")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o666)
    for name in ("link", "pipe", "open", "nothing"):
        assert files.open_own(tmp_path / name) is None
    (tmp_path / "second").hardlink_to(tmp_path / "moved")
    assert files.open_own(tmp_path / "moved") is None
    assert (tmp_path / "moved").read_bytes() == b"12"


def test_a_folder_is_private_where_no_other_may_write(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    assert files.is_private(folder)
    (tmp_path / "link").symlink_to(folder)
    assert not files.is_private(tmp_path / "link")
    assert not files.is_private(tmp_path / "nothing")
    for mode in (0o720, 0o702):
        folder.chmod(mode)
        assert not files.is_private(folder)
    folder.chmod(0o755)
    assert files.is_private(folder)
    if os.getuid() == 0:
        os.chown(folder, 12345, 12345)
        assert not files.is_private(folder)


def test_a_run_writes_its_own_names_again_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "before").write_bytes(b"ours")
    (tmp_path / "mine").write_bytes(b"mine")
    names = OwnNames(tmp_path, ours=["before", "not there"])
    for data in (b"1", b"2"):
        names.write("new", data)
        names.write("before", data)
        with pytest.raises(FileExistsError):
            names.write("mine", data)
    names.append("new", b"3")
    assert (tmp_path / "new").read_bytes() == b"23"
    (tmp_path / "new").rename(tmp_path / "moved")
    (tmp_path / "new").symlink_to(tmp_path / "mine")
    (tmp_path / "before").unlink()
    (tmp_path / "before").hardlink_to(tmp_path / "mine")
    for name in ("new", "before", "mine"):
        with pytest.raises(OSError):
            names.append(name, b"x")
        with pytest.raises(OSError):
            names.write(name, b"x")
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (tmp_path / "new").is_symlink()
    (tmp_path / "before").unlink()
    names.write("before", b"again")
    assert (tmp_path / "before").read_bytes() == b"again"
