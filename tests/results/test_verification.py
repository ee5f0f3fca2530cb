"""A stored result is believed only if it is what was computed; all else is told and made anew."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny_models
from click.testing import CliRunner
from tiny_runs import sae_folder, texts_file

import saeval
from saeval.cli.app import app
from saeval.evidence import Evidence, units
from saeval.results import recompute as recompute_module
from saeval.results.digest import record_digest
from saeval.results.from_evidence import scores_of
from saeval.results.recompute import discrepancies
from saeval.results.results import Results
from saeval.results.score import Labels, Result
from saeval.results.verification import faults_of, find_verified, seal_faults
from saeval.results.writing import write_result
from saeval.running.plan.plan import plan

CORE = {"core": {"context": tiny_models.CONTEXT}}
NOT_COVERED = ("run", "working_folder")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, two SAEs, and a result of `core` for each."""
    folder = tmp_path_factory.mktemp("work")
    tiny_models.build("gpt2", folder / "gpt2")
    texts_file(folder)
    for number, name in enumerate("ab"):
        sae_folder(folder / name, number)
    _evaluate(folder, folder / "results", "a", "b")
    return folder


def _evaluate(work: Path, root: Path, *names: str) -> Results:
    saes = [work / name for name in names or "a"]
    where = {"model": str(work / "gpt2"), "data": work / "texts.txt", "output_path": root}
    return saeval.evaluate(saes, "core", config=CORE, **where)


@pytest.fixture
def stored(work: Path, tmp_path: Path) -> Path:
    """A copy of the folder of the first result."""
    shutil.copytree(work / "results", tmp_path / "results")
    (folder,) = (tmp_path / "results" / "a").glob("core-*")
    return folder


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list) and value:
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from _leaves(value[key], (*path, key))
    else:
        yield path


def _another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1e-3 if isinstance(value, float) else value + 1
    return f"{value}x" if isinstance(value, str) else "x"


