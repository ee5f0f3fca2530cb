"""Labelled texts: your files, the lab's concepts, the sets of sae-probes and of SAEBench."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from saeval.errors import DataError, UsageError
from saeval.registry.hashes import file_sha256

from .._draws import generator
from . import equal_texts
from .data_set import DataSet, Labelled, Listed
from .hub_sets import cached_revisions, downloaded_sets, hub_sets
from .label_cells import Cell, cells
from .sae_probes import sae_probes, sae_probes_folder
from .tables import read_table

Data = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]
"""What a task's `data` may be: a name, file or folder, a mapping, or a list of these."""
LAB, SAE_PROBES, SAEBENCH = "lab", "sae_probes", "saebench"
KEYS = ("name", "train", "test", "text", "label")
MOST_LABELS = 60
"""More distinct labels than this are taken for a quantity."""
READING = "2: drawn by content, with several labels a text"
"""How files are read and split; another key where that changes what is scored."""
TEST_SHARE = 0.25
"""Of the texts, where a data set comes without test texts."""


def listed(data: Data) -> list[Listed]:
    """The data sets that files hold, looked at but not read.

    Raises:
        UsageError: if the list is malformed, a file or column is not there, or a name is taken.
        DataError: if a file cannot be read, or a data set did not arrive from the hub.
    """
    found = [one for item in _items(data) for one in _listed(item)]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two data sets are called '{name}'. Give each a `name` of its own.")
    for one in found:
        for path in (*one.train, *(one.test or ())):
            _check_columns(path, one)
    return found


def chosen(sets: Sequence[Any], patterns: Sequence[str] | None) -> list[Any]:
    """Data sets whose names fit one of the patterns; all for None.

    Raises:
        UsageError: if none is left.
    """
    if patterns is None:
        return list(sets)
    kept = [one for one in sets if any(fnmatchcase(one.name, pattern) for pattern in patterns)]
    if not kept:
        names = ", ".join(one.name for one in sets[:20])
        raise UsageError(f"No data set fits {', '.join(patterns)}; there are {names}.")
    return kept


def read(one: Listed, seed: int) -> DataSet:
    """Texts and labels of a data set; without test texts it is split, stratified by label.

    Each text stands once, however it is written, with all labels that the files give it. What is
    tested on is not trained on, nor is a near-duplicate of it. The order of rows and the names of
    files decide nothing.

    Raises:
        DataError: if a file cannot be read, or its texts or labels are of no use.
    """
    train, notices = _collected(one, one.train)
    if one.test is None:
        return _with_classes(split(one.name, train, seed, notices), one)
    test, more = _collected(one, one.test)
    kept, told = _apart(train, test)
    if not kept:
        raise DataError(
            f"All texts to train on of '{one.name}' are among those to test on, or nearly so. Give "
            "other files, or name `train` alone, and a quarter of it is held out."
        )
    key = _digest(train, test)
    made = DataSet(one.name, train.take(kept), test, key, (*notices, *more, *told))
    return _with_classes(made, one)


def _apart(train: Labelled, test: Labelled) -> tuple[list[int], tuple[str, ...]]:
    """Train texts that are no near-duplicate of a test text, and how many are."""
    group = equal_texts.groups([str(text) for text in (*test.texts, *train.texts)])
    tested = set(group[: len(test.texts)].tolist())
    kept = [row for row, own in enumerate(group[len(test.texts) :].tolist()) if own not in tested]
    gone = len(train.texts) - len(kept)
    told = f"{gone} texts to train on are equal or nearly equal to texts to test on, and left out"
    return kept, (told,) if gone else ()


def split(name: str, texts: Labelled, seed: int, notices: tuple[str, ...] = ()) -> DataSet:
    """A quarter of each label's texts for testing; near-duplicates stay on one side."""
    key = _digest(texts)
    rng = generator(seed, f"split/{key}")
    group = equal_texts.groups([str(text) for text in texts.texts])
    first = np.unique(group, return_index=True)[1]
    order = rng.permutation(first)  # a group is drawn by its first text, and comes along whole
    strata = texts.strata[order]
    rank = pd.Series(strata).groupby(strata).cumcount().to_numpy()
    size = pd.Series(strata).groupby(strata).transform("size").to_numpy()
    tested = np.isin(group, group[order[rank < np.round(size * TEST_SHARE)]])
    near = len(group) - len(first)
    told = f"{near} texts nearly repeat another; each stays on the side of its like"
    return DataSet(
        name,
        texts.take(rng.permutation(np.flatnonzero(~tested))),
        texts.take(rng.permutation(np.flatnonzero(tested))),
        key,
        (*notices, *((told,) if near else ())),
    )


