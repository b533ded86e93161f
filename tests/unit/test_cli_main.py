"""The command's frame: late imports, and one line and one exit code for each error."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import rtstyle
from rtstyle import errors
from rtstyle.cli import main as frame
from rtstyle.cli.main import COMMANDS, LazyCommand, main
from rtstyle.cli.options import parse_time

ROOT = Path(__file__).resolve().parents[2]

Raises = Callable[[BaseException], None]

ERRORS = sorted(
    (
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.RtstyleError)
    ),
    key=lambda error: error.__name__,
)

pending: list[BaseException] = []


@click.command()
def failing() -> None:
    """Raise what is pending."""
    raise pending.pop()


@pytest.fixture
def raises(monkeypatch: pytest.MonkeyPatch) -> Raises:
    monkeypatch.setitem(COMMANDS, "fail", LazyCommand(f"{__name__}:failing", "Fails."))
    return pending.append


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_is_one_line_and_its_exit_code(
    raises: Raises, kind: type[errors.RtstyleError]
) -> None:
    raises(kind("film.mp4: broken\nvery much; get another"))
    result = CliRunner().invoke(main, ["fail"])
    assert result.exit_code == kind.exit_code
    assert result.stderr == "rtstyle: film.mp4: broken very much; get another\n"
    assert result.stdout == ""


def test_an_unexpected_error_names_its_type_and_the_way_to_more(raises: Raises) -> None:
    raises(ZeroDivisionError("by nought"))
    result = CliRunner().invoke(main, ["fail"])
    assert result.exit_code == 1
    assert result.stderr == (
        "rtstyle: unexpected ZeroDivisionError: by nought; run again with --debug\n"
    )


@pytest.mark.parametrize("line", [["--debug", "fail"], ["fail", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(raises: Raises, line: list[str]) -> None:
    raises(errors.NotAVideo("film.mp4: empty"))
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 3
    assert "Traceback" in result.stderr
    assert "raise pending.pop()" in result.stderr
    assert result.stderr.endswith("rtstyle: film.mp4: empty\n")


def test_an_interruption_is_130(raises: Raises) -> None:
    raises(KeyboardInterrupt())
    result = CliRunner().invoke(main, ["fail"])
    assert (result.exit_code, result.stderr) == (130, "rtstyle: interrupted\n")


def test_a_missing_package_is_named_with_the_line_that_brings_it(raises: Raises) -> None:
    raises(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    result = CliRunner().invoke(main, ["fail"])
    assert result.exit_code == 6
    assert result.stderr.endswith('torch, which is not there: pip install "rtstyle[train]"\n')


def test_a_command_that_cannot_be_imported_breaks_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(COMMANDS, "train", LazyCommand("no_such_module:train", "Train."))
    assert CliRunner().invoke(main, ["--help"]).exit_code == 0
    assert CliRunner().invoke(main, ["video", "--help"]).exit_code == 0
    assert CliRunner().invoke(main, ["train"]).exit_code == 6


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, entry in COMMANDS.items():
        assert f"  {name} " in result.output
        assert entry.summary in result.output


def test_every_missing_package_line_names_an_extra_that_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].keys()
    assert {extra for extra in frame.EXTRAS.values() if extra} <= extras


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.output == f"rtstyle, version {rtstyle.__version__}\n"


@pytest.mark.parametrize("line", [["nonsense"], ["--nonsense"], ["video", "--nonsense"]])
def test_wrong_usage_is_2(line: list[str]) -> None:
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from rtstyle.cli.main import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'av', 'cv2', 'numpy', 'onnx', 'onnxruntime', 'openvino', 'torch'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_reader_that_goes_away_is_met_with_silence() -> None:
    code = (
        "import click, sys, types\n"
        "from rtstyle.cli.main import COMMANDS, LazyCommand, main\n"
        "@click.command()\n"
        "def chatter():\n"
        "    while True: click.echo('x' * 1000)\n"
        "module = types.ModuleType('chatty'); module.chatter = chatter\n"
        "sys.modules['chatty'] = module\n"
        "COMMANDS['chatter'] = LazyCommand('chatty:chatter', '')\n"
        "main(['chatter'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.read(1000)
        child.stdout.close()
        said = child.stderr.read()
        assert (child.wait(timeout=20), said) == (141, b"")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", Fraction(0)),
        ("75", Fraction(75)),
        ("75.5", Fraction(151, 2)),
        ("1:15", Fraction(75)),
        ("90:00", Fraction(5400)),
        ("01:02:03.25", Fraction(14893, 4)),
        (" 7 ", Fraction(7)),
    ],
)
def test_times(text: str, seconds: Fraction) -> None:
    option = click.Option(["--start"])
    assert parse_time(click.Context(failing), option, text) == seconds


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1:75", "1:60:00", "1:2:3:4", "1e3", ":30", "1.5:00", "nan", "1:"]
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    option = click.Option(["--start"])
    with pytest.raises(click.BadParameter, match="is no time"):
        parse_time(click.Context(failing), option, text)
