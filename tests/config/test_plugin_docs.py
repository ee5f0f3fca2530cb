"""Descriptions come from source alone: nothing of a plugin runs."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from saeval.config import plugin_docs as descriptions
from saeval.config import plugins

SOURCE = '''
    """A module."""
    from dataclasses import dataclass, field
    from typing import ClassVar
    import no_such_module_anywhere

    raise SystemExit("this module was run")

    @dataclass(frozen=True)
    class Shy:
        """Says what it measures.

        And more.
        """

        name: ClassVar[str] = "shy"
        version: ClassVar[int] = 7
        rows: int = 3
        """Rows that are read,
        of those there are."""
        ks: tuple[int, ...] = (1, 2)
        parts: dict[str, int] = field(default_factory=dict)
        """By name."""
        share: float | None = field(default=0.5, repr=False)
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path, every module of which would end the process if it ran."""
    folder = tmp_path / "dp_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from .inner import Shy as Renamed\nraise SystemExit('the package was run')\n"
    )
    (folder / "inner.py").write_text(dedent(SOURCE))
    (folder / "reader.py").write_text('"""Reads it."""\nFORMAT: str = "a.bin"\nraise SystemExit\n')
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def _described(monkeypatch: pytest.MonkeyPatch, target: str) -> descriptions.Description:
    plugin = plugins.Plugin("shy", target, "strangers 1.0")
    monkeypatch.setattr(descriptions, "find", lambda _: {"shy": plugin})
    return descriptions.describe_tasks()[0]


@pytest.mark.parametrize("target", ["dp_package.inner:Shy", "dp_package:Renamed"])
def test_task_is_described_from_source(
    package: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """Docstring, version and every field are read, in place or through an import, unrun."""
    assert package.exists()
    found = _described(monkeypatch, target)
    assert (found.broken, found.summary, found.version) == ("", "Says what it measures.", 7)
    assert found.doc.endswith("And more.")
    assert [(f.name, f.type, f.default, f.doc) for f in found.fields] == [
        ("rows", "int", "3", "Rows that are read,\nof those there are."),
        ("ks", "tuple[int, ...]", "(1, 2)", ""),
        ("parts", "dict[str, int]", "dict()", "By name."),
        ("share", "float | None", "0.5", ""),
    ]


def test_loader_is_described_from_source(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader's docstring and format are read, unrun."""
    assert package.exists()
    plugin = plugins.Plugin("r", "dp_package.reader", "strangers 1.0")
    monkeypatch.setattr(descriptions, "find", lambda _: {"r": plugin})
    found = descriptions.describe_loaders()[0]
    assert (found.summary, found.format, found.broken) == ("Reads it.", "a.bin", "")


@pytest.mark.parametrize(
    "target,reason",
    [
        ("dp_package.inner:Missing", "dp_package.inner defines no class 'Missing'"),
        ("dp_package.nowhere:Shy", "There is no module 'dp_package.nowhere'"),
        ("dp_nowhere:Shy", "There is no module 'dp_nowhere'"),
        ("sys:Shy", "sys has no Python source"),
    ],
)
def test_undescribable_plugin_says_why(
    package: Path, monkeypatch: pytest.MonkeyPatch, target: str, reason: str
) -> None:
    """A plugin whose source cannot be read is listed with the reason, not raised."""
    assert package.exists()
    assert reason in _described(monkeypatch, target).broken


def test_built_in_descriptions_are_light() -> None:
    """Describing all that saeval brings imports neither torch nor pandas, and omits nothing."""
    script = """
        import sys
        from saeval.config.plugin_docs import describe_loaders, describe_tasks
        found = [*describe_tasks(), *describe_loaders()]
        assert found and all(one.summary and not one.broken for one in found), found
        assert all(one.format for one in describe_loaders())
        assert all(one.version and one.fields for one in describe_tasks())
        assert not {"torch", "pandas", "numpy"} & set(sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
