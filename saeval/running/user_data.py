"""What the user's `--data` means: texts for the tasks, or activations in the place of a model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saeval.config.configuration import refuse_unnameable
from saeval.config.locks import sweep, working_folder
from saeval.config.options import Settings
from saeval.errors import DataError, UsageError, shown
from saeval.running.memory_tables import (
    TEXT,
    Row,
    holds_texts,
    listed,
    rows_in_memory,
    vectors_in_memory,
)
from saeval.running.table_content import row_line, rows_sha256

ARRAY_SUFFIXES = (".npy", ".safetensors", ".parquet")
TEXT_SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")
_DIGITS = 20
"""Digits of a content's hash in the name of its file."""


@dataclass(frozen=True)
class UserData:
    """The user's texts or activations; at most one of the two is set."""

    texts: str | None = None
    """File of texts."""
    array: str | np.ndarray | None = None
    """File or array of activations."""


def read_data(data: Any, folder: Path) -> UserData:
    """Tell the kind of the user's data.

    Args:
        data: Path of a file, a sequence or column of texts, an array [rows, d], a table (see
            `rows_in_memory`) of texts or of activations, or None.
        folder: Where texts given in memory are written, so that a result can name them.

    Raises:
        UsageError: if a file is missing or of an unknown kind.
        DataError: if there are no texts, or a file cannot be read.
    """
    if data is None:
        return UserData()
    data = listed(data)
    if isinstance(data, torch.Tensor | np.ndarray):
        return UserData(array=_array_of_tensor(data) if isinstance(data, torch.Tensor) else data)
    if isinstance(data, str | Path):
        refuse_unnameable(str(data), "data")
        return _data_in_file(Path(data))
    rows = rows_in_memory(data)
    if rows is None:
        return UserData(texts=str(_write_texts(data, folder)))
    if holds_texts(rows):
        return UserData(texts=str(write_rows(rows, folder)))
    return UserData(array=vectors_in_memory(data, rows))


def _array_of_tensor(tensor: torch.Tensor) -> np.ndarray:
    """Activations in float32.

    Raises:
        DataError: if the tensor holds no floats.
    """
    if not tensor.is_floating_point():
        raise DataError(
            f"The tensor holds {str(tensor.dtype).removeprefix('torch.')} of shape "
            f"{list(tensor.shape)}, and activations are floats."
        )
    return tensor.detach().cpu().float().numpy()


def _data_in_file(path: Path) -> UserData:
    if not path.is_file():
        raise UsageError(f"There is no file '{path}' for --data.")
    if path.suffix == ".parquet":
        texts = _is_parquet_of_texts(path)
        return UserData(texts=str(path)) if texts else UserData(array=str(path))
    if path.suffix in TEXT_SUFFIXES:
        return UserData(texts=str(path))
    if path.suffix in ARRAY_SUFFIXES:
        return UserData(array=str(path))
    raise UsageError(
        f"'{path}' is no data: texts are {', '.join(TEXT_SUFFIXES)}, activations "
        f"{', '.join(ARRAY_SUFFIXES)}."
    )


def _is_parquet_of_texts(path: Path) -> bool:
    """As `holds_texts`, of the types of a file's columns.

    Raises:
        DataError: if it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(path)
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read '{path}': {error}.") from error
    if TEXT in schema.names:
        return True
    is_text = [pa.types.is_string(kind) or pa.types.is_large_string(kind) for kind in schema.types]
    is_number = [pa.types.is_floating(kind) or pa.types.is_nested(kind) for kind in schema.types]
    return any(is_text) and not any(is_number)


def with_files(settings: Settings, folder: Path) -> Settings:
    """Fields of tasks, with a file in place of each table in memory.

    A data frame or data set is a table in any field. A list of texts is one in `texts`, and a list
    of mappings is one in `texts`, within a mapping in `data`, and in `data` itself where all of
    them have a column `text`.

    Args:
        settings: Values by task and field.
        folder: Where the files are written.

    Raises:
        DataError: if a table is empty, or is none that can be identified.
    """
    return {
        task: {field: _with_file(value, field, folder) for field, value in fields.items()}
        if isinstance(fields, Mapping)
        else fields
        for task, fields in settings.items()
    }


def _with_file(value: Any, field: str, folder: Path, *, inside: bool = False) -> Any:
    if isinstance(value, str):
        return value
    value = listed(value)
    if field == "texts" and isinstance(value, list | tuple):
        path = read_data(value, folder).texts
        return value if path is None else path
    if isinstance(value, Mapping):
        return {key: _with_file(item, field, folder, inside=True) for key, item in value.items()}
    is_list = isinstance(value, list | tuple)
    of_rows = is_list and bool(value) and all(isinstance(row, Mapping) for row in value)
    has_texts = of_rows and all(isinstance(row.get(TEXT), str) for row in value)
    is_data = field == "data" and of_rows and (inside or has_texts) and "train" not in value[0]
    if is_list and not is_data:
        return [_with_file(item, field, folder) for item in value]
    rows = rows_in_memory(value)
    return value if rows is None else str(write_rows(rows, folder))


def write_rows(rows: Sequence[Row], folder: Path) -> Path:
    """A table as a file `data.jsonl` in a folder named by its content, by which it is identified.

    Raises:
        DataError: if a text is no Unicode.
    """
    name = rows_sha256(rows)[:_DIGITS]
    return _write_lines(map(row_line, rows), folder, f"{name}/data.jsonl")


def _write_texts(texts: Any, folder: Path) -> Path:
    """The texts as a file named by its content.

    Raises:
        DataError: if they are no list of texts.
    """
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise DataError(
            f"{shown(texts)} is no data: give a file, a list of texts, a table, or an array."
        )
    if not texts:
        raise DataError("The list of texts is empty. Give at least one text.")
    rows = [{TEXT: text} for text in texts]
    return _write_lines(map(row_line, rows), folder, f"{rows_sha256(rows)[:_DIGITS]}.jsonl")


def _write_lines(lines: Iterable[str], folder: Path, name: str) -> Path:
    """The lines as a file, whole or not at all.

    Raises:
        DataError: if one is no Unicode.
    """
    path, unfinished = folder / name, folder / "unfinished"
    for parent in (path.parent, unfinished):
        parent.mkdir(parents=True, exist_ok=True)
    sweep(unfinished)
    with working_folder(unfinished) as work:
        try:
            with (work / "lines").open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(lines)
        except UnicodeEncodeError as error:
            raise DataError(
                f"A text holds {error.object[error.start]!a}, half of a character, which no "
                "file can hold. Leave it out, or mend the text's encoding."
            ) from error
        return (work / "lines").replace(path)
