"""Labelled texts: your files, the lab's concepts, the sets of sae-probes and of SAEBench."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from saeval.activations.row_numbers import is_row_number
from saeval.errors import DataError, UsageError, shown
from saeval.registry.hashes import file_sha256

from .._draws import generator
from . import equal_texts
from .data_set import DataSet, DataSetFiles, LabelledTexts
from .hub_sets import cached_revisions, downloaded_sets, hub_sets
from .labelled_rows import merge_rows, read_rows
from .sae_probes import sae_probes, sae_probes_folder
from .tables import read_table

Data = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]
"""What a task's `data` may be: a name, file or folder, a mapping, or a list of these."""
LAB, SAE_PROBES, SAEBENCH = "lab", "sae_probes", "saebench"
KEYS = ("name", "train", "test", "text", "label")
MOST_LABELS = 60
"""More distinct labels than this are taken for a quantity."""
READING = "3: labels and texts of all files of a set are compared as they are seen"
"""How files are read and split. It enters the key: raise it when a change alters scores."""
TEST_SHARE = 0.25
"""Share of the texts for testing, where a data set comes without test texts."""


def list_data_sets(data: Data) -> list[DataSetFiles]:
    """The data sets that `data` names. Only the headers of their files are read.

    Raises:
        UsageError: if the list is malformed, a file or column is not there, or a name is taken.
        DataError: if a file cannot be read, or a data set did not arrive from the hub.
    """
    sets = [files for item in _as_list(data) for files in _files_of_item(item)]
    names = [files.name for files in sets]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two data sets are called '{name}'. Give each a `name` of its own.")
    for files in sets:
        for path in (*files.train, *(files.test or ())):
            _check_columns(path, files)
    return sets


def select_by_name(sets: Sequence[Any], patterns: Sequence[str] | None) -> list[Any]:
    """Data sets whose names fit one of the patterns; all for None.

    Raises:
        UsageError: if none is left.
    """
    if patterns is None:
        return list(sets)
    selection = [
        data_set
        for data_set in sets
        if any(fnmatchcase(data_set.name, pattern) for pattern in patterns)
    ]
    if not selection:
        names = ", ".join(data_set.name for data_set in sets[:20])
        raise UsageError(f"No data set fits {', '.join(patterns)}; there are {names}.")
    return selection


def read_data_set(files: DataSetFiles, seed: int) -> DataSet:
    """Texts and labels of a data set; without test texts it is split, stratified by label.

    Each text stands once, however it is written, with all labels that the files give it. No test
    text, nor a near-duplicate of one, is among the train texts. Neither the order of rows nor the
    names of files change the result.

    Raises:
        DataError: if a file cannot be read, or its texts or labels are of no use.
    """
    rows_by_path = read_rows(files)
    all_rows = [row for rows in rows_by_path.values() for row in rows]
    all_labels = {label for row in all_rows for label in row.cell.labels}
    is_binary = len(all_labels) == 2 and all(row.cell.exclusive for row in all_rows)
    train, notices = merge_rows(
        [row for path in files.train for row in rows_by_path[path]], is_binary=is_binary
    )
    if files.test is None:
        data_set = split(files.name, train, seed, notices)
        _check_labels(data_set, files)
        return data_set
    test, test_notices = merge_rows(
        [row for path in files.test for row in rows_by_path[path]], is_binary=is_binary
    )
    rows, overlap_notices = _drop_near_duplicates(train, test)
    if not rows:
        raise DataError(
            f"All texts to train on of '{files.name}' are among those to test on, or nearly so. "
            "Give other files, or name `train` alone, and a quarter of it is held out."
        )
    key = _digest(train, test)
    notices = (*notices, *test_notices, *overlap_notices)
    data_set = DataSet(files.name, train.take(rows), test, key, notices)
    _check_labels(data_set, files)
    return data_set


def _drop_near_duplicates(
    train: LabelledTexts, test: LabelledTexts
) -> tuple[list[int], tuple[str, ...]]:
    """Rows of train texts that are no near-duplicates of test texts; and a notice of the others."""
    group = equal_texts.groups([str(text) for text in (*test.texts, *train.texts)])
    test_groups = set(group[: len(test.texts)].tolist())
    train_groups = group[len(test.texts) :].tolist()
    rows = [row for row, number in enumerate(train_groups) if number not in test_groups]
    dropped = len(train.texts) - len(rows)
    notice = (
        f"{dropped} texts to train on are equal or nearly equal to texts to test on, and left out"
    )
    return rows, (notice,) if dropped else ()


def split(name: str, texts: LabelledTexts, seed: int, notices: tuple[str, ...] = ()) -> DataSet:
    """Split texts: a quarter of each label's for testing, near-duplicates all on one side."""
    key = _digest(texts)
    rng = generator(seed, f"split/{key}")
    group = equal_texts.groups([str(text) for text in texts.texts])
    first = np.unique(group, return_index=True)[1]
    order = rng.permutation(first)  # a group is drawn by its first text, and stays together
    strata = texts.strata[order]
    rank = pd.Series(strata).groupby(strata).cumcount().to_numpy()
    size = pd.Series(strata).groupby(strata).transform("size").to_numpy()
    # Of each stratum in random order, the first quarter are test texts.
    is_test = np.isin(group, group[order[rank < np.round(size * TEST_SHARE)]])
    near = len(group) - len(first)
    notice = f"{near} texts nearly repeat another; each stays on the side of its like"
    return DataSet(
        name,
        texts.take(rng.permutation(np.flatnonzero(~is_test))),
        texts.take(rng.permutation(np.flatnonzero(is_test))),
        key,
        (*notices, *((notice,) if near else ())),
    )


