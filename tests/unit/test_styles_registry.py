"""From a name or a path to a style."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtstyle.errors import ModelError, UnknownStyle, UnsafeModel
from rtstyle.styles import SizeRule, admit, bundled_styles, find_style, read_model, registry
from tests.nets import build, conv_net, invert_net, make_pack


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packs that pass for bundled ones."""
    folder = tmp_path / "packs"
    make_pack(folder / "great-wave", "great-wave", conv_net())
    make_pack(folder / "starry-night", "starry-night", invert_net())
    monkeypatch.setattr(registry, "PACKS", folder)
    monkeypatch.setattr(registry, "BUNDLED", ("great-wave", "starry-night"))
    return folder


def test_the_list_of_bundled_styles_is_what_lies_in_the_packs_folder() -> None:
    folders = registry.PACKS.iterdir() if registry.PACKS.is_dir() else ()
    lying = {folder.name for folder in folders if (folder / "style.json").is_file()}
    assert set(registry.BUNDLED) == lying
    assert len(set(registry.BUNDLED)) == len(registry.BUNDLED)


def test_every_bundled_style_is_what_its_card_says_and_passes_admission() -> None:
    styles = bundled_styles()
    assert [style.name for style in styles] == list(registry.BUNDLED)
    for style in styles:
        admit(read_model(style), name=style.name)
        assert registry.is_bundled(style)
        assert style.licence and style.source


def test_names_find_bundled_styles_in_their_order(packs: Path) -> None:
    assert [style.name for style in bundled_styles()] == ["great-wave", "starry-night"]
    assert find_style("starry-night").file == packs / "starry-night" / "model.onnx"


def test_a_bundled_name_is_not_shadowed_by_a_folder(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    make_pack(here / "great-wave", "great-wave", invert_net())
    monkeypatch.chdir(here)
    assert find_style("great-wave").file.is_relative_to(packs)
    assert find_style("./great-wave").file.is_relative_to(here)


def test_a_near_miss_is_answered_with_the_name_meant(packs: Path) -> None:
    with pytest.raises(UnknownStyle, match="did you mean great-wave"):
        find_style("great_wav")
    with pytest.raises(UnknownStyle, match="great-wave, starry-night"):
        find_style("zzz")


@pytest.mark.parametrize("asked", ["../../x", "no/such.onnx", "x" * 5000, "nul\0byte", "", "a\nb"])
def test_what_is_not_there_is_unknown_in_one_line(asked: str) -> None:
    if asked == "":  # the empty path is the current folder
        with pytest.raises(UnknownStyle, match=r"style\.json"):
            find_style(asked)
        return
    with pytest.raises(UnknownStyle) as caught:
        find_style(asked)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_packs_are_found_by_folder_and_by_card(tmp_path: Path) -> None:
    folder = make_pack(tmp_path / "mine", "mine")
    assert find_style(folder) == find_style(str(folder)) == find_style(folder / "style.json")
    with pytest.raises(UnknownStyle, match=r"style\.json"):
        find_style(tmp_path)


def test_a_relative_pack_stays_found_after_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pack(tmp_path / "mine", "mine")
    monkeypatch.chdir(tmp_path)
    style = find_style("mine")
    monkeypatch.chdir("/")
    assert read_model(style) == invert_net()


def test_a_bare_graph_is_a_style_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "My Net (v2).onnx"
    file.write_bytes(conv_net())
    style = find_style(file)
    assert (style.name, style.title, style.sha256) == ("my-net-v2", "My Net (v2)", None)
    assert style.size_rule == SizeRule(minimum=32, multiple_of=8)
    assert read_model(style) == conv_net()


def test_a_bare_graph_may_bring_its_size_rule(tmp_path: Path) -> None:
    from onnx import helper

    node = helper.make_node("Identity", ["frame"], ["stylized"])
    file = tmp_path / "日本.onnx"
    file.write_bytes(build([node], metadata={"rtstyle.minimum": "2"}))
    style = find_style(file)
    assert (style.name, style.size_rule) == ("style", SizeRule(2, 1))


def test_a_bare_graph_changed_for_the_worse_is_refused_on_reading(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(conv_net())
    style = find_style(file)
    file.write_bytes(b"something else")
    with pytest.raises(UnsafeModel):
        read_model(style)


def test_a_pipe_is_no_style(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match="no plain file"):
        find_style(tmp_path / "net.onnx")


def test_a_bundled_style_needs_no_onnx_package_and_any_other_does(
    packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = find_style("great-wave")
    other = find_style(make_pack(tmp_path / "mine", "great-wave"))
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert read_model(bundled) == conv_net()
    with pytest.raises(ModelError, match="pip install"):
        read_model(other)


def test_listing_styles_loads_no_runtime() -> None:
    script = (
        "import sys, rtstyle.styles as s; s.bundled_styles()\n"
        "heavy = {'onnx', 'onnxruntime', 'openvino', 'torch', 'av', 'cv2'} & set(sys.modules)\n"
        "raise SystemExit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
