"""SAEBench's own core figures, faults included, so that they can be compared on the same tokens."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saeval import metrics
from saeval.evidence import Evidence, Missing, units
from saeval.sae import Codes

from . import saebench_metrics as declared
from .evidence import (
    ALL_LATENTS,
    ColumnRatio,
    harm_of_zeros,
    latent_statistics,
    missing_metrics,
    needed_columns,
    ratio_evidence,
)
from .losses import CLEAN, SPLICED, ZERO, ZERO_ALL
from .row_sums import Statistics
from .site_sums import SiteSums

BATCH_ROWS = 16
"""Rows per batch in SAEBench's canonical run; of a long array, blocks per batch. Three of its
figures depend on it."""
TINY_NORM = 1e-4
"""Below this SAEBench divides by 1 instead of by |x|."""
NO_SUM = "SAEBench's formula is no sum over units"
EVERY_LATENT = "every latent is counted"

_ROWS = (
    ColumnRatio(declared.L0, "l0", "tokens"),
    ColumnRatio(declared.L1, "signed_l1", "tokens"),
    ColumnRatio(declared.L2_NORM_IN, "norm", "tokens"),
    ColumnRatio(declared.L2_NORM_OUT, "norm_hat", "tokens"),
    ColumnRatio(declared.L2_RATIO, "norm_ratio", "tokens"),
    ColumnRatio(declared.COSSIM, "cosine", "tokens"),
    ColumnRatio(declared.EXPLAINED_VARIANCE_LEGACY, "legacy_explained", "tokens"),
)
_BIAS = ColumnRatio(declared.RELATIVE_RECONSTRUCTION_BIAS, "ratio", None)
_VARIANCE = ColumnRatio(declared.EXPLAINED_VARIANCE, "explained", "total", NO_SUM)
_LOSSES = (
    ColumnRatio(declared.CE_LOSS_WITH_SAE, "ce_sae", "ce_positions"),
    ColumnRatio(declared.CE_LOSS_WITHOUT_SAE, "ce_clean", "ce_positions"),
    ColumnRatio(declared.CE_LOSS_WITH_ABLATION, "ce_zero", "ce_positions"),
    ColumnRatio(declared.CE_LOSS_SCORE, "ce_saved_of_zero", "ce_stake_of_zero"),
    ColumnRatio(declared.KL_DIV_WITH_SAE, "kl_sae", "kl_positions"),
    ColumnRatio(declared.KL_DIV_WITH_ABLATION, "kl_zero", "kl_positions"),
    ColumnRatio(declared.KL_DIV_SCORE, "kl_saved_of_zero", "kl_zero"),
)
_LATENTS = (
    ColumnRatio(declared.FRAC_ALIVE, "alive", None, ALL_LATENTS),
    ColumnRatio(declared.FREQ_OVER_1_PERCENT, "over_1_percent", None, ALL_LATENTS),
    ColumnRatio(declared.FREQ_OVER_10_PERCENT, "over_10_percent", None, ALL_LATENTS),
    ColumnRatio(
        declared.NORMALIZED_FREQ_OVER_1_PERCENT,
        "mass_over_1_percent",
        "active_tokens",
        EVERY_LATENT,
    ),
    ColumnRatio(
        declared.NORMALIZED_FREQ_OVER_10_PERCENT,
        "mass_over_10_percent",
        "active_tokens",
        EVERY_LATENT,
    ),
)
_SAEBENCH_METRICS = {
    "average_max_encoder_cosine_sim": declared.AVERAGE_MAX_ENCODER_COSINE_SIM,
    "average_max_decoder_cosine_sim": declared.AVERAGE_MAX_DECODER_COSINE_SIM,
}
"""Metric that SAEBench defines in the same way -> the record under SAEBench's name."""


def batch_of(unit: Int[Tensor, " tokens"], first: int) -> Int[Tensor, " tokens"]:
    """SAEBench's batch of each row or block, counted from the first that serves these figures."""
    return (unit - first).clamp(min=0) // BATCH_ROWS


def batch_means(site: SiteSums, first: int) -> Float[np.ndarray, "batches d_out"]:
    """Mean activation of each batch, from the means of its rows."""
    tokens = site.statistics["tokens"][first:]
    starts = np.arange(0, len(tokens), BATCH_ROWS)
    total = np.add.reduceat(site.means[first:] * tokens[:, None], starts)
    return total / np.maximum(np.add.reduceat(tokens, starts), 1)[:, None]


def rename_to_saebench(figure: Evidence | Missing) -> Evidence | Missing:
    """A figure that SAEBench defines in the same way, under SAEBench's name."""
    return replace(figure, metric=_SAEBENCH_METRICS[figure.metric].name)


def token_statistics(
    y: Float[Tensor, "tokens d_out"],
    y_hat: Float[Tensor, "tokens d_out"],
    codes: Codes,
    batch_mean: Float[Tensor, "tokens d_out"],
) -> dict[str, Float[Tensor, " tokens"]]:
    """What SAEBench averages over tokens, beyond what `core` itself measures."""
    norm, norm_hat = metrics.squared_norm(y).sqrt(), metrics.squared_norm(y_hat).sqrt()
    return {
        "signed_l1": metrics.token_sums(codes, codes.value),
        "norm": norm,
        "norm_hat": norm_hat,
        "norm_ratio": length_ratio(norm, norm_hat),
        "legacy_explained": legacy_explained(y, y_hat, batch_mean),
    }


