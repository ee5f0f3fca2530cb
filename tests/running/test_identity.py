"""What makes a result another result: data that nobody declared, and code that changed."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import tiny_models
import tiny_runs
from tiny_runs import Error, sae_folder

import saeval
from saeval.activations import ActivationSource, TokenRows
from saeval.config import plugins
from saeval.errors import NotApplicable
from saeval.evidence import Evidence, units
from saeval.running.identity import code_sha256, prepared_sha256, task_identity
from saeval.running.plan.plan import plan
from saeval.sae import SAE
from saeval.task import Prepared


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny model."""
    return str(tiny_models.build("gpt2", tmp_path_factory.mktemp("gpt2")))


@dataclass(frozen=True)
class Undeclared:
    """Reads a file that no field names, and has no `inputs`."""

    name: ClassVar[str] = "undeclared"
    version: ClassVar[int] = 1
    prepared: ClassVar[list[int]] = []

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """The number in the file, unless there is none."""
        self.prepared.append(seed)
        if not Path("number.txt").exists():
            raise NotApplicable("There is no number.")
        return Prepared({"number": np.array([float(Path("number.txt").read_text())])})

    def score(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterator[Evidence]:
        """The number."""
        table = units("runs", "run", {"number": np.repeat(prepared.arrays["number"], 3)})
        yield Evidence("number", table, {"num": "number"}, "count", "none")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A working folder and a cache of its own."""
    monkeypatch.setenv("SAEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Undeclared.prepared.clear()
    yield
    Error.scored.clear()


def test_forgetting_inputs_gives_no_stale_result(gpt2: str, tmp_path: Path) -> None:
    """A task without `inputs` is prepared once in every run; what it prepared is in the key."""
    saes = [sae_folder(tmp_path / name, seed) for seed, name in enumerate("ab")]
    ids, values = [], []
    for number in (1, 1, 2, 1):
        (tmp_path / "number.txt").write_text(str(number))
        results = saeval.evaluate(saes, Undeclared(), model=gpt2)
        assert not results.failed
        ids.append([result.result_id for result in results])
        values.append([score.value for score in results.scores])
    assert values == [[1, 1], [1, 1], [2, 2], [1, 1]]
    assert ids[0] == ids[1] == ids[3] != ids[2]
    assert len({each for pair in ids for each in pair}) == 4
    assert Undeclared.prepared == [0] * 4


def test_what_could_not_be_prepared_is_tried_again(gpt2: str, tmp_path: Path) -> None:
    """Without `inputs` nobody knows whether a refusal still holds, so it is not found again."""
    folder = sae_folder(tmp_path / "a")
    assert saeval.evaluate(folder, Undeclared(), model=gpt2)[0].status == "not_applicable"
    (tmp_path / "number.txt").write_text("3")
    assert saeval.evaluate(folder, Undeclared(), model=gpt2)[0].status == "scored"
    (tmp_path / "number.txt").unlink()
    assert saeval.evaluate(folder, Undeclared(), model=gpt2)[0].status == "not_applicable"


def test_a_plan_says_what_it_cannot_know(gpt2: str, tmp_path: Path) -> None:
    """Without `inputs`, a plan names the time, no result id, and why it does not know."""
    (tmp_path / "number.txt").write_text("3")
    folder = sae_folder(tmp_path / "a")
    saeval.evaluate(folder, Undeclared(), model=gpt2)
    (planned,) = plan(folder, Undeclared(), model=gpt2).results
    assert (planned.state, planned.result_id, planned.basis) == ("compute", None, "rehearsed")
    assert "undeclared does not declare its inputs" in str(planned.reason)


ROWS = TokenRows("a", np.ones((2, 3), np.int32), np.ones((2, 3), bool), np.ones((2, 3), bool))
CONTENTS: dict[str, Prepared] = {
    "nothing": Prepared(),
    "array": Prepared({"a": np.arange(3)}),
    "array of another name": Prepared({"b": np.arange(3)}),
    "array of another type": Prepared({"a": np.arange(3.0)}),
    "array of another shape": Prepared({"a": np.arange(3)[None]}),
    "array of other values": Prepared({"a": np.arange(3)[::-1]}),
    "table": Prepared(tables={"a": pd.DataFrame({"x": [0, 1, 2]})}),
    "table of texts": Prepared(tables={"a": pd.DataFrame({"x": ["0", "1", "2"]})}),
    "table of other texts": Prepared(tables={"a": pd.DataFrame({"x": ["0", "1", "3"]})}),
    "facts": Prepared(facts={"a": [0, 1, 2]}),
    "other facts": Prepared(facts={"a": [0, 1, 3]}),
    "rows": Prepared(rows=ROWS),
    "more rows": Prepared(more_rows={"a": ROWS}),
    "other rows": Prepared(rows=ROWS.take(slice(0, 1))),
}


def test_all_that_is_prepared_enters_its_hash() -> None:
    """Arrays, tables, facts and rows each count, by name, type and value; equal ones are equal."""
    hashes = [prepared_sha256(content) for content in CONTENTS.values()]
    assert len(set(hashes)) == len(hashes)
    fortran = np.asfortranarray(np.arange(6).reshape(2, 3))
    same = [Prepared({"a": array}) for array in (fortran, fortran.copy("C"))]
    assert len({prepared_sha256(content) for content in same}) == 1


_TASK = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from saeval.evidence import Evidence, units
from saeval.task import Prepared
{more}

@dataclass(frozen=True)
class Task:
    name: ClassVar[str] = "theirs"
    version: ClassVar[int] = 1

    def inputs(self, model):
        return None

    def prepare(self, source, seed):
        return Prepared()

    def score(self, sae, prepared, source, seed):
        table = units("runs", "run", {{"one": np.full(3, {value})}})
        yield Evidence("fine", table, {{"num": "one"}}, "count", "none")
"""


def _theirs(gpt2: str, folder: Path) -> Any:
    """The result of the plugin `theirs` as it is on disk now."""
    for name in [name for name in sys.modules if name.startswith("theirs_task")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    assert plugins.load_task("theirs").__module__.startswith("theirs_task")
    return saeval.evaluate(sae_folder(folder / "a"), "theirs", model=gpt2)[0]


def test_changed_code_of_a_plugin_is_another_result(
    gpt2: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin of one module that changed without its version is scored again, and only then."""
    site = tmp_path / "site"
    site.mkdir()
    tiny_runs.plugin(site, "theirs", _TASK.format(value=1.0, more=""))
    (site / "neighbour.py").write_text("")
    monkeypatch.syspath_prepend(site)
    first = _theirs(gpt2, tmp_path)
    (site / "neighbour.py").write_text("x = 1")
    assert _theirs(gpt2, tmp_path).result_id == first.result_id
    (site / "theirs_task.py").write_text(_TASK.format(value=2.0, more=""))
    changed = _theirs(gpt2, tmp_path)
    assert changed.result_id != first.result_id
    assert [each.scores[0].value for each in (first, changed)] == [1.0, 2.0]


def test_any_file_of_a_plugins_package_counts(
    gpt2: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A formula in another file of the package, or below it, is the plugin's code too."""
    site = tmp_path / "site"
    package = site / "theirs_task"
    (package / "sub").mkdir(parents=True)
    tiny_runs.plugin(site, "theirs", "")
    (site / "theirs_task.py").unlink()
    files = {
        package / "__init__.py": "from theirs_task.sub.main import Task",
        package / "formula.py": "VALUE = 1.0",
        package / "sub" / "__init__.py": "",
        package / "sub" / "main.py": _TASK.format(
            value="VALUE", more="from theirs_task.formula import VALUE"
        ),
    }
    for path, text in files.items():
        path.write_text(text)
    monkeypatch.syspath_prepend(site)
    ids = [_theirs(gpt2, tmp_path).result_id]
    for path, text in files.items():
        path.write_text(f"{text}\n# changed")
        ids.append(_theirs(gpt2, tmp_path).result_id)
    (package / "data.txt").write_text("no code")
    assert _theirs(gpt2, tmp_path).result_id == ids[-1]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", ["absorption", "core", "probing", "synthetic"])
def test_built_in_tasks_are_known_by_their_version(name: str) -> None:
    """The code of saeval's own tasks is in no key, and each declares what it reads."""
    task = plugins.load_task(name)()
    assert set(task_identity(task)) == {"task", "version", "fields"}
    assert callable(task.inputs)


def test_code_without_a_file() -> None:
    """A class typed into an interpreter has no code to hash; its version is all there is."""
    made: dict[str, Any] = {"__name__": "nowhere"}
    exec("class Task: pass", made)
    assert code_sha256(made["Task"]) is None
