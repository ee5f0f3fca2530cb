"""What tasks read of rows: vectors, or an SAE's codes, of the tokens that they select."""

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
    """The counted tokens of each row, pooled into one; a row without any is 0.

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
    """Activations at the read site in float32, one vector per token, or per row, that is selected.

    Raises:
        DataError: if a position is padding or outside its row.
    """
    if isinstance(select, Pooled):
        parts = ((batch, pooled_x(batch, select.how)) for batch in source.batches(rows))
        return _filled(source, parts, len(rows))
    if isinstance(select, AtPositions):
        batches, count = source.batches(rows, select.positions), len(rows)
    else:
        batches, count = source.batches(rows), int(rows.mask.sum())
    return _filled(source, ((batch, batch.x_tokens) for batch in batches), count)


def read_codes(
    source: ActivationSource, sae: SAE, rows: TokenRows
) -> Iterator[tuple[Batch, Codes]]:
    """Codes of the counted tokens, batch by batch; encoded once while this SAE is scored.

    Raises:
        NotApplicable: if the SAE needs more than the source has.
    """
    encoder = _Encoder(source, sae, rows)
    return ((batch, encoder.remembered(batch)) for batch in source.batches(rows))


def read_acts(
    source: ActivationSource, sae: SAE, rows: TokenRows, select: Selection = EVERY_TOKEN
) -> csr_matrix:
    """Latents [selected, d_sae], one row per token, or per row, that is selected.

    What was pooled is remembered while this SAE is scored; of all else, what was read as codes.

    Raises:
        DataError: if a position is padding or outside its row.
        NotApplicable: if the SAE needs more than the source has.
    """
    encoder = _Encoder(source, sae, rows)
    if isinstance(select, Pooled):
        return encoder.pooled(select.how)
    if isinstance(select, AtPositions):
        parts = ((batch, codes.csr()) for batch, codes in encoder.at(select.positions))
        return _stacked(source, parts, len(rows))
    batches = source.batches(rows)
    parts = ((batch, encoder.remembered(batch, keep=False).csr()) for batch in batches)
    return _stacked(source, parts, int(rows.mask.sum()))


@dataclass(frozen=True)
class _Encoder:
    """An SAE's codes of rows, with all that it needs beside x."""

    source: ActivationSource
    sae: SAE
    rows: TokenRows

    @property
    def traits(self) -> Traits:
        return traits_of(self.sae)

    def remembered(self, batch: Batch, *, keep: bool = True) -> Codes:
        """Codes of a batch, from memory where they are there; without `keep` none are added."""

        def make() -> Codes:
            codes = self._encoded(batch, lambda: self._gradient(batch))
            return replace(codes, index=codes.index.to(torch.int32))

        key = ("codes", self.rows.digest, batch.rows.start, batch.rows.stop)
        held: Codes = self.source.memo.get(self.sae, key, make, _codes_bytes, keep=keep)
        return replace(held, index=held.index.to(torch.int64))

    def pooled(self, how: str) -> csr_matrix:
        """Codes pooled over each row. That is remembered, the many codes behind it are not."""

        def make() -> csr_matrix:
            parts = (
                (batch, pooled_codes(batch, self.remembered(batch, keep=False), how))
                for batch in self.source.batches(self.rows)
            )
            return _stacked(self.source, parts, len(self.rows))

        key = ("pooled", self.rows.digest, how)
        acts = self.source.memo.get(self.sae, key, make, _csr_bytes)
        hand_back()
        return acts

    def at(self, positions: Int[np.ndarray, " texts"]) -> Iterator[tuple[Batch, Codes]]:
        """Codes at one position of each row. Only gradients need the rows that they stand in."""
        if not self.traits.needs_gradient:
            for batch in self.source.batches(self.rows, positions):
                yield batch, self._encoded(batch, lambda: None)
            return
        for whole in self.source.batches(self.rows):
            places = np.asarray(positions)[whole.rows]
            slope = next_token_gradient(self.source, self.rows, whole)
            slope = slope[torch.arange(len(places)), torch.from_numpy(places).to(slope.device)]
            batch = whole.at(places)
            yield batch, self._encoded(batch, lambda slope=slope: slope)

    def _encoded(self, batch: Batch, gradient: Callable[[], Tensor | None]) -> Codes:
        device, traits, tokens = self.sae.W_dec.device, self.traits, batch.token_ids
        if traits.needs_tokens and tokens is None:
            raise NotApplicable(
                f"The SAE needs the id of each token, and '{self.source.name}' holds activations "
                "without tokens. Give --model instead."
            )
        slope = gradient() if traits.needs_gradient else None
        needed = extra_inputs(traits, tokens=tokens, gradient=slope)
        with torch.no_grad():
            needed = {name: value.to(device) for name, value in needed.items()}
            return encode_codes(self.sae, batch.x_tokens.to(device), needed)

    def _gradient(self, batch: Batch) -> Float[Tensor, "tokens d_in"]:
        return next_token_gradient(self.source, self.rows, batch)[batch.mask]


def _filled(
    source: ActivationSource, parts: Iterable[tuple[Batch, Tensor]], count: int
) -> Float[np.ndarray, "count d"]:
    """Parts one after the other, in float32.

    Filled in place: small arrays kept from every batch would pin the memory between them.
    """
    x, start, last = np.zeros((count, source.widths.d_in), np.float32), 0, None
    for batch, part in parts:
        x[start : start + len(part)] = part.float().cpu().numpy()
        start, last = start + len(part), batch
    if start == count:
        return x
    return np.resize(x[: _part(source, last, start, count)], x.shape)


def _stacked(
    source: ActivationSource, parts: Iterable[tuple[Batch, csr_matrix]], count: int
) -> csr_matrix:
    """Parts one below the other."""
    pairs = list(parts)
    acts = csr_matrix(sparse.vstack([part for _, part in pairs], format="csr"))
    if (shown := len(acts.indptr) - 1) == count:
        return acts
    shown = _part(source, pairs[-1][0], shown, count)
    return csr_matrix(acts[np.arange(count) % shown])


def _part(source: ActivationSource, last: Batch | None, shown: int, count: int) -> int:
    """How many vectors came in place of `count`, where one batch stands for all.

    Raises:
        DataError: if the last one does not, so that the source left something out.
    """
    if last is None or not last.stands_for_all or shown > count:
        raise DataError(
            f"'{source.name}' gave {shown} vectors where {count} were asked for: its `batches` "
            "must give all rows, in order."
        )
    return shown


def _codes_bytes(codes: Codes) -> int:
    return sum(part.nbytes for part in (codes.index, codes.value, codes.offsets))


def _csr_bytes(matrix: csr_matrix) -> int:
    return matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
