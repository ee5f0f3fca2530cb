"""Results survive the disk unchanged, are never half there, and cannot be altered unnoticed."""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import saeval
from saeval.errors import ResultError
from saeval.evidence import Evidence, Missing, Units, units
from saeval.results.aliases import Alias, remember
from saeval.results.folder import result_path, slug
from saeval.results.from_evidence import scores_of
from saeval.results.key import result_key
from saeval.results.reading import find_result, read_result, read_results, result_evidence
from saeval.results.recompute import discrepancies, recompute
from saeval.results.results import Results
from saeval.results.score import COLUMNS, Labels, Result
from saeval.results.writing import check_writable, write_result

KEY = "0123456789abcdef0123"
LABELS = Labels("lab/world/topk-16", "core", 1, 0, KEY, "lab/world/topk")


def rows_table(scale: float = 1.0) -> Units:
    """Twenty rows in two parts."""
    rng = np.random.default_rng(0)
    columns = {"err": rng.random(20) * scale, "dev": rng.random(20) + 1, "label": np.arange(20) % 2}
    names = [f"row {i}" for i in range(20)]
    return units("rows", "row", columns, unit_id=names, part=["a", "b"] * 10)


def some_evidence(table: Units | None = None) -> list[Evidence | Missing]:
    """Metrics of several kinds, over two tables, one of them missing."""
    rows = table or rows_table()
    latents = units("latents", "latent", {"alive": [1, 0, 1, 1]})
    fvu = {"num": "err", "den": "dev"}
    return [
        Evidence("fvu", rows, fvu, "fraction", "lower", floor=1.0, ceiling=0.0),
        Evidence("fvu", rows, fvu, "fraction", "lower", part="b"),
        Evidence("auc", rows, {"score": "err", "label": "label"}, "AUC", "higher", "auc/1"),
        Evidence("macro", rows, fvu, "fraction", "lower", "macro_average/1"),
        Missing("ce", "The model has no output head.", unit="nats", better="lower"),
        Evidence("alive", latents, {"num": "alive"}, "fraction", "higher", no_interval="Exact."),
    ]


def some_result(evidence: list[Evidence | Missing] | None = None, **labels: Any) -> Result:
    """The result of `some_evidence`, with provenance and a configuration."""
    named = replace(LABELS, **labels)
    scores = scores_of(evidence or some_evidence(), named)
    provenance = {"saeval": "0.1", "seconds": 0.25}
    return Result.of(named, scores, provenance=provenance, run={"saes": ["é"], "seeds": [0]})


def test_columns_are_fixed() -> None:
    """The columns, in the order that every table and file has."""
    assert (
        *("sae", "set", "task", "task_version", "seed", "part", "metric", "value", "stderr"),
        *("ci_low", "ci_high", "n", "unit_of_n", "unit", "better", "floor", "ceiling"),
        *("status", "reason", "result_id"),
    ) == COLUMNS


def test_scores_carry_labels_numbers_and_reasons() -> None:
    """Evidence becomes rows in order: labelled, with unit and n, or with a reason."""
    fvu, part, *_, ce, alive = scores_of(some_evidence(), LABELS)
    assert list(fvu.row()) == list(COLUMNS)
    assert fvu.row() | {"value": 0, "stderr": 0, "ci_low": 0, "ci_high": 0} == {
        **dict.fromkeys(COLUMNS, 0),
        "sae": "lab/world/topk-16",
        "set": "lab/world/topk",
        "task": "core",
        "task_version": 1,
        "part": None,
        "metric": "fvu",
        "n": 20,
        "unit_of_n": "row",
        "unit": "fraction",
        "better": "lower",
        "floor": 1,
        "ceiling": 0,
        "status": "scored",
        "reason": None,
        "result_id": KEY,
    }
    table = rows_table().table
    assert fvu.value == pytest.approx(table["err"].sum() / table["dev"].sum())
    assert (part.part, part.n) == ("b", 10)
    assert (ce.status, ce.reason) == ("not_applicable", "The model has no output head.")
    assert (ce.metric, ce.unit, ce.value, ce.n) == ("ce", "nats", None, None)
    assert (alive.value, alive.stderr, alive.reason, alive.status) == (
        0.75,
        None,
        "Exact.",
        "scored",
    )


