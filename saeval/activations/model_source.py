"""Activations of a model: computed once for a set of rows, kept on disk, spliced back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saeval.activations import tokens
from saeval.activations.centring import centre_each, check_centring
from saeval.activations.memo import Memo
from saeval.activations.protocol import Batch, Widths, slices
from saeval.activations.recording import Recorder, inputs, pad_to_rows
from saeval.activations.rows import TokenRows
from saeval.activations.store import Store, digest
from saeval.errors import DataError, NotApplicable, UsageError
from saeval.models import LoadedModel
from saeval.sae import Site, Sites
from saeval.sae.site import joined, site_names

BATCH_TOKENS = 4096
"""Positions per batch: 1,000 to 16,000 are the fastest on one core, and take little memory."""
_UNLIMITED = 1 << 30


@dataclass(frozen=True, eq=False)
class ModelSource:
    """An `ActivationSource` over a model."""

    model: LoadedModel
    sites: Sites
    store: Store
    batch_tokens: int = BATCH_TOKENS
    centred: bool = False
    """Whether each site is read without its mean over d_model, which `splice` adds back."""
    prepend_bos: bool = True
    """Whether rows of texts begin with BOS by default, where the model has one."""
    memo: Memo = field(default_factory=Memo, repr=False)

    @property
    def identity(self) -> str:
        """sha256 of model, tokenizer, sites, dtype, centring, and BOS if it is left away."""
        leaves_bos_away = not self.prepend_bos and tokens.default_begin(self.model)
        return digest(
            {
                **self._recorder.key,
                "tokenizer": self.model.tokenizer_identity,
                "site": joined(self.sites.read),
                "write_site": joined(self.sites.write),
                "centred": self.centred,
                **({"prepend_bos": False} if leaves_bos_away else {}),
            }
        )

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def widths(self) -> Widths:
        """Width at each site."""
        read, write = (
            tuple(map(self.model.width, sites)) for sites in (self._read_sites, self._write_sites)
        )
        return Widths(read, write)

    @property
    def context(self) -> int:
        """Most tokens per row."""
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
        begin = self.prepend_bos and tokens.default_begin(self.model)
        begin = begin if prepend_bos is None else prepend_bos
        policy = tokens.Policy(context or self.context, overflow, begin)
        return tokens.tokenize(self.model, texts, name, policy)

    def token_rows(self, ids: np.ndarray, *, name: str) -> TokenRows:
        """Ready token rows, checked; see `ActivationSource.token_rows`."""
        return tokens.ready_rows(self.model, ids, name, self.context)

    def batches(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"] | None = None
    ) -> Iterator[Batch]:
        """Activations of the rows, in order, or at one position of each row."""
        if positions is not None:
            yield from self._single_positions(rows, _check_positions(rows, positions))
            return
        for group in rows.groups(self.batch_tokens):
            yield self._batch(rows, group)

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
        places = slices(self._write_sites, self.widths.write)
        if len(places) > 1:
            new = {site: y_new[:, :seq, places[str(site)]] for site in self._write_sites}
            return pad_to_rows(self.model.run_with(new, ids, attention), rows)
        resume = None if batch.resume is None else batch.resume[:, :seq]
        final = self.model.run_from(self._write_sites[0], ids, attention, y_new[:, :seq], resume)
        return pad_to_rows(final, rows)

    @property
    def _read_sites(self) -> tuple[Site, ...]:
        return self.sites.read

    @property
    def _write_sites(self) -> tuple[Site, ...]:
        return self.sites.write

    @cached_property
    def _recorder(self) -> Recorder:
        return Recorder(self.model, self.store, self.batch_tokens)

    @cached_property
    def _resume_site(self) -> Site | None:
        """Block input that splicing also needs; None for several sites, which take a whole pass."""
        restarts = self.model.has_logits and len(self._write_sites) == 1
        return self.model.needs_resume(self._write_sites[0]) if restarts else None

    @cached_property
    def _recorded_sites(self) -> list[Site]:
        """The recorded sites: the read sites first, each site once."""
        resume = [self._resume_site] if self._resume_site else []
        return list(dict.fromkeys([*self._read_sites, *self._write_sites, *resume]))

    def _batch(self, rows: TokenRows, group: slice) -> Batch:
        recorded = self._recorder.activations(rows, group, self._recorded_sites)
        mask = torch.from_numpy(rows.mask[group].copy()).to(self.model.device)
        x, y, shift = self._x_and_y(recorded)
        ids = torch.from_numpy(rows.ids[group])
        resume = recorded.get(self._resume_site) if self._resume_site else None
        return Batch(group, x, y, mask, ids, shift, resume)

    def _single_positions(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"]
    ) -> Iterator[Batch]:
        """Batches of one token per row; only these are recorded, unless whole rows are already."""
        if not len(rows):
            return
        sites = list(dict.fromkeys([*self._read_sites, *self._write_sites]))
        vectors = self._recorder.at(rows, positions, sites, self._recorded_sites)
        for start in range(0, len(rows), self.batch_tokens):
            group = slice(start, min(start + self.batch_tokens, len(rows)))
            x, y, shift = self._x_and_y({site: x[group, None] for site, x in vectors.items()})
            ids = torch.from_numpy(rows.ids[group][np.arange(len(x)), positions[group], None])
            yield Batch(group, x, y, torch.ones(len(x), 1, dtype=torch.bool), ids, shift)

    def _x_and_y(
        self, recorded: Mapping[Site, Float[Tensor, "texts seq _"]]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """X and y in float32, and what centring subtracted from y."""
        x, shift = self._side_by_side(recorded, self._read_sites, self.widths.read)
        if self._read_sites == self._write_sites:
            return x, x, shift
        return x, *self._side_by_side(recorded, self._write_sites, self.widths.write)

    def _side_by_side(
        self,
        recorded: Mapping[Site, Float[Tensor, "texts seq _"]],
        sites: Sequence[Site],
        widths: Sequence[int],
    ) -> tuple[Tensor, Tensor | None]:
        parts = [recorded[site].float() for site in sites]
        vectors = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        return centre_each(vectors, widths) if self.centred else (vectors, None)

    def _need_logits(self) -> None:
        if not self.model.has_logits:
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
    """A source that reads at a site, and writes at the same one by default.

    Args:
        model: The model.
        site: Where SAEs read; names of several sites with commas between them.
        write_site: Where they write, likewise; None: where they read.
        store: Where activations are kept; None: in the user's cache.
        batch_tokens: Positions per batch; None: `BATCH_TOKENS`.
        centred: Whether each site is read without its mean over d_model.

    Raises:
        ModelError: if a site is not in the model, or centring it would change the model.
        UsageError: if a site is named twice.
    """
    read = _resolve_sites(model, site)
    write = read if write_site is None else _resolve_sites(model, write_site)
    if centred:
        for trial_site in dict.fromkeys((*read, *write)):
            check_centring(model, trial_site)
    sites = Sites(read, write)
    return ModelSource(model, sites, store or Store(), batch_tokens or BATCH_TOKENS, centred)


def _resolve_sites(model: LoadedModel, site: Site | str) -> tuple[Site, ...]:
    if isinstance(site, Site):
        return (site,)
    sites = tuple(model.resolve(name) for name in site_names(site))
    if len(set(sites)) < len(sites):
        raise UsageError(f"'{site}' names one place of {model.name} twice: {joined(sites)}.")
    return sites


def _check_positions(rows: TokenRows, positions: np.ndarray) -> np.ndarray:
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
