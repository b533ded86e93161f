"""Fetching from a server that lies, stalls, cuts short and passes on elsewhere."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rtstyle.errors import DownloadFailed, HashMismatch, OutputNotWritable, UnknownStyle
from rtstyle.styles.catalogue import CATALOGUE, CatalogueEntry, Digest, find_entry
from rtstyle.styles.download import download_folder, fetch
from rtstyle.styles.spec import MAX_MODEL_BYTES, NAME_PATTERN
from rtstyle.styles.transport import Patience
from tests import liar
from tests.liar import Liar, Request, serving

DATA = bytes(range(256)) * 1000
IMPATIENT = Patience(
    stall_seconds=0.3, least_bytes=2000, tries=2, pause_seconds=0.0, plain_http=True
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def entry(*addresses: str, redirects: tuple[str, ...] = ()) -> CatalogueEntry:
    return CatalogueEntry(
        name="some-style",
        title="Some Style",
        file="style.onnx",
        bytes=len(DATA),
        digest=Digest("sha256", hashlib.sha256(DATA).hexdigest()),
        addresses=addresses,
        redirects=redirects,
        licence="CC0-1.0",
        non_commercial=False,
        source="a test",
    )


def left(folder: Path) -> set[str]:
    """What lies in ``folder`` besides the empty lock."""
    return {f.name for f in folder.iterdir() if not f.name.endswith(".lock")}


def part_of(folder: Path) -> Path:
    digest = hashlib.sha256(DATA).hexdigest()
    return folder / f".{digest[:12]}-style.onnx.part"


def test_a_file_is_fetched_once_and_then_there(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with serving(DATA) as server:
        wanted = entry(server.address())
        first = fetch(
            wanted, tmp_path, patience=IMPATIENT, progress=lambda *steps: seen.append(steps)
        )
        again = fetch(wanted, tmp_path, patience=IMPATIENT)
    assert first.file.read_bytes() == DATA
    assert (first.cached, again.cached) == (False, True)
    assert seen[-1] == (len(DATA), len(DATA))
    assert len(server.asked) == 1
    assert left(tmp_path) == {first.file.name}


def test_a_cut_transfer_goes_on_where_it_ended(tmp_path: Path) -> None:
    with serving(DATA, liar.cut(1000)) as server:
        fetched = fetch(entry(server.address()), tmp_path, patience=IMPATIENT)
    assert fetched.file.read_bytes() == DATA
    assert [span for _, span in server.asked] == [None, "bytes=1000-"]


def test_the_next_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    with serving(DATA, liar.cut(1000), liar.cut(500)) as server:
        wanted = entry(server.address())
        with pytest.raises(DownloadFailed, match=r"goes on after 1500 of 256000 bytes"):
            fetch(wanted, tmp_path, patience=IMPATIENT)
        assert left(tmp_path) == {part_of(tmp_path).name}
        assert fetch(wanted, tmp_path, patience=IMPATIENT).file.read_bytes() == DATA
    assert server.asked[-1][1] == "bytes=1500-"


def test_after_ctrl_c_it_goes_on_too(tmp_path: Path) -> None:
    def stop(there: int, whole: int) -> None:
        raise KeyboardInterrupt

    with serving(DATA) as server:
        with pytest.raises(KeyboardInterrupt):
            fetch(entry(server.address()), tmp_path, patience=IMPATIENT, progress=stop)
        there = part_of(tmp_path).stat().st_size
        assert 0 < there < len(DATA)
        assert fetch(entry(server.address()), tmp_path, patience=IMPATIENT).file.exists()
    assert server.asked[-1][1] == f"bytes={there}-"


def test_a_server_without_ranges_is_read_from_the_start(tmp_path: Path) -> None:
    with serving(DATA, liar.cut(1000), liar.without_ranges) as server:
        fetched = fetch(entry(server.address()), tmp_path, patience=IMPATIENT)
    assert fetched.file.read_bytes() == DATA


@pytest.mark.parametrize("there", [1000, len(DATA), len(DATA) + 1], ids=["some", "all", "more"])
def test_a_damaged_part_is_fetched_anew(tmp_path: Path, there: int) -> None:
    part_of(tmp_path).write_bytes(b"x" * there)
    with serving(DATA) as server:
        fetched = fetch(entry(server.address()), tmp_path, patience=IMPATIENT)
    assert fetched.file.read_bytes() == DATA
    assert left(tmp_path) == {fetched.file.name}


def test_a_file_that_was_changed_in_the_cache_is_fetched_anew(tmp_path: Path) -> None:
    with serving(DATA) as server:
        wanted = entry(server.address())
        file = fetch(wanted, tmp_path, patience=IMPATIENT).file
        file.write_bytes(DATA[:-1] + b"!")
        fetched = fetch(wanted, tmp_path, patience=IMPATIENT)
    assert fetched.file.read_bytes() == DATA
    assert not fetched.cached
    assert "damaged" in fetched.notes[0]


def test_another_file_is_deleted_and_refused(tmp_path: Path) -> None:
    with (
        serving(DATA, liar.other_file) as server,
        pytest.raises(HashMismatch, match="deleted") as caught,
    ):
        fetch(entry(server.address()), tmp_path, patience=IMPATIENT)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == set()
    assert len(server.asked) == 1


def test_a_second_address_stands_in_for_the_first(tmp_path: Path) -> None:
    with serving(DATA, liar.status(404)) as gone, serving(DATA) as server:
        wanted = entry(gone.address(), server.address())
        assert fetch(wanted, tmp_path, patience=IMPATIENT).file.read_bytes() == DATA


def test_a_second_address_goes_on_with_the_part_of_the_first(tmp_path: Path) -> None:
    with (
        serving(DATA, liar.cut(1000), liar.status(404)) as gone,
        serving(DATA) as server,
    ):
        wanted = entry(gone.address(), server.address())
        assert fetch(wanted, tmp_path, patience=IMPATIENT).file.read_bytes() == DATA
    assert server.asked[0][1] == "bytes=1000-"


@pytest.mark.parametrize(
    ("answer", "words", "requests"),
    [
        (liar.page, "web page", 1),
        (liar.status(404), "404", 1),
        (liar.status(500), "500", 2),
        (liar.short_file, "43 bytes instead of 256000", 1),
        (liar.endless, "more than 256000 bytes", 1),
        (liar.stall, "nothing for 0.3 s", 2),
        (liar.drip, "bytes in 0.3 s", 2),
        (liar.dripped_headers, "bytes in 0.3 s", 2),
        (liar.cut(0), "ended after 0 of 256000", 2),
    ],
    ids=["page", "404", "500", "short", "endless", "stall", "drip", "headers", "nothing"],
)
def test_a_bad_answer_is_one_clear_line(
    tmp_path: Path, answer: Callable[[Request], None], words: str, requests: int
) -> None:
    began = time.monotonic()
    with serving(DATA, *[answer] * 4) as server:
        with pytest.raises(DownloadFailed, match=words) as caught:
            fetch(entry(server.address()), tmp_path, patience=IMPATIENT)
        assert time.monotonic() - began < 5
    assert caught.value.exit_code == 5
    assert "127.0.0.1" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == requests
    assert not [name for name in left(tmp_path) if not name.endswith(".part")]


def other_port(server: Liar) -> str:
    return server.address("/moved.onnx")


def test_a_redirect_on_the_same_host_is_followed_with_its_range(tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(DATA[:1000])
    with serving(DATA, liar.redirect(other_port)) as server:
        fetched = fetch(entry(server.address()), tmp_path, patience=IMPATIENT)
    assert fetched.file.read_bytes() == DATA
    assert server.asked == [("/style.onnx", "bytes=1000-"), ("/moved.onnx", "bytes=1000-")]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (lambda server: server.address(host="localhost"), "host localhost, which is not one"),
        (lambda _: "http://127.0.0.1.evil.test/style.onnx", "127.0.0.1.evil.test"),
        (lambda _: "http://127.0.0.1@evil.test/style.onnx", "host evil.test"),
        (lambda _: "file:///etc/passwd", "answers 302"),
        (lambda server: server.address(), "answers 302"),
    ],
    ids=["host", "suffix", "user", "file", "loop"],
)
def test_a_redirect_elsewhere_is_refused(
    tmp_path: Path, place: Callable[[Liar], str], words: str
) -> None:
    with (
        serving(DATA, *[liar.redirect(place)] * 12) as server,
        pytest.raises(DownloadFailed, match=words),
    ):
        fetch(entry(server.address()), tmp_path, patience=IMPATIENT)
    assert left(tmp_path) == set()


@pytest.mark.parametrize(
    "place",
    [
        "http://[::1",
        "http://[zz]/x",
        "http://127.0.0.1:port/x",
        "http://127.0.0.1:999999/x",
        "http://127.0.0.1:-1/x",
        "http://" + "a" * 300 + "/x",
        "http://.../x",
        "http:///x",
        "//[/x",
        "http://127.0.0.1\x7f/x",
        "\xff\xfe",
    ],
)
def test_a_redirect_to_what_is_no_address_is_refused_in_a_line(tmp_path: Path, place: str) -> None:
    with (
        serving(DATA, *[liar.redirect(lambda _: place)] * 12) as server,
        pytest.raises(DownloadFailed) as failed,
    ):
        fetch(
            entry(server.address(), redirects=("127.0.0.1", "a" * 300)),
            tmp_path,
            patience=IMPATIENT,
        )
    assert len(str(failed.value).splitlines()) == 1
    assert left(tmp_path) == set()


def test_a_redirect_to_a_listed_host_is_followed(tmp_path: Path) -> None:
    with serving(DATA, liar.redirect(lambda server: server.address(host="localhost"))) as server:
        wanted = entry(server.address(), redirects=("localhost",))
        assert fetch(wanted, tmp_path, patience=IMPATIENT).file.read_bytes() == DATA


def test_only_https_is_asked(tmp_path: Path) -> None:
    with serving(DATA) as server, pytest.raises(DownloadFailed, match="not encrypted"):
        fetch(entry(server.address()), tmp_path, patience=replace(IMPATIENT, plain_http=False))
    assert server.asked == []


def test_a_server_that_speaks_no_tls_gets_nothing_out_of_us(tmp_path: Path) -> None:
    with serving(DATA) as server:
        address = server.address().replace("http:", "https:")
        with pytest.raises(DownloadFailed):
            fetch(entry(address), tmp_path, patience=replace(IMPATIENT, plain_http=False))
    assert server.asked == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody trusts yet, in one file."""
    file = tmp_path / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subprocess.run(
        [
            *command.split(),
            *("-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(tmp_path / "key.pem"), "-out", str(file)),
        ],
        check=True,
        capture_output=True,
    )
    file.write_bytes(file.read_bytes() + (tmp_path / "key.pem").read_bytes())
    return file


def speaking(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path, certificate: Path) -> None:
    with serving(DATA, tls=speaking(certificate)) as server:
        with pytest.raises(DownloadFailed, match="certificate is not valid"):
            fetch(entry(server.address()), tmp_path / "cache", patience=Patience())
        assert server.asked == []


def test_https_is_not_left_for_http(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    cache = tmp_path / "cache"
    with serving(DATA) as plain:
        downgrade = liar.redirect(lambda _: plain.address())
        with serving(DATA, downgrade, tls=speaking(certificate)) as server:
            with pytest.raises(DownloadFailed, match="passes on to http, which is not encrypted"):
                fetch(entry(server.address()), cache, patience=Patience())
            # The same server, once it does not pass on: it was the redirect that was refused.
            assert fetch(entry(server.address()), cache).file.read_bytes() == DATA
    assert plain.asked == []


def test_no_network_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadFailed, match="is there a network") as caught:
        fetch(find_entry("mosaic"), tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("is there a network") == 1
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.undo()
    with pytest.raises(DownloadFailed, match="refused"):
        fetch(entry(f"http://127.0.0.1:{port}/x"), tmp_path, patience=IMPATIENT)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputNotWritable, match="XDG_CACHE_HOME"):
        fetch(entry("http://127.0.0.1:9/x"), tmp_path / "file" / "cache", patience=IMPATIENT)


_CHILD = """
import sys
from pathlib import Path
from tests.security import test_download as t
print(t.fetch(t.entry(sys.argv[1]), Path(sys.argv[2]), patience=t.IMPATIENT).cached)
"""


def test_two_processes_get_the_same_file_and_one_fetches_it(tmp_path: Path) -> None:
    with serving(DATA, liar.slowly, liar.slowly) as server:
        command = [sys.executable, "-c", _CHILD, server.address(), str(tmp_path)]
        root = Path(__file__).resolve().parents[2]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        children = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root)
            for _ in range(2)
        ]
        said = {child.communicate(timeout=60)[0].strip() for child in children}
        assert [child.returncode for child in children] == [0, 0]
    assert said == {"True", "False"}
    assert len(server.asked) == 1
    assert len(left(tmp_path)) == 1


