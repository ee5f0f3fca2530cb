"""Stored activations under the same protocol as a model's: vectors, or units of several vectors."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saeval.activations.array_files import read_array
from saeval.activations.memo import Memo
from saeval.activations.protocol import Batch, Widths
from saeval.activations.rows import TokenRows
from saeval.errors import DataError, NotApplicable
from saeval.sae import Sites

NO_SITES = Sites()
"""Sites of activations whose model is unknown."""
_HASHED_ROWS = 1 << 14
"""Vectors hashed at a time."""


@dataclass(frozen=True, eq=False)
class ArraySource:
    """An `ActivationSource` over arrays. A row is a unit, and there is no model."""

    name: str
    x: np.ndarray
    """[vectors, d_in], unit by unit, perhaps mapped from a file."""
    y: np.ndarray
    """[vectors, d_out] targets; the same array as x for all but transcoders."""
    mask: Bool[np.ndarray, "units tokens"]
    """The vectors that count; a unit with fewer vectors than the longest has them first."""
    labels: Int[np.ndarray, " units"] | None = None
    """Label of each unit, if there are labels."""
    batch_rows: int = 4096
    """Vectors per batch."""
    preset_identity: str | None = None
    """Identity of arrays made by a deterministic rule, whose numbers then need not be hashed."""
    memo: Memo = field(default_factory=Memo, repr=False)

    model: None = None
    sites: Sites = NO_SITES

    @property
    def identity(self) -> str:
        """sha256 of the numbers, or of what determines them."""
        return self.preset_identity or self._digest

    @cached_property
    def _digest(self) -> str:
        sha = hashlib.sha256()
        units, tokens = self.mask.shape
        for array in [self.x] if self.y is self.x else [self.x, self.y]:
            shape = array.shape if tokens == 1 else (units, tokens, array.shape[1])
            sha.update(repr((shape, str(array.dtype))).encode())
            for start in range(0, len(array), _HASHED_ROWS):
                sha.update(np.ascontiguousarray(array[start : start + _HASHED_ROWS]).tobytes())
        if not self.mask.all():
            sha.update(np.packbits(self.mask).tobytes())
        if self.labels is not None:
            sha.update(b"labels" + self.labels.astype(np.int64).tobytes())
        return sha.hexdigest()

    @property
    def widths(self) -> Widths:
        """Width of the vectors an SAE encodes, and of those that it reconstructs."""
        return Widths((self.x.shape[1],), (self.y.shape[1],))

    @property
    def context(self) -> int:
        """Vectors per unit."""
        return self.mask.shape[1]

    @property
    def stored_rows(self) -> TokenRows:
        """One row per unit; its ids are the indices of its vectors."""
        return self._rows

    @cached_property
    def _rows(self) -> TokenRows:
        ids = np.arange(self.mask.size, dtype=np.int32).reshape(self.mask.shape)
        return TokenRows(self.name, ids, self.mask, self.mask, self.labels)

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
        raise self._no_model_error()

    def token_rows(self, ids: np.ndarray, *, name: str) -> NoReturn:
        """Refused: there is no model to read tokens."""
        raise self._no_model_error()

    def batches(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"] | None = None
    ) -> Iterator[Batch]:
        """Vectors of the rows in order, or one vector per row."""
        if positions is not None:
            rows = self._single_positions(rows, positions)
        for group in rows.groups(self.batch_rows):
            index, mask = rows.ids[group], torch.from_numpy(rows.mask[group].copy())
            x = _vectors(self.x, index, mask)
            y = x if self.y is self.x else _vectors(self.y, index, mask)
            yield Batch(group, x, y, mask)

    def _single_positions(self, rows: TokenRows, positions: np.ndarray) -> TokenRows:
        """Rows of one vector each."""
        places = np.asarray(positions)
        inside = (places >= 0) & (places < rows.ids.shape[1])
        if places.shape != (len(rows),) or not inside.all():
            raise DataError(
                f"Rows of '{self.name}' hold {rows.ids.shape[1]} vectors each, at positions from 0 "
                "on, and one position each is needed."
            )
        is_present = rows.attention[np.arange(len(rows)), places]
        if not is_present.all():
            row = int(np.argmin(is_present))
            raise DataError(
                f"Row {row} of '{self.name}' has no vector at position {places[row]}: it is masked."
            )
        ids = rows.ids[np.arange(len(rows)), places][:, None]
        return TokenRows(rows.name, ids, is_present[:, None], is_present[:, None])

    def final_hidden(self, rows: TokenRows) -> NoReturn:
        """Refused: there is no model."""
        raise self._no_model_error()

    def splice(self, rows: TokenRows, batch: Batch, y_new: Tensor) -> NoReturn:
        """Refused: there is no model."""
        raise self._no_model_error()

    def _no_model_error(self) -> NotApplicable:
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
        x: What an SAE encodes: [rows, d_in], or [units, tokens, d_in] where vectors belong
            together, as the patches of an image do.
        y: What it should reconstruct, for transcoders.
        name: What to call the source; the file's name by default.
        batch_rows: Vectors per batch.
        identity: sha256 of all that determines the numbers; None: of the numbers themselves.

    Raises:
        DataError: if a file cannot be read, is empty, is no table of vectors, or holds NaN or
            infinity, naming the row.
    """
    inputs = read_array(x)
    targets = inputs if y is None else read_array(y)
    label = name or (Path(x).name if not isinstance(x, np.ndarray) else "activations")
    if inputs.mask.shape != targets.mask.shape or not np.array_equal(inputs.mask, targets.mask):
        raise DataError(
            f"'{label}' pairs {inputs.size_text} with {targets.size_text}: each input needs a "
            "target, in the same order."
        )
    return ArraySource(
        label, inputs.vectors, targets.vectors, inputs.mask, inputs.labels, batch_rows, identity
    )


def _vectors(
    array: np.ndarray, index: Int[np.ndarray, "units tokens"], mask: Bool[Tensor, "units tokens"]
) -> Float[Tensor, "units tokens d"]:
    """Vectors by number, 0 where masked."""
    x = torch.from_numpy(array[index.ravel()].astype(np.float32)).reshape(*index.shape, -1)
    return x if bool(mask.all()) else x.masked_fill(~mask[..., None], 0)
