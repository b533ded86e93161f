"""The door of the package: every name is there, typed names and lazy names agree, nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import rtstyle
from rtstyle import errors

DOOR = Path(rtstyle.__file__)
ROOT = DOOR.parents[1]


def in_fresh_python(code: str, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_every_public_name_is_there() -> None:
    for name in rtstyle.__all__:
        assert getattr(rtstyle, name) is not None


def test_the_names_that_type_checkers_see_are_those_that_are_loaded() -> None:
    imported = {
        (node.module, alias.name)
        for node in ast.walk(ast.parse(DOOR.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("rtstyle.")
        for alias in node.names
    }
    assert {name for _, name in imported} == set(rtstyle.__all__) - {"__version__"}
    for module, name in imported:
        assert getattr(rtstyle, name) is getattr(import_module(str(module)), name)


def test_every_error_is_public() -> None:
    made = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert made <= set(rtstyle.__all__)


def test_all_is_sorted() -> None:
    constants = [name for name in rtstyle.__all__ if name.isupper()]
    classes = [name for name in rtstyle.__all__ if name[0].isupper() and not name.isupper()]
    others = [name for name in rtstyle.__all__ if not name[0].isupper()]
    assert rtstyle.__all__ == sorted(constants) + sorted(classes) + sorted(others)


def test_dir_shows_names_that_are_not_loaded_yet() -> None:
    assert in_fresh_python("import rtstyle; print('stylize_video' in dir(rtstyle))") == "True"


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'stylise_video'"):
        rtstyle.stylise_video  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'av', 'click', 'cv2', 'numpy', 'onnx', 'onnxruntime', 'openvino', 'torch'}"
    code = f"import rtstyle, sys; print(sorted({heavy} & set(sys.modules)))"
    assert in_fresh_python(code) == "[]"


def test_the_version_is_the_one_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert rtstyle.__version__ == project["version"]