def test_every_entry_of_the_catalogue_can_be_defended() -> None:
    names = [one.name for one in CATALOGUE]
    assert len(set(names)) == len(names)
    for one in CATALOGUE:
        assert NAME_PATTERN.fullmatch(one.name)
        assert one.addresses
        assert all(address.startswith("https://") for address in one.addresses)
        assert 0 < one.bytes <= MAX_MODEL_BYTES
        assert one.licence
        assert one.source
        assert Path(one.file).name == one.file


@pytest.mark.parametrize("name", ["../../x", "Mosaic", "musaic", "", "a" * 65, "https://x.test/y"])
def test_only_names_of_the_catalogue_are_looked_up(name: str) -> None:
    with pytest.raises(UnknownStyle):
        find_entry(name)


@pytest.mark.assets
def test_the_hash_of_a_listed_file_is_that_of_the_copy_at_hand(assets: Path) -> None:
    listed = find_entry("animeganv3-tiny-cute")
    file = assets / "onnx" / "animeganv3_tiny_cute.onnx"
    assert listed.digest.matches(file)
    assert listed.bytes == file.stat().st_size


def test_digests_are_those_of_sha256sum_and_git(tmp_path: Path) -> None:
    file = tmp_path / "hello"
    file.write_bytes(b"hello\n")
    # What `git hash-object` and `sha256sum` print for it.
    blob = Digest("git-blob", "ce013625030ba8dba906f756967f9e9ca394464a")
    whole = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert blob.matches(file)
    assert Digest("sha256", whole).matches(file)
    assert Digest("sha256-prefix", whole[:8]).matches(file)
    file.write_bytes(b"hellp\n")
    assert not blob.matches(file)
    assert not Digest("sha256-prefix", whole[:8]).matches(file)
    for kind, value in (("sha256", whole[:8]), ("sha256-prefix", whole[:7]), ("git-blob", "XY")):
        with pytest.raises(ValueError, match="is no"):
            Digest(kind, value)  # type: ignore[arg-type]