def length_ratio(
    norm: Float[Tensor, " tokens"], norm_hat: Float[Tensor, " tokens"]
) -> Float[Tensor, " tokens"]:
    """|y_hat| / |y| of each token; |y_hat| alone where |y| is next to nothing."""
    return norm_hat / torch.where(norm < TINY_NORM, 1.0, norm)


def legacy_explained(
    y: Float[Tensor, "tokens d_out"],
    y_hat: Float[Tensor, "tokens d_out"],
    batch_mean: Float[Tensor, "tokens d_out"],
) -> Float[Tensor, " tokens"]:
    """1 - |y - y_hat|^2 / |y - mean of the token's batch|^2, token by token."""
    return 1 - metrics.squared_error(y, y_hat) / metrics.squared_error(y, batch_mean)


def positive_counts(codes: Codes, counted: Bool[Tensor, " tokens"]) -> Int[Tensor, " d_sae"]:
    """On how many of the counted tokens each latent is above 0; negative acts do not count."""
    entries = (codes.value > 0) & counted[codes.token]
    return torch.bincount(codes.index[entries], minlength=codes.d_sae)


def loss_evidence(rows: Statistics) -> Iterator[Evidence | Missing]:
    """CE and KL under SAEBench's names.

    Args:
        rows: Losses of the rows that serve CE and KL, as `own_losses` gives them.
    """
    columns = needed_columns(rows | harm_of_zeros(rows), _LOSSES)
    table = units("saebench_ce_rows", "row", columns, weight=rows["kl_positions"] > 0)
    yield from ratio_evidence(table, _LOSSES)


def missing_losses(reason: str) -> Iterator[Missing]:
    """CE and KL declared absent."""
    yield from missing_metrics(_LOSSES, reason)


def figure_evidence(
    rows: Statistics,
    active: Int[np.ndarray, " d_sae"],
    first: int,
    d_out: int,
    unit: str,
) -> Iterator[Evidence | Missing]:
    """All of SAEBench's figures but the losses and the cosines.

    Args:
        rows: Statistics of every unit.
        active: Tokens from unit `first` on where each latent is above 0.
        first: First unit that serves these figures.
        d_out: Dimensions of the activation.
        unit: What a unit is called.
    """
    figure_rows = {name: sums[first:] for name, sums in rows.items()}
    ids = np.arange(first, first + len(figure_rows["tokens"]))
    columns, weight = needed_columns(figure_rows, _ROWS), figure_rows["tokens"] > 0
    table = units("saebench_rows", unit, columns, unit_id=ids, weight=weight)
    yield from ratio_evidence(table, _ROWS)
    yield from _batch_evidence(figure_rows, d_out)
    latents = latent_statistics(active, int(figure_rows["tokens"].sum()))
    latents["mass_over_1_percent"] = latents["over_1_percent"] * active
    latents["mass_over_10_percent"] = latents["over_10_percent"] * active
    yield from ratio_evidence(units("saebench_latents", "latent", latents), _LATENTS)


def _batch_evidence(rows: Statistics, d_out: int) -> Iterator[Evidence | Missing]:
    """The figures that depend on the batch: each batch's mean counts the same."""
    starts = np.arange(0, len(rows["tokens"]), BATCH_ROWS)
    sums = {
        name: np.add.reduceat(rows[name], starts)
        for name in ("tokens", "sq_err", "sq_norm", "sq_norm_hat", "dot")
    }
    sums = {name: column[sums["tokens"] > 0] for name, column in sums.items()}
    if (sums["dot"] == 0).any():
        yield from missing_metrics(
            [_BIAS],
            "Undefined: in some batch the reconstruction does not point along the activations.",
        )
    else:
        ratio = bias_of_batches(sums["sq_norm_hat"], sums["dot"])
        columns = {"ratio": ratio, "tokens": sums["tokens"]}
        table = units("saebench_batches", "batch of tokens", columns)
        yield from ratio_evidence(table, [_BIAS])
    total = variance_about_squares(float(np.mean(sums["sq_norm"] / sums["tokens"])), d_out)
    error = float(np.mean(sums["sq_err"] / sums["tokens"]))
    batches = [len(sums["tokens"])]
    statistics = {"explained": [total - error], "total": [total], "batches": batches}
    table = units("saebench_variance", "run of batches", statistics)
    yield from ratio_evidence(table, [_VARIANCE])


def bias_of_batches(
    sq_norm_hat: Float[np.ndarray, " batches"], dot: Float[np.ndarray, " batches"]
) -> Float[np.ndarray, " batches"]:
    """Sum of |y_hat|^2 over the sum of y.y_hat, batch by batch; no dot product may be 0."""
    return sq_norm_hat / dot


def variance_about_squares(mean_square: float, d_out: int) -> float:
    """What SAEBench takes for the variance of y, from the mean of |y|^2.

    It uses the mean of squares where the mean of y belongs, so that the square of the mean becomes
    (mean_square / d_out)^2. This fault is kept, so that the figure agrees with SAEBench's.
    """
    return mean_square - (mean_square / d_out) ** 2


def own_losses(losses: Statistics) -> Statistics:
    """Losses as SAEBench takes them, under the names of the plain ones.

    Zero ablation means every position, special tokens too, and a special token that follows a
    counted one is predicted like any other.
    """
    return losses | {
        CLEAN.ce: losses[CLEAN.ce_followed],
        SPLICED.ce: losses[SPLICED.ce_followed],
        ZERO.ce: losses[ZERO_ALL.ce_followed],
        ZERO.kl: losses[ZERO_ALL.kl],
        "ce_positions": losses["ce_positions_followed"],
    }