def _put(record: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        record = record[key]
    record[path[-1]] = value


def _is_covered(path: tuple[Any, ...]) -> bool:
    times = path[0] == "provenance" and path[1] in ("created", "phases")
    return path[0] not in NOT_COVERED and not times


def _rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    record = json.loads((folder / "result.json").read_text())
    change(record)
    (folder / "result.json").write_text(json.dumps(record))


def test_every_leaf_of_a_result_is_guarded(stored: Path) -> None:
    """Whatever number or text of result.json is changed, to any type, the result is not found."""
    text = (stored / "result.json").read_text()
    root, key = stored.parents[1], stored.name.removeprefix("core-")
    assert find_verified(root, key).result is not None
    seen = set()
    for path in _leaves(json.loads(text)):
        kind = tuple("#" if isinstance(part, int) else part for part in path)
        if not _is_covered(path) or kind in seen:
            continue
        seen.add(kind)
        for value in (None, [], {}, "text") if path[-1] in ("value", "metric", "file") else (None,):
            record = json.loads(text)
            old = record
            for part in path:
                old = old[part]
            _put(record, path, _another(old) if value is None else value)
            (stored / "result.json").write_text(json.dumps(record))
            finding = find_verified(root, key)
            assert finding.result is None, path
            (warning,) = finding.warnings
            assert str(stored) in warning, path
            assert "\n" not in warning
            assert "computed anew" in warning
    assert len(seen) > 80


def _one_cell(folder: Path) -> None:
    table = pd.read_parquet(folder / "rows.parquet")
    table.loc[0, "sq_err" if "sq_err" in table else table.columns[-1]] += 1.0
    table.to_parquet(folder / "rows.parquet")


def _truncate(folder: Path) -> None:
    data = (folder / "rows.parquet").read_bytes()
    (folder / "rows.parquet").write_bytes(data[: len(data) // 2])


def _swap(folder: Path) -> None:
    (other,) = (folder.parents[1] / "b").glob("core-*")
    shutil.copy(other / "rows.parquet", folder / "rows.parquet")


def _take_anothers(folder: Path) -> None:
    (other,) = (folder.parents[1] / "b").glob("core-*")
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def _forge(folder: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["scores"][0]["value"] += 1e-3
        record["digest"] = record_digest(record)

    _rewrite(folder, change)


def _forge_key(folder: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["provenance"]["key"]["seed"] = 7
        record["digest"] = record_digest(record)

    _rewrite(folder, change)


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "value": (
        lambda f: _rewrite(f, lambda r: r["scores"][0].update(value=0.25)),
        "value is 0.25, its evidence gives",
    ),
    "interval": (
        lambda f: _rewrite(f, lambda r: r["scores"][1].update(ci_low=0.25)),
        "ci_low is 0.25, its evidence gives",
    ),
    "failed": (lambda f: _rewrite(f, lambda r: r.update(status="failed", reason="x")), "changed"),
    "taken out": (lambda f: _rewrite(f, lambda r: r["scores"].pop(0)), "has evidence but no score"),
    "added": (
        lambda f: _rewrite(f, lambda r: r["scores"].append({**r["scores"][0], "metric": "mine"})),
        "mine (part None) has no evidence",
    ),
    "forged": (_forge, "its evidence gives"),
    "forged key": (_forge_key, "provenance.key do not give its id"),
    "without digest": (
        lambda f: _rewrite(f, lambda r: (r.pop("digest"), r["scores"][1].update(stderr=9.5))),
        "stderr is 9.5, its evidence gives",
    ),
    "no JSON": (lambda f: (f / "result.json").write_text("{"), "is no whole result"),
    "no result.json": (lambda f: (f / "result.json").unlink(), "is no whole result"),
    "cell": (_one_cell, "its evidence 'rows.parquet' was changed"),
    "truncated": (_truncate, "its evidence 'rows.parquet' was changed"),
    "deleted": (lambda f: (f / "rows.parquet").unlink(), "its evidence 'rows.parquet' is missing"),
    "swapped": (_swap, "its evidence 'rows.parquet' was changed"),
    "another's": (_take_anothers, "is no whole result"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_verify_is_told_in_a_line_and_computed_anew(
    work: Path, stored: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A plan says so, a run repairs it to the same scores, and then nothing is left to say."""
    root = stored.parents[1]
    right = _stored_scores(work / "results", "a")
    tamper, says = FAULTS[fault]
    tamper(stored)
    with caplog.at_level(logging.WARNING):
        results = _evaluate(work, root)
    lines = [record.message for record in caplog.records if "does not verify" in record.message]
    assert len(lines) == 1, caplog.text
    assert says in lines[0]
    assert str(stored) in lines[0]
    assert [score.row() for score in results.scores] == right
    assert _stored_scores(root, "a") == right
    assert faults_of(stored) == ()
    assert {path.name for path in root.iterdir()} >= {"a", "b"}
    caplog.clear()
    assert [score.row() for score in _evaluate(work, root, "a").scores] == right
    assert "does not verify" not in caplog.text


def _stored_scores(root: Path, name: str) -> list[dict[str, Any]]:
    results = saeval.load_results(root)
    return [score.row() for result in results if result.sae == name for score in result.scores]


def test_a_plan_says_what_does_not_verify(
    work: Path, stored: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a run would compute anew is no longer found, and a deleted result is no fault."""
    options = {"model": str(work / "gpt2"), "data": work / "texts.txt", "config": CORE}
    options["output_path"] = str(stored.parents[1])
    assert plan(work / "a", "core", **options).results[0].state == "found"
    _rewrite(stored, lambda record: record["scores"][0].update(value=0.25))
    assert plan(work / "a", "core", **options).results[0].state == "compute"
    assert caplog.text.count("does not verify") == 1
    caplog.clear()
    shutil.rmtree(stored)
    assert plan(work / "a", "core", **options).results[0].state == "compute"
    assert "does not verify" not in caplog.text


def test_validate_verifies_a_folder_of_results(stored: Path) -> None:
    """A line for each that does not verify, a summary, and exit code 1; one result likewise."""
    root = stored.parents[1]
    good = CliRunner().invoke(app, ["validate", str(root)])
    assert (good.exit_code, good.stdout) == (0, "2 results: 2 verify, 0 do not.\n")
    _rewrite(stored, lambda record: record["scores"][0].update(value=0.25))
    for source in (root, stored.parent, stored, stored / "result.json"):
        bad = CliRunner().invoke(app, ["validate", str(source)])
        *lines, summary = bad.stdout.splitlines()
        assert bad.exit_code == 1
        assert len(lines) == 1
        assert lines[0].startswith(f"{stored}: ")
        assert "value is 0.25" in lines[0]
        assert "1 do not" in summary
    rows = CliRunner().invoke(app, ["validate", str(root), "--json"]).stdout.splitlines()
    first, last = map(json.loads, rows)
    assert first["folder"] == str(stored)
    assert last == {"kind": "summary", "results": 2, "verified": 1, "not_verified": 1}
    (stored / "result.json").unlink()
    assert CliRunner().invoke(app, ["validate", str(stored)]).exit_code == 1
    wrong = CliRunner().invoke(app, ["validate", str(root), "--site", "layers.1"])
    assert wrong.exit_code == 2


def test_load_results_warns_of_what_does_not_verify(
    stored: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every result is there, and a line names the one that was edited."""
    saeval.load_results(stored.parents[1])
    assert not caplog.records
    _rewrite(stored, lambda record: record["scores"][0].update(value=0.25))
    assert len(saeval.load_results(stored.parents[1])) == 2
    (record,) = caplog.records
    assert str(stored) in record.message
    assert "value is 0.25" in record.message


def test_names_are_verified_too(work: Path, stored: Path) -> None:
    """An alias that was edited or cut is ignored, named by validate, and written again."""
    root = stored.parents[1]
    shutil.copytree(work / "a", root.parent / "mine")
    where = {"model": str(work / "gpt2"), "data": work / "texts.txt", "output_path": root}
    saeval.evaluate(root.parent / "mine", "core", config=CORE, **where)
    (alias,) = stored.glob("alias-*.json")
    text = alias.read_text()
    for damaged in (text.replace('"mine"', '"yours"', 1), text[:20], "[]"):
        alias.write_text(damaged)
        assert {result.sae for result in saeval.load_results(root)} == {"a", "b"}
        assert faults_of(stored) == (f"'{alias.name}' holds no whole name",)
        saeval.evaluate(root.parent / "mine", "core", config=CORE, **where)
        assert {result.sae for result in saeval.load_results(root)} == {"a", "b", "mine"}


def test_digests_are_the_same_for_two_runs(work: Path, tmp_path: Path) -> None:
    """Computed twice, into two folders, a result has one digest."""
    _evaluate(work, tmp_path / "again")
    digests = [
        json.loads(path.read_text())["digest"]
        for root in (work / "results", tmp_path / "again")
        for path in root.glob("a/core-*/result.json")
    ]
    assert len(digests) == 2
    assert digests[0] == digests[1]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("column", ["value", "ci_low", "ci_high", "stderr"])
def test_recomputation_holds_to_1e_9(tmp_path: Path, column: str, scale: float) -> None:
    """Relative to the number or 1, whichever is larger: 0.9e-9 away agrees, 1.1e-9 does not."""
    table = units("rows", "row", {"error": [scale * (1 + n % 3) for n in range(9)]})
    evidence = [Evidence("error", table, {"num": "error"}, "fraction", "lower")]
    labels = Labels("a", "core", 1, 0, "0123456789abcdef0123")
    result = Result.of(labels, scores_of(evidence, labels), provenance={}, run={})
    folder = write_result(tmp_path, result, evidence)
    number = getattr(result.scores[0], column)
    for distance, agrees in ((0.9e-9, True), (1.1e-9, False)):
        moved = number + distance * max(abs(number), 1.0)
        _rewrite(folder, lambda record, moved=moved: record["scores"][0].update({column: moved}))
        assert (discrepancies(folder) == ()) == agrees
        # A digest holds every digit.
        assert seal_faults(folder) != ()
    assert recompute_module.TOLERANCE == 1e-9
