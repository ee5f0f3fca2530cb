"""Activations of a model: computed once for a set of rows, kept on disk, spliced back."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from saeval.activations import pooling, stored, tokens
from saeval.activations.pooling import Encoder, Memo
from saeval.activations.protocol import Batch
from saeval.activations.rows import TokenRows
from saeval.activations.store import Store, digest
from saeval.activations.stored import Arrays, Shape
from saeval.errors import DataError, ModelError, NotApplicable, UsageError
from saeval.models import LoadedModel
from saeval.sae import SAE, Codes, Site

BATCH_TOKENS = 4096
"""Positions a batch: on one core the fastest from 1,000 to 16,000, and small in memory."""
_OPEN_SETS = 16
"""Sets of rows whose files stay open; more are opened again when needed."""
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
    """Whether x and y are read less their mean over d_model, which `splice` adds back.

    TransformerLens's processing centres all that writes to the residual stream; in a model with
    layer norms, which take the mean away, that changes nothing behind.
    """
    _memo: Memo = field(default_factory=Memo, repr=False)
    _open: "OrderedDict[str, Arrays | None]" = field(default_factory=OrderedDict, repr=False)

    @cached_property
    def identity(self) -> str:
        """sha256 of model, tokenizer, sites, dtype and centring."""
        return digest(
            {
                **self._model_key,
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

    @cached_property
    def d_in(self) -> int:
        """Width at the read site."""
        return self.model.width(self.site)

    @cached_property
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

    def token_rows(self, ids: Int[np.ndarray, "texts seq"], *, name: str) -> TokenRows:
        """Ready token rows, checked; see `ActivationSource.token_rows`."""
        return tokens.ready_rows(self.model, ids, name, self.context)

    def batches(self, rows: TokenRows) -> Iterator[Batch]:
        """Activations of the rows, in order."""
        arrays = self._activations(rows)
        for group in rows.groups(self.batch_tokens):
            found = self._computed(rows, group) if arrays is None else {}
            x, y = (
                (
                    self._read(rows, group, arrays, self._sites.index(site))
                    if arrays
                    else found[site]
                )
                for site in (self.site, self.write_site)
            )
            resume = found.get(self._resume) if self._resume else None
            yield self._batch(rows, group, x.float(), y.float(), resume)

    def codes(self, sae: SAE, rows: TokenRows) -> Iterator[tuple[Batch, Codes]]:
        """Codes of the counted tokens, batch by batch."""
        return Encoder(sae, self._memo).codes(rows, self.batches(rows))

    def pooled(self, sae: SAE, rows: TokenRows, how: str = "mean") -> csr_matrix:
        """Latents pooled over each row's counted tokens."""
        return Encoder(sae, self._memo).pooled(rows, self.batches(rows), how)

    def pooled_x(self, rows: TokenRows, how: str = "mean") -> Float[np.ndarray, "texts d_in"]:
        """Activations pooled over each row's counted tokens."""
        return pooling.pooled_x(self.batches(rows), how)

    def at(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"]
    ) -> Float[np.ndarray, "texts d_in"]:
        """Activation at one position of each row."""
        positions = _checked(rows, positions)
        arrays = self._activations(rows)
        if arrays is not None:
            index = torch.from_numpy(rows.offsets[:-1] + positions)
            x = arrays.gather(self._sites.index(self.site), index).float()
            return self._centre(x)[0].numpy()
        found = [
            batch.x[torch.arange(len(batch.x)), torch.from_numpy(positions[batch.rows])].cpu()
            for batch in self.batches(rows)
        ]
        return torch.cat(found).numpy()

    def codes_at(
        self, sae: SAE, rows: TokenRows, positions: Int[np.ndarray, " texts"]
    ) -> csr_matrix:
        """Latents at one position of each row."""
        return Encoder(sae, self._memo).at(self.at(rows, positions))

    def final_hidden(self, rows: TokenRows) -> Iterator[Float[Tensor, "texts seq d_model"]]:
        """What the output head reads in the untouched model, for each of `batches`."""
        self._need_logits()
        arrays = self._stored(
            {**self._model_key, "kind": "final hidden", "rows": rows.digest},
            [Shape(int(rows.offsets[-1]), self._final_width, self.model.dtype)],
            lambda arrays: self._write_final(rows, arrays),
        )
        if arrays is None:
            yield from self._finals(rows)
            return
        for group in rows.groups(self.batch_tokens):
            yield self._read(rows, group, arrays, 0)

    def splice(
        self, rows: TokenRows, batch: Batch, y_new: Float[Tensor, "texts seq d_out"]
    ) -> Float[Tensor, "texts seq d_model"]:
        """What the output head reads once y_new takes the place of `batch.y`."""
        self._need_logits()
        if batch.shift is not None:
            y_new = y_new.to(batch.shift.device) + batch.shift
        ids, attention = self._inputs(rows, batch.rows)
        seq = ids.shape[1]
        resume = batch.resume
        if resume is None and self._resume is not None:
            arrays = self._activations(rows)
            if arrays is not None:
                resume = self._read(rows, batch.rows, arrays, self._sites.index(self._resume))
        resume = None if resume is None else resume[:, :seq]
        final = self.model.run_from(self.write_site, ids, attention, y_new[:, :seq], resume)
        return _filled(final, rows.ids.shape[1])

    def release(self, sae: SAE) -> None:
        """Forget the codes of an SAE."""
        self._memo.release(sae)

    @property
    def _model_key(self) -> dict[str, Any]:
        # Its code decides activations as much as its weights do.
        from transformers import __version__

        return {
            "model": self.model.identity,
            "dtype": str(self.model.dtype),
            "transformers": __version__,
        }

    @cached_property
    def _resume(self) -> Site | None:
        """Block input that splicing needs besides."""
        return self.model.needs_resume(self.write_site) if self.has_logits else None

    @cached_property
    def _sites(self) -> list[Site]:
        """Sites that are stored, in the order in which they are."""
        wanted = {self.site, self.write_site} | ({self._resume} if self._resume else set())
        return sorted(wanted, key=str)

    @cached_property
    def _final_width(self) -> int:
        return self.model.final_width

    def _activations(self, rows: TokenRows) -> Arrays | None:
        key = {
            **self._model_key,
            "kind": "activations",
            "rows": rows.digest,
            "sites": [str(site) for site in self._sites],
        }
        total = int(rows.offsets[-1])
        shapes = [Shape(total, self.model.width(site), self.model.dtype) for site in self._sites]
        return self._stored(key, shapes, lambda arrays: self._write_activations(rows, arrays))

    def _stored(
        self, key: dict[str, Any], shapes: list[Shape], write: Callable[[Arrays], None]
    ) -> Arrays | None:
        """Arrays of a key, written first where they are not there; None where they do not fit."""
        name = digest(key)
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]

        def make(folder: Path) -> None:
            arrays = stored.create(folder, shapes)
            write(arrays)
            arrays.close()

        size = sum(shape.bytes for shape in shapes)
        self._open[name] = self.store.get(key, make, stored.open_arrays, size)
        if len(self._open) > _OPEN_SETS:
            # Not closed here: a caller may still read it. It closes when nobody holds it.
            self._open.popitem(last=False)
        return self._open[name]

    def _write_activations(self, rows: TokenRows, arrays: Arrays) -> None:
        """One pass of the model, rows of similar length together so that little is padding."""
        lengths = rows.attention.sum(1)
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            stop = start + max(1, self.batch_tokens // max(1, int(lengths[order[start]])))
            index = order[start:stop]
            found = self._run(rows.take(index))
            for number, site in enumerate(self._sites):
                for row, vectors, length in zip(index, found[site], lengths[index], strict=True):
                    arrays.write(number, int(rows.offsets[row]), vectors[:length])
            start = stop

    def _write_final(self, rows: TokenRows, arrays: Arrays) -> None:
        groups = rows.groups(self.batch_tokens)
        for group, final in zip(groups, self._finals(rows), strict=True):
            attention = torch.from_numpy(rows.attention[group])
            arrays.write(0, int(rows.offsets[group.start]), final.cpu()[attention])

    def _finals(self, rows: TokenRows) -> Iterator[Tensor]:
        """Clean final hidden states from the activations at hand, by the layers after the site."""
        for batch in self.batches(rows):
            yield self.splice(rows, batch, batch.y)

    def _run(self, rows: TokenRows) -> dict[Site, Tensor]:
        ids, attention = self._inputs(rows, slice(0, len(rows)))
        return self.model.run_to(self._sites, ids, attention)

    def _computed(self, rows: TokenRows, group: slice) -> dict[Site, Tensor]:
        """Activations of some rows straight from the model."""
        seq = rows.ids.shape[1]
        gone = torch.from_numpy(~rows.attention[group])[..., None].to(self.model.device)
        found = self._run(rows.take(group))
        return {site: _filled(x, seq).masked_fill(gone, 0) for site, x in found.items()}

    def _inputs(self, rows: TokenRows, group: slice) -> tuple[Tensor, Tensor]:
        """Ids and attention of some rows, cut to the longest of them."""
        seq = int(rows.attention[group].sum(1).max())
        ids = torch.from_numpy(rows.ids[group, :seq].astype(np.int64))
        return ids, torch.from_numpy(rows.attention[group, :seq])

    def _read(self, rows: TokenRows, group: slice, arrays: Arrays, number: int) -> Tensor:
        """Stored vectors of some rows [texts, seq, d], 0 at padding."""
        start, stop = rows.offsets[group.start], rows.offsets[group.stop]
        vectors = arrays.read(number, int(start), int(stop)).to(self.model.device)
        attention = torch.from_numpy(rows.attention[group]).to(self.model.device)
        if len(vectors) == attention.numel():
            return vectors.reshape(*attention.shape, -1)
        whole = vectors.new_zeros(*attention.shape, vectors.shape[1])
        whole[attention] = vectors
        return whole

    def _batch(
        self, rows: TokenRows, group: slice, x: Tensor, y: Tensor, resume: Tensor | None
    ) -> Batch:
        mask = torch.from_numpy(rows.mask[group]).to(self.model.device)
        if self.site == self.write_site:
            x, shift = self._centre(x)
            return Batch(group, x, x, mask, shift, resume)
        y, shift = self._centre(y)
        return Batch(group, self._centre(x)[0], y, mask, shift, resume)

    def _centre(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.centred:
            return x, None
        shift = x.mean(-1, keepdim=True)
        return x - shift, shift

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


def check_centring(model: LoadedModel, site: Site) -> None:
    """See by trial that the mean over d_model at a site is of no consequence behind it.

    Raises:
        ModelError: if it is: the model normalises by RMS, or the site is no part of the stream.
    """
    ids = torch.arange(8).reshape(1, 8) % model.vocab_size
    attention = torch.ones_like(ids, dtype=torch.bool)
    found, clean = model.clean([site], ids, attention)
    x = found[site]
    moved = model.run_from(site, ids, attention, x + x.abs().max())
    tolerance = 500 * torch.finfo(model.dtype).eps * float(clean.abs().max())
    if float((moved - clean).abs().max()) > tolerance:
        raise ModelError(
            f"Activations at '{site}' of {model.name} cannot be centred: their mean over d_model "
            "matters behind it. Only sites that write to the residual stream of a model with "
            "layer norms can; TransformerLens centres no others, so read this one with "
            "centred: false."
        )


def _filled(x: Tensor, seq: int) -> Tensor:
    """Zeros on the right, up to so many positions."""
    return torch.nn.functional.pad(x, (0, 0, 0, seq - x.shape[1]))


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
