"""Every kind of tampering is refused with its reason, however well the forger seals it again."""

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forgery
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forgery import change_table, edit, recipe, rescore, result, save, score

from saeval.leaderboard.bundles.check import Circumstances, check_bundle
from saeval.results.key import result_key


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that nobody touched, on a board with results of others."""
    return forgery.make_board(tmp_path_factory.mktemp("board"))


@pytest.fixture
def bundle(honest: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return forgery.copy(honest, tmp_path)


def test_an_honest_bundle_is_accepted(honest: Path) -> None:
    """Every check is made and finds nothing; so does it against results of others."""
    report = check_bundle(honest)
    assert report.faults == ()
    assert report.badge == "recomputed"
    names = [check.name for check in report.checks]
    assert names == (
        "files submission hashes results tasks tables metrics scores ranges others".split()
    )
    assert "8 known results" in report.checks[-1].says
    assert check_bundle(honest, Circumstances(author="Ann")).faults == ()


@dataclass(frozen=True)
class Forgery:
    """One way of tampering, and how it is refused."""

    tamper: Callable[[Path], Any]
    check: str
    says: str
    seals: Callable[[Path], Any] = forgery.reseal
    """What the forger does afterwards to hide it."""


def _in_result(
    change: Callable[[dict[str, Any]], Any], task: str = "core"
) -> Callable[[Path], Any]:
    return lambda bundle: edit(result(bundle, task) / "result.json", change)


def _in_manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    return lambda bundle: edit(bundle / "submission.json", change)


def _on_score(metric: str = "fvu", **columns: Any) -> Callable[[Path], Any]:
    return _in_result(lambda record: score(record, metric).update(columns))


def _on_both(named: str, /, **columns: Any) -> Callable[[Path], Any]:
    def change(record: dict[str, Any]) -> None:
        made, shown = recipe(record, named), score(record, named)
        made.update(columns)
        shown.update({k: v for k, v in columns.items() if k != "bounds"})

    return _in_result(change)


def _forged(
    name: str, change: Callable[[pd.DataFrame], Any], task: str = "core"
) -> Callable[[Path], Any]:
    """Evidence is changed, and every score computed from it again."""

    def tamper(bundle: Path) -> None:
        change_table(result(bundle, task), name, change)
        rescore(result(bundle, task))

    return tamper


def _other_recipe(bundle: Path) -> None:
    edit(
        result(bundle) / "result.json",
        lambda record: recipe(record, "fvu").update(columns=recipe(record, "l0")["columns"]),
    )
    rescore(result(bundle))


def _anothers_evidence(bundle: Path) -> None:
    other = next((bundle.parents[2] / "results/base").glob("*gated-8/core-*"))
    for path in other.glob("*.parquet"):
        (result(bundle) / path.name).write_bytes(path.read_bytes())
    rescore(result(bundle))


def _anothers_table(bundle: Path) -> None:
    other = next((bundle.parents[2] / "results/base").glob("*gated-8/core-*"))
    (result(bundle) / "rows.parquet").write_bytes((other / "rows.parquet").read_bytes())
    rescore(result(bundle))


def _shuffled_copy(bundle: Path) -> None:
    _anothers_evidence(bundle)
    change_table(result(bundle), "rows", lambda table: table.iloc[::-1, ::-1])
    rescore(result(bundle))


def _drop_hard_units(bundle: Path) -> None:
    easy = lambda table: table[table["sq_err"] <= table["sq_err"].median()]  # noqa: E731
    change_table(result(bundle), "rows", easy)
    rescore(result(bundle))


def _clean_loss(bundle: Path) -> None:
    def change(table: pd.DataFrame) -> None:
        table["sq_dev"] *= 2

    change_table(result(bundle), "rows", change)
    rescore(result(bundle))


def _other_seed(bundle: Path) -> None:
    """A key that gives the id, of a seed that the labels do not have."""
    folder = result(bundle)
    record = forgery.read(folder / "result.json")
    record["provenance"]["key"]["seed"] = 5
    record["result_id"] = result_key(record["provenance"]["key"])
    for row in record["scores"]:
        row["result_id"] = record["result_id"]
    save(folder / "result.json", record)
    folder.rename(folder.with_name(f"core-{record['result_id']}"))


def _as_new_sae(bundle: Path) -> None:
    """The same SAE under a hash that nobody knows, in provenance, key and id."""
    folder = result(bundle)
    record = forgery.read(folder / "result.json")
    record["provenance"]["saes"][0]["hash"] = "0" * 64
    record["provenance"]["key"]["saes"] = ["0" * 64]
    save(folder / "result.json", record)
    forgery.reseal(bundle)


def _write_raw(name: str, old: str, new: str) -> Callable[[Path], Any]:
    def tamper(bundle: Path) -> None:
        path = bundle / name if name == "submission.json" else result(bundle) / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return tamper


def _copy_of_result(bundle: Path) -> None:
    folder = result(bundle)
    twin = folder.parent.with_name("another") / folder.name
    twin.mkdir(parents=True)
    for path in folder.iterdir():
        (twin / path.name).write_bytes(path.read_bytes())


def _link(bundle: Path) -> None:
    path = result(bundle) / "rows.parquet"
    path.unlink()
    path.symlink_to(bundle / "submission.json")


def _folder_link(bundle: Path) -> None:
    (bundle / "results" / "linked").symlink_to(result(bundle).parent)


def _case_twin(bundle: Path) -> None:
    folder = result(bundle)
    twin = folder.parent.with_name(folder.parent.name.upper()) / folder.name
    twin.mkdir(parents=True)
    (twin / "result.json").write_bytes((folder / "result.json").read_bytes())


def _add(name: str, content: bytes = b"x") -> Callable[[Path], Any]:
    def tamper(bundle: Path) -> None:
        path = bundle / name.replace("RESULT", result(bundle).relative_to(bundle).as_posix())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return tamper


def _renamed(label: str) -> Callable[[Path], Any]:
    def change(record: dict[str, Any]) -> None:
        record["sae"] = label
        for row in record["scores"]:
            row["sae"] = label
        record["provenance"]["saes"][0]["label"] = label

    return _in_result(change)


def _as_imported(harness: str) -> Callable[[Path], Any]:
    """Scores of one's own choice, said to come from elsewhere, where nobody kept evidence."""

    def change(record: dict[str, Any]) -> None:
        record["provenance"]["origin"] = {"harness": harness, "version": "1"}
        record["tables"], record["metrics"] = {}, []

    def tamper(bundle: Path) -> None:
        edit(result(bundle) / "result.json", change)
        for path in result(bundle).glob("*.parquet"):
            path.unlink()

    return tamper


