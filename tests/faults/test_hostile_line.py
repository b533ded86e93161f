"""Whatever is typed for whatever option ends in a line and a documented exit code."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rtstyle.cli.main import main
from rtstyle.cli.sample import sample_picture
from rtstyle.media import write_image
from tests.clips import make_clip
from tests.nets import make_pack

HOSTILE = [
    "",
    "-",
    "socket",
    "in.mp4/../in.mp4",
    "x" * 255,
    "y" * 300 + ".mp4",
    "z" * 5000,
    "in.mp4/x.png",
    "a\udcff\x1b[31m\n.png",
    "1e400",
    "nan",
    "-0",
    "9" * 400,
    "1" * 5000,
    "0:" + "9" * 20,
    "١٢",
    "%d",
    "://",
]
NET = ("--style", "neg", "--backend", "onnxruntime")
OVER = "--overwrite"
USUAL: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "video": (("in.mp4",), ("-o", "out.mp4", *NET, OVER)),
    "image": (("p.png",), ("-o", "out.png", *NET, OVER)),
    "live": ((), ("--camera", "in.mp4", "--output", "none", "--seconds", "0.1", *NET)),
    "verify": (("in.mp4", "in.mp4"), ()),
    "styles show": (("neg",), ()),
    "styles import": (("p.png",), ("--as", "mine", OVER)),
    "styles remove": (("none",), ()),
    "styles pull": (("none",), ()),
    "styles sheet": ((), ("--style", "neg", OVER)),
    "styles calibrate": (("neg",), ("--photos", "photos")),
    "export onnx": (("p.png",), ("-o", "pack", "--photos", "photos", OVER)),
    "train johnson": (
        (),
        ("--style-image", "p.png", "--photos", "photos", "--features", "p.png", "-o", "run"),
    ),
    "train smooth-edges": (("photos",), ("-o", "smooth")),
}
"""Arguments, and options, with which the command has something to do."""


def command_of(words: str) -> click.Command:
    group: click.Command = main
    with click.Context(main) as context:
        for word in words.split():
            assert isinstance(group, click.Group)
            found = group.get_command(context, word)
            assert found is not None
            group = found
    return group


def lines(words: str) -> Iterator[list[str]]:
    """The command's usual line with one thing in it otherwise."""
    arguments, options = USUAL[words]
    for parameter in command_of(words).params:
        for value in HOSTILE:
            if isinstance(parameter, click.Argument):
                yield [*words.split(), *options, "--", value, *arguments[1:]]
            elif isinstance(parameter, click.Option) and not parameter.is_flag:
                named = parameter.opts[-1]
                yield [*words.split(), *arguments, *options, f"{named}={value}"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", frames=2)
    make_pack(tmp_path / "neg", name="neg")
    (tmp_path / "photos").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:  # stands in for a device, which is the system's
        bound.bind("socket")
    for file in ("p.png", "photos/a.png", "photos/b.png"):
        write_image(tmp_path / file, sample_picture()[:48, :48])
    return tmp_path


@pytest.mark.parametrize("words", USUAL)
def test_no_value_of_any_option_ends_unexpectedly(here: Path, words: str) -> None:
    before = {file: file.read_bytes() for file in here.rglob("*") if file.is_file()}
    bad = []
    for line in lines(words):
        result = CliRunner().invoke(main, line, input="")
        documented = result.exit_code in (0, 2, 3, 4, 5, 6, 7, 8)
        if not documented or "unexpected" in result.output or "Traceback" in result.output:
            bad.append(([word[:40] for word in line], result.exit_code, result.output[-200:]))
        if any(category in result.output for category in ("\x1b", "\x9b")):
            bad.append((line, result.exit_code, result.output))
    assert bad == []
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999", "NaN"])
@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("video", "--strength"),
        ("image", "--strength"),
        ("live", "--strength"),
        ("live", "--seconds"),
        ("live", "--fps"),
        ("train johnson", "--rate"),
        ("train johnson", "--style-weight"),
    ],
)
def test_a_number_is_one_that_can_be_counted_with(
    here: Path, words: str, option: str, number: str
) -> None:
    arguments, options = USUAL[words]
    result = CliRunner().invoke(main, [*words.split(), *arguments, *options, f"{option}={number}"])
    assert result.exit_code == 2, result.output
    assert option in result.stderr
    assert not (here / "out.mp4").exists() and not (here / "run").exists()
