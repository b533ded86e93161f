"""The house rules that a reader would otherwise have to trust, read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "rtstyle"
TORCH = ("nets", "export", "train", "importers")
FLOOR = {
    "addresses": 0,
    "errors": 0,
    "types": 0,
    "files": 0,
    "own_names": 0,
    "runtimes": 0,
    "texts": 0,
    "memory": 0,
    "media": 1,
    "styles": 1,
    "nets": 1,
    "backends": 2,
    "export": 2,
    "train": 3,
    "importers": 3,
    "pipeline": 4,
    "live": 5,
    "web": 6,
    "cli": 7,
}
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
PACKAGES = [path for path in FILES if path.name == "__init__.py"]


def at_run_time(tree: ast.Module) -> ast.Module:
    """The source less what stands under ``if TYPE_CHECKING``."""
    checks = (
        node
        for node in tree.body
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )
    for node in checks:
        node.body = [ast.Pass()]
    return tree


def room(path: Path) -> str:
    """The package of a file, or the module's own name right under the root."""
    return path.parts[0] if len(path.parts) > 1 else path.stem


def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module a source imports, at its top or inside a function, as a dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            module = node.module or ""
            yield from (
                [f"rtstyle.{a.name}" for a in node.names] if module == "rtstyle" else [module]
            )


def breaches(here: str, modules: Iterator[str]) -> list[str]:
    """Those of ``modules`` that the room ``here`` may not import."""
    found = []
    for module in modules:
        parts = module.split(".")
        if parts[0] == "rtstyle" and parts[1:]:
            there = parts[1]
            same = here == there
            upward = there in FLOOR and FLOOR[there] >= FLOOR[here] and not same
            # The version is all the root has to offer below itself.
            unknown = there not in FLOOR and there != "__version__"
            if (upward or unknown) and not (FLOOR[here] == 0 == FLOOR.get(there, 1)):
                found.append(module)
        elif (parts[0] == "av" and here != "media") or (
            parts[0] in ("torch", "torchvision") and here not in TORCH
        ):
            found.append(module)
    return found


def test_every_file_stands_in_a_known_room() -> None:
    assert {room(path) for path in FILES} - {"__init__", "__main__"} <= FLOOR.keys()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_downwards_only(path: Path) -> None:
    if room(path) in ("__init__", "__main__"):  # the door opens onto every room
        return
    assert breaches(room(path), imports(parse(path))) == []


@pytest.mark.parametrize(
    ("here", "source"),
    [
        ("styles", "from rtstyle.media import open_video"),
        ("media", "import rtstyle.styles"),
        ("media", "def f():\n    from rtstyle.backends import load_stylizer"),
        ("backends", "from rtstyle import pipeline"),
        ("backends", "from rtstyle import export"),
        ("backends", "import torch"),
        ("pipeline", "import torch.nn"),
        ("pipeline", "import av"),
        ("pipeline", "from rtstyle.cli import main"),
        ("pipeline", "from rtstyle.live import Mixer"),
        ("live", "import av"),
        ("errors", "import rtstyle.media"),
        ("pipeline", "from rtstyle import stylize_video"),
    ],
)
def test_the_check_finds_each_kind_of_breach(here: str, source: str) -> None:
    assert len(breaches(here, imports(ast.parse(source)))) == 1


@pytest.mark.parametrize("path", FILES, ids=str)
def test_runtimes_are_imported_where_their_telemetry_is_switched_off(path: Path) -> None:
    loud = {module.split(".")[0] for module in imports(at_run_time(parse(path)))}
    assert not loud & {"onnxruntime", "openvino", "openvino_telemetry"}, "see rtstyle/runtimes.py"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    if room(path) in ("cli", "__main__"):
        return
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Name):
            assert node.id not in ("print", "exit", "quit", "SystemExit"), f"line {node.lineno}"
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            forbidden = {("sys", "exit"), ("os", "_exit"), ("click", "echo")}
            assert (owner, node.attr) not in forbidden, f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_one_place_prints(path: Path) -> None:
    if path == Path("cli/terminal.py"):
        return
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            forbidden = {("click", "echo"), ("click", "secho"), ("traceback", "print_exception")}
            assert (owner, node.attr) not in forbidden, f"line {node.lineno}: see cli/terminal.py"
        elif isinstance(node, ast.Name):
            assert node.id != "print", f"line {node.lineno}: see cli/terminal.py"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_modules_stay_readable(path: Path) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").count("\n")
    assert lines <= 400


def public_names(tree: ast.Module) -> tuple[set[str], list[str] | None]:
    """What a package's __init__ binds for others, and its __all__."""
    names: set[str] = set()
    listed: list[str] | None = None
    body = list(tree.body)
    for node in body:
        if isinstance(node, ast.If):  # imports for type checkers only
            body.extend(node.body)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rtstyle"):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "__all__":
                listed = list(ast.literal_eval(node.value))
            else:
                names.add(node.targets[0].id)
    return {name for name in names if not name.startswith("_")}, listed


def by_kind(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order ruff keeps (RUF022)."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


@pytest.mark.parametrize("path", PACKAGES, ids=str)
def test_a_package_lists_exactly_its_public_names(path: Path) -> None:
    names, listed = public_names(parse(path))
    if listed is None:
        assert names == set(), "public names without __all__"
        return
    assert {name for name in listed if not name.startswith("__")} == names
    assert listed == sorted(listed, key=by_kind)