def _parquet(table: Callable[[pa.Table], pa.Table], **options: Any) -> Callable[[Path], Any]:
    """Another table in the place of `rows`."""

    def tamper(bundle: Path) -> None:
        path = result(bundle) / "rows.parquet"
        pq.write_table(table(pq.read_table(path)), path, **options)

    return tamper


def _extension(table: pa.Table) -> pa.Table:
    kind = pa.uuid()
    storage = pa.array([bytes(16)] * len(table), pa.binary(16))
    return table.append_column("more", pa.ExtensionArray.from_storage(kind, storage))


def _code(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata({b"code": pickle.dumps(print)})


def _more(values: pa.Array) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.append_column("more", values.slice(0, len(table)))


def _stated_rows(bundle: Path) -> None:
    edit(result(bundle) / "result.json", lambda r: r["tables"]["rows"].update(rows=10**6))


def _doubled_unit(table: pd.DataFrame) -> None:
    table.loc[1, ["part", "unit_id"]] = table.loc[0, ["part", "unit_id"]]


def _not_a_number(table: pd.DataFrame) -> None:
    table.loc[0, "sq_err"] = np.nan


def _negative(table: pd.DataFrame) -> None:
    table["sq_err"] = -table["sq_err"]


def _without_scores(bundle: Path) -> None:
    """A result that scored nothing, and has no evidence of it."""
    edit(result(bundle) / "result.json", lambda r: r.update(scores=[], metrics=[], tables={}))
    for path in result(bundle).glob("*.parquet"):
        path.unlink()


def _hidden_interval(bundle: Path) -> None:
    edit(
        result(bundle) / "result.json",
        lambda record: recipe(record, "fvu").update(no_interval="nothing was sampled"),
    )
    rescore(result(bundle))


def _in_provenance(**fields: Any) -> Callable[[Path], Any]:
    return _in_result(lambda record: record["provenance"].update(fields))


def _of_sae(**fields: Any) -> Callable[[Path], Any]:
    return _in_result(lambda record: record["provenance"]["saes"][0].update(fields))


DEEP = "[" * 40 + "]" * 40
PATH = "results/../../../../escaped.parquet"
FORGERIES = {
    # Scores and what they follow from.
    "score edited": Forgery(_on_score(value=0.001), "scores", "fvu (part None): value is 0.001"),
    "interval edited": Forgery(_on_score(ci_low=0.0), "scores", "ci_low is 0.0"),
    "error edited": Forgery(_on_score(stderr=1e-9), "scores", "stderr is 1e-09"),
    "n edited": Forgery(_on_score(n=100_000), "scores", "n is 100000"),
    "n negative": Forgery(_on_score(n=-5), "results", "n is -5; a score has at least one unit"),
    "n zero": Forgery(_on_score(n=0), "results", "n is 0"),
    "n missing": Forgery(_on_score(n=None), "results", "n is missing"),
    "score taken out": Forgery(
        _in_result(lambda r: r["scores"].remove(score(r, "fvu"))), "scores", "no score"
    ),
    "score added": Forgery(
        _in_result(lambda r: r["scores"].append({**score(r, "fvu"), "metric": "mine"})),
        "scores",
        "mine (part None) has no evidence",
    ),
    "floor edited": Forgery(_on_score(floor=0.99), "scores", "floor is 0.99"),
    "floor edited everywhere": Forgery(
        _on_both("fvu", floor=0.01), "others", "the floor of fvu is 0.01"
    ),
    "ceiling edited everywhere": Forgery(
        _on_both("fvu", ceiling=0.5), "metrics", "its ceiling is 0.5, the task declares 0"
    ),
    "direction turned": Forgery(_on_both("fvu", better="higher"), "metrics", "its better is"),
    "bounds widened": Forgery(_on_both("l0", bounds=[-9, None]), "metrics", "its bounds is"),
    "unit of measure": Forgery(_on_both("l0", unit="percent"), "metrics", "its unit is"),
    "unknown metric": Forgery(_on_both("fvu", metric="great"), "metrics", "is no metric of 'core'"),
    "computed in another way": Forgery(_other_recipe, "others", "fvu is computed from"),
    # Evidence.
    "evidence edited": Forgery(
        lambda b: change_table(result(b), "rows", lambda t: t.assign(sq_err=t["sq_err"] / 2)),
        "scores",
        "its evidence gives",
    ),
    "evidence edited under its old hash": Forgery(
        lambda b: change_table(result(b), "rows", lambda t: t.assign(sq_err=t["sq_err"] / 2)),
        "scores",
        "'rows.parquet' was changed after it was written",
        forgery.seal,
    ),
    "evidence of another SAE": Forgery(
        _anothers_evidence, "others", "is that of another SAE, 'lab/synthetic/base/gated-8'"
    ),
    "one table of another SAE": Forgery(_anothers_table, "others", "(rows) is that of another SAE"),
    "another's evidence in another order": Forgery(_shuffled_copy, "others", "of another SAE"),
    "hard units left out": Forgery(_drop_hard_units, "others", "other units than for all other"),
    "data made easier": Forgery(_clean_loss, "others", "though it does not depend on the SAE"),
    "other data": Forgery(
        _in_result(lambda r: r["tables"]["rows"]["data"].update(rows="0" * 20)),
        "others",
        "'rows' was measured on other data",
    ),
    "impossible value": Forgery(_forged("rows", _negative), "ranges", "lies outside of its bounds"),
    "not a number in evidence": Forgery(
        lambda b: change_table(result(b), "rows", _not_a_number), "scores", "is nan in row 0"
    ),
    "unit doubled": Forgery(
        lambda b: change_table(result(b), "rows", _doubled_unit), "scores", "stands twice"
    ),
    "evidence missing": Forgery(
        lambda b: (result(b) / "rows.parquet").unlink(), "tables", "'rows.parquet' is missing"
    ),
    "evidence of nothing": Forgery(
        lambda b: (result(b) / "spare.parquet").write_bytes(
            (result(b) / "rows.parquet").read_bytes()
        ),
        "tables",
        "'spare.parquet' is no evidence of it",
    ),
    # Identity.
    "digest removed": Forgery(
        _in_result(lambda r: r.pop("digest")), "results", "has no digest", forgery.seal
    ),
    "digest wrong": Forgery(
        _in_result(lambda r: r.update(digest="0" * 64)), "scores", "was changed", forgery.seal
    ),
    "hash of another SAE": Forgery(
        _in_result(lambda r: r["provenance"]["saes"][0].update(hash="0" * 64)),
        "results",
        "names other SAEs than its key",
    ),
    "hash of another SAE stated": Forgery(
        _in_manifest(lambda m: m["saes"][0].update(hash="0" * 64)), "results", "states other SAEs"
    ),
    "new identity": Forgery(_as_new_sae, "results", "do not give its id"),
    "key edited": Forgery(
        _in_result(lambda r: r["provenance"]["key"].update(source="0" * 64)),
        "results",
        "do not give its id",
    ),
    "no key": Forgery(_in_result(lambda r: r["provenance"].pop("key")), "results", "has no key"),
    "other seed": Forgery(_other_seed, "results", "its seed is 0, its key says 5"),
    "other source": Forgery(
        _in_result(lambda r: r["provenance"]["source"].update(identity="0" * 64)),
        "results",
        "names another source than its key",
    ),
    "one result twice": Forgery(_copy_of_result, "results", "are the same result"),
    "folder of another id": Forgery(
        lambda b: result(b).rename(result(b).with_name(f"core-{'0' * 20}")),
        "results",
        "its folder is not that of result",
    ),
    "one name, two SAEs": Forgery(
        _in_result(
            lambda r: (
                r["provenance"]["saes"][0].update(hash="0" * 64),
                r["provenance"]["key"].update(saes=["0" * 64]),
            ),
        ),
        "results",
        "do not give its id",
    ),
    "failed": Forgery(
        _in_result(lambda r: r.update(status="failed", reason="x")), "results", "it failed"
    ),
    "said to be imported": Forgery(
        _as_imported("saebench"), "scores", "must begin with 'saebench_'"
    ),
    "said to be of a harness unheard of": Forgery(
        _as_imported("mine"), "results", "no harness that results are imported from"
    ),
    # Task and form.
    "unknown task": Forgery(
        _in_result(lambda r: r.update(task="miracle")), "results", "its key says 'core'"
    ),
    "other version of the task": Forgery(
        _in_result(lambda r: r.update(task_version=99)), "results", "its key says"
    ),
    "result of a future schema": Forgery(
        _in_result(lambda r: r.update(schema=99)), "results", "its schema is 99"
    ),
    "submission of a future schema": Forgery(
        _in_manifest(lambda m: m.update(schema=2)), "submission", "has schema 2"
    ),
    "key of submission.json added": Forgery(
        _in_manifest(lambda m: m.update(run="rm")), "submission", "has the keys"
    ),
    "key of result.json added": Forgery(
        _in_result(lambda r: r.update(html="<b>")), "results", "other keys than it should"
    ),
    "NaN": Forgery(
        _write_raw("result.json", '"floor": null', '"floor": NaN'),
        "results",
        "NaN is not JSON",
        forgery.seal,
    ),
    "infinite": Forgery(
        _write_raw("result.json", '"floor": null', '"floor": 1e999'),
        "results",
        "1e999 is not finite",
        forgery.seal,
    ),
    "key doubled": Forgery(
        _write_raw("result.json", '"seed": 0', '"seed": 1, "seed": 0'),
        "results",
        "'seed' is doubled",
        forgery.seal,
    ),
    "owner doubled": Forgery(
        _write_raw("submission.json", '"owner"', '"owner": "bob", "owner"'),
        "submission",
        "'owner' is doubled",
        lambda _: None,
    ),
    "deeply nested": Forgery(
        _write_raw("result.json", '"set": null', f'"set": {DEEP}'),
        "results",
        "nested deeper than 24 levels",
        forgery.seal,
    ),
    "no JSON": Forgery(
        lambda b: (result(b) / "result.json").write_bytes(b"\xff{"),
        "results",
        "cannot be read as JSON",
        forgery.seal,
    ),
    "list for an object": Forgery(
        _in_result(lambda r: r.update(scores={"a": 1})), "results", "wrong form"
    ),
    "whole number without end": Forgery(
        _on_score(value=10**400), "results", "takes more than 64 bits"
    ),
    "n without end": Forgery(_on_score(n=10**400), "results", "takes more than 64 bits"),
    "n as a fraction": Forgery(_on_score(n=67.0), "results", "n is 67.0"),
    "truth for a number": Forgery(_on_score(value=True), "scores", "value is True"),
    "score listed twice": Forgery(
        _in_result(lambda r: r["scores"].append(dict(score(r, "fvu")))), "scores", "no evidence"
    ),
    "mark before the JSON": Forgery(
        lambda b: (result(b) / "result.json").write_bytes(
            b"\xef\xbb\xbf" + (result(b) / "result.json").read_bytes()
        ),
        "results",
        "Unexpected UTF-8 BOM",
        forgery.seal,
    ),
    "schema that is no number": Forgery(
        _in_manifest(lambda m: m.update(schema=True)), "submission", "has schema True"
    ),
    "nothing scored": Forgery(_without_scores, "results", "it has no score"),
    "status of no score": Forgery(
        _in_result(lambda r: r.update(status="not_applicable", reason="x")),
        "results",
        "its status is 'not_applicable', and its scores say 'scored'",
    ),
    "status of another kind": Forgery(
        _in_result(lambda r: r.update(status=[])), "results", "its status is []"
    ),
    "interval left out": Forgery(_hidden_interval, "others", "is said to have no interval"),
    "interval of another method": Forgery(
        _in_result(lambda r: r["interval"].update(replicates=3)), "scores", "were computed with"
    ),
    "aggregator unknown": Forgery(
        _in_result(lambda r: recipe(r, "fvu").update(aggregator="os.system")),
        "scores",
        "there is no aggregator 'os.system'",
    ),
    # What boards read of provenance and run.
    "name that is a list": Forgery(_of_sae(label=[5]), "results", "the name [5] has characters"),
    "architecture that is an object": Forgery(
        _of_sae(architecture={"a": 1}), "results", "architecture {'a': 1}, which is no text"
    ),
    "width that is a text": Forgery(_of_sae(d_sae="<b>"), "results", "no whole number"),
    "source that is a text": Forgery(
        _in_provenance(source="x"), "results", "provenance.source is no object"
    ),
    "model that is a list": Forgery(
        _in_result(lambda r: r["provenance"]["source"].update(model=[])), "results", "model []"
    ),
    "claims that are a number": Forgery(_in_provenance(claims=5), "results", "no list of objects"),
    "claim of no model": Forgery(
        _in_provenance(claims=[{"model": {}}]), "results", "model {}, which is no text"
    ),
    "seconds that are a text": Forgery(
        _in_provenance(phases={"load": {"seconds": "x"}}), "results", "phase 'load' cost 'x'"
    ),
    "seconds below nothing": Forgery(
        _in_provenance(phases={"load": {"seconds": -1e300}}), "results", "cost -1e+300"
    ),
    "phase that is a number": Forgery(
        _in_provenance(phases={"load": 5}), "results", "phase 'load' is no object"
    ),
    "origin unheard of": Forgery(
        _in_provenance(origin={"harness": "mine"}), "results", "its origin is 'mine'"
    ),
    "tasks of a run that are a list": Forgery(
        _in_result(lambda r: r["run"].update(tasks=[])), "results", "no object of objects"
    ),
    "working folder": Forgery(
        _in_result(lambda r: r.update(working_folder="/srv")), "results", "its working folder is"
    ),
    # Names and texts.
    "script in a name": Forgery(
        _renamed("<script>alert(1)</script>"), "results", "has characters that names may not have"
    ),
    "quotes in a name": Forgery(_renamed('a" onload="x'), "results", "names may not have"),
    "text that runs backwards": Forgery(
        _renamed("good\u202eeas"), "results", "has an invisible character, U+202E"
    ),
    "invisible character": Forgery(_renamed("topk\u200b-8"), "results", "U+200B"),
    "look-alike letters": Forgery(_renamed("lаb/topk"), "results", "names may not have"),  # noqa: RUF001
    "terminal escape": Forgery(_renamed("a\x1b[31mb"), "results", "a control character, U+001B"),
    "name that leads upwards": Forgery(_renamed("lab/../../x"), "results", "names may not have"),
    "control character in the description": Forgery(
        _in_manifest(lambda m: m.update(description="a\x07b")), "submission", "U+0007"
    ),
    "address that is a script": Forgery(
        _in_manifest(lambda m: m.update(url="javascript:alert(1)")), "submission", "the url is"
    ),
    "path of a home": Forgery(
        _in_result(lambda r: r["run"].update(data="/home/ann/secret/texts.txt")),
        "results",
        "has a path of one machine",
    ),
    "owner no user name": Forgery(
        _in_manifest(lambda m: m.update(owner="../ann")), "submission", "no GitHub user name"
    ),
    "owner other than the folder": Forgery(
        _in_manifest(lambda m: m.update(owner="bob")), "submission", "it lies in ann/try, but is"
    ),
    "name other than the folder": Forgery(
        _in_manifest(lambda m: m.update(name="best")), "submission", "it lies in ann/try, but is"
    ),
    # Files.
    "file not listed": Forgery(
        _in_manifest(lambda m: m["files"].pop()), "hashes", "is not listed", lambda _: None
    ),
    "file listed and missing": Forgery(
        lambda b: (result(b) / "rows.parquet").unlink(), "hashes", "and missing", lambda _: None
    ),
    "wrong hash": Forgery(
        _in_manifest(lambda m: m["files"][0].update(sha256="0" * 64)),
        "hashes",
        "has sha256",
        lambda _: None,
    ),
    "wrong size": Forgery(
        _in_manifest(lambda m: m["files"][0].update(bytes=5)), "hashes", "bytes", lambda _: None
    ),
    "listed path outside": Forgery(
        _in_manifest(lambda m: m["files"].append({"path": PATH, "bytes": 1, "sha256": "0" * 64})),
        "hashes",
        "escaped.parquet' is listed in submission.json and missing",
        lambda _: None,
    ),
    "file added": Forgery(_add("README.md"), "files", "'README.md' does not belong there"),
    "program added": Forgery(_add("RESULT/run.py"), "files", "does not belong there"),
    "pickle added": Forgery(_add("results/data.pkl"), "files", "does not belong there"),
    "archive added": Forgery(_add("RESULT/more.zip"), "files", "does not belong there"),
    "hidden file": Forgery(_add(".gitattributes"), "files", "files may not have here"),
    "name reserved on Windows": Forgery(
        _add(f"results/con/core-{'0' * 20}/result.json"), "files", "files may not have here"
    ),
    "markup in a folder's name": Forgery(
        _add(f"results/<b>x/core-{'0' * 20}/result.json"), "files", "files may not have here"
    ),
    "invisible character in a folder's name": Forgery(
        _add(f"results/a\u200bb/core-{'0' * 20}/result.json"), "files", "\\u200b"
    ),
    "names that differ in case": Forgery(_case_twin, "files", "differ in case alone"),
    "link": Forgery(_link, "files", "is a link; only files are accepted"),
    "link to a folder": Forgery(_folder_link, "files", "is a link"),
    "hard link": Forgery(
        lambda b: os.link(result(b) / "rows.parquet", b.parents[3] / "twin"), "files", "hard link"
    ),
    "pipe": Forgery(lambda b: os.mkfifo(b / "results" / "pipe"), "files", "no regular file"),
    "no submission.json": Forgery(
        lambda b: (b / "submission.json").unlink(),
        "files",
        "has no submission.json",
        lambda _: None,
    ),
    # Tables.
    "pickle as a table": Forgery(
        lambda b: (result(b) / "rows.parquet").write_bytes(pickle.dumps([1] * 9)),
        "tables",
        "it is no parquet file",
    ),
    "table cut off": Forgery(
        lambda b: (result(b) / "rows.parquet").write_bytes(
            b"PAR1" + b"\0" * 9 + b"\xff" * 3 + b"\0PAR1"
        ),
        "tables",
        "rows.parquet",
    ),
    "more rows stated": Forgery(_stated_rows, "tables", "result.json says 1,000,000"),
    "extension type": Forgery(_parquet(_extension), "tables", "extension type"),
    "code in metadata": Forgery(_parquet(_code), "tables", "metadata of another program"),
    "bytes in a column": Forgery(
        _parquet(_more(pa.array([b"x"] * 10**4))), "tables", "its column 'more' is"
    ),
    "lists in a column": Forgery(
        _parquet(_more(pa.array([[1.0]] * 10**4))), "tables", "its column"
    ),
    "long text": Forgery(
        _parquet(_more(pa.array(["y" * 5_000] * 10**4))), "tables", "a text of more than"
    ),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_tampered_bundle_is_refused(bundle: Path, kind: str) -> None:
    """The first check that can see it says so, and no other reason is given."""
    forged = FORGERIES[kind]
    forged.tamper(bundle)
    if forged.check != "files":
        forged.seals(bundle)
    report = check_bundle(bundle)
    assert report.faults, kind
    assert report.badge == "self-reported"
    assert report.checks[-1].name == forged.check, report.faults
    assert any(forged.says in fault for fault in report.faults), report.faults
    assert all(fault.isascii() or "…" in fault for fault in report.faults)
