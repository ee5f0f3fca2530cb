"""The passes over the rows: one for the model's own losses, and one per SAE for all it does."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saeval import metrics
from saeval.activations import ActivationSource, Batch, TokenRows, read_codes, slices
from saeval.errors import NotApplicable
from saeval.models import LoadedModel
from saeval.sae import SAE, Codes, decode_codes
from saeval.task import Prepared

from . import saebench
from .losses import CLEAN, MEAN, SPLICED, ZERO, ZERO_ALL, add_losses, positions
from .row_sums import RowSums, Statistics


@dataclass(frozen=True)
class RowPlan:
    """Which rows serve which figures. It is fixed before any SAE is scored."""

    rows: TokenRows
    rows_per_unit: int
    """More than 1 only where there are no predictions."""
    ce_rows: int
    """Rows, from the first, whose predictions are judged; 0 without a model."""
    saebench: bool = False
    """Whether SAEBench's figures are computed too."""
    saebench_loss_rows: int = 0
    """Rows, from the first, that serve SAEBench's CE and KL; the rows after them serve its other
    figures. 0 without a model, or without SAEBench's figures."""

    @property
    def units(self) -> int:
        """How many units the rows form."""
        return -(-len(self.rows) // self.rows_per_unit)

    @property
    def n_spliced(self) -> int:
        """How many rows, from the first, SAEs are spliced into."""
        return max(self.ce_rows, self.saebench_loss_rows)

    @property
    def spliced(self) -> TokenRows:
        """The rows that SAEs are spliced into.

        They are apart from the others, since only these need the layers after the site. The two
        together are all rows, so that each passes the model once.
        """
        return self.rows.take(slice(0, self.n_spliced))

    @property
    def unspliced(self) -> TokenRows:
        """The other rows."""
        return self.rows.take(slice(self.n_spliced, None))


def plan_of(prepared: Prepared) -> RowPlan:
    """The plan, from the facts that `Core.prepare` gave."""
    rows, facts = prepared.required_rows, prepared.facts
    return RowPlan(
        rows,
        facts["rows_a_unit"],
        facts["ce_rows"],
        saebench=facts["saebench"],
        saebench_loss_rows=facts["saebench_loss_rows"],
    )


@dataclass(frozen=True)
class Measurement:
    """The statistics of one SAE on the rows."""

    rows: Statistics
    """By unit."""
    losses: Statistics
    """CE and KL of each spliced row, with the number of positions of each; empty if none is."""
    active: Int[np.ndarray, " d_sae"]
    """Tokens on which each latent is not 0."""
    positive: Int[np.ndarray, " d_sae"]
    """Tokens of SAEBench's rows on which each latent is above 0."""
    site_errors: Statistics
    """Squared errors by unit at each write site, where there are several."""


def counted_activations(
    source: ActivationSource, plan: RowPlan
) -> Iterator[tuple[Int[Tensor, " tokens"], Float[Tensor, "tokens d_out"]]]:
    """Unit and target activation of every counted token, batch by batch."""
    for rows, start in ((plan.spliced, 0), (plan.unspliced, plan.n_spliced)):
        for batch in source.batches(rows):
            yield (batch.row_of_token + start) // plan.rows_per_unit, batch.y_tokens


def measure_model(
    source: ActivationSource, plan: RowPlan, mean: Float[Tensor, " d_out"]
) -> Statistics:
    """Losses of the clean and the ablated model in each row that SAEs are spliced into.

    `ZERO` and `MEAN` ablate the counted tokens, which are those an SAE replaces; `ZERO_ALL`, as
    in SAEBench, ablates special tokens too. Each is measured on the rows that it serves. There
    must be at least one such row.

    Raises:
        NotApplicable: if the source has no model.
    """
    rows = plan.spliced
    sums = RowSums(len(rows))
    for batch, clean in zip(source.batches(rows), source.final_hidden(rows), strict=True):
        zeros = torch.zeros_like(batch.y)
        edited = {CLEAN: clean}
        if batch.rows.start < plan.ce_rows:
            zero, average = (
                replace_counted(batch, zeros[batch.mask]),
                replace_counted(batch, mean.to(zeros)),
            )
            edited[ZERO] = source.splice(rows, batch, zero)
            edited[MEAN] = source.splice(rows, batch, average)
        if batch.rows.start < plan.saebench_loss_rows:
            edited[ZERO_ALL] = source.splice(rows, batch, zeros)
        add_losses(sums, positions(rows, batch), _model_of(source), clean, edited)
    return sums.statistics()


class SAETotals:
    """The sums and counts of one SAE, which grow batch by batch."""

    def __init__(
        self,
        sae: SAE,
        plan: RowPlan,
        batch_means: Float[Tensor, "batches d_out"],
        slice_by_site: Mapping[str, slice],
    ) -> None:
        self.sae, self.plan, self.batch_means, self.slice_by_site = (
            sae,
            plan,
            batch_means,
            slice_by_site,
        )
        self.rows, self.sites = RowSums(plan.units), RowSums(plan.units)
        self.active = torch.zeros(sae.d_sae, dtype=torch.int64)
        self.positive = torch.zeros_like(self.active)

    def add(self, batch: Batch, codes: Codes, start: int) -> Float[Tensor, "tokens d_out"]:
        """Count one batch, whose rows are numbered from `start`; returns its reconstruction."""
        y, row = batch.y_tokens, batch.row_of_token + start
        x = y if batch.x is batch.y else batch.x_tokens
        y_hat = decode_codes(self.sae, codes, x.to(self.sae.W_dec.device)).to(y)
        unit = row // self.plan.rows_per_unit
        self.rows.add(unit, **token_statistics(y, y_hat, codes))
        for site, columns in self.slice_by_site.items():
            self.sites.add(unit, **{site: metrics.squared_error(y[:, columns], y_hat[:, columns])})
        self.active += metrics.active_counts(codes).cpu()
        if self.plan.saebench:
            first_row = self.plan.saebench_loss_rows
            mean = self.batch_means.to(y)[saebench.batch_of(unit, first_row)]
            self.rows.add(unit, **saebench.token_statistics(y, y_hat, codes, mean))
            self.positive += saebench.positive_counts(codes, row >= first_row).cpu()
        return y_hat


def measure(
    sae: SAE, source: ActivationSource, plan: RowPlan, batch_means: Float[Tensor, "batches d_out"]
) -> Measurement:
    """One pass over the rows: codes and reconstructions, and splices on the rows that need them.

    Args:
        sae: The SAE.
        source: Activations, and the model that made them.
        plan: Which rows serve what.
        batch_means: Mean activation of each of SAEBench's batches; none without its figures.
    """
    write_sites = source.sites.write
    slice_by_site = slices(write_sites, source.widths.write) if len(write_sites) > 1 else {}
    totals, losses = SAETotals(sae, plan, batch_means, slice_by_site), RowSums(plan.n_spliced)
    rows = plan.spliced
    hidden = source.final_hidden(rows) if len(rows) else ()
    for (batch, codes), clean in zip(read_codes(source, sae, rows), hidden, strict=True):
        edited_y = replace_counted(batch, totals.add(batch, codes, 0))
        edited = {SPLICED: source.splice(rows, batch, edited_y)}
        add_losses(losses, positions(rows, batch), _model_of(source), clean, edited)
    for batch, codes in read_codes(source, sae, plan.unspliced):
        totals.add(batch, codes, plan.n_spliced)
    return Measurement(
        totals.rows.statistics(),
        losses.statistics(),
        totals.active.numpy(),
        totals.positive.numpy(),
        totals.sites.statistics(),
    )


def token_statistics(
    y: Float[Tensor, "tokens d_out"], y_hat: Float[Tensor, "tokens d_out"], codes: Codes
) -> dict[str, Tensor]:
    """What every metric of reconstruction and sparsity adds up, token by token."""
    return {
        "l0": metrics.token_l0(codes),
        "l1": metrics.token_l1(codes),
        "sq_err": metrics.squared_error(y, y_hat),
        "sq_norm_hat": metrics.squared_norm(y_hat),
        "dot": metrics.token_dot(y, y_hat),
        "cosine": metrics.token_cosines(y, y_hat),
        "l2_ratio": metrics.token_l2_ratios(y, y_hat),
    }


def replace_counted(
    batch: Batch, value: Float[Tensor, "*tokens d_out"]
) -> Float[Tensor, "texts seq d_out"]:
    """The target with its counted tokens replaced, by one vector each or one for all."""
    new = batch.y.clone()
    new[batch.mask] = value
    return new


def _model_of(source: ActivationSource) -> LoadedModel:
    if source.model is None:
        raise NotApplicable(f"{source.name} has no model, so there are no predictions to judge.")
    return source.model
