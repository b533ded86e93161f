from __future__ import annotations

import importlib
import json
from types import ModuleType

import pytest
from click.testing import CliRunner

from rtstyle.backends import BackendStatus
from rtstyle.cli import doctor as doctor_module
from rtstyle.cli.checkup import Load
from rtstyle.cli.diagnosis import (
    Package,
    conflicts,
    ffmpeg_libraries,
    ffmpeg_versions,
    import_problem,
    installed,
    pip_line,
    shown_versions,
    versions,
)
from rtstyle.cli.doctor import Diagnosis, examine, report
from rtstyle.cli.main import main

BASE = (
    Package("numpy", "2.4.6"),
    Package("av", "18.1.0"),
    Package("click", "8.5.1"),
    Package("opencv-python", "5.0.0.93"),
)


def fixes(*more: Package, base: tuple[Package, ...] = BASE, gpu: bool = False) -> list[str]:
    return [problem.fix for problem in conflicts((*base, *more), gpu=gpu)]


def test_a_sound_installation_has_no_conflicts() -> None:
    sound = (Package("onnxruntime", "1.31.1"), Package("tensorrt-rtx", "1.7.1"))
    assert fixes(*sound) == []


@pytest.mark.parametrize(
    ("gpu", "kept"), [(False, "onnxruntime==1.31.1"), (True, "onnxruntime-gpu==1.30.0")]
)
def test_two_onnx_runtimes_are_removed_and_the_fitting_one_comes_back(gpu: bool, kept: str) -> None:
    both = (Package("onnxruntime-gpu", "1.30.0"), Package("onnxruntime", "1.31.1"))
    assert fixes(*both, gpu=gpu) == [
        f'pip uninstall -y onnxruntime onnxruntime-gpu && pip install "{kept}"'
    ]


def test_two_opencv_wheels_are_removed_and_one_comes_back() -> None:
    assert fixes(Package("opencv-python-headless", "4.11.0")) == [
        "pip uninstall -y opencv-python opencv-python-headless && "
        'pip install "opencv-python==5.0.0.93"'
    ]


def test_of_opencv_wheels_the_one_with_everything_is_kept() -> None:
    (fix,) = fixes(Package("opencv-contrib-python", "4.11.0"))
    assert fix.endswith('pip install "opencv-contrib-python==4.11.0"')


def test_any_single_opencv_wheel_will_do() -> None:
    for name in ("opencv-python-headless", "opencv-contrib-python"):
        assert fixes(base=(*BASE[:3], Package(name, "4.11.0"))) == []


def test_a_missing_base_package_is_fatal() -> None:
    (opencv,) = conflicts(BASE[:3], gpu=False)
    assert opencv.fatal
    assert opencv.fix == "pip install opencv-python-headless"
    (numpy,) = conflicts(BASE[1:], gpu=False)
    assert numpy.fatal
    assert numpy.fix == "pip install numpy"


def test_parts_of_tensorrt_must_match() -> None:
    parts = (
        Package("tensorrt", "10.9.0"),
        Package("tensorrt-cu12", "10.9.0"),
        Package("tensorrt-cu12-libs", "10.8.0"),
        Package("tensorrt-cu12-bindings", "10.9.0"),
    )
    (fix,) = fixes(*parts)
    assert fix.endswith('pip install "tensorrt==10.9.0"')
    assert "tensorrt-cu12-libs" in fix.split("&&")[0]
    assert fixes(*(Package(part.name, "10.9.0") for part in parts)) == []


def test_tensorrt_for_two_toolkits_is_a_conflict() -> None:
    names = ("tensorrt", "tensorrt-cu12", "tensorrt-cu12-libs", "tensorrt-cu13")
    assert fixes(*(Package(name, "11.4") for name in names)) == [
        "pip uninstall -y tensorrt-cu12 tensorrt-cu12-libs"
    ]


def test_a_package_twice_in_one_folder_is_a_broken_update() -> None:
    twice = (Package("openvino", "2026.4", "/site"), Package("openvino", "2025.1", "/site"))
    assert fixes(*twice) == ["pip install --force-reinstall --no-deps openvino"]


def test_a_package_that_shadows_the_systems_is_no_conflict() -> None:
    shadowed = (Package("openvino", "2026.4", "/venv"), Package("openvino", "2025.1", "/usr"))
    assert fixes(*shadowed) == []
    assert versions(shadowed) == {"openvino": "2026.4"}


