"""What is built from the checkout installs and runs far away from it."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_NAMES = shutil.ignore_patterns(
    *(".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache")
)


def _left_out(folder: str, names: list[str]) -> set[str]:
    """What no build needs; `results` only at the top, since a room of saeval is called so."""
    scored = {"results"} if Path(folder) == ROOT else set()
    return _NAMES(folder, names) | scored


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the sdist, and the wheel that is built from that sdist."""
    work = tmp_path_factory.mktemp("built")
    checkout = shutil.copytree(ROOT, work / "checkout", ignore=_left_out)
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", work / "dist")
    _run(*build, checkout, cwd=work)
    return work / "dist"


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that the wheel was installed into; its dependencies are this environment's."""
    site = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    install = (sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps")
    _run(*install, "--target", site, wheel, cwd=site)
    return site


def _python(site: Path, cwd: Path, script: str) -> str:
    return _run(sys.executable, "-c", script, cwd=cwd, PYTHONPATH=str(site))


def test_wheel_holds_the_packages_and_their_data(built: Path) -> None:
    """The wheel holds code, registry and lab, and nothing of tests, tools or the root folder."""
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"saeval/py.typed", "saeval/data/registry.yaml", "saeval_tasks/core/task.py"} <= set(
        names
    )
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"saeval", "saeval_tasks"}
    data = {name for name in names if name.startswith("saeval/data/")}
    assert all(name.endswith((".yaml", ".yml")) for name in data)
    assert "saeval/data/leaderboards/lab-world.yaml" in names
    site = ROOT / "saeval" / "leaderboard" / "site"
    for file in [*site.glob("templates/*"), *site.glob("static/*")]:
        assert file.relative_to(ROOT).as_posix() in names
    weights = ROOT / "saeval" / "lab" / "weights"
    for file in weights.rglob("*.safetensors"):
        assert f"saeval/lab/weights/{file.relative_to(weights).as_posix()}" in names


def test_sdist_can_be_built_from(built: Path) -> None:
    """The sdist holds what a build needs, licence and registry included."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "registry.yaml",
        "tasks/core/task.py",
    } <= names


def test_installed_package_knows_its_plugins_and_registry(installed: Path, tmp_path: Path) -> None:
    """Outside the checkout, registry, tasks and loaders are those of the installed package."""
    script = """
import saeval
from saeval.config.plugin_docs import describe_loaders, describe_tasks
from saeval.registry.lookup import load_registry
print(saeval.__file__)
for file in load_registry().files:
    print(file)
assert load_registry().entries
assert all(not one.broken for one in [*describe_loaders(), *describe_tasks()])
from saeval.config.plugins import loaders, tasks
assert len(loaders()) == len(describe_loaders()) and len(tasks()) == len(describe_tasks())
print(tasks()["core"].__module__, __import__("saeval_tasks").__file__)
"""
    out = _python(installed, tmp_path, script)
    assert str(installed / "saeval" / "data" / "registry.yaml") in out
    assert str(ROOT) not in out


def test_installed_command_runs(installed: Path, tmp_path: Path) -> None:
    """The `saeval` command answers outside the checkout: help, and what the registry lists."""
    command = (sys.executable, installed / "bin" / "saeval")
    assert "run" in _run(*command, "--help", cwd=tmp_path, PYTHONPATH=str(installed))
    listed = _run(*command, "ls", "saes", "--json", cwd=tmp_path, PYTHONPATH=str(installed))
    assert '"gpt2-small/res-jb/layer-8"' in listed
