"""The cost of edits at a site, position by position: CE, and KL from the clean model."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saeval import metrics
from saeval.activations import Batch, TokenRows, predictions
from saeval.models import LoadedModel

from .row_sums import RowSums


@dataclass(frozen=True)
class Positions:
    """Where a batch's predictions are judged: at every counted token."""

    mask: Bool[Tensor, "texts seq"]
    """The counted tokens. KL is taken at each."""
    row: Int[Tensor, " positions"]
    """Absolute row of each."""
    target: Int[Tensor, " positions"]
    """The token that follows each."""
    has_target: Bool[Tensor, " positions"]
    """Whether a token follows that counts. CE is taken at these positions."""
    is_followed: Bool[Tensor, " positions"]
    """Whether any token follows, special ones too. SAEBench takes CE at these positions."""


def positions(rows: TokenRows, batch: Batch) -> Positions:
    """The positions of one batch of rows."""
    mask, judged = batch.mask, predictions(rows, batch)
    return Positions(
        mask,
        batch.row_of_token,
        judged.target[mask],
        judged.counts[mask],
        judged.is_followed[mask],
    )


@dataclass(frozen=True)
class Edit:
    """One edit at the site, with the names of the columns for its two losses."""

    ce: str
    """Cross-entropy where a counted token follows, in nats."""
    kl: str
    """KL divergence from the clean model, in nats."""

    @property
    def ce_followed(self) -> str:
        """Cross-entropy where any token follows, special ones too, in nats."""
        return f"{self.ce}_followed"


CLEAN = Edit("ce_clean", "kl_clean")
"""Nothing edited."""
SPLICED = Edit("ce_sae", "kl_sae")
"""The reconstruction in place of the counted tokens."""
ZERO = Edit("ce_zero", "kl_zero")
"""Zeros in place of the counted tokens."""
MEAN = Edit("ce_mean", "kl_mean")
"""The mean activation in place of the counted tokens."""
ZERO_ALL = Edit("ce_zero_all", "kl_zero_all")
"""Zeros in place of all tokens, special ones too."""


def add_losses(
    sums: RowSums,
    judged: Positions,
    model: LoadedModel,
    clean: Float[Tensor, "texts seq d_model"],
    edited: Mapping[Edit, Float[Tensor, "texts seq d_model"]],
) -> None:
    """Add the losses of each edit, and the number of positions of each kind.

    Args:
        sums: The sums that grow; CE counts 0 where no token follows that counts.
        judged: The positions of these rows.
        model: Its output head turns final hidden states into logits.
        clean: Final hidden states of the untouched model.
        edited: Final hidden states under each edit.
    """
    sums.add(
        judged.row,
        ce_positions=judged.has_target,
        ce_positions_followed=judged.is_followed,
        kl_positions=torch.ones_like(judged.row),
    )
    hidden = {edit: states[judged.mask] for edit, states in edited.items()}
    clean = clean[judged.mask]
    # Filled in place: small tensors kept from every chunk would pin the memory between them.
    losses = {edit: clean.new_empty(2, len(clean), dtype=torch.float32) for edit in hidden}
    step = metrics.logit_chunk(model.vocab_size, model.device)
    for low in range(0, len(clean), step):
        chunk = slice(low, low + step)
        p = model.logits(clean[chunk])
        for edit, states in hidden.items():
            q = model.logits(states[chunk])
            ce, kl = metrics.losses_in_place(p.clone(), q, judged.target[chunk])
            losses[edit][0, chunk], losses[edit][1, chunk] = ce, kl
    for edit, (ce, kl) in losses.items():
        sums.add(
            judged.row,
            **{
                edit.ce: ce * judged.has_target,
                edit.ce_followed: ce * judged.is_followed,
                edit.kl: kl,
            },
        )