def test_the_real_installation_is_read() -> None:
    found = versions(installed())
    assert "opencv-python" in found or "opencv-python-headless" in found
    assert found["numpy"].partition(".")[0].isdigit()
    assert shown_versions(found)["tensorrt"] == found.get("tensorrt")
    libraries = ffmpeg_libraries()
    assert {"avcodec", "avformat", "avutil", "swscale"} <= set(libraries)


def test_ffmpeg_versions_are_read_from_file_names_of_every_system() -> None:
    files = [
        "libavcodec-5e6b81c2.so.62.28.102",
        "libswscale.9.5.102.dylib",
        "avutil-60-8a3f0b12.dll",
        "libx264-d6533a8d.so.165",
        "codec.py",
    ]
    assert dict(ffmpeg_versions(files)) == {
        "avcodec": "62.28.102",
        "swscale": "9.5.102",
        "avutil": "60",
    }


def test_pip_belongs_to_this_python_even_with_a_blank_in_its_path() -> None:
    assert pip_line("/home/a b/python") == "'/home/a b/python' -m pip"


def test_a_missing_system_library_of_opencv_is_told_from_a_broken_wheel() -> None:
    lacking = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    problem = import_problem("cv2", lacking)
    assert "libGL.so.1" in problem.what
    assert "apt-get install -y libgl1 libglib2.0-0" in problem.fix
    assert "opencv-python-headless" in problem.fix
    broken = import_problem("cv2", ImportError("numpy.core.multiarray failed to import"))
    assert broken.fix == "pip install --force-reinstall opencv-python-headless"
    assert problem.fatal
    assert broken.fatal


def failing(name: str, error: ImportError) -> Load:
    def load(module: str) -> ModuleType:
        if module == name:
            raise error
        return importlib.import_module(module)

    return load


def test_opencv_that_cannot_start_stops_everything_but_the_doctor() -> None:
    lacking = ImportError("libGL.so.1: cannot open shared object file")
    found = examine(BASE, load=failing("cv2", lacking))
    assert not found.can_run
    assert [problem.what for problem in found.problems] == [
        "OpenCV cannot start: this system lacks libGL.so.1"
    ]
    text = "\n".join(report(found))
    assert "cannot run here" in text
    assert "apt-get install" in text


def status(problem: str | None) -> BackendStatus:
    return BackendStatus(
        name="openvino",
        version="2026.4",
        devices=("CPU",),
        precisions=("fp32",),
        problem=problem,
        fix="pip install it" if problem else None,
    )


def with_backends(*statuses: BackendStatus) -> Load:
    def load(module: str) -> ModuleType:
        if module != "rtstyle.backends":
            return importlib.import_module(module)
        real = importlib.import_module(module)
        fake = ModuleType(module)
        fake.__dict__.update(
            available_backends=lambda: statuses, processor_features=real.processor_features
        )
        return fake

    return load


def test_one_working_backend_is_enough() -> None:
    found = examine(BASE, load=with_backends(status("broken"), status(None)))
    assert found.can_run
    text = "\n".join(report(found))
    assert "fix: pip install it" in text
    assert "rtstyle can run here." in text


def test_without_a_working_backend_nothing_runs() -> None:
    assert not examine(BASE, load=with_backends(status("broken"))).can_run
    assert not examine(BASE, load=with_backends()).can_run


def test_a_conflict_alone_does_not_stop_the_run() -> None:
    both = (*BASE, Package("onnxruntime", "1"), Package("onnxruntime-gpu", "1"))
    found = examine(both, load=with_backends(status(None)))
    assert found.can_run
    assert len(found.problems) == 1


def test_the_command_tells_of_this_installation() -> None:
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0, result.output
    for word in ("Versions", "numpy", "avcodec", "Backends", "onnxruntime", "h264", "libx264"):
        assert word in result.output


def test_json_holds_what_the_text_says() -> None:
    result = CliRunner().invoke(main, ["doctor", "--json"])
    found = json.loads(result.output)
    assert found["can_run"] is True
    assert found["codecs"]["h264"] == "libx264"
    assert {backend["name"] for backend in found["backends"]} == {
        "openvino",
        "onnxruntime",
        "tensorrt",
    }
    assert found["versions"]["rtstyle"] == found["rtstyle"]


@pytest.mark.parametrize("arguments", [["doctor"], ["doctor", "--json"]])
def test_an_installation_that_cannot_run_is_exit_6(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Diagnosis:
        return examine(BASE, load=with_backends(status("broken")))

    monkeypatch.setattr(doctor_module, "examine", broken)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 6
    assert "broken" in result.output
