"""Codes of an SAE, encoded once while it is scored, and pooled over the tokens of a row."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from scipy.sparse import csr_matrix

from saeval.activations.memory import hand_back
from saeval.activations.protocol import Batch
from saeval.activations.rows import TokenRows
from saeval.errors import UsageError
from saeval.sae import SAE, Codes, encode_codes

MEMO_BYTES = 64 << 20
"""Memory for codes. What does not fit is encoded again for every task that asks."""


class Memo:
    """What was computed for the SAE being scored, up to a number of bytes.

    Only speeds things up: whatever it holds would be computed again alike.
    """

    def __init__(self, limit: int = MEMO_BYTES) -> None:
        self.limit = limit
        self.bytes = 0
        self._owner: Callable[[], Any] = lambda: None
        self._held: dict[Any, Any] = {}

    def get(
        self,
        sae: SAE,
        key: Any,
        make: Callable[[], Any],
        size: Callable[[Any], int],
        *,
        keep: bool = True,
    ) -> Any:
        """What was made for this SAE under the key, else made now, and held if there is room.

        Args:
            sae: Whose it is.
            key: What it is.
            make: Computes it.
            size: Its bytes.
            keep: False: what is made now is not held.
        """
        if self._owner() is not sae:
            self.clear()
            self._owner = _reference(sae)
        if key in self._held:
            return self._held[key]
        made = make()
        if keep and self.bytes + size(made) <= self.limit:
            self._held[key] = made
            self.bytes += size(made)
        return made

    def release(self, sae: SAE) -> None:
        """Forget all of an SAE."""
        if self._owner() is sae:
            self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self.bytes = 0
        self._owner = lambda: None


@dataclass(frozen=True)
class Encoder:
    """An SAE's codes of batches, remembered."""

    sae: SAE
    memo: Memo

    def codes(self, rows: TokenRows, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Codes]]:
        """Codes of each batch's counted tokens."""
        return ((batch, self._encoded(rows, batch)) for batch in batches)

    def acts(self, rows: TokenRows, batches: Iterable[Batch]) -> csr_matrix:
        """Codes of all counted tokens; not remembered, but for those that are already."""
        parts = [self._encoded(rows, batch, keep=False).csr() for batch in batches]
        return csr_matrix(sparse.vstack(parts, format="csr"))

    def pooled(self, rows: TokenRows, batches: Iterable[Batch], how: str) -> csr_matrix:
        """Codes pooled over each row's counted tokens.

        The result is remembered, the many more codes behind it are not.
        """
        pool = _pool(how)

        def make() -> csr_matrix:
            parts = [pool(batch, self._encoded(rows, batch, keep=False)) for batch in batches]
            return csr_matrix(sparse.vstack(parts, format="csr"))

        found = self.memo.get(self.sae, ("pooled", rows.digest, how), make, _csr_bytes)
        hand_back()
        return found

    def at(self, x: Float[np.ndarray, "texts d_in"]) -> csr_matrix:
        """Codes of single vectors."""
        weights = self.sae.W_dec
        with torch.no_grad():
            found = encode_codes(self.sae, torch.from_numpy(x).to(weights.device))
        return found.csr()

    def _encoded(self, rows: TokenRows, batch: Batch, *, keep: bool = True) -> Codes:
        def make() -> Codes:
            with torch.no_grad():
                found = encode_codes(self.sae, batch.x_tokens.to(self.sae.W_dec.device))
            return replace(found, index=found.index.to(torch.int32))

        key = ("codes", rows.digest, batch.rows.start, batch.rows.stop)
        held: Codes = self.memo.get(self.sae, key, make, _codes_bytes, keep=keep)
        return replace(held, index=held.index.to(torch.int64))


def counted(batches: Iterable[Batch], tokens: int, d_in: int) -> Float[np.ndarray, "tokens d_in"]:
    """Activations of the counted tokens; filled in place, as `pooled_x`."""
    found, start = np.zeros((tokens, d_in), np.float32), 0
    for batch in batches:
        x = batch.x_tokens.float().cpu().numpy()
        found[start : start + len(x)] = x
        start += len(x)
    return found


def pooled_x(
    batches: Iterable[Batch], texts: int, d_in: int, how: str
) -> Float[np.ndarray, "texts d_in"]:
    """Activations pooled over each row's counted tokens; 0 for a row without any.

    Filled in place: small arrays kept from every batch would pin the memory between them.
    """
    if how not in ("mean", "max"):
        raise _unknown(how)
    pooled = np.zeros((texts, d_in), np.float32)
    for batch in batches:
        counted = batch.mask[..., None]
        if how == "mean":
            sums = batch.x.cpu().double().mul_(counted.cpu()).sum(1)
            total = sums / counted.cpu().sum(1).clamp(min=1)
        else:
            total = batch.x.masked_fill(~counted, -torch.inf).amax(1)
            total = total.masked_fill(~counted.any(1), 0)
        pooled[batch.rows] = total.float().cpu().numpy()
    return pooled


def _pool(how: str) -> Callable[[Batch, Codes], csr_matrix]:
    if how == "mean":
        return _mean
    if how == "max":
        return _max
    raise _unknown(how)


def _unknown(how: str) -> UsageError:
    return UsageError(f"Rows are pooled by mean or max, not by '{how}'.")


def _mean(batch: Batch, codes: Codes) -> csr_matrix:
    """Mean over counted tokens, summed in float64."""
    row = (batch.row_of_token - batch.rows.start).cpu().numpy()
    counts = np.maximum(np.bincount(row, minlength=len(batch.mask)), 1)
    average = csr_matrix(
        (1.0 / counts[row], (row, np.arange(len(row)))), shape=(len(batch.mask), len(row))
    )
    mean = csr_matrix(average @ codes.csr().astype(np.float64), dtype=np.float32)
    mean.eliminate_zeros()
    mean.sort_indices()
    return mean


def _max(batch: Batch, codes: Codes) -> csr_matrix:
    """Largest value over counted tokens; 0 counts wherever a latent is inactive on one."""
    row = (batch.row_of_token - batch.rows.start).cpu().numpy()
    counts = np.bincount(row, minlength=len(batch.mask))
    place = row[codes.token.cpu().numpy()].astype(np.int64) * codes.d_sae
    place += codes.index.cpu().numpy()
    order = np.argsort(place, kind="stable")
    places, starts, active = np.unique(place[order], return_index=True, return_counts=True)
    values = codes.value.float().cpu().numpy()[order]
    largest = np.maximum.reduceat(values, starts) if len(starts) else values
    rows, latents = np.divmod(places, codes.d_sae)
    largest = np.where(active < counts[rows], np.maximum(largest, 0), largest)
    keep = largest != 0
    return csr_matrix(
        (largest[keep], (rows[keep], latents[keep])), shape=(len(batch.mask), codes.d_sae)
    )


def _codes_bytes(codes: Codes) -> int:
    return sum(part.nbytes for part in (codes.index, codes.value, codes.offsets))


def _csr_bytes(matrix: csr_matrix) -> int:
    return matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes


def _reference(sae: SAE) -> Callable[[], Any]:
    """A weak reference, or a strong one to objects that allow no weak ones."""
    try:
        return weakref.ref(sae)
    except TypeError:
        return lambda: sae
