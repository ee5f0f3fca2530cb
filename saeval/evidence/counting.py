"""The unit that the n of a score counts, in words."""

import numpy as np
from jaxtyping import Int, Num

from saeval.evidence.unit_tables import CROSSED, GROUPED, NESTED, Units


def unit_of_n(units: Units, part: str | None) -> str:
    """The unit of n in the singular, with counts where units are crossed or nested.

    `row` for simple units. `text x label (152 x 10)` where 152 texts stand under each of 10 labels,
    `text x label (1060 of 252 x 8, 90 to 150 each)` where not each of 252 texts stands under each
    of 8, and a label has 90 to 150; under one label alone, `text`. `word in letter (412 in 24)`
    where 412 words belong to 24 letters. `letter of 3 to 18 words` where each letter is one unit.
    """
    rows = units.rows(part)
    if CROSSED in units.unit:
        if part is not None:
            return units.unit.partition(CROSSED)[0]
        inner, outer = _count_distinct(units, "cluster", rows), _count_distinct(units, "part", rows)
        if inner * outer == len(rows):
            return f"{units.unit} ({inner} x {outer})"
        sizes = _span(units.table["part"].iloc[rows].value_counts().to_numpy())
        return f"{units.unit} ({len(rows)} of {inner} x {outer}, {sizes} each)"
    if NESTED in units.unit:
        return f"{units.unit} ({len(rows)} in {_count_distinct(units, 'cluster', rows)})"
    if GROUPED in units.unit:
        noun, _, own = units.unit.partition(GROUPED)
        return f"{noun}{GROUPED}{_span(units.column(own, rows))} {own}"
    return units.unit


def _span(sizes: Num[np.ndarray, " groups"]) -> str:
    """The smallest and the largest size, or the one that all have."""
    least, most = int(sizes.min()), int(sizes.max())
    return f"{least}" if least == most else f"{least} to {most}"


def _count_distinct(units: Units, label: str, rows: Int[np.ndarray, " rows"]) -> int:
    return int(units.table[label].iloc[rows].nunique())
