"""The folder of compiled engines: whose it is, what is taken from it, what goes."""

from __future__ import annotations

import dataclasses
import logging
import os
import stat
import sys
from pathlib import Path

import pytest

from rtstyle.backends import engine_cache
from rtstyle.backends.engine_cache import EngineCache, EngineKey, cache_folder

KEY = EngineKey("m", "g", "fp16", "1x16x16", "tensorrt", "11.4", "RTX (SM89)")

posix = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "engines"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_stored_comes_back_in_another_process_and_under_no_other_key(
    folder: Path,
) -> None:
    EngineCache(folder).store(KEY, b"engine")
    assert EngineCache(folder).load(KEY) == b"engine"
    for field in dataclasses.fields(KEY):
        other = dataclasses.replace(KEY, **{field.name: "another"})
        assert other.stem != KEY.stem
        assert EngineCache(folder).load(other) is None


def test_storing_again_replaces(folder: Path) -> None:
    cache = EngineCache(folder)
    cache.store(KEY, b"one")
    cache.store(KEY, b"another")
    assert cache.load(KEY) == b"another"
    assert sorted(file.suffix for file in folder.iterdir()) == ["", ".engine", ".hmac"]


@posix
def test_the_folder_and_all_in_it_are_for_the_user_alone(folder: Path) -> None:
    EngineCache(folder).store(KEY, b"engine")
    assert mode(folder) == 0o700
    assert {mode(file) for file in folder.iterdir()} == {0o600}


@posix
def test_a_folder_that_was_open_to_others_is_closed_and_nothing_in_it_trusted(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    EngineCache(folder).store(KEY, b"engine")
    folder.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        assert EngineCache(folder).load(KEY) is None
    assert "open to other users" in caplog.text
    assert mode(folder) == 0o700


@posix
@pytest.mark.parametrize("suffix", [".engine", ".hmac"])
def test_a_file_that_others_may_write_is_not_taken(
    folder: Path, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    cache = EngineCache(folder)
    cache.store(KEY, b"engine")
    (folder / KEY.stem).with_suffix(suffix).chmod(0o666)
    with caplog.at_level(logging.WARNING):
        assert cache.load(KEY) is None
    assert "other users may write it" in caplog.text


@posix
def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    cache = EngineCache(folder)
    cache.store(KEY, b"engine")
    file = (folder / KEY.stem).with_suffix(".engine")
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert cache.load(KEY) is None


@posix
def test_a_link_in_the_place_of_the_folder_is_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "engines").symlink_to(tmp_path / "elsewhere")
    with caplog.at_level(logging.WARNING):
        EngineCache(tmp_path / "engines").store(KEY, b"engine")
    assert "not kept" in caplog.text
    assert list((tmp_path / "elsewhere").iterdir()) == []


@posix
@pytest.mark.skipif(sys.platform != "win32" and os.getuid() != 0, reason="only root gives away")
def test_a_folder_of_another_user_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "engines"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with caplog.at_level(logging.WARNING):
        cache = EngineCache(folder)
        cache.store(KEY, b"engine")
        assert cache.load(KEY) is None
    assert "belongs to another user" in caplog.text
    assert list(folder.iterdir()) == []


@posix
def test_a_named_pipe_does_not_hang_the_run(folder: Path) -> None:
    cache = EngineCache(folder)
    cache.store(KEY, b"engine")
    file = (folder / KEY.stem).with_suffix(".engine")
    file.unlink()
    os.mkfifo(file, 0o600)
    assert cache.load(KEY) is None


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 33])
def test_a_key_that_is_none_is_replaced_and_signs_nothing_old(folder: Path, key: bytes) -> None:
    EngineCache(folder).store(KEY, b"engine")
    (folder / "key").write_bytes(key)
    cache = EngineCache(folder)
    assert cache.load(KEY) is None
    assert len((folder / "key").read_bytes()) == 32
    cache.store(KEY, b"engine")
    assert EngineCache(folder).load(KEY) == b"engine"


def test_another_user_s_key_signs_nothing(folder: Path, tmp_path: Path) -> None:
    EngineCache(folder).store(KEY, b"engine")
    other = tmp_path / "other"
    EngineCache(other)
    for file in folder.iterdir():
        if file.name != "key":
            (other / file.name).write_bytes(file.read_bytes())
            (other / file.name).chmod(0o600)
    assert EngineCache(other).load(KEY) is None


def test_a_full_disk_costs_the_keeping_and_leaves_nothing_half(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = EngineCache(folder)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with caplog.at_level(logging.WARNING):
        cache.store(KEY, b"engine")
    assert "No space left" in caplog.text
    assert [file.name for file in folder.iterdir()] == ["key"]


def test_the_engines_used_longest_ago_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_cache, "KEPT", 2)
    cache = EngineCache(folder)
    keys = [dataclasses.replace(KEY, profile=str(k)) for k in range(3)]
    for age, key in zip((300, 200), keys[:2], strict=True):
        cache.store(key, b"engine")
        file = (folder / key.stem).with_suffix(".engine")
        os.utime(file, (file.stat().st_mtime - age,) * 2)
    assert cache.load(keys[0]) is not None  # used just now
    cache.store(keys[2], b"engine")
    assert [cache.load(key) is not None for key in keys] == [True, False, True]
    assert len(list(folder.glob("*.hmac"))) == 2


def test_the_folder_follows_the_user_s_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "rtstyle" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "rtstyle" / "engines"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder().parts[-4:] == ("Library", "Caches", "rtstyle", "engines")


def test_only_engines_of_its_own_making_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_cache, "KEPT", 0)
    cache = EngineCache(folder)
    mine = folder / "steam.engine"
    mine.write_bytes(b"mine")
    os.utime(mine, (0, 0))
    cache.store(KEY, b"engine")
    assert sorted(file.name for file in folder.iterdir()) == ["key", "steam.engine"]


def test_engines_are_kept_without_hard_links(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr("rtstyle.files._exclusive_rename", lambda: None)
    EngineCache(folder).store(KEY, b"engine")
    assert EngineCache(folder).load(KEY) == b"engine"
    assert sorted(file.suffix for file in folder.iterdir()) == ["", ".engine", ".hmac"]


@posix
def test_a_link_in_the_place_of_an_engine_is_not_replaced(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = EngineCache(folder)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    file = (folder / KEY.stem).with_suffix(".engine")
    file.symlink_to(victim)
    with caplog.at_level(logging.WARNING):
        cache.store(KEY, b"engine")
    assert "not kept" in caplog.text
    assert file.is_symlink()
    assert victim.read_bytes() == b"mine"