def _digest(*parts: Labelled) -> str:
    """sha256 of texts and labels; the order of rows does not enter, since parts are sorted."""
    content = [[part.texts, part.labels] for part in parts]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


def _with_classes(found: DataSet, one: Listed) -> DataSet:
    """The data set as it is.

    Raises:
        DataError: if its labels are a quantity, or but one that all texts have.
    """
    held = [labels for half in (found.train, found.test) for labels in half.labels]
    distinct = {label for labels in held for label in labels}
    told = f" {'; '.join(found.notices)}." if found.notices else ""
    if len(distinct) > MOST_LABELS:
        raise DataError(
            f"'{one.label}' of '{one.train[0]}' has {len(distinct)} distinct values: a quantity, "
            f"or the wrong column. Probes need at most {MOST_LABELS} labels."
        )
    if len(set(held)) < 2:
        left = (
            f"All texts of '{one.train[0]}' have the same '{one.label}'"
            if held
            else "No text is left"
        )
        raise DataError(f"{left}; a probe needs two labels.{told}")
    return found


def lab_sets(train: int, test: int, seed: int) -> list[DataSet]:
    """The concepts of lab/world: so many texts a label."""
    from saeval.lab.world import World

    return [
        DataSet(
            one.name,
            Labelled(one.train.texts, tuple((label,) for label in one.train.labels)),
            Labelled(one.test.texts, tuple((label,) for label in one.test.labels)),
            one.name,
        )
        for one in World().label_sets(train=train, test=test, seed=seed)
    ]


def content(data: Data) -> list[Any]:
    """What tells data apart that no field names as a file: names, hashes, the hub's revisions.

    Data sets are called by their files where no name is given, and their scores with them. Of the
    lab's own sets nothing need be told.
    """
    found: list[Any] = []
    for item in _items(data):
        if item == SAEBENCH:
            found.append(cached_revisions())
        elif item != LAB:
            folder = item == SAE_PROBES or (isinstance(item, str) and Path(item).is_dir())
            sets = _listed(item)
            files = [path for one in sets for path in (*one.train, *(one.test or ()))]
            hashes = [file_sha256(path) for path in files if folder]
            found.append([[one.name for one in sets], hashes])
    return [READING, *found] if found else []


def _items(data: Data) -> list[str | Mapping[str, Any]]:
    return [data] if isinstance(data, str | Mapping) else list(data)


def _listed(item: str | Mapping[str, Any]) -> list[Listed]:
    """The data sets of one item of the list."""
    if isinstance(item, Mapping):
        return [_from_mapping(item)]
    if item == SAE_PROBES:
        return list(sae_probes(sae_probes_folder()))
    if item == SAEBENCH:
        return downloaded_sets()
    if item == LAB:
        raise UsageError(f"'{LAB}' comes without files and stands alone, not in a list.")
    path = Path(item)
    if path.is_file():
        return [Listed(path.name.split(".")[0], (path,))]
    if path.is_dir():
        return _of_folder(path)
    raise UsageError(
        f"There is no file or folder '{item}' for the labelled texts. Give a .parquet, .csv or "
        f".jsonl file with columns text and label, or one of {LAB}, {SAE_PROBES}, {SAEBENCH}."
    )


def _from_mapping(item: Mapping[str, Any]) -> Listed:
    unknown = [key for key in item if key not in KEYS]
    if unknown or "train" not in item:
        raise UsageError(
            f"A data set is given as {{{', '.join(KEYS)}}}, of which only train is needed; "
            f"{f'{unknown[0]!r} is none of these' if unknown else 'train is missing'}."
        )
    wrong = next((key for key, value in item.items() if not isinstance(value, str)), None)
    if wrong:
        raise UsageError(f"'{wrong}' of a data set must be text, not {item[wrong]!r}.")
    train = Path(item["train"])
    test = (Path(item["test"]),) if "test" in item else None
    name = item.get("name", train.name.split(".")[0])
    return Listed(name, (train,), test, item.get("text", "text"), item.get("label", "label"))


