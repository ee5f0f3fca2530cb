"""Stored activations, one vector a row, under the same protocol as a model's."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from saeval.activations import pooling
from saeval.activations.pooling import Encoder, Memo
from saeval.activations.protocol import Batch
from saeval.activations.rows import TokenRows
from saeval.errors import DataError, NotApplicable
from saeval.sae import SAE, Codes

_CHECKED_ROWS = 1 << 14
"""Vectors looked at together when an array is checked."""


@dataclass(frozen=True, eq=False)
class ArraySource:
    """An `ActivationSource` over arrays: rows have one token, and there is no model."""

    name: str
    x: np.ndarray
    """[rows, d_in], perhaps mapped from a file."""
    y: np.ndarray
    """[rows, d_out] targets; the same array as x for all but transcoders."""
    batch_rows: int = 4096
    known_identity: str | None = None
    """Identity of arrays that were made by rule, so that their numbers need not be read."""
    _memo: Memo = field(default_factory=Memo, repr=False)

    model: None = None
    site: None = None
    write_site: None = None
    has_logits: bool = False
    context: int = 1

    @property
    def identity(self) -> str:
        """sha256 of the numbers, or of what decides them."""
        return self.known_identity or self._digest

    @cached_property
    def _digest(self) -> str:
        sha = hashlib.sha256()
        for array in [self.x] if self.y is self.x else [self.x, self.y]:
            sha.update(repr((array.shape, str(array.dtype))).encode())
            for start in range(0, len(array), _CHECKED_ROWS):
                sha.update(np.ascontiguousarray(array[start : start + _CHECKED_ROWS]).tobytes())
        return sha.hexdigest()

    @property
    def d_in(self) -> int:
        """Width of the vectors an SAE encodes."""
        return self.x.shape[1]

    @property
    def d_out(self) -> int:
        """Width of the vectors it reconstructs."""
        return self.y.shape[1]

    @property
    def stored_rows(self) -> TokenRows:
        """One row a vector; its only id is the vector's number."""
        return self._rows

    @cached_property
    def _rows(self) -> TokenRows:
        ids = np.arange(len(self.x), dtype=np.int32)[:, None]
        there = np.ones(ids.shape, dtype=bool)
        return TokenRows(self.name, ids, there, there)

    def tokenize(
        self,
        texts: Sequence[str],
        *,
        name: str,
        context: int | None = None,
        overflow: str = "error",
        prepend_bos: bool | None = None,
    ) -> NoReturn:
        """Refused: there is no model to read texts."""
        raise self._no_model()

    def token_rows(self, ids: np.ndarray, *, name: str) -> NoReturn:
        """Refused: there is no model to read tokens."""
        raise self._no_model()

    def batches(self, rows: TokenRows) -> Iterator[Batch]:
        """Vectors of the rows, in order."""
        for group in rows.groups(self.batch_rows):
            index = rows.ids[group, 0]
            x = _vectors(self.x, index)
            y = x if self.y is self.x else _vectors(self.y, index)
            yield Batch(group, x[:, None], y[:, None], torch.from_numpy(rows.mask[group].copy()))

    def codes(self, sae: SAE, rows: TokenRows) -> Iterator[tuple[Batch, Codes]]:
        """Codes of the vectors, batch by batch."""
        return Encoder(sae, self._memo).codes(rows, self.batches(rows))

    def activations(self, rows: TokenRows) -> Float[np.ndarray, "tokens d_in"]:
        """Activations of all counted tokens."""
        return pooling.counted(self.batches(rows), int(rows.mask.sum()), self.d_in)

    def acts(self, sae: SAE, rows: TokenRows) -> csr_matrix:
        """Latents of the vectors."""
        return Encoder(sae, self._memo).acts(rows, self.batches(rows))

    def pooled(self, sae: SAE, rows: TokenRows, how: str = "mean") -> csr_matrix:
        """Codes of the vectors: there is but one a row."""
        return Encoder(sae, self._memo).pooled(rows, self.batches(rows), how)

    def pooled_x(self, rows: TokenRows, how: str = "mean") -> Float[np.ndarray, "texts d_in"]:
        """The vectors."""
        return pooling.pooled_x(self.batches(rows), len(rows), self.d_in, how)

    def at(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"]
    ) -> Float[np.ndarray, "texts d_in"]:
        """The vectors; every position is 0."""
        if np.any(np.asarray(positions) != 0) or len(positions) != len(rows):
            raise DataError(f"Rows of '{self.name}' hold one vector each, at position 0.")
        return _vectors(self.x, rows.ids[:, 0]).numpy()

    def codes_at(
        self, sae: SAE, rows: TokenRows, positions: Int[np.ndarray, " texts"]
    ) -> csr_matrix:
        """Codes of the vectors."""
        return Encoder(sae, self._memo).at(self.at(rows, positions))

    def final_hidden(self, rows: TokenRows) -> NoReturn:
        """Refused: there is no model."""
        raise self._no_model()

    def splice(self, rows: TokenRows, batch: Batch, y_new: Tensor) -> NoReturn:
        """Refused: there is no model."""
        raise self._no_model()

    def release(self, sae: SAE) -> None:
        """Forget the codes of an SAE."""
        self._memo.release(sae)

    def _no_model(self) -> NotApplicable:
        return NotApplicable(
            f"'{self.name}' holds stored activations, and this needs the model they came from. "
            "Give --model instead."
        )


