"""Imports point one way, and modules are named for what they hold."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A room imports only what stands above it.
ORDER = (
    *("errors", "config", "registry", "evidence", "results", "leaderboard"),
    *("sae", "models", "activations", "metrics", "task", "training", "lab"),
    *("running", "testing", "cli"),
)
LIGHT = ("errors", "config", "registry", "evidence", "results", "leaderboard", "cli")
"""Rooms that never import torch, in none of their modules."""
VAGUE = {"utils", "util", "common", "helpers", "helper", "base", "misc", "manager"}


def _modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _imported(path: Path) -> Iterator[str]:
    """Absolute names of what a file imports, wherever in it."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield start
            yield from (f"{start}.{alias.name}" for alias in node.names)


def _room(name: str) -> str | None:
    """The room of saeval that an absolute name belongs to, None if it belongs to none."""
    parts = name.split(".")
    known = len(parts) > 1 and parts[0] == "saeval"
    folder = ROOT / "saeval" / parts[1] if known else ROOT
    return parts[1] if known and (folder.is_dir() or folder.with_suffix(".py").exists()) else None


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_room_has_its_place() -> None:
    """Each room of saeval stands in ORDER."""
    rooms = {path.relative_to(ROOT / "saeval").parts[0] for path in _modules("saeval")}
    unplaced = {room.removesuffix(".py") for room in rooms} - {"__init__", "__main__", *ORDER}
    assert not unplaced, "name them in ORDER, below all they import"


@pytest.mark.parametrize("room", ORDER)
def test_imports_point_up(room: str) -> None:
    """A room of saeval imports only rooms above it, and never a task."""
    place = ROOT / "saeval" / room
    for path in [*place.rglob("*.py"), place.with_suffix(".py")]:
        for name in _imported(path) if path.exists() else ():
            assert name.split(".")[0] not in ("saeval_tasks", "tasks"), f"{path} imports {name}"
            other = _room(name)
            assert other is None or ORDER.index(other) <= ORDER.index(room), f"{path}: {name}"


def test_the_picture_of_the_rooms_is_true() -> None:
    """docs/architecture.md lists for each room the rooms that it imports, all and no others."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    text = text.split("## The rooms")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w/]+)(?:\.py)?/?` \|.*\| ([^|]*) \|$", text, re.MULTILINE)
    drawn = {room.rstrip("/"): set(cell.split()) - {"nothing"} for room, cell in rows}
    measured = {room: _rooms_imported_by(room) for room in ORDER}
    assert drawn == measured


def _rooms_imported_by(room: str) -> set[str | None]:
    place = ROOT / "saeval" / room
    paths = [*place.rglob("*.py"), *filter(Path.exists, [place.with_suffix(".py")])]
    return {_room(name) for path in paths for name in _imported(path)} - {room, None}


def test_no_file_imports_itself_by_way_of_others() -> None:
    """Following imports from file to file, also those inside functions, never leads back."""
    files = {_module(path): path for path in [*_modules("saeval"), *_modules("tasks")]}
    edges = {
        name: {other for other in _imported(path) if other in files} - {name}
        for name, path in files.items()
        if path.name != "__init__.py"  # these only hand names on
    }
    left = {name: {other for other in others if other in edges} for name, others in edges.items()}
    while free := {name for name, others in left.items() if not others}:
        left = {name: others - free for name, others in left.items() if name not in free}
    assert not left, "these files wait for each other"


def test_tasks_do_not_import_each_other() -> None:
    """A task reaches other files of tasks/ relatively: its own folder's, or `_shared` ones."""
    for path in _modules("tasks"):
        own = path.relative_to(ROOT).parts[1].removesuffix(".py")
        for name in _imported(path):
            parts = name.split(".")
            assert parts[0] != "saeval_tasks", f"{path} must import '{name}' relatively"
            if parts[0] == "tasks" and len(parts) > 1 and own != "__init__":
                shared = parts[1].startswith("_") or parts[1] == own
                assert shared, f"{path} imports the task '{parts[1]}'"


def test_light_rooms_stay_light() -> None:
    """No module of what `ls` and leaderboards are made of imports torch."""
    light = [name for name in map(_module, _modules("saeval")) if _room(name) in LIGHT]
    assert len(light) > len(LIGHT)
    script = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    assert "torch" not in sys.modules, name
"""
    command = [sys.executable, "-c", script, *light]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_say_what_a_module_holds() -> None:
    """No module is called by one of the names that say nothing."""
    paths = [*_modules("saeval"), *_modules("tasks")]
    vague = [path for path in paths if {path.stem.strip("_"), path.parent.name} & VAGUE]
    assert not vague


def test_no_python_at_the_root() -> None:
    """A file there would be installed as a module of saeval.data."""
    assert not list(ROOT.glob("*.py"))


def test_every_package_is_listed() -> None:
    """pyproject.toml lists every package, each with an __init__.py, so that wheels are whole."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = set(tomllib.load(file)["tool"]["setuptools"]["packages"])
    folders = {path.parent.relative_to(ROOT) for path in [*_modules("saeval"), *_modules("tasks")]}
    assert all((ROOT / folder / "__init__.py").exists() for folder in folders)
    names = {".".join(folder.parts).replace("tasks", "saeval_tasks", 1) for folder in folders}
    assert listed == names | {"saeval.data"}
