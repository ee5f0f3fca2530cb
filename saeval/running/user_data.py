"""What the user's `--data` means: texts for the tasks, or activations in the place of a model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saeval.config.configuration import refuse_unnameable
from saeval.errors import DataError, UsageError
from saeval.registry.hashes import file_sha256

ARRAY_SUFFIXES = (".npy", ".safetensors", ".parquet")
TEXT_SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")


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
        data: Path of a file, a sequence of texts, an array [rows, d], or None.
        folder: Where texts given in memory are written, so that a result can name them.

    Raises:
        UsageError: if a file is missing or of an unknown kind.
        DataError: if there are no texts, or a file cannot be read.
    """
    if data is None:
        return UserData()
    if isinstance(data, torch.Tensor):
        return UserData(array=data.detach().cpu().float().numpy())
    if isinstance(data, np.ndarray):
        return UserData(array=data)
    refuse_unnameable(data, "data")
    if isinstance(data, str | Path):
        return _data_in_file(Path(data))
    if not isinstance(data, Sequence) or not all(isinstance(text, str) for text in data):
        raise DataError(f"{data!r:.80} is no data: give a file, a list of texts, or an array.")
    if not data:
        raise DataError("The list of texts is empty. Give at least one text.")
    return UserData(texts=str(_write_texts(data, folder)))


def _data_in_file(path: Path) -> UserData:
    if not path.is_file():
        raise UsageError(f"There is no file '{path}' for --data.")
    if path.suffix == ".parquet":
        import pyarrow.parquet

        try:
            columns = pyarrow.parquet.read_schema(path).names
        except (OSError, ValueError) as error:
            raise DataError(f"Cannot read '{path}': {error}.") from error
        return UserData(texts=str(path)) if "text" in columns else UserData(array=str(path))
    if path.suffix in TEXT_SUFFIXES:
        return UserData(texts=str(path))
    if path.suffix in ARRAY_SUFFIXES:
        return UserData(array=str(path))
    raise UsageError(
        f"'{path}' is no data: texts are {', '.join(TEXT_SUFFIXES)}, activations "
        f"{', '.join(ARRAY_SUFFIXES)}."
    )


def _write_texts(texts: Sequence[str], folder: Path) -> Path:
    """The texts as a file named by its content."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "texts.partial"
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    partial.write_text("".join(lines), encoding="utf-8")
    return partial.replace(folder / f"{file_sha256(partial)[:20]}.jsonl")
