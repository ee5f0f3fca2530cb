"""Imports point one way, and modules are named for what they hold."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module imports only what stands above it. Packages stand for all of their modules, but for
# those that have a place of their own.
ORDER = (
    *("errors", "memory", "conform", "configuration", "folders", "hashes"),
    *("plugins", "options", "descriptions", "entries", "registry_file", "registry", "hub"),
    *("lab.manifest", "fetch"),
    *("units", "aggregators", "bootstrap", "replicates", "evidence"),
    *(
        "scores",
        "recipes",
        "result_folder",
        "results",
        "layout",
        "tables",
        "model_names",
        "lab.worlds",
        "lab.description",
        "catalogue",
        "leaderboard",
    ),
    *("sae", "architectures", "loaders", "models", "activations", "glimpse", "metrics"),
    *("recovery", "lab.synthetic", "task"),
    *("preparation", "identity", "calibration", "preflight", "sources", "subjects", "passages"),
    *("provenance", "progress", "display", "jobs", "scoring", "session"),
    *("repetition", "meeting", "validation"),
    *("training", "lab", "material", "trainer"),
    *("run", "rehearsal", "forecast", "plan_rows", "plan", "cli"),
)
LIGHT = ORDER[: ORDER.index("sae")]
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


def _unit(name: str) -> str | None:
    """The part of saeval that an absolute name belongs to, None if it is none of ORDER's kind."""
    parts = name.split(".")
    if len(parts) > 2 and ".".join(parts[1:3]) in ORDER:
        return ".".join(parts[1:3])
    known = len(parts) > 1 and parts[0] == "saeval"
    folder = ROOT / "saeval" / parts[1] if known else ROOT
    return parts[1] if known and (folder.is_dir() or folder.with_suffix(".py").exists()) else None


def test_every_module_has_its_place() -> None:
    """Each module of saeval stands in ORDER."""
    units = {path.relative_to(ROOT / "saeval").parts[0] for path in _modules("saeval")}
    unplaced = {unit.removesuffix(".py") for unit in units} - {"__init__", *ORDER}
    assert not unplaced, "name them in ORDER, below all they import"


@pytest.mark.parametrize("unit", ORDER)
def test_imports_point_up(unit: str) -> None:
    """A module of saeval imports only modules above it, and never a task."""
    place = ROOT / "saeval" / unit.replace(".", "/")
    for path in [*place.rglob("*.py"), place.with_suffix(".py")]:
        for name in _imported(path) if path.exists() else ():
            assert name.split(".")[0] not in ("saeval_tasks", "tasks"), f"{path} imports {name}"
            other = _unit(name)
            assert other is None or ORDER.index(other) <= ORDER.index(unit), f"{path}: {name}"


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


def test_light_modules_stay_light() -> None:
    """What `ls` and leaderboards are made of never imports torch."""
    present = [unit for unit in LIGHT if _unit(f"saeval.{unit}")]
    script = """
import importlib, sys
for unit in sys.argv[1:]:
    importlib.import_module(f"saeval.{unit}")
    assert "torch" not in sys.modules, unit
"""
    command = [sys.executable, "-c", script, *present]
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
