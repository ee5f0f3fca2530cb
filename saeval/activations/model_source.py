"""Activations of a model: computed once for a set of rows, kept on disk, spliced back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from saeval.activations import pooling, tokens
from saeval.activations.centring import centre, check_centring
from saeval.activations.memory import hand_back
from saeval.activations.pooling import Encoder, Memo
from saeval.activations.protocol import Batch
from saeval.activations.recording import Recorder, inputs, widened
from saeval.activations.rows import TokenRows
from saeval.activations.store import Store, digest
from saeval.errors import DataError, NotApplicable, UsageError
from saeval.models import LoadedModel
from saeval.sae import SAE, Codes, Site

BATCH_TOKENS = 4096
"""Positions a batch: on one core the fastest from 1,000 to 16,000, and small in memory."""
_UNLIMITED = 1 << 30


@dataclass(frozen=True, eq=False)
class ModelSource:
    """An `ActivationSource` over a model."""

    model: LoadedModel
    site: Site
    write_site: Site
    store: Store
    batch_tokens: int = BATCH_TOKENS
    centred: bool = False
    """Whether x and y are read less their mean over d_model, which `splice` adds back."""
    _memo: Memo = field(default_factory=Memo, repr=False)

    @property
    def identity(self) -> str:
        """sha256 of model, tokenizer, sites, dtype and centring."""
        return digest(
            {
                **self._recorder.key,
                "tokenizer": self.model.tokenizer_identity,
                "site": str(self.site),
                "write_site": str(self.write_site),
                "centred": self.centred,
            }
        )

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def d_in(self) -> int:
        """Width at the read site."""
        return self.model.width(self.site)

    @property
    def d_out(self) -> int:
        """Width at the write site."""
        return self.model.width(self.write_site)

    @property
    def has_logits(self) -> bool:
        """Whether the model has an output head."""
        return self.model.has_logits

    @property
    def context(self) -> int:
        """Most tokens a row may have."""
        return self.model.context or _UNLIMITED

    @property
    def stored_rows(self) -> None:
        """A model reads texts; it has no rows of its own."""
        return

    def tokenize(
        self,
        texts: Sequence[str],
        *,
        name: str,
        context: int | None = None,
        overflow: str = "error",
        prepend_bos: bool | None = None,
    ) -> TokenRows:
        """Token rows of texts; see `ActivationSource.tokenize`."""
        if overflow == "pack" and context is None:
            raise UsageError("Packed rows need a length: say how many tokens (context).")
        if context is not None and not 2 <= context <= self.context:
            raise UsageError(
                f"A context of {context} tokens does not suit {self.name}: it takes 2 to "
                f"{self.context}."
            )
        begin = tokens.default_begin(self.model) if prepend_bos is None else prepend_bos
        policy = tokens.Policy(context or self.context, overflow, begin)
        return tokens.tokenize(self.model, texts, name, policy)

    def token_rows(self, ids: np.ndarray, *, name: str) -> TokenRows:
        """Ready token rows, checked; see `ActivationSource.token_rows`."""
        return tokens.ready_rows(self.model, ids, name, self.context)

    def batches(self, rows: TokenRows) -> Iterator[Batch]:
        """Activations of the rows, in order."""
        for group in rows.groups(self.batch_tokens):
            yield self._batch(rows, group)

    def codes(self, sae: SAE, rows: TokenRows) -> Iterator[tuple[Batch, Codes]]:
        """Codes of the counted tokens, batch by batch."""
        return Encoder(sae, self._memo).codes(rows, self.batches(rows))

    def activations(self, rows: TokenRows) -> Float[np.ndarray, "tokens d_in"]:
        """Activations of all counted tokens."""
        return pooling.counted(self.batches(rows), int(rows.mask.sum()), self.d_in)

    def acts(self, sae: SAE, rows: TokenRows) -> csr_matrix:
        """Latents of all counted tokens."""
        return Encoder(sae, self._memo).acts(rows, self.batches(rows))

    def pooled(self, sae: SAE, rows: TokenRows, how: str = "mean") -> csr_matrix:
        """Latents pooled over each row's counted tokens."""
        return Encoder(sae, self._memo).pooled(rows, self.batches(rows), how)

    def pooled_x(self, rows: TokenRows, how: str = "mean") -> Float[np.ndarray, "texts d_in"]:
        """Activations pooled over each row's counted tokens."""
        return pooling.pooled_x(self.batches(rows), len(rows), self.d_in, how)

    def at(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"]
    ) -> Float[np.ndarray, "texts d_in"]:
        """Activation at one position of each row."""
        x = self._recorder.at(rows, _checked(rows, positions), self._sites).float()
        return (centre(x)[0] if self.centred else x).numpy()

    def codes_at(
        self, sae: SAE, rows: TokenRows, positions: Int[np.ndarray, " texts"]
    ) -> csr_matrix:
        """Latents at one position of each row."""
        return Encoder(sae, self._memo).at(self.at(rows, positions))

    def final_hidden(self, rows: TokenRows) -> Iterator[Float[Tensor, "texts seq d_model"]]:
        """What the output head reads in the untouched model, for each of `batches`."""
        self._need_logits()

        def compute(group: slice) -> Tensor:
            batch = self._batch(rows, group)
            return self.splice(rows, batch, batch.y)

        return self._recorder.finals(rows, compute)

    def splice(
        self, rows: TokenRows, batch: Batch, y_new: Float[Tensor, "texts seq d_out"]
    ) -> Float[Tensor, "texts seq d_model"]:
        """What the output head reads once y_new takes the place of `batch.y`."""
        self._need_logits()
        if batch.shift is not None:
            y_new = y_new.to(batch.shift.device) + batch.shift
        ids, attention = inputs(rows, batch.rows)
        seq = ids.shape[1]
        resume = None if batch.resume is None else batch.resume[:, :seq]
        final = self.model.run_from(self.write_site, ids, attention, y_new[:, :seq], resume)
        return widened(final, rows)

    def release(self, sae: SAE) -> None:
        """Forget the codes of an SAE."""
        self._memo.release(sae)
        hand_back()

    @cached_property
    def _recorder(self) -> Recorder:
        return Recorder(self.model, self.store, self.batch_tokens)

    @cached_property
    def _resume(self) -> Site | None:
        """Block input that splicing needs besides."""
        return self.model.needs_resume(self.write_site) if self.has_logits else None

    @cached_property
    def _sites(self) -> list[Site]:
        """What is recorded, the read site first, each site once."""
        resume = [self._resume] if self._resume else []
        return list(dict.fromkeys([self.site, self.write_site, *resume]))

    def _batch(self, rows: TokenRows, group: slice) -> Batch:
        found = self._recorder.activations(rows, group, self._sites)
        mask = torch.from_numpy(rows.mask[group].copy()).to(self.model.device)
        x, y, shift = found[self.site].float(), found[self.write_site].float(), None
        if self.centred:
            x, (y, shift) = centre(x)[0], centre(y)
        y = x if self.site == self.write_site else y
        return Batch(group, x, y, mask, shift, found.get(self._resume) if self._resume else None)

    def _need_logits(self) -> None:
        if not self.has_logits:
            raise NotApplicable(
                f"{self.name} is an encoder without an output head, so there are no next-token "
                "predictions to compare."
            )


def model_source(
    model: LoadedModel,
    site: Site | str,
    *,
    write_site: Site | str | None = None,
    store: Store | None = None,
    batch_tokens: int | None = None,
    centred: bool = False,
) -> ModelSource:
    """A source that reads at a site, and writes there too unless another is given.

    Raises:
        ModelError: if a site is not in the model, or centring it would change the model.
    """
    read = model.resolve(site) if isinstance(site, str) else site
    write = model.resolve(write_site) if isinstance(write_site, str) else write_site or read
    if centred:
        for place in {read, write}:
            check_centring(model, place)
    return ModelSource(model, read, write, store or Store(), batch_tokens or BATCH_TOKENS, centred)


def _checked(rows: TokenRows, positions: np.ndarray) -> np.ndarray:
    positions = np.asarray(positions)
    lengths = rows.attention.sum(1)
    if positions.shape != lengths.shape:
        raise DataError(
            f"{len(rows)} rows of '{rows.name}' need one position each, not an array of shape "
            f"{list(positions.shape)}."
        )
    wrong = np.flatnonzero((positions < 0) | (positions >= lengths))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"Row {row} of '{rows.name}' has {lengths[row]} tokens, so there is none at position "
            f"{positions[row]}."
        )
    return positions.astype(np.int64)
