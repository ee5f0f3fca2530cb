"""What tasks read of rows: vectors or an SAE's codes, of selected tokens."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse import csr_matrix
from torch import Tensor

from saeval.activations.gradient import next_token_gradient
from saeval.activations.memory import hand_back
from saeval.activations.pooling import check_pool, pooled_codes, pooled_x
from saeval.activations.protocol import ActivationSource, Batch
from saeval.activations.rows import TokenRows
from saeval.errors import DataError, NotApplicable
from saeval.sae import SAE, Codes, encode_codes, traits_of
from saeval.sae.traits import Traits, extra_inputs


@dataclass(frozen=True)
class EveryToken:
    """Every token that counts, row by row."""


@dataclass(frozen=True, eq=False)
class AtPositions:
    """One token of each row, whether or not it counts."""

    positions: Int[np.ndarray, " texts"]


@dataclass(frozen=True)
class Pooled:
    """The counted tokens of each row, pooled into one vector; 0 for a row without counted tokens.

    Raises:
        UsageError: if there is no such way to pool.
    """

    how: str = "mean"
    """`mean` or `max`."""

    def __post_init__(self) -> None:
        check_pool(self.how)


Selection = EveryToken | AtPositions | Pooled
EVERY_TOKEN = EveryToken()


def read_x(
    source: ActivationSource, rows: TokenRows, select: Selection = EVERY_TOKEN
) -> Float[np.ndarray, "selected d_in"]:
    """Activations at the read site in float32, one vector per selected token or row.

    Raises:
        DataError: if a position is padding or outside its row.
    """
    if isinstance(select, Pooled):
        parts = ((batch, pooled_x(batch, select.how)) for batch in source.batches(rows))
        return _fill_array(source, parts, len(rows))
    if isinstance(select, AtPositions):
        batches, count = source.batches(rows, select.positions), len(rows)
    else:
        batches, count = source.batches(rows), int(rows.mask.sum())
    return _fill_array(source, ((batch, batch.x_tokens) for batch in batches), count)


def read_codes(
    source: ActivationSource, sae: SAE, rows: TokenRows
) -> Iterator[tuple[Batch, Codes]]:
    """Codes of the counted tokens, batch by batch; encoded once while this SAE is scored.

    Raises:
        NotApplicable: if the SAE needs more than the source has.
    """
    encoder = _Encoder(source, sae, rows)
    return ((batch, encoder.cached_codes(batch)) for batch in source.batches(rows))


def read_acts(
    source: ActivationSource, sae: SAE, rows: TokenRows, select: Selection = EVERY_TOKEN
) -> csr_matrix:
    """Acts [selected, d_sae], one row per selected token or row.

    While an SAE is scored, its pooled acts are cached. For other selections only codes are, once
    `read_codes` has read them.

    Raises:
        DataError: if a position is padding or outside its row.
        NotApplicable: if the SAE needs more than the source has.
    """
    encoder = _Encoder(source, sae, rows)
    if isinstance(select, Pooled):
        return encoder.pooled(select.how)
    if isinstance(select, AtPositions):
        parts = ((batch, codes.csr()) for batch, codes in encoder.at(select.positions))
        return _stack_rows(source, parts, len(rows))
    batches = source.batches(rows)
    parts = ((batch, encoder.cached_codes(batch, keep=False).csr()) for batch in batches)
    return _stack_rows(source, parts, int(rows.mask.sum()))


@dataclass(frozen=True)
class _Encoder:
    """Encodes rows with an SAE, and gives it what it needs besides x."""

    source: ActivationSource
    sae: SAE
    rows: TokenRows

    @property
    def traits(self) -> Traits:
        return traits_of(self.sae)

    def cached_codes(self, batch: Batch, *, keep: bool = True) -> Codes:
        """Codes of a batch, from the memo if it has them; without `keep` none are added to it."""

        def make() -> Codes:
            codes = self._encode(batch, lambda: self._gradient(batch))
            return replace(codes, index=codes.index.to(torch.int32))

        key = ("codes", self.rows.digest, batch.rows.start, batch.rows.stop)
        compact: Codes = self.source.memo.get(self.sae, key, make, _codes_bytes, keep=keep)
        return replace(compact, index=compact.index.to(torch.int64))

    def pooled(self, how: str) -> csr_matrix:
        """Codes pooled over each row. Pooled acts are cached; the codes they come from are not."""

        def make() -> csr_matrix:
            parts = (
                (batch, pooled_codes(batch, self.cached_codes(batch, keep=False), how))
                for batch in self.source.batches(self.rows)
            )
            return _stack_rows(self.source, parts, len(self.rows))

        key = ("pooled", self.rows.digest, how)
        acts = self.source.memo.get(self.sae, key, make, _csr_bytes)
        hand_back()
        return acts

    def at(self, positions: Int[np.ndarray, " texts"]) -> Iterator[tuple[Batch, Codes]]:
        """Codes at one position of each row. The whole rows are needed for gradients only."""
        if not self.traits.needs_gradient:
            for batch in self.source.batches(self.rows, positions):
                yield batch, self._encode(batch, lambda: None)
            return
        for row_batch in self.source.batches(self.rows):
            places = np.asarray(positions)[row_batch.rows]
            slope = next_token_gradient(self.source, self.rows, row_batch)
            slope = slope[torch.arange(len(places)), torch.from_numpy(places).to(slope.device)]
            batch = row_batch.at(places)
            yield batch, self._encode(batch, lambda slope=slope: slope)

    def _encode(self, batch: Batch, gradient: Callable[[], Tensor | None]) -> Codes:
        device, traits, tokens = self.sae.W_dec.device, self.traits, batch.token_ids
        if traits.needs_tokens and tokens is None:
            raise NotApplicable(
                f"The SAE needs the id of each token, and '{self.source.name}' holds activations "
                "without tokens. Give --model instead."
            )
        slope = gradient() if traits.needs_gradient else None
        inputs = extra_inputs(traits, tokens=tokens, gradient=slope)
        with torch.no_grad():
            inputs = {name: value.to(device) for name, value in inputs.items()}
            return encode_codes(self.sae, batch.x_tokens.to(device), inputs)

    def _gradient(self, batch: Batch) -> Float[Tensor, "tokens d_in"]:
        return next_token_gradient(self.source, self.rows, batch)[batch.mask]


def _fill_array(
    source: ActivationSource, parts: Iterable[tuple[Batch, Tensor]], count: int
) -> Float[np.ndarray, "count d"]:
    """Parts one after the other, in float32.

    They are copied into one array at once: many small arrays would fragment the memory.
    """
    x, start, last = np.zeros((count, source.widths.d_in), np.float32), 0, None
    for batch, part in parts:
        x[start : start + len(part)] = part.float().cpu().numpy()
        start, last = start + len(part), batch
    if start == count:
        return x
    return np.resize(x[: _check_count(source, last, start, count)], x.shape)


def _stack_rows(
    source: ActivationSource, parts: Iterable[tuple[Batch, csr_matrix]], count: int
) -> csr_matrix:
    """Parts one below the other."""
    pairs = list(parts)
    acts = csr_matrix(sparse.vstack([part for _, part in pairs], format="csr"))
    if (row_count := len(acts.indptr) - 1) == count:
        return acts
    row_count = _check_count(source, pairs[-1][0], row_count, count)
    return csr_matrix(acts[np.arange(count) % row_count])


def _check_count(source: ActivationSource, last: Batch | None, length: int, count: int) -> int:
    """The number of vectors that came instead of `count`, if one batch stands for all rows.

    Raises:
        DataError: if none does, so that the source left rows out.
    """
    if last is None or not last.stands_for_all or length > count:
        raise DataError(
            f"'{source.name}' gave {length} vectors where {count} were asked for: its `batches` "
            "must give all rows, in order."
        )
    return length


def _codes_bytes(codes: Codes) -> int:
    return sum(part.nbytes for part in (codes.index, codes.value, codes.offsets))


def _csr_bytes(matrix: csr_matrix) -> int:
    return matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
