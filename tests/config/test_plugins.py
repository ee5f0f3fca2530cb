"""Plugins are found without running them, and refused by name where they do not fit."""

import logging
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from saeval.config import plugins
from saeval.errors import UsageError

GOOD_TASK = """
    from dataclasses import dataclass
    from typing import ClassVar

    @dataclass(frozen=True)
    class Good:
        name: ClassVar[str] = "good"
        version: ClassVar[int] = 1
        rows: int = 3

        def prepare(self, source, seed): ...
        def score(self, sae, prepared, source, seed): ...
"""

GOOD_LOADER = """
    FORMAT = "good.bin"
    def matches(folder): return False
    def load(folder, entry=None): ...
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution that brings one plugin."""

    def make(distribution: str, group: str, point: str, module: str, source: str) -> None:
        site = tmp_path / distribution
        info = site / f"{distribution}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{point}\n")
        (site / f"{module}.py").write_text(dedent(source))
        monkeypatch.syspath_prepend(site)

    return make


def test_built_in_plugins_load() -> None:
    """Every task and loader that saeval brings passes its own checks, none is left out."""
    assert list(plugins.tasks()) == list(plugins.find(plugins.TASKS))
    assert list(plugins.loaders()) == list(plugins.find(plugins.LOADERS))
    assert "core" in plugins.tasks()


def test_third_party_plugins_load(install: Install) -> None:
    """A task and a loader of another package are found, loaded and named with their package."""
    install("strangers", plugins.TASKS, "good = tp_good:Good", "tp_good", GOOD_TASK)
    install("others", plugins.LOADERS, "odd = tp_odd", "tp_odd", GOOD_LOADER)
    assert plugins.load_task("good")().rows == 3
    assert plugins.load_loader("odd").FORMAT == "good.bin"
    assert str(plugins.find(plugins.TASKS)["good"]) == "'good' (tp_good:Good, from strangers 1.0)"


def test_unknown_name_offers_the_nearest() -> None:
    """A misspelt task is refused with the name that was meant."""
    with pytest.raises(UsageError, match=r"No task is called 'cor'\. Did you mean 'core'"):
        plugins.load_task("cor")


def test_one_name_twice_names_both_packages(install: Install) -> None:
    """Two packages that claim one name are both named."""
    install("one", plugins.TASKS, "twin = tp_one:Good", "tp_one", GOOD_TASK)
    install("two", plugins.TASKS, "twin = tp_two:Good", "tp_two", GOOD_TASK)
    with pytest.raises(UsageError, match=r"share a name: .*(one|two) 1\.0.*(one|two) 1\.0"):
        plugins.find(plugins.TASKS)


@pytest.mark.parametrize(
    "change,reason",
    [
        (("frozen=True", "frozen=False"), "must be a frozen dataclass"),
        (('"good"', '"other"'), "its `name` is 'other', but must be 'good'"),
        (("[int] = 1", "[int] = 0"), "`version` must be an int from 1, not 0"),
        (("[int] = 1", "[int] = True"), "`version` must be an int from 1, not True"),
        (("rows: int = 3", "rows: int"), r"every field needs a default, but Good\(\) fails"),
        (("source, seed): ...", "source): ..."), r"defines prepare\(self, source\), but it is"),
        (("def score(", "def rate("), "must have either `score` or `score_group`"),
        (("self, sae,", "self,"), r"called as score\(self, sae, prepared, source, seed\)"),
        (("source, seed): ...", "source, seed, more): ..."), r"defines prepare\(.*more\), but"),
        (("import dataclass", "import dataclas"), "cannot be imported: ImportError"),
        (("class Good", "class Bad"), "cannot be imported: AttributeError"),
    ],
)
def test_task_that_does_not_fit_is_refused(
    install: Install, change: tuple[str, str], reason: str
) -> None:
    """Each way of not being a task is refused with the culprit's package and the reason."""
    module = f"tp_{abs(hash(change))}"
    source = GOOD_TASK.replace(*change, 1)
    assert source != GOOD_TASK
    install("strangers", plugins.TASKS, f"good = {module}:Good", module, source)
    with pytest.raises(UsageError, match=rf"'good' .*from strangers 1\.0.*{reason}"):
        plugins.load_task("good")


@pytest.mark.parametrize(
    "change,reason",
    [
        (("FORMAT", "FORM"), "`FORMAT` must be one line"),
        (("matches(folder)", "matches()"), r"defines matches\(\), but it is called as"),
        (("def load", "def read"), r"lacks load\(folder, entry\)"),
    ],
)
def test_loader_that_does_not_fit_is_refused(
    install: Install, change: tuple[str, str], reason: str
) -> None:
    """Each way of not being a loader is refused with the culprit's package and the reason."""
    module = f"tp_{abs(hash(change))}"
    install(
        "strangers", plugins.LOADERS, f"odd = {module}", module, GOOD_LOADER.replace(*change, 1)
    )
    with pytest.raises(UsageError, match=rf"'odd' .*from strangers 1\.0.*{reason}"):
        plugins.load_loader("odd")


def test_loader_must_be_a_module(install: Install) -> None:
    """An entry point to something within a module is no loader."""
    install("strangers", plugins.LOADERS, "odd = tp_inner:FORMAT", "tp_inner", GOOD_LOADER)
    with pytest.raises(UsageError, match=r"must be a module, but is 'good\.bin'"):
        plugins.load_loader("odd")


def test_broken_plugin_leaves_others_alone(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    """A plugin that raises on import is reported by name, and the others still load."""
    install("broken", plugins.LOADERS, "bad = tp_bad", "tp_bad", "raise RuntimeError('no')")
    install("others", plugins.LOADERS, "fine = tp_fine", "tp_fine", GOOD_LOADER)
    with caplog.at_level(logging.WARNING):
        loaded = plugins.loaders()
    assert "fine" in loaded
    assert "bad" not in loaded
    assert "'bad' (tp_bad, from broken 1.0) cannot be imported: RuntimeError: no" in caplog.text
