"""Row numbers, whole numbers and text never become a dimension of activations, nor a label."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from saeval_tasks._texts.labelled import list_data_sets
from safetensors.torch import save_file

from saeval.activations.array_files import read_array
from saeval.errors import DataError, UsageError
from saeval.running.user_data import read_data

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])


@pytest.mark.parametrize("index", [None, range(3, 9), list("uvwxyz"), [5, 4, 3, 2, 1, 0]])
@pytest.mark.parametrize("name", [None, "id"])
def test_an_index_that_pandas_stored_is_no_dimension(
    index: Any, name: str | None, tmp_path: Path
) -> None:
    """Whatever the index, named or not: three columns are three dimensions."""
    frame = FRAME if index is None else FRAME.set_axis(index)
    frame.rename_axis(name).to_parquet(tmp_path / "x.parquet")
    np.testing.assert_array_equal(read_array(tmp_path / "x.parquet").vectors, X)
    np.testing.assert_array_equal(np.asarray(read_data(frame, tmp_path).array), X)


COLUMNS = {
    "index": np.arange(6),
    "level_0": np.arange(6),
    "Unnamed: 0": np.arange(6),
    "__index_level_0__": np.arange(6),
    "Unnamed: 0.1": np.arange(6),
    "position": np.arange(6),
    "counter": np.arange(6.0),
    "is_first": np.arange(6) == 0,
    "small": np.arange(6).astype(np.uint8),
    "digits": [str(i) for i in range(6)],
    "index ": np.arange(6.0)[::-1],
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("place", [0, 3])
def test_a_column_that_is_no_dimension_is_named(name: str, place: int, tmp_path: Path) -> None:
    """In a file and in a frame: one line with the column."""
    frame = FRAME.copy()
    frame.insert(place, name, COLUMNS[name])
    frame.to_parquet(tmp_path / "x.parquet")
    for read in (
        lambda: read_array(tmp_path / "x.parquet"),
        lambda: read_data(frame, tmp_path),
    ):
        with pytest.raises(DataError, match=f"column '{name}' (looks like row numbers|holds)") as e:
            read()
        assert "\n" not in str(e.value)


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "bool", "int32"])
def test_activations_are_floats_in_every_form(dtype: str, tmp_path: Path) -> None:
    """Arrays, tensors, files of all formats, columns and lists: whole numbers are refused."""
    x = np.ones((6, 3), dtype)
    tensor = torch.ones(6, 3, dtype=getattr(torch, dtype))
    np.save(tmp_path / "x.npy", x)
    save_file({"activations": tensor}, tmp_path / "x.safetensors")
    pd.DataFrame(x, columns=["a", "b", "c"]).to_parquet(tmp_path / "x.parquet")
    pd.DataFrame({"x": x.tolist()}).to_parquet(tmp_path / "lists.parquet")
    for name in ("x.npy", "x.safetensors", "x.parquet", "lists.parquet"):
        with pytest.raises(DataError, match="float") as told:
            read_array(tmp_path / name)
        assert "\n" not in str(told.value)
    with pytest.raises(DataError, match="float"):
        read_array(x)
    with pytest.raises(DataError, match="float"):
        read_data(tensor, tmp_path)
    with pytest.raises(DataError, match="float"):
        read_array(np.array([["1", "2"], ["3", "4"]]))


@pytest.mark.parametrize("column", ["Unnamed: 0", "index", "level_0"])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_row_numbers_are_no_label(column: str, ending: str, tmp_path: Path) -> None:
    """Neither taken for one, nor offered as one."""
    table = pd.DataFrame({column: range(4), "text": list("abcd")})
    path = tmp_path / f"t.{ending}"
    if ending == "csv":
        table.to_csv(path, index=False)
    elif ending == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    with pytest.raises(UsageError, match="no column 'label', only text"):
        list_data_sets(str(path))
    with pytest.raises(UsageError, match=f"'{column}' is what pandas calls its row numbers"):
        list_data_sets({"train": str(path), "label": column})
