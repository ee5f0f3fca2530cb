"""Activations in a file or an array, read and checked: vectors, and which unit each belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

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
            return file.get_tensor(candidates[0]).float().numpy(), extras
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _load_parquet(path: Path) -> np.ndarray:
    """A column of lists called `activations` or `x` (or the only column), or columns of numbers."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    candidates = [name for name in _NAMES if name in table.column_names]
    column = table.column((candidates or table.column_names)[0]) if table.num_columns else None
    if column is not None and (candidates or table.num_columns == 1):
        return np.array(column.to_pylist(), dtype=np.float32, ndmin=2)
    return np.column_stack([table.column(i).to_numpy() for i in range(table.num_columns)])
