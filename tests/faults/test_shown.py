"""What is shown moves no cursor and tells no secret, wherever the text comes from."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rtstyle.addresses import HIDDEN, without_secrets, without_secrets_in
from rtstyle.cli.main import main
from rtstyle.cli.progress import ProgressDisplay
from rtstyle.cli.report import as_json
from rtstyle.cli.sample import sample_picture
from rtstyle.cli.terminal import Shown, json_text
from rtstyle.media import read_image, write_image
from rtstyle.pipeline import Progress
from rtstyle.texts import printable
from tests.clips import make_clip
from tests.command import shell_command
from tests.nets import make_pack
from tests.unit.test_cli_report import REPORT

HOSTILE = "a\x1b[2J\x1b]0;x\x07\r\x9b31m\x7f\u202e\u2066\u200b\u2028\udcffz"
SECRETS = ("hunter2", "KEY-1", "token-1")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def moves_cursor(text: str) -> list[str]:
    return [c for c in text if c != "\n" and unicodedata.category(c)[0] == "C"]


def every_character() -> Iterator[str]:
    return map(chr, range(0x110000))


def test_nothing_that_is_no_letter_gets_through() -> None:
    allowed = {"\u200c", "\u200d"}
    for character in every_character():
        seen = printable(character)
        if seen != character:
            assert seen.isascii() and seen.startswith("\\"), ascii(character)
        else:
            kind = unicodedata.category(character)
            assert kind[0] != "C" or character in allowed, ascii(character)
            assert kind not in ("Zl", "Zp")


@pytest.mark.parametrize(
    "text", ["Über Größe.mp4", "水曜日", "a\u202fb \u3000.mov", "👩\u200d🎤", "می\u200cخواهم"]
)
def test_names_of_all_tongues_are_shown_as_they_are(text: str) -> None:
    assert printable(text) == text


def test_json_holds_what_was_given_and_no_control_character() -> None:
    for encoding in ("utf-8", "ascii", "cp1252"):
        text = json_text({"name": HOSTILE, "more": ["水", "\U0001f30a"]}, encoding=encoding)
        assert json.loads(text) == {"name": HOSTILE, "more": ["水", "\U0001f30a"]}
        assert moves_cursor(text) == []
        text.encode(encoding)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    make_pack(tmp_path / "negative", name="negative")
    return tmp_path


def test_hostile_names_of_films_in_every_message(place: Path) -> None:
    film, broken = place / f"{HOSTILE}\n1.mp4", place / f"{HOSTILE}\n2.mp4"
    shutil.copy(make_clip(place / "in.mp4", frames=2), film)
    broken.write_bytes(b"none")
    style = ("--style", place / "negative", "--backend", "onnxruntime")
    results = [
        run("video", film, broken, "-o", place / f"out{HOSTILE}", *style, "--report", place / "r"),
        run("video", broken, "-o", place / "x.mp4", *style),
        run("video", film, "-o", place / f"{HOSTILE}.mp4", *style),
        run("video", film, "-o", place / f"x.{HOSTILE}", *style),
        run("video", film, "-o", place / "y.mp4", "--style", HOSTILE),
        run("image", broken, "-o", place / "x.png", *style),
        run("image", broken, film, "-o", place / "pictures/", *style),
        run("verify", film, broken),
        run("styles", "show", HOSTILE),
        run("styles", "pull", HOSTILE),
        run("styles", "import", broken),
        run("styles", "import", broken, "--as", HOSTILE),
        run("styles", "remove", HOSTILE),
        run("live", "--camera", HOSTILE, "--output", "none", "--seconds", "0.1"),
        run("live", "--camera", film, "--output", f"{HOSTILE}.xyz"),
        run("live", "--size", HOSTILE),
        run("video", film, "-o", place / "z.mp4", "--start", HOSTILE),
        run("video", film, "-o", place / "z.mp4", "--codec", HOSTILE),
        run("video", film, f"--{HOSTILE}"),
        run(HOSTILE),
        run(f"--{HOSTILE}"),
        run("web", "--tls-cert", f"{HOSTILE}\n"),
        run("--debug", "video", broken, "-o", place / "x.mp4", *style),
    ]
    for number, result in enumerate(results):
        assert moves_cursor(result.output) == [], (number, result.output)
        assert "unexpected" not in result.output, (number, result.output)
        assert result.exit_code in (0, 2, 3, 4, 5, 7), (number, result.output)
    assert [results[k].exit_code for k in (0, 2)] == [3, 0]
    records = json.loads((place / "r").read_bytes())
    assert [record["input"] for record in records] == [str(film), str(broken)]


def test_hostile_names_on_a_terminal_s_line() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress(1, 2, 1.0, 1.0, 1.0)
    with ProgressDisplay(stream, label=HOSTILE, clock=iter(range(9)).__next__, columns=200) as bar:
        bar(progress)
    assert moves_cursor(stream.getvalue().replace("\r", "")) == []


def test_what_libraries_print_by_themselves_is_looked_at_too() -> None:
    under = io.StringIO()
    stream = Shown(under)
    stream.write("\r\x1b[?25l[##] 50 %\x1b[K\n\x1b[?25h a\x1b[31mb\x9bc\x07\n")
    assert under.getvalue() == "\r\x1b[?25l[##] 50 %\x1b[K\n\x1b[?25h a\\x1b[31mb\\x9bc\\x07\n"


ADDRESSES = {
    "rtmp://host/app/KEY-1": f"rtmp://host/app/{HIDDEN}",
    "RTMPS://host:443/app/inst/KEY-1": f"RTMPS://host:443/app/{HIDDEN}",
    "rtmp://host/KEY-1": f"rtmp://host/{HIDDEN}",
    "rtmp://host/app/": "rtmp://host/app/",
    "rtmp://me:hunter2@host/app/KEY-1?auth=token-1": f"rtmp://host/app/{HIDDEN}",
    "rtsp://me:hunter2@cam:554/stream": "rtsp://cam:554/stream",
    "rtsp://cam/user=me&password=hunter2&channel=1": f"rtsp://cam/{HIDDEN}",
    "rtsp://me:hun@ter2@cam/x": "rtsp://cam/x",
    "rtsp://me:hunter2/x@cam/y": f"rtsp://{HIDDEN}",
    "rtsp://me:1/hunter2@cam/y": f"rtsp://{HIDDEN}",
    "rtsp://me:hunter2?x@cam/y": f"rtsp://{HIDDEN}",
    "rtsp://me:hunter2#x@cam/y": f"rtsp://{HIDDEN}",
    "rtsp://[me:hunter2": f"rtsp://{HIDDEN}",
    "srt://host:9000?streamid=KEY-1&passphrase=hunter2": "srt://host:9000",
    "https://me:hunter2@host/a/b.onnx?X-Sig=token-1#KEY-1": "https://host/a/b.onnx",
    "https://github.com/pytorch/examples": "https://github.com/pytorch/examples",
    "udp://127.0.0.1:1234": "udp://127.0.0.1:1234",
    "rtsp:/me:hunter2@cam/x": "rtsp:/cam/x",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_without_their_secrets(address: str) -> None:
    assert without_secrets(address) == ADDRESSES[address]
    told = without_secrets_in(f"cannot open '{address}' (refused), see ({address}).")
    assert told == f"cannot open '{ADDRESSES[address]}' (refused), see ({ADDRESSES[address]})."
    assert not any(secret in told for secret in SECRETS)


@pytest.mark.parametrize("text", ["C:/films/a.mp4", "12:/3", "a/b:c/d", "see https://host/a: b"])
def test_other_text_is_left_alone(text: str) -> None:
    assert without_secrets_in(text) == text


KEYED = (
    "rtsp://me:hunter2@127.0.0.1:9/x",
    "rtmp://127.0.0.1:9/app/KEY-1",
    "rtmp://[127.0.0.1:9/app/KEY-1",
    "http://me:hunter2@127.0.0.1:9/token-1?x=token-1",
    "srt://127.0.0.1:9?passphrase=hunter2",
    "nix://me:hunter2@127.0.0.1:9/app?x=KEY-1",
)


@pytest.mark.parametrize("address", KEYED)
def test_no_command_tells_a_key_or_a_password(place: Path, address: str) -> None:
    clip = make_clip(place / "in.mp4", frames=2)
    address = address.replace("token-1?", "?") if address.startswith("http") else address
    style = ("--style", place / "negative", "--backend", "onnxruntime")
    out = place / "out"
    results = [
        run("live", "--camera", address, *style, "--output", "none", "--seconds", "0.1"),
        run("live", "--camera", address, "--check"),
        run("live", "--camera", clip, *style, "--output", address, "--seconds", "0.1"),
        run("live", "--camera", clip, *style, "--record", address, "--output", "none"),
        run("video", address, "-o", place / "x.mp4", *style),
        run("--debug", "video", address, "-o", place / "x.mp4", *style),
        run("video", clip, address, "-o", f"{out}/", *style, "--report", place / "r.json"),
        run("video", clip, "-o", address, *style),
        run("video", clip, "-o", place / "y.mp4", "--style", address),
        run("image", address, "-o", place / "x.png", *style),
        run("verify", clip, address),
        run("styles", "pull", address),
        run("styles", "show", address),
        run("styles", "import", address),
        run("demo", "-o", f"{clip}/{address}"),
    ]
    for number, result in enumerate(results):
        told = result.output
        assert not [secret for secret in SECRETS if secret in told], (number, told)
        assert result.exit_code != 1 and "unexpected" not in told, (number, told)
    assert not out.exists() and not (place / "r.json").exists()


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_report_tells_no_key_or_password(address: str) -> None:
    told = json.dumps(as_json(replace(REPORT, notes=(f"{address} went away",), input=address)))
    assert not [secret for secret in SECRETS if secret in told]


def test_a_name_that_is_no_text_is_drawn_on_a_sheet(place: Path) -> None:
    """OpenCV ends the process for such a string, so this is tried in another one."""
    name = "a\udcff.png"
    write_image(place / "a.png", sample_picture()[:48, :48])
    (place / "a.png").rename(place / name)
    drawn = shell_command(
        *('"$@"', "styles", "sheet", "--style", "negative", "--picture", name, "-o", "sheet.png"),
        folder=place,
    )
    assert drawn.returncode == 0, drawn.stderr
    assert read_image(place / "sheet.png").shape[2] == 3


def test_words_on_a_live_picture_may_be_no_text() -> None:
    code = (
        "import numpy as np\n"
        "from rtstyle.live.overlay import draw_overlay\n"
        "draw_overlay(np.zeros((90, 160, 3), np.uint8), ['camera a\\udcff'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert ended.returncode == 0


def test_an_address_that_is_to_be_opened_is_told_whole(place: Path) -> None:
    clip = make_clip(place / "in.mp4", frames=2)
    path = "a-path-of-more-than-22-letters"
    told = run(
        *("live", "--camera", clip, "--style", place / "negative", "--backend", "onnxruntime"),
        *("--output", f"http://127.0.0.1:0/{path}", "--seconds", "0.3"),
    )
    assert f"/{path}" in told.stdout, told.output
