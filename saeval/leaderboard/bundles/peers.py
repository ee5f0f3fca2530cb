"""Results of the same task on the same data, with which a submitted one must be compatible."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from saeval.errors import ResultError
from saeval.evidence.data import content_digest
from saeval.evidence.unit_tables import LABELS
from saeval.leaderboard.bundles.records import Submitted
from saeval.leaderboard.bundles.table_files import table_faults
from saeval.results.interchange.imported import is_imported
from saeval.results.reading import read_record, result_folders


@dataclass(frozen=True)
class Peer:
    """A stored result, whose evidence is read when it is needed."""

    folder: Path
    record: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Name of its SAE or set."""
        return str(self.record["sae"] or self.record["set"])

    @property
    def hashes(self) -> tuple[str, ...]:
        """Content of its SAEs."""
        return tuple(map(str, self._key.get("saes", ())))

    @property
    def task(self) -> tuple[str, int]:
        """Task and version."""
        return self.record["task"], self.record["task_version"]

    @property
    def group(self) -> tuple[Any, ...]:
        """Results of one group read the same place with one seed."""
        return (*self.task, self.record["seed"], self._key.get("source"))

    @property
    def settings(self) -> str:
        """All inputs besides the SAE: results that share them have the same data."""
        inputs = {name: value for name, value in self._key.items() if name != "saes"}
        return json.dumps(inputs, sort_keys=True)

    @property
    def _key(self) -> Mapping[str, Any]:
        key = self.record["provenance"].get("key")
        return key if isinstance(key, dict) else {}

    @property
    def data(self) -> dict[str, dict[str, str]]:
        """Table -> what it was measured on."""
        return {name: dict(about["data"] or {}) for name, about in self.record["tables"].items()}

    @cached_property
    def is_readable(self) -> bool:
        """Whether its evidence may be read: it can be another stranger's."""
        return not any(
            table_faults(self.folder / f"{name}.parquet", about["rows"])
            for name, about in self.record["tables"].items()
        )

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Its evidence, rows in order of the names of units."""
        return {
            name: _in_order(pq.read_table(self.folder / f"{name}.parquet"))
            for name in self.record["tables"]
        }

    @cached_property
    def digests(self) -> dict[str, str]:
        """Table -> digest of its content, whatever the order of rows and columns."""
        return {name: _digest(table, list(table.columns)) for name, table in self.tables.items()}

    @cached_property
    def label_digests(self) -> dict[str, str]:
        """Table -> digest of its units: their parts, names, clusters and weights."""
        return {name: _digest(table, list(LABELS)) for name, table in self.tables.items()}


def _in_order(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return frame.sort_values(["part", "unit_id"], kind="stable").reset_index(drop=True)


def _digest(table: pd.DataFrame, columns: list[str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(columns):
        values = table[name].to_numpy()
        texts = None if values.dtype == np.float64 else [str(value) for value in values]
        digest.update(content_digest(name, values if texts is None else texts).encode())
    return digest.hexdigest()


def peers_in(roots: Iterable[Path]) -> Iterator[Peer]:
    """Every readable result with evidence below folders of results."""
    for root in roots:
        for folder in result_folders(root):
            try:
                record = read_record(folder)[1]
                if not is_imported(record) and record["tables"]:
                    yield Peer(folder, record)
            except (ResultError, KeyError, TypeError, AttributeError):
                continue  # what is stored there is checked where it is shown


def as_peers(results: Sequence[Submitted]) -> list[Peer]:
    """Submitted results as peers of each other."""
    return [
        Peer(result.folder, result.record)
        for result in results
        if not result.is_imported and result.record["tables"]
    ]


def is_informative(table: pd.DataFrame) -> bool:
    """Whether a table has so many different numbers that chance does not repeat it."""
    statistics = table[[name for name in table.columns if name not in LABELS]]
    return len(np.unique(statistics.to_numpy(float))) >= _DISTINCT


_DISTINCT = 20
"""Different numbers by which one table is known again."""
