"""What tasks see of a model, or of stored activations: `ActivationSource` and its batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from saeval.activations.rows import TokenRows
from saeval.models import LoadedModel
from saeval.sae import SAE, Codes, Site


@dataclass(frozen=True, eq=False)
class Batch:
    """Activations of some consecutive rows, in float32, 0 at padding."""

    rows: slice
    """Which rows of the `TokenRows` these are."""
    x: Float[Tensor, "texts seq d_in"]
    """At the read site: what an SAE encodes."""
    y: Float[Tensor, "texts seq d_out"]
    """At the write site: what it should reconstruct. The same tensor as x for most SAEs."""
    mask: Bool[Tensor, "texts seq"]
    """The tokens that count. Special tokens have activations but do not count."""
    shift: Float[Tensor, "texts seq 1"] | None = None
    """What centring took from y, for `splice` to add back."""
    resume: Float[Tensor, "texts seq d_model"] | None = None
    """Input of the block that `splice` starts with, where it is not stored."""

    @property
    def x_tokens(self) -> Float[Tensor, "tokens d_in"]:
        """Inputs of the counted tokens, row by row."""
        return self.x[self.mask]

    @property
    def y_tokens(self) -> Float[Tensor, "tokens d_out"]:
        """Targets of the counted tokens, row by row."""
        return self.y[self.mask]

    @property
    def row_of_token(self) -> Int[Tensor, " tokens"]:
        """Row, counted from the first of all rows, of each counted token."""
        return self.mask.nonzero()[:, 0] + self.rows.start


@runtime_checkable
class ActivationSource(Protocol):
    """Activations of texts at one site (or two, for transcoders), computed once and shared.

    Results do not depend on the batch size but for rounding.
    """

    @property
    def identity(self) -> str:
        """sha256 of all that decides the activations, texts aside."""
        ...

    @property
    def name(self) -> str:
        """What the source is called in messages."""
        ...

    @property
    def model(self) -> LoadedModel | None:
        """The model, or None for stored activations."""
        ...

    @property
    def site(self) -> Site | None:
        """Where an SAE reads."""
        ...

    @property
    def write_site(self) -> Site | None:
        """What it reconstructs: the read site but for transcoders."""
        ...

    @property
    def d_in(self) -> int:
        """Width at the read site."""
        ...

    @property
    def d_out(self) -> int:
        """Width at the write site."""
        ...

    @property
    def has_logits(self) -> bool:
        """Whether `final_hidden` and `splice` work."""
        ...

    @property
    def context(self) -> int:
        """Most tokens a row may have."""
        ...

    @property
    def stored_rows(self) -> TokenRows | None:
        """All rows of stored activations (one vector a row); None where texts can be read."""
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
            name: What to call them in messages.
            context: Most tokens a row; None: as many as the model takes.
            overflow: For longer texts: `error`, `truncate`, or `pack` (all texts joined, with
                BOS between them, and cut into rows of exactly `context`).
            prepend_bos: Whether rows begin with BOS; None: yes if the model has one.

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

    def batches(self, rows: TokenRows) -> Iterator[Batch]:
        """Activations of the rows, in order."""
        ...

    def codes(self, sae: SAE, rows: TokenRows) -> Iterator[tuple[Batch, Codes]]:
        """Codes of the counted tokens, batch by batch; encoded once while this SAE is scored."""
        ...

    def activations(self, rows: TokenRows) -> Float[np.ndarray, "tokens d_in"]:
        """Activations of all counted tokens, row by row, in float32."""
        ...

    def acts(self, sae: SAE, rows: TokenRows) -> csr_matrix:
        """Latents [tokens, d_sae] of all counted tokens, row by row."""
        ...

    def pooled(self, sae: SAE, rows: TokenRows, how: str = "mean") -> csr_matrix:
        """Latents [texts, d_sae] pooled over each row's counted tokens: `mean` or `max`.

        A row without counted tokens is 0.
        """
        ...

    def pooled_x(self, rows: TokenRows, how: str = "mean") -> Float[np.ndarray, "texts d_in"]:
        """Activations pooled over each row's counted tokens: `mean` or `max`."""
        ...

    def at(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"]
    ) -> Float[np.ndarray, "texts d_in"]:
        """Activation at one position of each row.

        Raises:
            DataError: if a position is padding or outside its row.
        """
        ...

    def codes_at(
        self, sae: SAE, rows: TokenRows, positions: Int[np.ndarray, " texts"]
    ) -> csr_matrix:
        """Latents [texts, d_sae] at one position of each row."""
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
        """What the output head reads once y_new takes the place of `batch.y`.

        Values at padding do not matter. Gradients flow to y_new where it asks for them.

        Raises:
            NotApplicable: if the source has no logits.
        """
        ...

    def release(self, sae: SAE) -> None:
        """Forget the codes of an SAE."""
        ...
