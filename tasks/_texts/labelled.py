"""Labelled texts: your files, the lab's concepts, the sets of sae-probes and of SAEBench."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from saeval.errors import DataError, UsageError
from saeval.registry.hashes import file_sha256

from .._draws import generator
from .data_set import DataSet, Labelled, Listed, label_text
from .hub_sets import cached_revisions, downloaded_sets, hub_sets
from .sae_probes import sae_probes, sae_probes_folder
from .tables import read_table

Data = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]
"""What a task's `data` may be: a name, file or folder, a mapping, or a list of these."""
LAB, SAE_PROBES, SAEBENCH = "lab", "sae_probes", "saebench"
KEYS = ("name", "train", "test", "text", "label")
MOST_LABELS = 60
"""More distinct labels than this are taken for a quantity."""
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

    Each text stands once, and what is tested on is not trained on, whatever the files repeat.

    Raises:
        DataError: if a file cannot be read, or its texts or labels are of no use.
    """
    train = _distinct(_labelled(one, one.train))
    if one.test is None:
        return split(one.name, train, seed)
    test = _distinct(_labelled(one, one.test))
    tested = set(test.texts)
    kept = [row for row, text in enumerate(train.texts) if text not in tested]
    if not kept:
        raise DataError(
            f"All texts to train on of '{one.name}' are among those to test on. Give other files, "
            "or name `train` alone, and a quarter of it is held out."
        )
    return DataSet(one.name, train.take(kept), test)


def _distinct(texts: Labelled) -> Labelled:
    """The first of each text."""
    first: dict[str | int, int] = {}
    for row, text in enumerate(texts.texts):
        first.setdefault(text, row)
    return texts.take(list(first.values()))


def split(name: str, texts: Labelled, seed: int) -> DataSet:
    """A quarter of each label's texts for testing."""
    rng = generator(seed, f"split/{name}")
    order = rng.permutation(len(texts.labels))
    labels = np.array(texts.labels)[order]
    rank = pd.Series(labels).groupby(labels).cumcount().to_numpy()
    size = pd.Series(labels).groupby(labels).transform("size").to_numpy()
    for_test = rank < np.round(size * TEST_SHARE)
    return DataSet(name, texts.take(order[~for_test]), texts.take(order[for_test]))


def lab_sets(train: int, test: int, seed: int) -> list[DataSet]:
    """The concepts of lab/world: so many texts a label."""
    from saeval.lab.world import World

    return [
        DataSet(
            one.name,
            Labelled(one.train.texts, one.train.labels),
            Labelled(one.test.texts, one.test.labels),
        )
        for one in World().label_sets(train=train, test=test, seed=seed)
    ]


def content(data: Data) -> list[Any]:
    """What tells data apart that no field names as a file: names, hashes, the hub's revisions.

    Data sets are called by their files where no name is given, and what is drawn of them depends
    on the name.
    """
    found = []
    for item in _items(data):
        if item == SAEBENCH:
            found.append(cached_revisions())
        elif item != LAB:
            folder = item == SAE_PROBES or (isinstance(item, str) and Path(item).is_dir())
            sets = _listed(item)
            files = [path for one in sets for path in (*one.train, *(one.test or ()))]
            hashes = [file_sha256(path) for path in files if folder]
            found.append([[one.name for one in sets], hashes])
    return found


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


def _labelled(one: Listed, paths: Sequence[Path]) -> Labelled:
    """Texts and labels of files.

    Raises:
        DataError: as `_rows`, or if the labels are no classes.
    """
    parts, path = [_rows(one, path) for path in paths], paths[0]
    found = Labelled(
        tuple(text for part in parts for text in part.texts),
        tuple(label for part in parts for label in part.labels),
    )
    distinct = len(set(found.labels))
    if distinct > MOST_LABELS:
        raise DataError(
            f"'{one.label}' of '{path}' has {distinct} distinct values: a quantity, or the wrong "
            f"column. Probes need at most {MOST_LABELS} labels."
        )
    if distinct < 2:
        raise DataError(f"All rows of '{path}' have the same '{one.label}'; a probe needs two.")
    return found


def _rows(one: Listed, path: Path) -> Labelled:
    """Texts and labels of a file, blank texts left out.

    Raises:
        DataError: if it cannot be read, or naming the row without text or label.
    """
    table = read_table(path)
    if one.edit:
        table = one.edit(table)
    texts, labelled = table[one.text].tolist(), table[one.label].notna()
    labels = [
        label_text(value) if there else ""
        for value, there in zip(table[one.label].tolist(), labelled, strict=True)
    ]
    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if not isinstance(text, str):
            raise DataError(f"Row {row} of '{path}' has {text!r} in '{one.text}', no text.")
        if not label:
            raise DataError(
                f"Row {row} of '{path}' has no '{one.label}'. Leave it out, or label it."
            )
    found = Labelled(tuple(texts), tuple(labels))
    return found.take([row for row, text in enumerate(texts) if text.strip()])