def test_rows_are_strict_json() -> None:
    """A row survives JSON without NaN, numpy types or loss."""
    for score in scores_of(some_evidence(), LABELS):
        assert json.loads(json.dumps(score.row(), allow_nan=False)) == score.row()


def test_a_metric_yielded_twice_is_refused() -> None:
    """Two scores of one metric and part could not be told apart."""
    with pytest.raises(ResultError, match="yields 'ce' twice for part None"):
        scores_of([Missing("ce", "No head."), Missing("ce", "No head.")], LABELS)


@pytest.mark.parametrize(
    "columns, says",
    [
        ({"value": float("nan"), "status": "scored"}, "value is nan"),
        ({"value": 1.0, "status": "scored", "ci_low": float("-inf")}, "ci_low is -inf"),
        ({"value": None, "status": "scored"}, "only what is scored has a value"),
        ({"value": 1.0, "status": "failed", "reason": "x"}, "only what is scored has a value"),
        ({"status": "failed"}, "failed for no reason"),
    ],
)
def test_scores_that_contradict_themselves_are_refused(columns: Any, says: str) -> None:
    """No score is NaN, infinite, missing without a reason, or half there."""
    with pytest.raises(ResultError, match=says):
        LABELS.score(metric="fvu", **columns)


def test_a_task_that_failed_is_one_row() -> None:
    """A task that scored nothing is one row without a metric, which decides the status."""
    row = LABELS.score(status="failed", reason="CUDA ran out of memory.")
    found = Result.of(LABELS, [row], provenance={}, run={})
    assert (found.status, found.reason) == ("failed", "CUDA ran out of memory.")
    assert row.metric is None
    assert Results([found]).failed
    other = LABELS.score(status="not_applicable", reason="No logits.")
    assert not Results([Result.of(LABELS, [other], provenance={}, run={})]).failed


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """A result read from disk equals the one written, plus the names of its files."""
    result = some_result()
    path = write_result(tmp_path, result, some_evidence())
    expected = replace(result, evidence=("rows.parquet", "latents.parquet"))
    assert read_result(path) == expected
    assert read_result(path / "result.json") == expected
    assert find_result(tmp_path, KEY) == expected
    assert read_results(tmp_path) == [expected]
    assert path.relative_to(tmp_path) == Path("lab-world-topk-16", f"core-{KEY}")
    assert sorted(file.name for file in path.iterdir()) == [
        "latents.parquet",
        "result.json",
        "rows.parquet",
    ]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["lab-world-topk-16"]


def test_result_json_reproduces_and_explains(tmp_path: Path) -> None:
    """result.json is strict JSON and names run, files with hashes, and how each number came."""
    path = write_result(tmp_path, some_result(), some_evidence())
    record = json.loads((path / "result.json").read_text(), parse_constant=pytest.fail)
    assert record["schema"] == 2
    assert record["run"] == {"saes": ["é"], "seeds": [0]}
    assert record["tables"]["rows"] | {"sha256": ""} == {
        "file": "rows.parquet",
        "unit": "row",
        "rows": 20,
        "sha256": "",
        "data": None,
    }
    assert record["metrics"][2] == {
        "metric": "auc",
        "part": None,
        "table": "rows",
        "aggregator": "auc/1",
        "columns": {"score": "err", "label": "label"},
        "parameters": {},
        "unit": "AUC",
        "better": "higher",
        "floor": None,
        "ceiling": None,
        "no_interval": None,
        "bounds": [None, None],
    }


def test_scores_are_recomputed_from_files_alone(tmp_path: Path) -> None:
    """Every number of every row follows from the stored evidence to 1e-9."""
    result = some_result()
    path = write_result(tmp_path, result, some_evidence())
    for stored, again in zip(result.scores, recompute(path), strict=True):
        for name, value in stored.row().items():
            same = pytest.approx(value, abs=1e-9) if isinstance(value, float) else value
            assert again.row()[name] == same
    assert discrepancies(path) == ()
    assert [each.metric for each in result_evidence(path)] == [
        "fvu",
        "fvu",
        "auc",
        "macro",
        "alive",
    ]


