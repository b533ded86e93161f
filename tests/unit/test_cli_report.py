"""The report file: all fields, whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
from fractions import Fraction
from pathlib import Path

import pytest

from rtstyle.cli.report import as_json, check_report, write_report
from rtstyle.errors import OutputExists, OutputNotWritable, UsageError
from rtstyle.types import BackendInfo, RunReport, Size

REPORT = RunReport(
    input="in.mp4",
    output="out.mp4",
    style="wave",
    size=Size(64, 48),
    frames_in=12,
    frames_out=11,
    dropped=1,
    decode_failures=2,
    repaired_timestamps=3,
    seconds=1.5,
    fps=8.0,
    latency_p50_ms=10.0,
    latency_p95_ms=20.0,
    backend=BackendInfo("fake", "CPU", "fp32", "auto/auto", "a test"),
    seconds_per_stage={"decode": 0.1, "stylize": 1.0, "encode": 0.2},
    notes=("größer", "second"),
)


def test_every_field_is_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report(REPORT, path, overwrite=True)
    read = json.loads(path.read_text(encoding="utf-8"))
    assert set(read) == {field.name for field in dataclasses.fields(RunReport)}
    assert read["size"] == [64, 48]
    assert read["backend"]["precision"] == "fp32"
    assert read["notes"] == ["größer", "second"]
    assert read["seconds_per_stage"] == REPORT.seconds_per_stage
    assert list(tmp_path.iterdir()) == [path]


def test_fractions_are_text() -> None:
    odd = dataclasses.replace(REPORT, seconds=Fraction(1, 3))  # type: ignore[arg-type]
    assert as_json(odd)["seconds"] == "1/3"


def test_a_report_replaces_another_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("mine")
    with pytest.raises(OutputExists, match=r"report\.json"):
        check_report(path, others=(), overwrite=False)
    check_report(path, others=(), overwrite=True)
    write_report(REPORT, path, overwrite=True)
    assert json.loads(path.read_text(encoding="utf-8"))["style"] == "wave"


@pytest.mark.parametrize("exists", [True, False])
def test_a_report_is_neither_the_input_nor_the_output(tmp_path: Path, exists: bool) -> None:
    other = tmp_path / "out.mp4"
    if exists:
        other.write_text("film")
    with pytest.raises(UsageError, match=r"out\.mp4"):
        check_report(tmp_path / "." / "out.mp4", others=(other,), overwrite=True)


def test_a_report_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputNotWritable, match="no folder"):
        check_report(tmp_path / "none" / "report.json", others=(), overwrite=False)
    with pytest.raises(OutputNotWritable, match="is a folder"):
        check_report(tmp_path, others=(), overwrite=True)


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.mkdir()
    with pytest.raises(OutputNotWritable, match=r"report\.json"):
        write_report(REPORT, path, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_does_not_replace_what_appeared_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    check_report(path, others=(), overwrite=False)
    path.write_text("mine")
    with pytest.raises(OutputExists, match="taken meanwhile"):
        write_report(REPORT, path, overwrite=False)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_report_takes_no_pipe_s_and_no_dangling_link_s_place(
    tmp_path: Path, overwrite: bool
) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputNotWritable, match="device or a pipe"):
        check_report(pipe, others=(), overwrite=overwrite)
    with pytest.raises((OutputNotWritable, OutputExists)):
        write_report(REPORT, pipe, overwrite=overwrite)
    assert pipe.is_fifo()
    if not overwrite:
        with pytest.raises(OutputExists):
            check_report(link, others=(), overwrite=False)
        assert not (tmp_path / "nowhere").exists()
