"""Activations in a file or an array, read and checked: vectors, and which unit each belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from saeval.activations.row_numbers import counts_rows, is_row_number
from saeval.errors import DataError

_CHECKED_ROWS = 1 << 14
"""Vectors checked at a time."""
_MOST_VECTORS = 2**31
"""The largest number of vectors: their ids are int32."""
_NAMES = ("activations", "x")
"""Names of the activations in a file that holds more tensors or columns."""
_BESIDE = {"mask", "labels"}
"""Tensors beside the activations in a file."""


@dataclass(frozen=True, eq=False)
class VectorArray:
    """Vectors of equal width read from a file or array, unit by unit."""

    vectors: np.ndarray
    """[vectors, d], mapped where the format allows."""
    mask: Bool[np.ndarray, "units tokens"]
    """The vectors that count. Units of one vector where the array has two dimensions."""
    labels: Int[np.ndarray, " units"] | None = None
    """Label of each unit, if the file has labels."""

    @property
    def size_text(self) -> str:
        """Number of vectors or units, for messages."""
        units, tokens = self.mask.shape
        return f"{units} vectors" if tokens == 1 else f"{units} units of {tokens} vectors"


def read_array(data: str | Path | np.ndarray) -> VectorArray:
    """Vectors of a file or array [rows, d] or [units, tokens, d], checked.

    A .parquet file holds them as lists in one column, or as a column of floats for each dimension.
    The index of a table that pandas stored is no dimension; a column of row numbers that stands
    there as any other is refused, as all columns that hold no floats are.

    A .safetensors file may hold beside its activations a boolean `mask` [units, tokens], False
    where a unit has no vector (without it, all count), and whole numbers `labels` [units], which
    probes are fitted to. No activation may be NaN, masked or not.

    Raises:
        DataError: if it cannot be read, is empty, has another shape or dtype, or holds NaN or
            infinity, naming the row.
    """
    extras: Mapping[str, np.ndarray] = {}
    if isinstance(data, np.ndarray):
        array, label = data, "The array"
    else:
        (array, extras), label = _load(Path(data)), f"'{data}'"
    if array.ndim not in (2, 3) or not np.issubdtype(array.dtype, np.floating) or not array.size:
        raise DataError(
            f"{label} holds {array.dtype} of shape {list(array.shape)}, not vectors: floats "
            "[rows, d], or [units, tokens, d] where vectors belong together, as those of an image."
        )
    units, tokens = array.shape[0], array.shape[1] if array.ndim == 3 else 1
    vectors = array.reshape(units * tokens, array.shape[-1])
    if len(vectors) > _MOST_VECTORS:
        raise DataError(
            f"{label} holds {len(vectors):,} vectors, more than 2^31. Give a part of it."
        )
    _check_finite(vectors, tokens, label)
    mask = _check_mask(extras.get("mask"), (units, tokens), label)
    return VectorArray(vectors, mask, _check_labels(extras.get("labels"), units, label))


def _check_finite(vectors: np.ndarray, tokens: int, label: str) -> None:
    for start in range(0, len(vectors), _CHECKED_ROWS):
        finite = np.isfinite(vectors[start : start + _CHECKED_ROWS]).all(1)
        if not finite.all():
            unit, token = divmod(start + int(np.argmin(finite)), tokens)
            where = f"row {unit}" if tokens == 1 else f"unit {unit}, token {token}"
            raise DataError(
                f"{label} holds NaN or infinity in {where}. Find out where it comes from, or "
                "leave the row out."
            )


def _check_mask(
    mask: np.ndarray | None, shape: tuple[int, int], label: str
) -> Bool[np.ndarray, "units tokens"]:
    if mask is None:
        return np.ones(shape, dtype=bool)
    if mask.dtype != bool or mask.shape != shape:
        raise DataError(
            f"The mask of {label} is {mask.dtype} of shape {list(mask.shape)}, but must be "
            f"booleans {list(shape)}: one for each vector, True where it counts."
        )
    if not mask.any(1).all():
        unit = int(np.argmin(mask.any(1)))
        raise DataError(f"The mask of {label} leaves unit {unit} without a vector. Leave it out.")
    return mask


def _check_labels(
    labels: np.ndarray | None, units: int, label: str
) -> Int[np.ndarray, " units"] | None:
    if labels is not None and (labels.dtype.kind not in "iu" or labels.shape != (units,)):
        raise DataError(
            f"The labels of {label} are {labels.dtype} of shape {list(labels.shape)}, but must be "
            f"whole numbers [{units}]: one for each unit."
        )
    return labels


def _load(path: Path) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Activations of a file, and the tensors beside them."""
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False), {}
        if path.suffix == ".safetensors":
            return _load_safetensors(path)
        if path.suffix == ".parquet":
            return _load_parquet(path), {}
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"Cannot read activations from '{path}': {error}.") from error
    raise DataError(
        f"'{path}' ends in none of .npy, .safetensors and .parquet, the formats of activations."
    )


