"""Bundles for tests, and the tools of a forger who knows how saeval seals what it writes."""

import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import saeval
from saeval.leaderboard.bundles.manifest import listed_files, sha256_of
from saeval.leaderboard.bundles.packing import Submission, packed, write
from saeval.results.digest import record_digest
from saeval.results.from_evidence import scores_of
from saeval.results.reading import result_evidence
from saeval.results.score import Labels

BASE = "lab/synthetic/base"
OTHERS = ("random", "relu-8", "topk-8-s1", "gated-8")
"""SAEs whose results a board has already."""
WHO = Submission("ann", "try", "A first try.", "https://example.org/paper")


def make_board(folder: Path) -> Path:
    """A leaderboards folder with results of others and one submission. Returns the bundle.

    The results it was made of lie in `mine` beside it.
    """
    shutil.copytree(_scored(), folder, dirs_exist_ok=True)
    mine = str(folder / "mine")
    with packed([mine], WHO, folder) as bundle:
        return write(bundle, WHO, folder, replace=False)


@functools.cache
def _scored() -> Path:
    """Results, scored once for all tests of a process."""
    folder = Path(_scratch.name)
    saeval.evaluate(
        [f"{BASE}/{name}" for name in OTHERS],
        ["core", "synthetic"],
        limit=200,
        output_path=folder / "leaderboards/results/base",
    )
    mine = folder / "mine"
    saeval.evaluate(f"{BASE}/topk-8", ["core", "synthetic"], limit=200, output_path=mine)
    return folder


_scratch = tempfile.TemporaryDirectory(prefix="saeval-board-")


def result(bundle: Path, task: str = "core") -> Path:
    """Folder of the bundle's result of a task."""
    (folder,) = bundle.glob(f"results/*/{task}-*")
    return folder


def read(path: Path) -> dict[str, Any]:
    """Content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def save(path: Path, content: Any) -> None:
    """Write JSON, whatever it holds."""
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the content of a JSON file."""
    content = read(path)
    change(content)
    save(path, content)


def score(record: dict[str, Any], metric: str) -> dict[str, Any]:
    """The score of a metric over all data."""
    return next(s for s in record["scores"] if s["metric"] == metric and s["part"] is None)


def recipe(record: dict[str, Any], metric: str) -> dict[str, Any]:
    """How a metric over all data is computed."""
    return next(m for m in record["metrics"] if m["metric"] == metric and m["part"] is None)


def change_table(folder: Path, name: str, change: Callable[[pd.DataFrame], Any]) -> None:
    """Change a table as a data frame; a change that returns one takes its place."""
    path = folder / f"{name}.parquet"
    table = pq.read_table(path).to_pandas(ignore_metadata=True)
    changed = change(table)
    table = table if changed is None else changed
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path, compression="zstd")


def seal(bundle: Path) -> None:
    """List every file anew, with its size and hash."""
    manifest = read(bundle / "submission.json")
    manifest["files"] = list(listed_files(bundle))
    save(bundle / "submission.json", manifest)


def reseal(bundle: Path) -> None:
    """Hashes of tables, digests of results and the list of files, all as a new edit needs them."""
    for folder in bundle.glob("results/*/*"):
        record = read(folder / "result.json")
        for table in record["tables"].values():
            path = folder / table["file"]
            if path.is_file() and not path.is_symlink():
                table["sha256"] = sha256_of(path)
        record["digest"] = record_digest(record)
        save(folder / "result.json", record)
    seal(bundle)


def rescore(folder: Path) -> None:
    """Compute the scores anew from edited evidence, as a forger would."""
    record = read(folder / "result.json")
    for table in record["tables"].values():
        table["sha256"] = sha256_of(folder / table["file"])
        table["rows"] = pq.read_metadata(folder / table["file"]).num_rows
    save(folder / "result.json", record)
    labels = Labels(
        *(record[name] for name in ("sae", "task", "task_version", "seed", "result_id", "set"))
    )
    scores = scores_of(result_evidence(folder), labels)
    record["scores"] = [replace(score).row() for score in scores]
    save(folder / "result.json", record)


def copy(bundle: Path, folder: Path) -> Path:
    """A copy of a bundle with all of its leaderboards folder."""
    tree = bundle.parents[2]
    shutil.copytree(tree, folder / "leaderboards")
    return folder / "leaderboards" / bundle.relative_to(tree)