def altered(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Rewrite result.json with a change."""
    file = path / "result.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


def _swap_evidence(path: Path) -> None:
    other = pq.read_table(path / "rows.parquet").to_pandas()
    other["err"] *= 0.5
    other.to_parquet(path / "rows.parquet")


def _forge_all(path: Path) -> None:
    from saeval.results.evidence_files import write_table

    about = write_table(rows_table(0.5), path)[1]
    altered(path, lambda record: record["tables"].update(rows=about))


@pytest.mark.parametrize(
    "tamper, says",
    [
        (
            lambda path: altered(path, lambda r: r["scores"][0].update(value=0.1)),
            r"fvu \(part None\): value is 0.1, its evidence gives 0\.\d+",
        ),
        (
            lambda path: altered(path, lambda r: r["scores"][1].update(n=11)),
            r"fvu \(part b\): n is 11, its evidence gives 10",
        ),
        (
            lambda path: altered(path, lambda r: r["scores"][0].update(ci_low=0.2)),
            "ci_low is 0.2",
        ),
        (
            lambda path: altered(path, lambda r: r["scores"].pop(3)),
            r"macro \(part None\) has evidence but no score",
        ),
        (
            lambda path: altered(path, lambda r: r["metrics"].pop(3)),
            r"macro \(part None\) has no evidence",
        ),
        (
            lambda path: altered(path, lambda r: r["interval"].update(seed=7)),
            "its intervals were computed with",
        ),
        (_swap_evidence, "rows.parquet' was changed after it was written"),
        (_forge_all, r"fvu \(part None\): value is .*, its evidence gives"),
        (lambda path: (path / "rows.parquet").unlink(), "cannot be read"),
        (
            lambda path: altered(path, lambda r: r["tables"]["rows"].update(file="../x.parquet")),
            "names '../x.parquet' as evidence",
        ),
        (
            lambda path: altered(path, lambda r: r["metrics"][0].update(aggregator="mine/1")),
            "no aggregator 'mine/1'",
        ),
    ],
)
def test_tampering_is_found(tmp_path: Path, tamper: Callable[[Path], Any], says: str) -> None:
    """A changed score, recipe or evidence file is named, by `recompute` and by `discrepancies`."""
    path = write_result(tmp_path, some_result(), some_evidence())
    tamper(path)
    with pytest.raises(ResultError, match=says):
        recompute(path)
    assert discrepancies(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "result.json").write_text('{"schema": 1'),
        lambda path: (path / "result.json").write_text("[]"),
        lambda path: (path / "result.json").write_bytes(b"\xff\xfe"),
        lambda path: (path / "result.json").unlink(),
        lambda path: altered(path, lambda r: r.update(schema=3)),
        lambda path: altered(path, lambda r: r.pop("scores")),
        lambda path: altered(path, lambda r: r["scores"][0].update(value=float("nan"))),
        lambda path: altered(path, lambda r: r["scores"][0].update(value="0.5")),
        lambda path: altered(path, lambda r: r["scores"][0].update(extra=1)),
        lambda path: altered(path, lambda r: r["scores"].append(3)),
        lambda path: altered(path, lambda r: r.update(result_id="f" * 20)),
    ],
)
def test_damaged_results_are_skipped_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], Any]
) -> None:
    """A damaged folder is an error when read, and a logged warning when listed or looked for."""
    whole = some_result(result_id="a" * 20)
    kept = write_result(tmp_path, whole, some_evidence())
    path = write_result(tmp_path, some_result(), some_evidence())
    damage(path)
    with pytest.raises(ResultError, match="is no whole result"):
        read_result(path)
    with caplog.at_level(logging.WARNING):
        assert [found.result_id for found in read_results(tmp_path)] == ["a" * 20]
        assert find_result(tmp_path, KEY) is None
    assert caplog.text.count("Skipped") == 2
    assert kept.exists()


def test_nothing_found_is_none(tmp_path: Path) -> None:
    """An empty or absent folder, another id and a pattern find nothing."""
    assert find_result(tmp_path / "absent", KEY) is None
    assert read_results(tmp_path / "absent") == []
    write_result(tmp_path, some_result(), some_evidence())
    assert find_result(tmp_path, "f" * 20) is None
    assert find_result(tmp_path, "*") is None


def test_lookup_opens_no_other_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result is found by the name of its folder: among 200, one JSON file is read."""
    path = write_result(tmp_path, some_result(), some_evidence())
    for number in range(200):
        (tmp_path / f"sae-{number}" / f"core-{number:020x}").mkdir(parents=True)
    reads = []
    original = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda p, **k: reads.append(p) or original(p, **k))
    assert find_result(tmp_path, KEY) is not None
    assert reads == [path / "result.json"]


