"""What is left of memory, read from files that stand for the system's; errors for lack of it."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import cv2
import pytest

from rtstyle.errors import BackendOutOfMemory, CorruptInput, DiskFull, OutputError
from rtstyle.memory import (
    CONTAINER,
    MACHINE,
    Room,
    available_memory,
    caused_by_memory,
    memory_told,
    says_out_of_memory,
    shown,
)

GB = 10**9


def system(root: Path, files: dict[str, str | int]) -> Path:
    """``root`` with ``files``, as /proc and /sys/fs/cgroup have them."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="ascii")
    return root


def meminfo(available: int) -> dict[str, str | int]:
    lines = f"MemTotal: 99999999 kB\nMemFree: 1 kB\nMemAvailable: {available // 1024} kB"
    return {"proc/meminfo": lines}


def test_of_a_machine_without_groups_what_it_calls_available_counts(tmp_path: Path) -> None:
    assert available_memory(system(tmp_path, meminfo(4096 * 1000))) == Room(4096 * 1000, MACHINE)


def test_a_group_of_version_2_leaves_its_limit_less_what_is_used_and_not_cache(
    tmp_path: Path,
) -> None:
    root = system(
        tmp_path,
        {
            **meminfo(20 * GB),
            "proc/self/cgroup": "0::/user/job",
            "sys/fs/cgroup/user/job/memory.max": 3 * GB,
            "sys/fs/cgroup/user/job/memory.current": 2 * GB,
            "sys/fs/cgroup/user/job/memory.stat": f"anon 5\nfile 9\ninactive_file {GB}",
        },
    )
    assert available_memory(root) == Room(2 * GB, CONTAINER)


def test_the_groups_above_bound_as_well(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        {
            **meminfo(20 * GB),
            "proc/self/cgroup": "0::/slice/job",
            "sys/fs/cgroup/slice/job/memory.max": "max",
            "sys/fs/cgroup/slice/job/memory.current": 1,
            "sys/fs/cgroup/slice/memory.max": 5 * GB,
            "sys/fs/cgroup/slice/memory.current": 4 * GB,
        },
    )
    assert available_memory(root) == Room(GB, CONTAINER)


@pytest.mark.parametrize("path", ["/", "/../../elsewhere", "/a/group/that/is/not/mounted"])
def test_in_a_container_the_root_is_the_group_whatever_path_is_told(
    tmp_path: Path, path: str
) -> None:
    root = system(
        tmp_path,
        {
            **meminfo(20 * GB),
            "proc/self/cgroup": f"0::{path}",
            "sys/fs/cgroup/memory.max": 1_500_000_000,
            "sys/fs/cgroup/memory.current": 500_000_000,
        },
    )
    assert available_memory(root) == Room(GB, CONTAINER)


def test_a_group_of_version_1_bounds_and_its_number_for_no_limit_does_not(tmp_path: Path) -> None:
    names: dict[str, str | int] = {
        **meminfo(20 * GB),
        "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/docker/1\n0::/",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712,
        "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": 2 * GB,
        "sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes": GB,
        "sys/fs/cgroup/memory/docker/1/memory.stat": (
            "inactive_file 7\ntotal_inactive_file 500000000"
        ),
    }
    assert available_memory(system(tmp_path, names)) == Room(1_500_000_000, CONTAINER)
    free = {**names, "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": 9223372036854771712}
    found = available_memory(system(tmp_path, free))
    assert found is not None
    assert found.source == MACHINE


def test_a_group_that_is_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    files: dict[str, str | int] = {
        "proc/self/cgroup": "0::/",
        "sys/fs/cgroup/memory.max": GB,
        "sys/fs/cgroup/memory.current": 2 * GB,
    }
    assert available_memory(system(tmp_path, files)) == Room(0, CONTAINER)


@pytest.mark.parametrize("text", ["", "max", "-5", "12x", "9" * 40, "\x00\x01", "MemAvailable:"])
def test_what_cannot_be_read_bounds_nothing(tmp_path: Path, text: str) -> None:
    assert available_memory(tmp_path / "nowhere") is None
    files: dict[str, str | int] = {
        "proc/meminfo": text,
        "proc/self/cgroup": f"0::/\n{text}",
        "sys/fs/cgroup/memory.max": text,
        "sys/fs/cgroup/memory.current": text,
        "sys/fs/cgroup/memory.stat": text,
    }
    assert available_memory(system(tmp_path, files)) is None


def test_looking_takes_next_to_no_time() -> None:
    available_memory()
    began = time.perf_counter()
    for _ in range(10):
        available_memory()
    assert (time.perf_counter() - began) / 10 < 0.05


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("bad allocation"),
        RuntimeError("Exception from src/inference: can't alloc"),
        RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer"),
        RuntimeError("BFCArena::AllocateRawInternal Available memory is smaller than requested"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
        cv2.error("OpenCV(5.0.0) (-4:Insufficient memory) Failed to allocate 4 bytes"),
        BackendOutOfMemory("no room"),
    ],
    ids=lambda error: f"{type(error).__name__}-{str(error)[:20]}",
)
def test_every_librarys_word_for_it_is_known(error: Exception) -> None:
    assert caused_by_memory(error)
    with pytest.raises(BackendOutOfMemory), memory_told("while testing"):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        ImportError("cannot allocate memory in static TLS block"),
        OutputError("'out of memory.mp4' is there already"),
        ValueError("a picture must be (H, W, 3)"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert not caused_by_memory(error)
    with pytest.raises(type(error)), memory_told("while testing"):
        raise error


def test_a_file_that_was_blamed_for_want_of_memory_is_cleared() -> None:
    def decode() -> None:
        try:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        except OSError:
            raise CorruptInput("the file is damaged") from None

    with pytest.raises(BackendOutOfMemory, match="memory ran out while testing"):
        memory_told("while testing")(decode)()
    # A disk without room, met while something else was freed, is a disk without room.
    assert not says_out_of_memory(DiskFull("no room left"))


def test_amounts_are_told_in_steps_of_a_glance() -> None:
    assert [shown(n) for n in (0, 340_400_000, 2_140_000_000)] == ["0 MB", "340 MB", "2.1 GB"]
