"""Jobs that are deleted, stopped and resumed at any moment, and results that others cleaned up."""

from __future__ import annotations

import asyncio
import json
import random
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("aiortc")

from rtstyle.web.process import _said
from rtstyle.web.spool import PREFIX
from tests.clips import make_clip, png_picture
from tests.security.test_web import BINARY, Client, finished, job, running, started

JSON = {"Content-Type": "application/json"}
FRAMES = 300


@pytest.fixture(autouse=True)
def spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def film(tmp_path: Path) -> bytes:
    """Long enough that it is not done while anything is done to it."""
    return make_clip(tmp_path / "clip.mp4", size=(320, 180), frames=FRAMES).read_bytes()


def spool(folder: Path) -> Path:
    (found,) = folder.glob(f"{PREFIX}*")
    return found


def use(work: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(120), running() as client:
            await work(client)

    asyncio.run(main())


class Starts:
    """Conversions' processes as they are started; the first waits until ``go``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, held: str = "") -> None:
        """``held``: whether the first waits ``before`` there is a process, or ``after``."""
        self.made: list[Process] = []
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        self._held, self._real = held, asyncio.create_subprocess_exec
        monkeypatch.setattr(asyncio, "create_subprocess_exec", self._start)

    async def _start(self, *words: str, **settings: Any) -> Process:  # noqa: ANN401
        is_first = not self.reached.is_set()
        if is_first and self._held == "before":
            self.reached.set()
            await self.go.wait()
        process = await self._real(*words, **settings)
        self.made.append(process)
        if is_first and self._held == "after":
            self.reached.set()
            await self.go.wait()
        return process


@pytest.mark.parametrize("held", ["before", "after"])
@pytest.mark.parametrize("way", ["job", "upload"])
def test_a_job_deleted_while_its_process_is_started_does_not_run_on(
    tmp_path: Path, film: bytes, monkeypatch: pytest.MonkeyPatch, held: str, way: str
) -> None:
    async def work(client: Client) -> None:
        starts = Starts(monkeypatch, held=held)
        identifier = await started(client, film, "gone.mp4", kind="video")
        await starts.reached.wait()
        (listed,) = (await client.ask("/api/jobs"))[1]["jobs"]
        here = f"/api/jobs/{identifier}" if way == "job" else f"/api/uploads/{listed['upload']}"
        deleting = asyncio.create_task(client.ask(here, "DELETE"))
        while (await client.ask("/api/jobs"))[1]["jobs"]:
            await asyncio.sleep(0.01)
        # Nobody is made of a file that is going.
        order = json.dumps(job(upload=listed["upload"], kind="video"))
        if way == "upload":
            assert (await client.ask("/api/jobs", "POST", headers=JSON, data=order))[0] == 400
        starts.go.set()
        assert (await deleting)[0] == 200
        assert len(starts.made) == 1
        assert starts.made[0].returncode not in (None, 0), "it ran on unseen"
        assert {path.name for path in spool(tmp_path).iterdir()} == {"lock"}
        # The only place for films is free.
        short = make_clip(tmp_path / "short.mp4", frames=4).read_bytes()
        next_one = await started(client, short, "next.mp4", kind="video")
        assert (await finished(client, next_one))["state"] == "done"

    use(work)


def test_jobs_deleted_at_any_moment_leave_nothing_running(
    tmp_path: Path, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(5)

    async def work(client: Client) -> None:
        starts = Starts(monkeypatch)
        for turn in range(40):
            identifier = await started(client, film, "gone.mp4", kind="video")
            # From before it is begun until it has been at work.
            for _ in range(dice.randrange(8)):
                await asyncio.sleep(0)
            await asyncio.sleep(dice.choice((0.0, 0.0, 0.002, 0.01, 0.05)))
            here = f"/api/jobs/{identifier}"
            both = await asyncio.gather(client.ask(here, "DELETE"), client.ask(here, "DELETE"))
            assert sorted(answer[0] for answer in both) == [200, 404], turn
            assert [one for one in starts.made if one.returncode in (None, 0)] == [], turn
        assert {path.name for path in spool(tmp_path).iterdir()} == {"lock"}
        # Some were caught early, some late; else the moments prove nothing.
        assert len(starts.made) > 5
        short = make_clip(tmp_path / "short.mp4", frames=4).read_bytes()
        next_one = await started(client, short, "next.mp4", kind="video")
        assert (await finished(client, next_one))["state"] == "done"

    use(work)


def test_a_job_that_waits_is_run_once_however_often_it_is_stopped_and_resumed(
    film: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = make_clip(tmp_path / "short.mp4", frames=4).read_bytes()

    async def work(client: Client) -> None:
        # The one before it keeps the place as long as it is not started.
        starts = Starts(monkeypatch, held="before")
        long = await started(client, film, "long.mp4", kind="video")
        await starts.reached.wait()
        waits = await started(client, short, "waits.mp4", kind="video")
        tasks = len(asyncio.all_tasks())
        for _ in range(30):
            for act, state in (("stop", "stopped"), ("stop", "stopped"), ("resume", "queued")):
                _, found, _ = await client.ask(f"/api/jobs/{waits}/{act}", "POST")
                assert found["state"] == state
            assert (await client.ask(f"/api/jobs/{waits}/resume", "POST"))[0] == 400, "twice"
        assert len(asyncio.all_tasks()) <= tasks + 2
        starts.go.set()
        assert (await client.ask(f"/api/jobs/{long}", "DELETE"))[0] == 200
        assert (await finished(client, waits))["state"] == "done"
        assert len(starts.made) == 2

    use(work)


def test_a_job_stopped_while_its_process_is_started_stops(
    film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtstyle.web.jobs._STOP_SECONDS", 1.0)

    async def work(client: Client) -> None:
        starts = Starts(monkeypatch, held="before")
        identifier = await started(client, film, "stopped.mp4", kind="video")
        await starts.reached.wait()
        for _ in range(3):
            await client.ask(f"/api/jobs/{identifier}/stop", "POST")
        starts.go.set()
        assert (await finished(client, identifier))["state"] == "stopped"

    use(work)


def test_a_preview_that_is_replaced_while_it_starts_ends(
    film: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(client: Client) -> None:
        starts = Starts(monkeypatch, held="before")
        await started(client, film, "film.mp4", kind="preview")
        await starts.reached.wait()
        (first,) = (await client.ask("/api/jobs"))[1]["jobs"]
        order = json.dumps(job(upload=first["upload"], kind="preview", strength=0))
        _, second, _ = await client.ask("/api/jobs", "POST", headers=JSON, data=order)
        starts.go.set()
        assert (await finished(client, second["id"]))["state"] == "done"
        assert [one["id"] for one in (await client.ask("/api/jobs"))[1]["jobs"]] == [second["id"]]
        async with asyncio.timeout(30):
            while any(one.returncode is None for one in starts.made):
                await asyncio.sleep(0.01)
        left = {path.name.partition(".")[0] for path in spool(tmp_path).glob(f"{first['id']}*")}
        assert left == set()

    use(work)


@pytest.mark.parametrize("asked", ["listing", "result"])
def test_a_result_that_was_cleaned_up_costs_its_own_job_alone(tmp_path: Path, asked: str) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=4).read_bytes()

    async def work(client: Client) -> None:
        gone = await started(client, clip, "gone.mp4", kind="video")
        kept = await started(client, png_picture(), "kept.png")
        for identifier in (gone, kept):
            assert (await finished(client, identifier))["state"] == "done"
        (spool(tmp_path) / f"{gone}.mp4").unlink()
        if asked == "result":
            status, found, _ = await client.ask(f"/api/jobs/{gone}/result")
            assert (status, "gone" in found["error"]) == (410, True)
        status, found, _ = await client.ask("/api/jobs")
        assert status == 200
        first, second = found["jobs"]
        assert (first["state"], first["can_resume"], second["state"]) == ("failed", True, "done")
        assert "its result is gone" in first["error"]
        assert (await client.ask(f"/api/jobs/{kept}/result"))[0] == 200
        # It can be had again.
        assert (await client.ask(f"/api/jobs/{gone}/resume", "POST"))[0] == 200
        assert (await finished(client, gone))["state"] == "done"
        assert (await client.ask(f"/api/jobs/{gone}/result"))[0] == 200

    use(work)


def test_a_link_in_place_of_a_result_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")

    async def work(client: Client) -> None:
        identifier = await started(client, png_picture(), "p.png")
        assert (await finished(client, identifier))["state"] == "done"
        place = spool(tmp_path) / f"{identifier}.png"
        place.unlink()
        place.symlink_to(secret)
        status, found, _ = await client.ask(f"/api/jobs/{identifier}/result")
        assert status == 410, found

    use(work)


def test_a_folder_that_was_cleaned_up_is_told_in_a_line(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        folder = spool(tmp_path)
        (folder / "lock").unlink()
        folder.rmdir()
        status, found, _ = await client.ask("/api/uploads", "POST", headers=BINARY, data=b"x")
        assert (status, "start rtstyle web anew" in found["error"]) == (507, True)
        assert (await client.ask("/api/jobs"))[0] == 200

    use(work)


def test_what_is_no_number_does_not_get_to_the_page() -> None:
    """A page reads JSON, which has neither NaN nor infinity: one job would hide all."""
    said = _said(b'{"word": "progress", "fps": NaN, "eta_seconds": Infinity, "frames_done": 3}')
    assert said == {"word": "progress", "fps": None, "eta_seconds": None, "frames_done": 3}
