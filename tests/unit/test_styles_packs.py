"""Packs on disk: the closed schema, the hash, and writing that never leaves half a pack."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rtstyle.errors import (
    DiskFull,
    HashMismatch,
    ModelError,
    OutputExists,
    OutputNotWritable,
    UnsafeModel,
)
from rtstyle.styles import SizeRule, StyleSpec, load_pack, read_model, verify, write_pack
from tests.nets import conv_net, identity_net, invert_net, make_pack


def change(folder: Path, **keys: Any) -> Path:  # noqa: ANN401 - any JSON value
    """Replace keys of the card; a key set to None goes."""
    file = folder / "style.json"
    card = {**json.loads(file.read_text()), **keys}
    file.write_text(json.dumps({k: v for k, v in card.items() if v is not None}))
    return folder


def write(folder: Path, model: bytes | Path | None = None, **keys: Any) -> StyleSpec:  # noqa: ANN401
    values: dict[str, Any] = {
        "name": "sea",
        "title": "The Sea at Night",
        "family": "johnson",
        "size_rule": SizeRule(minimum=16, multiple_of=4),
        "licence": "CC0-1.0",
        "source": "trained on a painting",
        "measured": {"max_difference_fp32": 1.0, "gmac_640x360": 9.8},
    }
    return write_pack(folder, model=conv_net() if model is None else model, **{**values, **keys})


def test_a_pack_says_what_its_card_says(tmp_path: Path) -> None:
    spec = load_pack(make_pack(tmp_path / "p", "night-sea", conv_net(), minimum=8, multiple_of=4))
    assert (spec.name, spec.title, spec.family) == ("night-sea", "Night Sea", "foreign")
    assert spec.size_rule == SizeRule(minimum=8, multiple_of=4)
    assert spec.file == tmp_path / "p" / "model.onnx"
    assert verify(spec) == conv_net()


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"format": 2}, "format"),
        ({"format": True}, "format"),
        ({"format": None}, "format"),
        ({"surprise": 1}, "surprise"),
        ({"title": None}, "title"),
        ({"title": 3}, "title"),
        ({"title": "two\nlines"}, "title"),
        ({"title": "escape \x1b[31m"}, "title"),
        ({"title": ""}, "title"),
        ({"name": "../../x"}, "name"),
        ({"name": "Gross"}, "name"),
        ({"family": "gan"}, "family"),
        ({"sha256": "12"}, "sha256"),
        ({"size_rule": {"minimum": 4}}, "size_rule"),
        ({"size_rule": {"minimum": 0, "multiple_of": 4}}, "size_rule"),
        ({"size_rule": {"minimum": True, "multiple_of": 4}}, "size_rule"),
        ({"size_rule": {"minimum": 4, "multiple_of": 10**9}}, "size_rule"),
        ({"size_rule": [4, 4]}, "size_rule"),
        ({"measured": {"speed": "fast"}}, "speed"),
        ({"measured": []}, "measured"),
    ],
)
def test_a_card_outside_the_schema_is_refused_by_key(
    tmp_path: Path, keys: dict[str, Any], word: str
) -> None:
    folder = change(make_pack(tmp_path / "p"), **keys)
    with pytest.raises(ModelError, match=word) as caught:
        load_pack(folder)
    assert "style.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "[" * 100_000,
        '{"format": 1, "format": 1}',
        '{"format": NaN}',
        " " * 70_000,
        "\xff",
    ],
    ids=["empty", "text", "list", "nested", "twice", "nan", "large", "latin"],
)
def test_a_card_that_is_no_card_is_refused(tmp_path: Path, text: str) -> None:
    folder = make_pack(tmp_path / "p")
    (folder / "style.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=r"p/style\.json"):
        load_pack(folder)


def test_a_pack_without_its_files_is_refused(tmp_path: Path) -> None:
    folder = make_pack(tmp_path / "p")
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx"):
        load_pack(folder)
    with pytest.raises(ModelError, match=r"style\.json"):
        load_pack(tmp_path)


@pytest.mark.parametrize("damage", ["flipped", "cut", "swapped"])
def test_a_model_that_is_not_the_one_described_is_refused(tmp_path: Path, damage: str) -> None:
    spec = load_pack(make_pack(tmp_path / "p", model=conv_net()))
    data = conv_net()
    other = {
        "flipped": data[:99] + bytes([data[99] ^ 1]) + data[100:],
        "cut": data[:-1],
        "swapped": identity_net(),
    }
    spec.file.write_bytes(other[damage])
    with pytest.raises(HashMismatch, match="style test"):
        verify(spec)
    with pytest.raises(HashMismatch):
        read_model(spec)


def test_a_model_beyond_the_size_limit_is_not_read(tmp_path: Path) -> None:
    spec = load_pack(make_pack(tmp_path / "p"))
    with spec.file.open("r+b") as stream:
        stream.truncate(2**36)  # sparse: takes no room on the disk
    with pytest.raises(UnsafeModel, match="64 MB"):
        verify(spec)


def test_a_right_hash_does_not_excuse_an_unsafe_graph(tmp_path: Path) -> None:
    spec = load_pack(make_pack(tmp_path / "p", model=b"certainly no graph"))
    with pytest.raises(UnsafeModel):
        read_model(spec)


@pytest.mark.parametrize("as_file", [False, True])
def test_what_is_written_is_what_is_loaded(tmp_path: Path, as_file: bool) -> None:
    (tmp_path / "net.onnx").write_bytes(conv_net())
    written = write(tmp_path / "a" / "sea", tmp_path / "net.onnx" if as_file else None)
    assert written == load_pack(tmp_path / "a" / "sea")
    assert written.measured == {"max_difference_fp32": 1.0, "gmac_640x360": 9.8}
    assert read_model(written) == conv_net()
    assert sorted(p.name for p in written.file.parent.iterdir()) == ["model.onnx", "style.json"]


def test_a_pack_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    write(tmp_path / "sea")
    with pytest.raises(OutputExists, match="sea"):
        write(tmp_path / "sea", invert_net())
    assert verify(load_pack(tmp_path / "sea")) == conv_net()
    write(tmp_path / "sea", invert_net(), overwrite=True)
    assert verify(load_pack(tmp_path / "sea")) == invert_net()


@pytest.mark.parametrize(
    "keys",
    [{"family": "gan"}, {"measured": {"x": float("nan")}}, {"title": "a\nb"}, {"name": "A b"}],
)
def test_a_card_that_could_not_be_loaded_is_not_written(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    with pytest.raises(ModelError):
        write(tmp_path / "sea", **keys)
    assert not (tmp_path / "sea").exists()


def test_a_graph_outside_the_contract_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UnsafeModel):
        write(tmp_path / "sea", b"no graph")
    assert not (tmp_path / "sea").exists()


def test_a_pack_cannot_be_written_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputNotWritable, match="sea"):
        write(tmp_path / "file" / "sea")


def test_a_full_disk_leaves_no_pack_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFull, match="sea"):
        write(tmp_path / "sea")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["model.onnx", "style.json"])
@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_files_of_a_pack_s_names_that_are_none_stay(
    tmp_path: Path, name: str, kind: str, overwrite: bool
) -> None:
    folder, victim = tmp_path / "sea", tmp_path / "victim"
    folder.mkdir()
    victim.write_text('{"layers": []}')
    place = folder / name
    if kind == "file":
        place.write_bytes(victim.read_bytes())
    elif kind == "link":
        place.symlink_to(victim)
    else:
        os.mkfifo(place)
    before = os.lstat(place)
    with pytest.raises(OutputExists, match="sea"):
        write(folder, overwrite=overwrite)
    assert os.path.samestat(os.lstat(place), before)
    assert victim.read_text() == '{"layers": []}'
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_pack_whose_model_is_a_link_is_not_replaced(tmp_path: Path) -> None:
    write(tmp_path / "sea")
    (tmp_path / "sea" / "model.onnx").rename(tmp_path / "mine.onnx")
    (tmp_path / "sea" / "model.onnx").symlink_to(tmp_path / "mine.onnx")
    with pytest.raises(OutputExists, match="sea"):
        write(tmp_path / "sea", invert_net(), overwrite=True)
    assert (tmp_path / "mine.onnx").read_bytes() == conv_net()
    assert (tmp_path / "sea" / "model.onnx").is_symlink()


def test_what_else_lies_in_a_pack_s_folder_stays_when_it_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "sea")
    (tmp_path / "sea" / "notes.txt").write_text("mine")
    write(tmp_path / "sea", invert_net(), overwrite=True)
    assert verify(load_pack(tmp_path / "sea")) == invert_net()
    assert (tmp_path / "sea" / "notes.txt").read_text() == "mine"