def array_source(
    x: str | Path | np.ndarray,
    y: str | Path | np.ndarray | None = None,
    *,
    name: str | None = None,
    batch_rows: int = 4096,
    identity: str | None = None,
) -> ArraySource:
    """A source over vectors in a file (.npy, .safetensors, .parquet) or an array.

    Args:
        x: What an SAE encodes, [rows, d_in].
        y: What it should reconstruct, for transcoders.
        name: What to call the source; the file's name by default.
        batch_rows: Vectors a batch.
        identity: sha256 of all that decides the numbers; None: of the numbers themselves.

    Raises:
        DataError: if a file cannot be read, is empty, is no table of vectors, or holds NaN or
            infinity, naming the row.
    """
    inputs = read_array(x)
    targets = inputs if y is None else read_array(y)
    label = name or (Path(x).name if not isinstance(x, np.ndarray) else "activations")
    if len(inputs) != len(targets):
        raise DataError(f"'{label}' pairs {len(inputs)} inputs with {len(targets)} targets.")
    return ArraySource(label, inputs, targets, batch_rows, identity)


def read_array(data: str | Path | np.ndarray) -> np.ndarray:
    """Vectors [rows, d] of a file or array, mapped where the format allows, and checked."""
    array = data if isinstance(data, np.ndarray) else _load(Path(data))
    label = "The array" if isinstance(data, np.ndarray) else f"'{data}'"
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating) or not array.size:
        raise DataError(
            f"{label} holds {array.dtype} of shape {list(array.shape)}, not vectors: floats "
            "[rows, d]. Flatten texts and tokens into one row a vector."
        )
    for start in range(0, len(array), _CHECKED_ROWS):
        finite = np.isfinite(array[start : start + _CHECKED_ROWS]).all(1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise DataError(
                f"{label} holds NaN or infinity in row {row}. Find out where it comes from, or "
                "leave the row out."
            )
    return array


def _load(path: Path) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if path.suffix == ".safetensors":
            return _load_safetensors(path)
        if path.suffix == ".parquet":
            return _load_parquet(path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"Cannot read activations from '{path}': {error}.") from error
    raise DataError(
        f"'{path}' ends in none of .npy, .safetensors and .parquet, the formats of activations."
    )


def _load_safetensors(path: Path) -> np.ndarray:
    """The only tensor of a file, or the one called `activations` or `x`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            chosen = [name for name in ("activations", "x") if name in names] or names
            if len(chosen) != 1 and chosen == names:
                raise ValueError(f"it holds {len(names)} tensors, none called 'activations'")
            return file.get_tensor(chosen[0]).float().numpy()
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _load_parquet(path: Path) -> np.ndarray:
    """A column of lists called `activations` or `x` (or the only column), or columns of numbers."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    named = [name for name in ("activations", "x") if name in table.column_names]
    column = table.column((named or table.column_names)[0]) if table.num_columns else None
    if column is not None and (named or table.num_columns == 1):
        return np.array(column.to_pylist(), dtype=np.float32, ndmin=2)
    return np.column_stack([table.column(i).to_numpy() for i in range(table.num_columns)])


def _vectors(array: np.ndarray, index: np.ndarray) -> Float[Tensor, "rows d"]:
    return torch.from_numpy(array[index].astype(np.float32))
