"""The unit that the n of a score counts, in words."""

import numpy as np
from jaxtyping import Int

from saeval.evidence.unit_tables import CROSSED, NESTED, Units


def unit_of_n(units: Units, part: str | None) -> str:
    """The unit of n in the singular, with counts where units are crossed or nested.

    `row` for simple units. `text x label (152 x 10)` where 152 texts stand under each of 10 labels,
    `text x label (1060 of 252 x 8)` where not each of 252 texts stands under each of 8; under one
    label alone, `text`. `word in letter (412 in 24)` where 412 words belong to 24 letters.
    """
    rows = units.rows(part)
    if CROSSED in units.unit:
        if part is not None:
            return units.unit.partition(CROSSED)[0]
        inner, outer = _count_distinct(units, "cluster", rows), _count_distinct(units, "part", rows)
        incomplete = "" if inner * outer == len(rows) else f"{len(rows)} of "
        return f"{units.unit} ({incomplete}{inner} x {outer})"
    if NESTED in units.unit:
        return f"{units.unit} ({len(rows)} in {_count_distinct(units, 'cluster', rows)})"
    return units.unit


def _count_distinct(units: Units, label: str, rows: Int[np.ndarray, " rows"]) -> int:
    return int(units.table[label].iloc[rows].nunique())