def _load_safetensors(path: Path) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """The tensor called `activations` or `x`, or the only one, and mask and labels beside it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            keys = set(file.keys())
            names = sorted(keys - _BESIDE)
            candidates = [name for name in _NAMES if name in names] or names
            if len(candidates) != 1 and candidates == names:
                raise ValueError(f"it holds {len(names)} tensors, none called 'activations'")
            extras = {name: file.get_tensor(name).numpy() for name in keys & _BESIDE}
            tensor = file.get_tensor(candidates[0])
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    if not tensor.is_floating_point():
        raise ValueError(
            f"'{candidates[0]}' holds {str(tensor.dtype).removeprefix('torch.')}, and activations "
            "are floats"
        )
    return tensor.float().numpy(), extras


def _load_parquet(path: Path) -> np.ndarray:
    """The vectors of a table, without the index that pandas may have stored in it."""
    import pyarrow.parquet

    return vectors_of_table(pyarrow.parquet.ParquetFile(path).read())


def vectors_of_table(table: Any) -> np.ndarray:
    """A column of lists called `activations` or `x` (or the only column), or columns of floats.

    Args:
        table: A pyarrow table. Columns that its metadata calls an index of pandas are left out.

    Raises:
        ValueError: naming the first column that is no dimension, and why.
    """
    index = (table.schema.pandas_metadata or {}).get("index_columns", ())
    table = table.drop_columns([name for name in index if name in table.column_names])
    names = [str(name) for name in table.column_names]
    if not names:
        raise ValueError("it has no columns")
    place = next((names.index(name) for name in _NAMES if name in names), 0)
    kind = table.schema.field(place).type
    if (names[place] in _NAMES or len(names) == 1) and _is_list(kind):
        return _stacked_lists(table.column(place), kind)
    for number, name in enumerate(names):
        _check_dimension(name, table.schema.field(number).type)
    columns = [table.column(number).to_numpy() for number in range(len(names))]
    for name, column in zip(names, columns, strict=True):
        if len(names) > 1 and counts_rows(column):
            raise _row_number_error(name)
    return np.column_stack(columns)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def _row_number_error(name: str) -> ValueError:
    return ValueError(
        f"its column '{name}' looks like row numbers, which are no dimension. Leave it out; pandas "
        "writes a table without them with index=False"
    )


def _stacked_lists(column: Any, kind: Any) -> np.ndarray:
    """The lists of a column, perhaps of lists, as one array of float32."""
    import pyarrow as pa

    while hasattr(kind, "value_type"):
        kind = kind.value_type
    if not pa.types.is_floating(kind):
        raise ValueError(f"its lists hold {kind}, and activations are floats")
    return np.array(column.to_pylist(), dtype=np.float32, ndmin=2)


def _check_dimension(name: str, kind: Any) -> None:
    """Check that a column can be a dimension of activations: that it holds floats.

    Raises:
        ValueError: saying what it is instead.
    """
    import pyarrow as pa

    if is_row_number(name):
        raise _row_number_error(name)
    if not pa.types.is_floating(kind):
        raise ValueError(
            f"its column '{name}' holds {kind}, and activations are floats. Leave it out if it is "
            "no dimension, or convert it"
        )