def test_an_older_result_of_the_same_id_is_replaced(tmp_path: Path) -> None:
    """Writing again leaves the new result alone, without the old one's files."""
    write_result(tmp_path, some_result(), some_evidence())
    fewer = some_evidence(rows_table(3.0))[:4]
    path = write_result(tmp_path, some_result(fewer), fewer)
    assert sorted(file.name for file in path.iterdir()) == ["result.json", "rows.parquet"]
    assert recompute(path) == some_result(fewer).scores
    assert len(list(tmp_path.iterdir())) == 1


def test_a_write_that_fails_at_the_last_step_keeps_the_old_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk or a lost mount while renaming is an error, and the old result is there still."""
    old = some_result()
    write_result(tmp_path, old, some_evidence())
    original = os.rename

    def refuse(source: Any, target: Any) -> None:
        if ".tmp-" in str(source):
            raise OSError(28, "No space left on device")
        original(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(ResultError, match="No space left on device"):
        write_result(tmp_path, old, some_evidence())
    monkeypatch.undo()
    assert [found.scores for found in read_results(tmp_path)] == [old.scores]
    assert [entry.name for entry in tmp_path.iterdir()] == ["lab-world-topk-16"]


def test_many_writers_of_one_result_leave_one(tmp_path: Path) -> None:
    """Eight threads that write the same result at once all succeed, and one whole result stays."""
    evidence = some_evidence()[-1:]
    result = some_result(evidence)
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: write_result(tmp_path, result, evidence), range(40)))
    assert len(set(paths)) == 1
    assert discrepancies(paths[0]) == ()
    assert len(read_results(tmp_path)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["lab-world-topk-16"]


def test_tables_of_one_name_must_be_one_table(tmp_path: Path) -> None:
    """Equal tables are stored once; different ones under one name are an error."""
    columns = {"num": "err"}
    same = [Evidence(f"m{i}", rows_table(), columns, "x", "none") for i in range(2)]
    path = write_result(tmp_path, some_result(list(same)), same)
    assert [file.name for file in path.glob("*.parquet")] == ["rows.parquet"]
    other = Evidence("m1", rows_table(2.0), columns, "x", "none")
    with pytest.raises(ResultError, match="Two different evidence tables are named 'rows'"):
        write_result(tmp_path, some_result(list(same)), [same[0], other])


def test_what_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    """NaN or an object in the provenance is an error that names its place; nothing is left."""
    for bad in ({"x": [float("nan")]}, {"x": [Path()]}):
        with pytest.raises(ResultError, match=r"result.provenance.x\[0\] is"):
            write_result(tmp_path, replace(some_result(), provenance=bad), some_evidence())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name, expected",
    [
        ("lab/world/topk-16", "lab-world-topk-16"),
        ("hf://org/repo/path@main", "hf-org-repo-path-main"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "sae"),
        ("", "sae"),
        (".hidden", "hidden"),
        ("a\\b\0c\nd", "a-b-c-d"),
        ("naïve Ünicode", "naive-Unicode"),
        ("解释", "sae"),
        ("CON", "sae-CON"),
        ("nul.txt", "sae-nul.txt"),
        ("x" * 500, "x" * 80),
        ("trailing.", "trailing"),
    ],
)
def test_names_become_harmless_folders(tmp_path: Path, name: str, expected: str) -> None:
    """No name leaves the root, hides, or is reserved, and its result is found again."""
    assert slug(name) == expected
    result = some_result(sae=name)
    path = write_result(tmp_path, result, some_evidence())
    assert path.resolve().parent.parent == tmp_path.resolve()
    found = find_result(tmp_path, KEY)
    assert found is not None
    assert found.sae == name


def test_names_that_share_a_folder_do_not_share_results(tmp_path: Path) -> None:
    """Two names with one slug keep apart, since the id is part of the path."""
    first = some_result(sae="o/my_sae", result_id="a" * 20)
    second = some_result(sae="o my_sae", result_id="b" * 20)
    paths = {write_result(tmp_path, each, some_evidence()).parent for each in (first, second)}
    assert len(paths) == 1
    assert [found.sae for found in read_results(tmp_path)] == ["o/my_sae", "o my_sae"]


def test_an_id_cannot_lead_elsewhere(tmp_path: Path) -> None:
    """Only a key names a folder."""
    with pytest.raises(ResultError, match="is no result id"):
        result_path(tmp_path, replace(some_result(), result_id="../../x"))


def test_results_of_sets_lie_under_the_set(tmp_path: Path) -> None:
    """A score of a whole set has no SAE; its folder bears the set's name."""
    assert result_path(tmp_path, some_result(sae=None)).parent.name == "lab-world-topk"


