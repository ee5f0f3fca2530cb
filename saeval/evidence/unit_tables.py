"""Evidence tables: one row per unit, checked once where they are made and trusted afterwards."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from saeval.errors import ResultError

LABELS = ("part", "unit_id", "cluster", "weight")
"""Columns that every table has; all others are statistics."""
CROSSED, NESTED, GROUPED = " x ", " in ", " of "
"""Words between the two nouns of a unit's name: crossed units, nested units, groups."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class Units:
    """One evidence table, shared by several metrics, stored as `<name>.parquet`.

    Raises:
        ResultError: if the table is empty, a label is missing, a unit stands twice, a weight is
            negative, or a statistic is not a finite float64.
    """

    name: str
    """Lower-case name of the table, such as `rows`, `latents` or `words`."""
    unit: str
    """The unit that a row measures, in the singular: `row`, `latent`, `word`, `document`.

    `text x label` where a row is a text under one of several labels: the first noun names the
    `cluster`, the second the `part`. `word in letter` where rows are nested: the second noun
    names the `cluster`. `letter of words` where a row is a group whose own rows stand elsewhere:
    the second noun names the statistic that counts them.
    """
    table: pd.DataFrame
    """Columns `part`, `unit_id`, `cluster`, `weight`, and float64 statistics.

    `part` (text, or null everywhere) and `unit_id` (text or integer) together name a unit.
    Units of one `cluster` (text or integer, or null everywhere) are not independent: rows of one
    document, one question under several settings, one unit in several parts. `weight` >= 0 is
    how much the unit counts.
    """
    data: Mapping[str, str] | None = None
    """What the units were measured on: a name such as `rows` or `labels` -> a digest of its
    content; the name `seed` -> the seed's number. Evidence of other data is not compared. None: not
    told."""

    def __post_init__(self) -> None:
        for name in (self.name, *map(str, self.statistics)):
            if not _NAME.fullmatch(name):
                raise ResultError(
                    f"'{name}' cannot name an evidence table or column: use lower-case letters, "
                    "digits and underscores, a letter first."
                )
        complaint = (
            _label_complaint(self.table)
            or _number_complaint(self.table)
            or _unit_complaint(self.unit, self.table)
        )
        if complaint:
            raise ResultError(f"Evidence table '{self.name}': {complaint}")

    @property
    def statistics(self) -> list[str]:
        """Names of the statistic columns."""
        return [column for column in self.table.columns if column not in LABELS]

    @cached_property
    def _rows_of_part(self) -> Mapping[Any, Int[np.ndarray, " rows"]]:
        counted = np.flatnonzero(self.table["weight"].to_numpy() > 0)
        parts = self.table["part"].iloc[counted].reset_index(drop=True)
        rows_by_part = {
            name: counted[places] for name, places in parts.groupby(parts).indices.items()
        }
        return {**rows_by_part, None: counted}

    def rows(self, part: str | None) -> Int[np.ndarray, " rows"]:
        """Numbers of a part's rows (of all rows for None) that have weight.

        Raises:
            ResultError: if there are none.
        """
        if part not in self._rows_of_part:
            names = ", ".join(str(name) for name in list(self._rows_of_part)[:-1][:5])
            raise ResultError(
                f"Evidence table '{self.name}' has no part '{part}' with weight; "
                f"it has {names or 'no parts'}."
            )
        return self._rows_of_part[part]

    def column(self, name: str, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
        """A statistic, or the weight, at some rows."""
        return self.table[name].to_numpy()[rows]

    def cluster_names(self, rows: Int[np.ndarray, " rows"]) -> pd.DataFrame:
        """Columns that name the cluster of each row: its cluster, else the unit itself."""
        if not self.table["cluster"].isna().iloc[0]:
            names = ["cluster"]
        else:
            names = ["unit_id"] if self.table["part"].isna().iloc[0] else ["part", "unit_id"]
        return self.table[names].iloc[rows]


def units(  # noqa: PLR0913  the labels are one noun, the table's row, spelt by column
    name: str,
    unit: str,
    statistics: Mapping[str, Any],
    *,
    unit_id: Any = None,
    part: Any = None,
    cluster: Any = None,
    weight: Any = None,
    data: Mapping[str, str] | None = None,
) -> Units:
    """An evidence table from arrays of equal length.

    Args:
        name: Of the table.
        unit: The unit of a row, in the singular; see `Units`.
        statistics: Column name -> one number per row, stored as float64.
        unit_id: Text or integers, distinct within a part; 0, 1, 2, ... where None.
        part: One text for all rows, one text per row, or None.
        cluster: Text or integers that rows share where they are not independent, or None.
        weight: How much each row counts, or None for 1 each.
        data: What the units were measured on: name -> digest, or a seed in digits.

    Raises:
        ResultError: if lengths differ or the table is not valid evidence.
    """
    columns = {key: np.asarray(value) for key, value in statistics.items()}
    rows = len(next(iter(columns.values()))) if columns and next(iter(columns.values())).ndim else 0
    labels = {
        "part": part,
        "unit_id": np.arange(rows) if unit_id is None else unit_id,
        "cluster": cluster,
        "weight": np.ones(rows) if weight is None else weight,
    }
    table = {}
    for key, value in {**labels, **columns}.items():
        array = np.full(rows, value, object) if value is None or isinstance(value, str) else value
        array = np.asarray(array)
        if array.shape != (rows,):
            raise ResultError(
                f"Evidence table '{name}': column '{key}' has shape {array.shape}, but there "
                f"are {rows} rows; give one number for each."
            )
        table[key] = _as_stored_type(key, array)
    return Units(name, unit, pd.DataFrame(table), data)


def _as_stored_type(name: str, array: np.ndarray) -> Any:
    """A column in the type it is stored in: int64 or text for labels, float64 for the rest."""
    if name not in ("part", "unit_id", "cluster"):
        return array.astype(np.float64)
    if name != "part" and array.dtype.kind in "iu":
        return array.astype(np.int64)
    return pd.array([None if value is None else str(value) for value in array], dtype="str")


def paired_rows(
    a: Units, b: Units, part: str | None
) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """Row numbers of the same units in two tables, both in the order of the first table.

    Raises:
        ResultError: if the two do not have the same units, clusters and weights.
    """
    remedy = "Score both on the same data, with the same --limit and seed."
    places, labels = [], []
    for side in (a, b):
        rows = side.rows(part)
        table = side.table[list(LABELS)].iloc[rows].reset_index(drop=True)
        table = table.sort_values(["part", "unit_id"], kind="stable")
        places.append(rows[table.index.to_numpy()])
        labels.append(table.reset_index(drop=True))
    if len(labels[0]) != len(labels[1]):
        raise ResultError(
            f"'{a.name}' cannot be paired: {len(labels[0])} units with weight on one side and "
            f"{len(labels[1])} on the other. {remedy}"
        )
    for name in LABELS:
        values_a, values_b = (table[name].to_numpy(object) for table in labels)
        is_equal = (values_a == values_b) | (pd.isna(values_a) & pd.isna(values_b))
        if not is_equal.all():
            row = int(np.flatnonzero(~is_equal)[0])
            raise ResultError(
                f"'{a.name}' cannot be paired: {name} differs in {int((~is_equal).sum())} units, "
                f"first {values_a[row]!r} on one side and {values_b[row]!r} on the other. {remedy}"
            )
    order = np.argsort(places[0])
    return places[0][order], places[1][order]


def _label_complaint(table: pd.DataFrame) -> str | None:
    """Why the labels of a table do not name its units, or None."""
    missing = [name for name in LABELS if name not in table.columns]
    if missing:
        return f"it lacks the column '{missing[0]}'; make it with saeval.evidence.units()."
    if not len(table):
        return "it has no rows, so nothing was measured."
    absent = {name: table[name].isna().to_numpy(bool) for name in LABELS}
    if absent["unit_id"].any():
        return "a row has no unit_id, so it cannot be paired with another SAE's."
    for name in ("part", "cluster"):
        if absent[name].any() and not absent[name].all():
            return f"some rows have a {name} and others none; name it in all rows or in none."
    doubled = table.duplicated(["part", "unit_id"]).to_numpy(bool)
    if doubled.any():
        row = table.iloc[int(np.flatnonzero(doubled)[0])]
        return (
            f"unit '{row['unit_id']}' of part {row['part']} stands twice; a unit under several "
            "settings needs a unit_id for each, and a cluster that they share."
        )
    return None


def _unit_complaint(unit: str, table: pd.DataFrame) -> str | None:
    """Which column the name of the unit implies but the table lacks, or None."""
    needed = {CROSSED: ("cluster", "part"), NESTED: ("cluster",)}
    for link, labels in needed.items():
        for label in labels:
            if link in unit and table[label].isna().iloc[0]:
                return (
                    f"a unit named '{unit}' needs a {label} in every row; give one, or name the "
                    f"unit without '{link.strip()}'."
                )
    size = unit.partition(GROUPED)[2]
    if size and size not in table.columns:
        return (
            f"a unit named '{unit}' needs a statistic '{size}', the number of each group's own; "
            f"give it, or name the unit without '{GROUPED.strip()}'."
        )
    return None


def _number_complaint(table: pd.DataFrame) -> str | None:
    """Which weight or statistic is not a finite float64, or None."""
    for name in [column for column in table.columns if column not in LABELS[:3]]:
        column = table[name].to_numpy()
        if column.dtype != np.float64:
            return f"column '{name}' is {column.dtype}, not float64."
        bad = ~np.isfinite(column) | ((column < 0) if name == "weight" else False)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            return (
                f"column '{name}' is {column[row]} in row {row} (unit "
                f"'{table['unit_id'].iloc[row]}'); leave out units that could not be measured, or "
                "declare the metric Missing."
            )
    return None