def test_files_go_into_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download_folder() == tmp_path / "rtstyle" / "downloads"


def stranger(kind: str, place: Path, victim: Path) -> None:
    """Put something that is not rtstyle's under a name that rtstyle would use."""
    victim.write_bytes(b"mine" * 100)
    if kind == "link":
        place.symlink_to(victim)
    elif kind == "dangling link":
        place.symlink_to(victim.with_name("nothing"))
    elif kind == "hard link":
        place.hardlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        (place / "in").mkdir(parents=True)
    elif kind == "writable by all":
        place.write_bytes(b"theirs")
        place.chmod(0o666)
    elif kind == "another user's":
        if os.getuid() != 0:
            pytest.skip("only root gives away")
        place.write_bytes(b"theirs")
        os.chown(place, 12345, 12345)


def state(place: Path) -> tuple[int, int, int, bytes]:
    found = os.lstat(place)
    data = place.read_bytes() if place.is_file() else b""
    return found.st_ino, found.st_mode, found.st_uid, data


STRANGERS = ["link", "dangling link", "hard link", "pipe", "folder", "writable by all",
             "another user's"]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX")
@pytest.mark.parametrize("kind", STRANGERS)
def test_what_others_put_in_place_of_the_part_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    folder, victim = tmp_path / "cache", tmp_path / "victim"
    folder.mkdir(mode=0o700)
    stranger(kind, part_of(folder), victim)
    before = state(part_of(folder))
    with serving(DATA, liar.cut(1000)) as server:
        fetched = fetch(entry(server.address()), folder, patience=IMPATIENT)
    assert fetched.file.read_bytes() == DATA
    assert not fetched.file.is_symlink()
    assert state(part_of(folder)) == before
    assert victim.read_bytes() == b"mine" * 100
    assert not (tmp_path / "nothing").exists()
    assert left(folder) == {fetched.file.name, part_of(folder).name}
    # Within a run it goes on all the same, in its own part.
    assert [span for _, span in server.asked] == [None, "bytes=1000-"]


@pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX")
@pytest.mark.parametrize("kind", STRANGERS)
def test_what_others_put_in_place_of_the_lock_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    folder, victim = tmp_path / "cache", tmp_path / "victim"
    folder.mkdir(mode=0o700)
    lock = part_of(folder).with_suffix(".lock")
    stranger(kind, lock, victim)
    before = state(lock)
    with serving(DATA) as server:
        assert fetch(entry(server.address()), folder, patience=IMPATIENT).file.exists()
    assert state(lock) == before
    assert victim.read_bytes() == b"mine" * 100
    assert not (tmp_path / "nothing").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX")
@pytest.mark.parametrize("kind", STRANGERS)
def test_what_others_put_in_place_of_the_file_is_named_and_stays(tmp_path: Path, kind: str) -> None:
    folder, victim = tmp_path / "cache", tmp_path / "victim"
    folder.mkdir(mode=0o700)
    file = folder / part_of(folder).name[1:].removesuffix(".part")
    stranger(kind, file, victim)
    before = state(file)
    with (
        serving(DATA) as server,
        pytest.raises(OutputNotWritable, match="move it away") as caught,
    ):
        fetch(entry(server.address()), folder, patience=IMPATIENT)
    assert caught.value.exit_code == 4
    assert state(file) == before
    assert victim.read_bytes() == b"mine" * 100


@pytest.mark.skipif(sys.platform == "win32", reason="owners and modes are POSIX")
def test_nothing_is_gone_on_with_in_a_folder_that_others_may_write(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    part_of(folder).write_bytes(DATA[:1000])
    with serving(DATA, liar.cut(500), liar.cut(500)) as server:
        wanted = entry(server.address())
        with pytest.raises(DownloadFailed, match="check the network and retry"):
            fetch(wanted, folder, patience=IMPATIENT)
        assert left(folder) == {part_of(folder).name}
        assert fetch(wanted, folder, patience=IMPATIENT).file.read_bytes() == DATA
    assert part_of(folder).read_bytes() == DATA[:1000]
    assert server.asked[0][1] is None


def test_the_folder_and_what_is_fetched_are_this_user_s_alone(tmp_path: Path) -> None:
    with serving(DATA) as server:
        file = fetch(entry(server.address()), tmp_path / "cache", patience=IMPATIENT).file
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
