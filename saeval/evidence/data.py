"""What evidence was measured on: digests of rows, labels and draws, which a comparison checks."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from saeval.errors import ResultError
from saeval.evidence.evidence import Evidence, Missing
from saeval.evidence.unit_tables import Units

Content = str | int | np.ndarray | Sequence[str] | None
"""What can be digested: text, a number, an array of numbers, texts in order."""


DIGEST_LENGTH = 20
"""Hex digits that tell one content from another."""
_SEED = re.compile(r"seed(_\d+)?")


def content_digest(*contents: Content) -> str:
    """20 hex digits that depend on every content, its kind and its order."""
    digest = hashlib.sha256()
    for content in contents:
        if isinstance(content, np.ndarray):
            digest.update(f"array {content.dtype.str} {content.shape};".encode())
            digest.update(np.ascontiguousarray(content).tobytes())
        else:
            texts = [content] if isinstance(content, str | int | None) else list(content)
            digest.update(f"{len(texts)} texts;".encode())
            digest.update("".join(f"{len(str(text))}:{text}" for text in texts).encode())
    return digest.hexdigest()[:DIGEST_LENGTH]


def on_data(
    yielded: Iterable[Evidence | Missing], data: Mapping[str, str]
) -> Iterator[Evidence | Missing]:
    """Evidence whose tables say what they were measured on.

    Args:
        yielded: What a task yields. Tables that say already what they were measured on stay.
        data: A name such as `rows` or `labels` -> a digest of its content; `seed` -> its number.
    """
    tables: dict[int, tuple[Units, Units]] = {}  # the first of each pair keeps its id from reuse
    for entry in yielded:
        if isinstance(entry, Missing) or entry.units.data is not None:
            yield entry
            continue
        table = entry.units
        if id(table) not in tables:
            tables[id(table)] = (table, replace(table, data=dict(data)))
        yield replace(entry, units=tables[id(table)][1])


def check_states_data(table: Units) -> None:
    """Check that a table says what it was measured on.

    Raises:
        ResultError: if it does not.
    """
    if table.data is None:
        raise ResultError(
            f"'{table.name}' cannot be paired: the evidence does not say what data it was "
            "measured on, as results of earlier versions do not. Score both SAEs again with "
            "--force; evidence made by hand says it with units(..., data={...})."
        )


def check_equal_data(a: Units, b: Units) -> None:
    """Check that two tables were measured on the same data.

    Running numbers of rows are equal whatever the rows hold, so equal names of units do not show
    it.

    Raises:
        ResultError: naming what differs; or if a table does not say what it was measured on.
    """
    for table in (a, b):
        check_states_data(table)
    data_a, data_b = dict(a.data or {}), dict(b.data or {})
    names = [name for name in {**data_a, **data_b} if data_a.get(name) != data_b.get(name)]
    if names:
        values = "; ".join(
            f"{name} {data_a.get(name, 'absent')} and {data_b.get(name, 'absent')}"
            for name in names
        )
        raise ResultError(
            f"'{a.name}' cannot be paired: the two were measured on other data ({values}). Score "
            "both SAEs on the same data, with the same --limit and seed."
        )


def data_without_seeds(table: Units) -> dict[str, str]:
    """What a table was measured on, without the numbers of seeds, which stand under `seed`.

    Two seeds whose data is the same but for these numbers have the same units.
    """
    return {name: text for name, text in (table.data or {}).items() if not _SEED.fullmatch(name)}
