"""Where a user's styles and caches lie: one rule for both, and nothing that is there is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtstyle.styles import user_folder
from rtstyle.styles.folders import user_cache_folder, user_data_folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RTSTYLE_STYLES", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_places_of_linux(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert user_cache_folder() == home / ".cache" / "rtstyle"
    assert user_data_folder() == home / ".local" / "share" / "rtstyle"
    assert user_folder() == home / ".local" / "share" / "rtstyle" / "styles"


def test_the_places_of_macos(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert user_cache_folder() == home / "Library" / "Caches" / "rtstyle"
    assert user_folder() == home / "Library" / "Application Support" / "rtstyle" / "styles"


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_variables_count_where_they_are_absolute(
    home: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setattr("sys.platform", system)
    usual = user_cache_folder(), user_folder()
    for value in ("", "data"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        monkeypatch.setenv("XDG_DATA_HOME", value)
        assert (user_cache_folder(), user_folder()) == usual
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "d"))
    assert user_cache_folder() == home / "c" / "rtstyle"
    assert user_folder() == home / "d" / "rtstyle" / "styles"


def test_styles_that_macos_users_have_are_still_found(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    there = home / "Library" / "Application Support" / "rtstyle" / "styles"
    there.mkdir(parents=True)
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "d"))
    assert user_folder() == there
