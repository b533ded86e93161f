"""The folder of unfinished work: whose it is, and what is done in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rtstyle.errors import OutputError, OutputExists, OutputNotWritable
from rtstyle.files import Protected
from rtstyle.pipeline import work_folder
from rtstyle.pipeline.work_folder import WorkFolder
from tests.helpers import names


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "o.mp4"


def test_it_is_private_and_goes_when_it_is_done_with(output: Path) -> None:
    folder = WorkFolder(output)
    assert not folder.find()
    folder.open()
    assert os.stat(folder.path).st_mode & 0o777 == 0o700
    folder.write("000001", {"x": 1})
    folder.file("000001", ".mkv").write_bytes(b"pictures")
    assert folder.read("000001") == {"x": 1}
    assert names(folder.path) == ["000001.*.json", "000001.*.mkv", "journal.json"]
    folder.remove()
    assert list(output.parent.iterdir()) == []


def test_one_run_at_a_time(output: Path) -> None:
    first, second = WorkFolder(output), WorkFolder(output)
    first.open()
    with pytest.raises(OutputError, match="another run is writing it"):
        second.open()
    first.close()
    second.open()
    second.remove()
    first.open()
    first.remove()


@pytest.mark.parametrize("record", [{"x": 10**400}, {"x": [[[1]]]}, {"x": "ä\n"}, {}])
def test_records_come_back_as_they_were(output: Path, record: dict[str, object]) -> None:
    folder = WorkFolder(output)
    folder.open()
    folder.write("r", record)
    assert folder.read("r") == record
    folder.remove()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"record": {"x": 2}}', "[" * 10_000, '"x"', "1e999"]
)
def test_damaged_records_are_none(output: Path, text: str) -> None:
    folder = WorkFolder(output)
    folder.open()
    folder.write("r", {"x": 1})
    path = folder.file("r", ".json")
    for damaged in (text, path.read_text().replace("1}", "2}")):
        path.write_text(damaged)
        assert folder.read("r") is None
    folder.remove()


@pytest.mark.parametrize("left", ["nothing", "part of its journal", "all of its journal"])
def test_a_folder_that_was_barely_begun_is_gone_on_with(output: Path, left: str) -> None:
    folder = WorkFolder(output)
    folder.path.mkdir(0o700)
    token = "0123456789abcdef"
    whole = work_folder._journal(token, private=True)
    if left != "nothing":
        data = whole if left.startswith("all") else whole[:20]
        (folder.path / f"journal.{token}.new").write_bytes(data)
    folder.open()
    folder.remove()
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize(
    "what",
    ["file", "link", "empty, public", "films", "journal of others", "deep journal", "huge journal"],
)
def test_what_is_not_known_for_ours_is_left_as_it_is(output: Path, what: str) -> None:
    path, far = output.with_name("o.mp4.parts"), output.with_name("far")
    far.mkdir(0o700)
    (far / "000000.mkv").write_bytes(b"precious")
    if what == "file":
        path.write_bytes(b"precious")
    elif what == "link":
        path.symlink_to(far)
    else:
        path.mkdir(0o755 if "public" in what else 0o700)
    if what == "films":
        (path / "000000.mkv").write_bytes(b"precious")
    elif what.endswith("journal") or what.startswith("journal"):
        token = "0" * 16
        facts = {"program": "other", "format": 2, "token": token, "private": True}
        text = {"deep journal": "[" * 100_000, "huge journal": '{"format": ' + "9" * 5000}
        (path / "journal.json").write_text(text.get(what, json.dumps(facts)))
    before = sorted((str(p), p.lstat().st_ino) for p in output.parent.rglob("*"))
    for action in ("find", "open"):
        with pytest.raises(OutputNotWritable, match=r"o\.mp4\.parts.*move it away"):
            getattr(WorkFolder(output), action)()
    assert sorted((str(p), p.lstat().st_ino) for p in output.parent.rglob("*")) == before
    assert (far / "000000.mkv").read_bytes() == b"precious"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners")
def test_a_folder_in_which_others_may_write_is_refused(output: Path) -> None:
    folder = WorkFolder(output)
    folder.open()
    folder.close()
    folder.path.chmod(0o770)
    with pytest.raises(OutputNotWritable, match="others may write"):
        WorkFolder(output).find()
    folder.path.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder.path, 65534, 65534)
        with pytest.raises(OutputNotWritable, match="another user's"):
            WorkFolder(output).find()


def test_an_input_among_the_work_is_refused(output: Path) -> None:
    folder = WorkFolder(output)
    folder.open()
    film = folder.file("000000", ".mkv")
    film.write_bytes(b"film")
    folder.close()
    link = output.with_name("in.mkv")
    link.symlink_to(film)
    for name in (film, link):
        with pytest.raises(OutputExists, match="is the input itself"):
            WorkFolder(output, Protected([name])).find()
    assert film.read_bytes() == b"film"


def test_only_what_carries_the_token_is_removed(output: Path) -> None:
    folder = WorkFolder(output)
    folder.open()
    folder.file("000000", ".mkv").write_bytes(b"ours")
    for name in ("000001.mkv", "film.mp4", "joined", "000000.0123456789abcdef.mkv"):
        (folder.path / name).write_bytes(b"mine")
    folder.remove()
    assert sorted(p.name for p in folder.path.iterdir()) == sorted(
        ("000001.mkv", "film.mp4", "joined", "000000.0123456789abcdef.mkv")
    )


@pytest.mark.parametrize("how", ["pipe", "folder", "link"])
def test_what_is_no_file_is_neither_removed_nor_written_through(output: Path, how: str) -> None:
    folder = WorkFolder(output)
    folder.open()
    path, victim = folder.file("000000", ".mkv"), output.with_name("victim")
    victim.write_bytes(b"precious")
    if how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    else:
        path.symlink_to(victim)
    with pytest.raises(OutputNotWritable, match="no run leaves such a thing"):
        folder.free(path)
    folder.close()
    assert victim.read_bytes() == b"precious"


def test_long_names_have_folders_of_their_own(tmp_path: Path) -> None:
    one, other = (WorkFolder(tmp_path / ("x" * 250 + end)) for end in ("a.mp4"[:5], "b.mp4"[:5]))
    assert one.path != other.path
    for folder in (one, other):
        folder.open()
    assert len(list(tmp_path.iterdir())) == 2
    for folder in (one, other):
        folder.remove()


@pytest.mark.parametrize("call", ["create", "rename_new", "lock_file"])
def test_an_interrupt_while_it_is_made_leaves_nothing(
    output: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(work_folder, call, interrupted)
    with pytest.raises(KeyboardInterrupt):
        WorkFolder(output).open()
    assert list(output.parent.iterdir()) == []


def test_a_folder_that_another_run_has_taken_meanwhile_is_left_to_it(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = WorkFolder(output), WorkFolder(output)
    take = WorkFolder._take

    def later(self: WorkFolder) -> None:
        if self is first:
            second.open()
        take(self)

    monkeypatch.setattr(WorkFolder, "_take", later)
    with pytest.raises(OutputError, match="another run is writing it"):
        first.open()
    second.write("r", {"x": 1})
    assert second.read("r") == {"x": 1}
    second.remove()
