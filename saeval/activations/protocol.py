"""What tasks see of a model, or of stored activations: `ActivationSource` and its batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saeval.activations.memo import Memo
from saeval.activations.rows import TokenRows
from saeval.models import LoadedModel
from saeval.sae import Sites


@dataclass(frozen=True, eq=False)
class Batch:
    """Activations of some consecutive rows, in float32, 0 at padding."""

    rows: slice
    """Which rows of the `TokenRows` these are."""
    x: Float[Tensor, "texts seq d_in"]
    """At the read site: what an SAE encodes. Of several sites, their activations side by side."""
    y: Float[Tensor, "texts seq d_out"]
    """At the write site: what it should reconstruct. The same tensor as x for most SAEs."""
    mask: Bool[Tensor, "texts seq"]
    """The tokens that count. Special tokens have activations but do not count."""
    ids: Int[Tensor, "texts seq"] | None = None
    """Token ids; None for stored activations."""
    shift: Float[Tensor, "texts seq _"] | None = None
    """What centring subtracted from y, for `splice` to add back."""
    resume: Float[Tensor, "texts seq d_model"] | None = None
    """Input of the block that `splice` starts with, if the splice needs it."""
    stands_for_all: bool = False
    """Whether this batch stands for all rows, and no other follows: in trials of costs."""

    @property
    def x_tokens(self) -> Float[Tensor, "tokens d_in"]:
        """Inputs of the counted tokens, row by row."""
        return self.x[self.mask]

    @property
    def y_tokens(self) -> Float[Tensor, "tokens d_out"]:
        """Targets of the counted tokens, row by row."""
        return self.y[self.mask]

    @property
    def token_ids(self) -> Int[Tensor, " tokens"] | None:
        """Ids of the counted tokens, row by row; None for stored activations."""
        return None if self.ids is None else self.ids.to(self.mask.device)[self.mask].long()

    def at(self, positions: Int[np.ndarray, " texts"]) -> "Batch":
        """One token of each row; all of these count in the new batch."""
        rows, places = torch.arange(len(self.x)), torch.from_numpy(np.asarray(positions))
        x = self.x[rows, places][:, None]
        y = x if self.y is self.x else self.y[rows, places][:, None]
        ids = None if self.ids is None else self.ids[rows, places][:, None]
        mask = torch.ones(len(rows), 1, dtype=torch.bool, device=self.mask.device)
        return replace(self, x=x, y=y, mask=mask, ids=ids, shift=None, resume=None)

    @property
    def row_of_token(self) -> Int[Tensor, " tokens"]:
        """Row of each counted token, as its index among all rows."""
        return self.mask.nonzero()[:, 0] + self.rows.start


@dataclass(frozen=True)
class Widths:
    """How wide the activations of each site are, in the order of the sites."""

    read: tuple[int, ...]
    write: tuple[int, ...]

    @property
    def d_in(self) -> int:
        """Width of x: of all read sites together."""
        return sum(self.read)

    @property
    def d_out(self) -> int:
        """Width of y: of all write sites together."""
        return sum(self.write)


@runtime_checkable
class ActivationSource(Protocol):
    """Activations of texts at the sites where SAEs read and write, computed once and shared.

    Results do not depend on the batch size, up to rounding. To get vectors of some tokens or an
    SAE's codes, tasks use functions over `batches`: `read_x`, `read_codes` and `read_acts` of
    `saeval.activations`.
    """

    @property
    def name(self) -> str:
        """The source's name in messages."""
        ...

    @property
    def identity(self) -> str:
        """sha256 of everything that determines the activations, except texts."""
        ...

    @property
    def model(self) -> LoadedModel | None:
        """The model, or None for stored activations."""
        ...

    @property
    def sites(self) -> Sites:
        """Where SAEs read and write; no sites for stored activations."""
        ...

    @property
    def widths(self) -> Widths:
        """Width at each site; stored activations have one array to read and one to write."""
        ...

    @property
    def context(self) -> int:
        """Most tokens per row."""
        ...

    @property
    def stored_rows(self) -> TokenRows | None:
        """All rows of stored activations; None where texts can be read.

        A row is a unit of several vectors (an image of patches), or a single vector.
        """
        ...

    @property
    def memo(self) -> Memo:
        """Codes of the SAE being scored, kept for all tasks: each source has its own `Memo()`."""
        ...

    def tokenize(
        self,
        texts: Sequence[str],
        *,
        name: str,
        context: int | None = None,
        overflow: str = "error",
        prepend_bos: bool | None = None,
    ) -> TokenRows:
        """Token rows of texts.

        Args:
            texts: At least one, none of them empty.
            name: Their name in messages.
            context: Most tokens per row; None: as many as the model takes.
            overflow: For longer texts: `error`, `truncate`, or `pack` (all texts joined, with
                BOS between them, and cut into rows of exactly `context`).
            prepend_bos: Whether rows begin with BOS; None: yes if the model has one, unless the
                SAEs of this source were trained without.

        Raises:
            DataError: if there is no text, an empty one, or one that is too long.
            NotApplicable: if the source holds stored activations.
        """
        ...

    def token_rows(self, ids: np.ndarray, *, name: str) -> TokenRows:
        """Ready token rows, checked.

        Raises:
            DataError: if they do not fit the model's vocabulary or context.
            NotApplicable: if the source holds stored activations.
        """
        ...

    def batches(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"] | None = None
    ) -> Iterator[Batch]:
        """Activations of the rows, in order.

        Args:
            rows: Which rows.
            positions: One token of each row; batches are then of single tokens, all of which
                count, and cannot be spliced. None: all tokens.

        Raises:
            DataError: if a position is padding or outside its row.
        """
        ...

    def final_hidden(self, rows: TokenRows) -> Iterator[Float[Tensor, "texts seq d_model"]]:
        """What the output head reads in the untouched model: one tensor for each of `batches`.

        Raises:
            NotApplicable: if the source has no logits.
        """
        ...

    def splice(
        self, rows: TokenRows, batch: Batch, y_new: Float[Tensor, "texts seq d_out"]
    ) -> Float[Tensor, "texts seq d_model"]:
        """What the output head reads once y_new takes the place of `batch.y`, at every write site.

        Values at padding do not matter. Gradients flow to y_new if it requires them.

        Raises:
            NotApplicable: if the source has no logits.
        """
        ...


def has_logits(source: ActivationSource) -> bool:
    """Whether there is a model with an output head, so that `final_hidden` and `splice` work."""
    return source.model is not None and source.model.has_logits


def slices(names: Sequence[object], widths: Sequence[int]) -> dict[str, slice]:
    """Where each site's activations stand in the vectors of all sites."""
    ends = np.cumsum(widths).tolist()
    return {
        str(name): slice(end - width, end)
        for name, width, end in zip(names, widths, ends, strict=True)
    }