def _of_folder(folder: Path) -> list[Listed]:
    found = hub_sets(folder)
    for place in (folder, folder / "cleaned_data", folder / "data" / "cleaned_data"):
        found += sae_probes(place)
    if not found:
        raise UsageError(
            f"'{folder}' holds no data set: neither *.csv.zst files of sae-probes nor repositories "
            "such as fancyzhx/ag_news as the Hugging Face hub lays them out. Name files instead."
        )
    return found


def _check_columns(path: Path, one: Listed) -> None:
    """That a file is there and has both columns, without reading it whole.

    Raises:
        UsageError: naming what is missing.
        DataError: if the file cannot be read.
    """
    if not path.is_file():
        raise UsageError(f"There is no file '{path}' for the data set '{one.name}'.")
    if one.edit:
        return
    columns = list(read_table(path, head=True))
    for column in (one.text, one.label):
        if column not in columns:
            raise UsageError(
                f"'{path}' has no column '{column}', only {', '.join(map(str, columns))}. Say "
                f"which are meant: {{name: {one.name}, train: {path}, text: ..., label: ...}}."
            )


def _collected(one: Listed, paths: Sequence[Path]) -> tuple[Labelled, tuple[str, ...]]:
    """Each text of some files once, with all its labels, sorted by text; and what to tell.

    A text of several rows has all their labels. Where there are but two labels in all, each row
    with one of them, a text cannot have both; nor can it have one that another row denies: such
    texts are left out.

    Raises:
        DataError: as `_rows`.
    """
    rows = [row for path in paths for row in _rows(one, path)]
    by_text: dict[str, list[_Row]] = {}
    for row in rows:
        by_text.setdefault(equal_texts.plain(row.text), []).append(row)
    every = {label for row in rows for label in row.cell.labels}
    either = len(every) == 2 and all(row.cell.exclusive for row in rows)
    kept, contradicting = {}, []
    for own in by_text.values():
        labels = {label for row in own for label in row.cell.labels}
        denied = {label for row in own for label in row.cell.denied}
        if (either and len(labels) > 1) or labels & denied:
            contradicting.append(own)
        else:
            kept[min(row.text for row in own)] = tuple(sorted(labels))
    texts = tuple(sorted(kept))
    return Labelled(texts, tuple(kept[text] for text in texts)), _told(contradicting)


def _told(contradicting: Sequence[Sequence["_Row"]]) -> tuple[str, ...]:
    if not contradicting:
        return ()
    rows = contradicting[0]
    other = next((row for row in rows if row.cell.labels != rows[0].cell.labels), rows[-1])
    count = f"{len(contradicting)} texts have" if len(contradicting) > 1 else "1 text has"
    which = f"such as rows {rows[0].number} and {other.number} of '{rows[0].path}'"
    return (f"{count} two labels that exclude each other, {which}; left out",)


@dataclass(frozen=True)
class _Row:
    """A row of a file."""

    text: str
    cell: Cell
    path: Path
    number: int


def _rows(one: Listed, path: Path) -> list[_Row]:
    """Texts and labels of a file, blank texts left out.

    Raises:
        DataError: if it cannot be read, or naming the row without text or label.
    """
    table = read_table(path)
    if one.edit:
        table = one.edit(table)
    try:
        labels = cells(table[one.label].tolist())
    except ValueError as error:
        raise DataError(f"'{one.label}' of '{path}' {error}. Write each label one way.") from error
    found = []
    for number, (text, cell) in enumerate(zip(table[one.text].tolist(), labels, strict=True)):
        if not isinstance(text, str):
            raise DataError(f"Row {number} of '{path}' has {text!r} in '{one.text}', no text.")
        if cell is None:
            raise DataError(
                f"Row {number} of '{path}' has no '{one.label}'. Leave it out, or label it."
            )
        if equal_texts.plain(text):
            found.append(_Row(text, cell, path, number))
    return found