def test_a_result_can_be_named_anew() -> None:
    """Names are labels: the same content answers a request under another name."""
    found = some_result().renamed(sae="mine", set=None)
    assert {(score.sae, score.set) for score in found.scores} == {("mine", None)}
    assert (found.sae, found.set, found.result_id) == ("mine", None, KEY)


INPUTS = {"sae": "ab", "task": {"name": "core", "k": [1, 2], "x": 0.1}, "seed": 0, "limit": None}


def test_key_ignores_order_and_nothing_else() -> None:
    """Keys are 20 hex digits, equal for equal inputs in any order, and stable over time."""
    turned = {
        "limit": None,
        "seed": 0,
        "task": {"x": 0.1, "k": (1, 2), "name": "core"},
        "sae": "ab",
    }
    assert result_key(turned) == result_key(INPUTS) == "1afd17ab18205a6433f0"


@pytest.mark.parametrize(
    "change",
    [
        {"sae": "ac"},
        {"seed": 1},
        {"seed": 0.0},
        {"seed": False},
        {"seed": None},
        {"seed": "0"},
        {"limit": 0},
        {"task": {"name": "core", "k": [2, 1], "x": 0.1}},
        {"task": {"name": "core", "k": [1, 2], "x": 0.1 + 1e-17 + 2e-17}},
        {"task": {"name": "core", "k": [1, 2]}},
        {"more": None},
    ],
)
def test_every_change_of_an_input_changes_the_key(change: dict[str, Any]) -> None:
    """One mutation of the inputs, down to the last bit of a float, misses the old result."""
    assert result_key(INPUTS | change) != result_key(INPUTS)


@pytest.mark.parametrize(
    "bad, says",
    [
        ({"x": float("nan")}, "inputs.x is nan"),
        ({"x": {1: 2}}, "inputs.x: the key 1 is not text"),
        ({"x": [b"a"]}, r"inputs.x\[0\] is a bytes, not JSON"),
        ({"x": np.int64(1)}, "inputs.x is a int64, not JSON"),
    ],
)
def test_inputs_that_json_would_change_are_refused(bad: dict[str, Any], says: str) -> None:
    """What has no exact JSON form cannot be part of a key."""
    with pytest.raises(ResultError, match=says):
        result_key(bad)


def test_results_are_a_sequence_with_a_table() -> None:
    """Results index, slice and iterate; the table has the fixed columns and sensible types."""
    failed = Result.of(
        LABELS, [LABELS.score(status="failed", reason="Out of memory.")], provenance={}, run={}
    )
    results = Results([some_result(), failed])
    assert len(results) == 2
    assert results[1] is failed
    assert list(results[:1]) == [results[0]]
    assert results.results == (results[0], failed)
    assert len(results.scores) == 7
    table = results.to_pandas()
    assert tuple(table.columns) == (*COLUMNS, "anchored")
    assert str(table["n"].dtype) == str(table["seed"].dtype) == "Int64"
    assert table["value"].dtype == table["ci_low"].dtype == np.float64
    assert table["value"].isna().tolist() == [score.value is None for score in results.scores]
    assert table["part"].tolist()[:2] == [None, "b"]
    assert Results([]).to_pandas().columns.tolist() == [*COLUMNS, "anchored"]


