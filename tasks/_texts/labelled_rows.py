"""Rows of labelled tables: read from all files of a data set at once, and merged by text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from saeval.errors import DataError, shown

from . import equal_texts
from .data_set import DataSetFiles, LabelledTexts
from .label_cells import Cell, cells
from .tables import read_table


@dataclass(frozen=True)
class Row:
    """A row of a file."""

    text: str
    cell: Cell
    path: Path
    number: int


def read_rows(files: DataSetFiles) -> dict[Path, list[Row]]:
    """Texts and labels of each file of a data set, blank texts left out.

    Raises:
        DataError: if a file cannot be read, or naming the row without text or label.
    """
    paths = dict.fromkeys((*files.train, *(files.test or ())))
    tables = {path: read_table(path) for path in paths}
    if files.edit:
        tables = {path: files.edit(table) for path, table in tables.items()}
    try:
        labels = iter(cells([v for table in tables.values() for v in table[files.label].tolist()]))
    except ValueError as error:
        names = " and ".join(f"'{path}'" for path in paths)
        raise DataError(f"'{files.label}' of {names} {error}. Write each label one way.") from error
    return {path: _rows_of_table(table, path, files, labels) for path, table in tables.items()}


def _rows_of_table(
    table: pd.DataFrame, path: Path, files: DataSetFiles, labels: Iterator[Cell | None]
) -> list[Row]:
    rows = []
    for number, text in enumerate(table[files.text].tolist()):
        cell = next(labels)
        if not isinstance(text, str):
            is_gap = text is None or (isinstance(text, float) and np.isnan(text))
            content = "nothing" if is_gap else shown(text)
            raise DataError(f"Row {number} of '{path}' has {content} in '{files.text}', no text.")
        if cell is None:
            raise DataError(
                f"Row {number} of '{path}' has no '{files.label}'. Leave it out, or label it."
            )
        if equal_texts.visible_text(text):
            rows.append(Row(text, cell, path, number))
    return rows


def merge_rows(rows: Sequence[Row], *, is_binary: bool) -> tuple[LabelledTexts, tuple[str, ...]]:
    """Each text of some rows once, with all its labels, sorted by text; and notices.

    A text that stands in several rows has all their labels. Two kinds of contradiction make a text
    be left out. If there are only two labels in all and each row has one of them (`is_binary`), a
    text cannot have both. Nor can a text have a label that another of its rows denies.
    """
    by_text: dict[str, list[Row]] = {}
    for row in rows:
        by_text.setdefault(equal_texts.visible_text(row.text), []).append(row)
    labels_by_text, contradicting = {}, []
    for group in by_text.values():
        labels = {label for row in group for label in row.cell.labels}
        denied = {label for row in group for label in row.cell.denied}
        if (is_binary and len(labels) > 1) or labels & denied:
            contradicting.append(group)
        else:
            labels_by_text[min(row.text for row in group)] = tuple(sorted(labels))
    texts = tuple(sorted(labels_by_text))
    return LabelledTexts(
        texts, tuple(labels_by_text[text] for text in texts)
    ), _contradiction_notice(contradicting)


def _contradiction_notice(contradicting: Sequence[Sequence[Row]]) -> tuple[str, ...]:
    if not contradicting:
        return ()
    rows = contradicting[0]
    second = next((row for row in rows if row.cell.labels != rows[0].cell.labels), rows[-1])
    count = f"{len(contradicting)} texts have" if len(contradicting) > 1 else "1 text has"
    places = f"such as rows {rows[0].number} and {second.number} of '{rows[0].path}'"
    return (f"{count} two labels that exclude each other, {places}; left out",)