def _digest(*parts: LabelledTexts) -> str:
    """sha256 of texts and labels. Parts are sorted, so the order of rows has no effect."""
    content = [[part.texts, part.labels] for part in parts]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


def _check_labels(data_set: DataSet, files: DataSetFiles) -> None:
    """Check that a probe can be fitted to the labels of a data set.

    Raises:
        DataError: if the labels are a quantity, or all texts have the same.
    """
    label_sets = [labels for half in (data_set.train, data_set.test) for labels in half.labels]
    distinct = {label for labels in label_sets for label in labels}
    notices = f" {'; '.join(data_set.notices)}." if data_set.notices else ""
    if len(distinct) > MOST_LABELS:
        raise DataError(
            f"'{files.label}' of '{files.train[0]}' has {len(distinct)} distinct values: a "
            f"quantity, or the wrong column. Probes need at most {MOST_LABELS} labels."
        )
    if len(set(label_sets)) < 2:
        reason = (
            f"All texts of '{files.train[0]}' have the same '{files.label}'"
            if label_sets
            else "No text is left"
        )
        raise DataError(f"{reason}; a probe needs two labels.{notices}")


def lab_sets(model: str, train: int, test: int, seed: int) -> list[DataSet]:
    """The concepts of the world that a model of the lab reads, with so many texts per label.

    For any other model those of lab/world.
    """
    from saeval.lab.text_worlds import world_read_by

    return [
        DataSet(
            label_set.name,
            LabelledTexts(
                label_set.train.texts, tuple((label,) for label in label_set.train.labels)
            ),
            LabelledTexts(label_set.test.texts, tuple((label,) for label in label_set.test.labels)),
            label_set.name,
        )
        for label_set in world_read_by(model).label_sets(train=train, test=test, seed=seed)
    ]


def data_identity(data: Data) -> list[Any]:
    """What identifies data beyond the files that fields name: names, hashes, the hub's revisions.

    A data set without a given name is named after its file, and its scores bear that name. The
    lab's sets are fixed, so they need no entry.
    """
    identities: list[Any] = []
    for item in _as_list(data):
        if item == SAEBENCH:
            identities.append(cached_revisions())
        elif item != LAB:
            folder = item == SAE_PROBES or (isinstance(item, str) and Path(item).is_dir())
            sets = _files_of_item(item)
            paths = [path for files in sets for path in (*files.train, *(files.test or ()))]
            hashes = [file_sha256(path) for path in paths if folder]
            identities.append([[files.name for files in sets], hashes])
    return [READING, *identities] if identities else []


def _as_list(data: Data) -> list[str | Mapping[str, Any]]:
    return [data] if isinstance(data, str | Mapping) else list(data)


def _files_of_item(item: str | Mapping[str, Any]) -> list[DataSetFiles]:
    """The data sets of one item of the list."""
    if isinstance(item, Mapping):
        return [_files_of_mapping(item)]
    if item == SAE_PROBES:
        return list(sae_probes(sae_probes_folder()))
    if item == SAEBENCH:
        return downloaded_sets()
    if item == LAB:
        raise UsageError(f"'{LAB}' comes without files and stands alone, not in a list.")
    path = Path(item)
    if path.is_file():
        return [DataSetFiles(path.name.split(".")[0], (path,))]
    if path.is_dir():
        return _folder_sets(path)
    raise UsageError(
        f"There is no file or folder '{item}' for the labelled texts. Give a .parquet, .csv or "
        f".jsonl file with columns text and label, or one of {LAB}, {SAE_PROBES}, {SAEBENCH}."
    )


def _files_of_mapping(item: Mapping[str, Any]) -> DataSetFiles:
    unknown = [key for key in item if key not in KEYS]
    if unknown or "train" not in item:
        raise UsageError(
            f"A data set is given as {{{', '.join(KEYS)}}}, of which only train is needed; "
            f"{f'{shown(unknown[0])} is none of these' if unknown else 'train is missing'}."
        )
    bad_key = next((key for key, value in item.items() if not isinstance(value, str)), None)
    if bad_key:
        raise UsageError(f"'{bad_key}' of a data set must be text, not {shown(item[bad_key])}.")
    train = Path(item["train"])
    test = (Path(item["test"]),) if "test" in item else None
    name = item.get("name", train.name.split(".")[0])
    return DataSetFiles(name, (train,), test, item.get("text", "text"), item.get("label", "label"))


def _folder_sets(folder: Path) -> list[DataSetFiles]:
    sets = hub_sets(folder)
    for subfolder in (folder, folder / "cleaned_data", folder / "data" / "cleaned_data"):
        sets += sae_probes(subfolder)
    if not sets:
        raise UsageError(
            f"'{folder}' holds no data set: neither *.csv.zst files of sae-probes nor repositories "
            "such as fancyzhx/ag_news as the Hugging Face hub lays them out. Name files instead."
        )
    return sets


def _check_columns(path: Path, files: DataSetFiles) -> None:
    """Check that a file exists and has both columns, without reading all of it.

    Raises:
        UsageError: naming what is missing.
        DataError: if the file cannot be read.
    """
    if not path.is_file():
        raise UsageError(f"There is no file '{path}' for the data set '{files.name}'.")
    if files.edit:
        return
    if is_row_number(files.label):
        raise UsageError(
            f"'{files.label}' is what pandas calls its row numbers, and they are no label of "
            f"'{files.name}'. Name the column of labels, or rename it if it does hold them."
        )
    columns = [column for column in read_table(path, head=True) if not is_row_number(column)]
    for column in (files.text, files.label):
        if column not in columns:
            raise UsageError(
                f"'{path}' has no column '{column}', only {', '.join(map(str, columns))}. Say "
                f"which are meant: {{name: {files.name}, train: {path}, text: ..., label: ...}}."
            )