def test_results_say_what_happened() -> None:
    """The repr counts in a line; as text they show values, intervals and units, and reasons."""
    failed = LABELS.score(status="failed", reason="Out of memory.")
    results = Results([some_result(), Result.of(LABELS, [failed], provenance={}, run={})])
    assert repr(results) == "<Results: 2 of core, 7 scores, 1 failed>"
    text = results.table(columns=["all"], width=120)
    assert "fvu" in text
    assert "failed: core: Out of memory." in text
    assert "alive" in text


AS_NOBODY = """
import os, sys
from saeval.results.writing import check_writable
if hasattr(os, "geteuid") and os.geteuid() == 0:
    os.seteuid(65534)  # root may write anywhere
check_writable(sys.argv[1])
"""


def test_an_unwritable_folder_is_found_before_anything_is_computed(tmp_path: Path) -> None:
    """A read-only folder, and a file in a folder's place, are one error that says what to do."""
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "results"):
        with pytest.raises(ResultError, match=r"cannot be written to .*--output-path"):
            check_writable(root)
        with pytest.raises(ResultError, match="cannot be written"):
            write_result(root, some_result(), some_evidence())
    check_writable(tmp_path / "new" / "results")
    assert list((tmp_path / "new" / "results").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permission")
def test_a_read_only_folder_is_refused() -> None:
    """Permissions count: the same code passes in an open folder and fails in a read-only one."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "results"
        root.mkdir()
        Path(name).chmod(0o755)
        outcomes = []
        for mode in (0o777, 0o555):
            root.chmod(mode)
            command = [sys.executable, "-c", AS_NOBODY, str(root)]
            outcomes.append(subprocess.run(command, capture_output=True, timeout=60, check=False))
    assert [outcome.returncode for outcome in outcomes] == [0, 1]
    assert b"ResultError: Results cannot be written" in outcomes[1].stderr


WRITES_ON = """
import sys, time
from pathlib import Path
from saeval.results.unfinished import unfinished
root = Path(sys.argv[1])
with unfinished(root, root / "sae" / ("core-" + "0" * 20)) as paths:
    (paths.folder / "rows.parquet").write_text("half")
    if sys.argv[2:]:
        (root / "sae" / ("core-" + "0" * 20)).rename(paths.aside)
    print("ready", flush=True)
    time.sleep(600)
"""


def test_leftovers_of_dead_processes_go_at_once_and_of_living_ones_never(tmp_path: Path) -> None:
    """Neither age nor a clock that jumps decides: only whether the process still lives."""
    command = [sys.executable, "-c", WRITES_ON, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        held = sorted(path.name for path in tmp_path.iterdir())
        assert [name[:5] for name in held] == [".lock", ".tmp-"]
        for days in (0, 400, -400):
            for path in tmp_path.iterdir():
                stamp = path.stat().st_mtime - days * 86400
                os.utime(path, (stamp, stamp))
            check_writable(tmp_path)
            assert sorted(path.name for path in tmp_path.iterdir()) == held
        process.kill()
        process.wait()
    for name in (".tmp-without-lock", ".old-without-lock", "kept"):
        (tmp_path / name).mkdir()
    check_writable(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_result_that_a_dead_process_had_moved_aside_goes_back(tmp_path: Path) -> None:
    """A kill between the two renames of a write costs nothing: the next run has the old result."""
    old = some_result(sae="sae", result_id="0" * 20)
    write_result(tmp_path, old, some_evidence())
    command = [sys.executable, "-c", WRITES_ON, str(tmp_path), "aside"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        check_writable(tmp_path)
        assert read_results(tmp_path) == []
        process.kill()
        process.wait()
    check_writable(tmp_path)
    assert [result.scores for result in read_results(tmp_path)] == [old.scores]
    assert [path.name for path in tmp_path.iterdir()] == ["sae"]


def test_a_lock_cannot_lead_elsewhere(tmp_path: Path) -> None:
    """What a lock file says moves nothing out of the folder of results."""
    root = tmp_path / "results"
    for number, place in enumerate((f"../x-{KEY}", f"a/../../x-{KEY}", "/etc/x", f"/x/y-{KEY}")):
        (root / f".old-{number}").mkdir(parents=True)
        (root / f".lock-{number}").write_text(place)
    check_writable(root)
    assert list(root.iterdir()) == []
    assert list(tmp_path.iterdir()) == [root]


def test_a_result_is_read_under_every_name_that_it_was_asked_for(tmp_path: Path) -> None:
    """Names add up, over forced writes too; each comes with its run, all with the same scores."""
    first = some_result()
    folder = write_result(tmp_path, first, some_evidence())
    names = [("mine", None), (None, "lab/world/topk"), ("lab/world/topk-16", None), ("解释", "é")]
    for sae, group in names:
        alias = Alias(sae, group, {"saes": [sae]})
        for _ in range(2):
            remember(tmp_path, folder, KEY, alias)
    everyone = {(LABELS.sae, LABELS.set), *names}

    def read() -> dict[Any, Result]:
        results = read_results(tmp_path)
        assert {(r.sae, r.set) for r in results} == everyone
        assert len(results) == len(everyone)
        return {(result.sae, result.set): result for result in results}

    read()
    again = some_result(sae="another", set=None)
    everyone.add(("another", None))
    assert write_result(tmp_path, again, some_evidence()) == folder
    results = read()
    for (sae, group), result in results.items():
        assert {(score.sae, score.set) for score in result.scores} == {(sae, group)}
        assert [score.value for score in result.scores] == [score.value for score in again.scores]
    assert results["mine", None].run == {"saes": ["mine"]}
    assert find_result(tmp_path, KEY) == results["another", None]
    assert [path.name for path in tmp_path.iterdir()] == ["lab-world-topk-16"]
    assert discrepancies(folder) == ()


def test_a_folder_without_names_of_its_own_reads_as_before(tmp_path: Path) -> None:
    """A result that an older version wrote has its one name; half a file of a name is no name."""
    folder = write_result(tmp_path, some_result(), some_evidence())
    altered(folder, lambda record: record.pop("working_folder"))
    (folder / "alias-0123456789abcdef.json").write_text('{"sae": "half"')
    (folder / "alias-0123456789abcdee.json").write_text("[]")
    assert [result.sae for result in read_results(tmp_path)] == [LABELS.sae]


def test_no_name_is_lost_while_others_replace_the_result(tmp_path: Path) -> None:
    """Threads that write the result and threads that name it: every name is there at the end."""
    evidence = some_evidence()[-1:]
    folder = write_result(tmp_path, some_result(evidence), evidence)

    def work(number: int) -> None:
        if number % 3:
            remember(tmp_path, folder, KEY, Alias(f"name {number}", None, {}))
        else:
            write_result(tmp_path, some_result(evidence, sae=f"writer {number}"), evidence)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(60)))
    names = {result.sae for result in read_results(tmp_path)}
    asked = {f"{'name' if number % 3 else 'writer'} {number}" for number in range(60)}
    assert names == asked | {LABELS.sae}
    assert not list(tmp_path.glob(".*"))


def test_a_name_for_a_result_that_is_gone_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for for ever, and nothing is left of it."""
    monkeypatch.setattr("saeval.results.aliases._WAIT", 0.0)
    with pytest.raises(FileNotFoundError, match="is gone"):
        remember(tmp_path, tmp_path / "sae" / f"core-{KEY}", KEY, Alias("mine", None, {}))
    assert list(tmp_path.iterdir()) == []


def test_copies_of_one_result_under_two_names_are_one(tmp_path: Path) -> None:
    """Where two processes wrote one result at once, reading takes a scored copy for both names."""
    failed = Result.of(
        replace(LABELS, sae="a"),
        [replace(LABELS, sae="a").score(status="failed", reason="Out of memory.")],
        provenance={},
        run={},
    )
    write_result(tmp_path / "one", failed, [])
    write_result(tmp_path, some_result(sae="b"), some_evidence())
    shutil.copytree(tmp_path / "one" / "a", tmp_path / "a")
    shutil.rmtree(tmp_path / "one")
    results = read_results(tmp_path)
    assert {(result.sae, result.status) for result in results} == {("a", "scored"), ("b", "scored")}
    found = find_result(tmp_path, KEY)
    assert found is not None
    assert found.status == "scored"


def test_different_saes_of_one_name_are_told_apart_when_read(tmp_path: Path) -> None:
    """A name is a label: two contents under it read as two names, one content as one."""
    for number, content in enumerate(("ab" * 32, "cd" * 32)):
        for task in ("core", "probing"):
            result = some_result(
                sae="sae", task=task, result_id=f"{task[0]}{number}".rjust(20, "0")
            )
            result = replace(result, result_id=f"{number}{len(task)}".rjust(20, "0"))
            known = replace(result, provenance={"saes": [{"hash": content}]})
            write_result(tmp_path / f"{number}", known, some_evidence())
            write_result(tmp_path / "both", known, some_evidence())
    assert {result.sae for result in read_results(tmp_path / "0")} == {"sae"}
    results = read_results(tmp_path / "both")
    assert {(result.sae, result.task) for result in results} == {
        (f"sae-{content}", task)
        for content in ("abababab", "cdcdcdcd")
        for task in ("core", "probing")
    }
    assert all({s.sae for s in result.scores} == {result.sae} for result in results)


def test_load_results(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """saeval.load_results gives all that is whole as Results, logs the rest, needs a folder."""
    folder = write_result(tmp_path, some_result(), some_evidence())
    remember(tmp_path, folder, KEY, Alias("mine", None, {}))
    damaged = write_result(tmp_path, some_result(result_id="f" * 20), some_evidence())
    (damaged / "result.json").write_text("{")
    results = saeval.load_results(tmp_path)
    assert [result.sae for result in results] == ["lab/world/topk-16", "mine"]
    assert len(results.to_pandas()) == len(results.scores) == 2 * len(some_result().scores)
    assert caplog.text.count("Skipped") == 1
    assert len(saeval.load_results(str(tmp_path / "lab-world-topk-16"))) == 0
    with pytest.raises(ResultError, match=r"There is no folder .*--output-path"):
        saeval.load_results(tmp_path / "none")


KILLED = """
import os, signal, sys
from pathlib import Path
import test_reading as t

root, at = Path(sys.argv[1]), 0
evidence = t.some_evidence(t.rows_table(2.0))
result = t.some_result(evidence)

def strike(original):
    def call(*arguments, **named):
        global at
        at -= 1
        if at == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)
    return call

for name in ("fsync", "rename", "mkdir", "open"):
    setattr(os, name, strike(getattr(os, name)))
for step in range(1, 25):
    child = os.fork()
    if child == 0:
        at = step
        t.write_result(root / str(step), result, evidence)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
print(step)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked child")
def test_a_killed_write_leaves_the_old_result_the_new_one_or_none(tmp_path: Path) -> None:
    """SIGKILL before each file-system call of a write: what is read is whole, and swept back."""
    old = some_result()
    new = some_result(some_evidence(rows_table(2.0)))
    for step in range(1, 25):
        write_result(tmp_path / str(step), old, some_evidence())
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    steps = int(child.stdout)
    assert 5 < steps < 24
    seen = []
    for step in range(1, steps + 1):
        results = read_results(tmp_path / str(step))
        assert len(results) <= 1
        seen.append(results[0].scores if results else None)
        for folder in (tmp_path / str(step)).glob("*/core-*"):
            assert discrepancies(folder) == ()
    assert seen[0] == old.scores
    assert seen[-1] == new.scores
    assert all(scores in (old.scores, new.scores, None) for scores in seen)
    assert seen.count(None) <= 1
    for step in range(1, steps + 1):
        check_writable(tmp_path / str(step))
        assert len(read_results(tmp_path / str(step))) == 1
        assert [path.name for path in (tmp_path / str(step)).iterdir()] == ["lab-world-topk-16"]


def test_results_need_neither_pandas_nor_torch_to_be_listed(tmp_path: Path) -> None:
    """Reading results imports no pandas, numpy, pyarrow or torch, so that listing is quick."""
    write_result(tmp_path, some_result(), some_evidence())
    code = (
        "import sys\nfrom saeval.results.reading import find_result, read_results\n"
        f"assert len(read_results(sys.argv[1])) == 1 and find_result(sys.argv[1], '{KEY}')\n"
        "print([m for m in ('torch', 'pandas', 'numpy', 'pyarrow') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"
