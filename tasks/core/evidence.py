"""The evidence of `core`: each metric is the ratio of two columns of sums over tokens."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from saeval import metrics
from saeval.evidence import Evidence, Metric, Missing, Units, units

from . import metrics as declared
from .row_sums import Statistics

WEIGHTS_ONLY = "it is a constant of the weights, with nothing sampled"
ALL_LATENTS = "every latent is counted; what varies is how many tokens were seen"


@dataclass(frozen=True)
class ColumnRatio:
    """A metric that is sum(num) / sum(den) over the units of a table."""

    metric: Metric
    num: str
    """Statistic column."""
    den: str | None
    """Statistic column; None counts the units."""
    no_interval: str | None = None


RECONSTRUCTION = (
    ColumnRatio(declared.L0, "l0", "tokens"),
    ColumnRatio(declared.L1, "l1", "tokens"),
    ColumnRatio(declared.FVU, "sq_err", "sq_dev"),
    ColumnRatio(declared.EXPLAINED_VARIANCE, "explained", "sq_dev"),
    ColumnRatio(declared.MSE, "sq_err", "values"),
    ColumnRatio(declared.COSINE_SIMILARITY, "cosine", "directed"),
    ColumnRatio(declared.L2_RATIO, "l2_ratio", "directed"),
    ColumnRatio(declared.RELATIVE_RECONSTRUCTION_BIAS, "sq_norm_hat", "dot"),
)
"""Over the table `rows`."""

LOSSES = (
    ColumnRatio(declared.CE_LOSS_WITH_SAE, "ce_sae", "ce_positions"),
    ColumnRatio(declared.CE_LOSS_WITHOUT_SAE, "ce_clean", "ce_positions"),
    ColumnRatio(declared.CE_LOSS_WITH_ABLATION, "ce_zero", "ce_positions"),
    ColumnRatio(declared.CE_LOSS_WITH_MEAN_ABLATION, "ce_mean", "ce_positions"),
    ColumnRatio(declared.CE_LOSS_SCORE, "ce_saved_of_zero", "ce_stake_of_zero"),
    ColumnRatio(declared.CE_LOSS_SCORE_MEAN_ABLATION, "ce_saved_of_mean", "ce_stake_of_mean"),
    ColumnRatio(declared.KL_DIV_WITH_SAE, "kl_sae", "kl_positions"),
    ColumnRatio(declared.KL_DIV_WITH_ABLATION, "kl_zero", "kl_positions"),
    ColumnRatio(declared.KL_DIV_WITH_MEAN_ABLATION, "kl_mean", "kl_positions"),
    ColumnRatio(declared.KL_DIV_SCORE, "kl_saved_of_zero", "kl_zero"),
    ColumnRatio(declared.KL_DIV_SCORE_MEAN_ABLATION, "kl_saved_of_mean", "kl_mean"),
)
"""Over the table `ce_rows`."""

DENSITIES = (
    ColumnRatio(declared.FRAC_ALIVE, "alive", None, ALL_LATENTS),
    ColumnRatio(declared.FREQ_OVER_1_PERCENT, "over_1_percent", None, ALL_LATENTS),
    ColumnRatio(declared.FREQ_OVER_10_PERCENT, "over_10_percent", None, ALL_LATENTS),
)
"""Over the table `latents`."""


def ratio_evidence(table: Units, ratios: Iterable[ColumnRatio]) -> Iterator[Evidence | Missing]:
    """Evidence of each ratio over a table; Missing where its denominator is not above 0."""
    for ratio in ratios:
        metric = ratio.metric
        if ratio.den and not _weighted_sum(table, ratio.den) > 0:
            yield metric.missing(f"Undefined: {metric.undefined or 'nothing was counted'}.")
            continue
        columns = {"num": ratio.num} | ({"den": ratio.den} if ratio.den else {})
        yield metric.evidence(table, columns, no_interval=ratio.no_interval)


def _weighted_sum(table: Units, column: str) -> float:
    rows = table.rows(None)
    return float(table.column(column, rows) @ table.column("weight", rows))


def missing_metrics(ratios: Iterable[ColumnRatio], reason: str) -> Iterator[Missing]:
    """Each metric declared absent for one reason."""
    for ratio in ratios:
        yield ratio.metric.missing(reason)


def reconstruction_evidence(rows: Statistics, unit: str) -> Iterator[Evidence | Missing]:
    """Metrics of reconstruction and sparsity over the units."""
    columns = rows | {"explained": metrics.explained(rows["sq_dev"], rows["sq_err"])}
    table = units("rows", unit, needed_columns(columns, RECONSTRUCTION), weight=rows["tokens"] > 0)
    yield from ratio_evidence(table, RECONSTRUCTION)


def loss_evidence(
    rows: Statistics, unit: str, numbers: Int[np.ndarray, " rows"] | None = None
) -> Iterator[Evidence | Missing]:
    """Metrics of the model's predictions over the rows that were spliced.

    Args:
        rows: Statistics of these rows.
        unit: What a row is called.
        numbers: Place of each among all rows that were read, which names it; None: counted from 0.
    """
    columns = needed_columns(rows | harm_of_zeros(rows) | harm_of_mean(rows), LOSSES)
    table = units("ce_rows", unit, columns, unit_id=numbers, weight=rows["kl_positions"] > 0)
    if not (rows["ce_positions"].sum() and rows["kl_positions"].sum()):
        yield from missing_metrics(
            LOSSES, "No token of these rows that counts has another that counts after it."
        )
        return
    yield from ratio_evidence(table, LOSSES)


def harm_of_zeros(rows: Statistics) -> Statistics:
    """How much of the harm of zero ablation the SAE avoids, and how much was at stake."""
    return {
        "ce_saved_of_zero": metrics.harm_avoided(rows["ce_zero"], rows["ce_sae"]),
        "ce_stake_of_zero": metrics.harm_at_stake(rows["ce_zero"], rows["ce_clean"]),
        "kl_saved_of_zero": metrics.harm_avoided(rows["kl_zero"], rows["kl_sae"]),
    }


def harm_of_mean(rows: Statistics) -> Statistics:
    """How much of the harm of mean ablation the SAE avoids, and how much was at stake."""
    return {
        "ce_saved_of_mean": metrics.harm_avoided(rows["ce_mean"], rows["ce_sae"]),
        "ce_stake_of_mean": metrics.harm_at_stake(rows["ce_mean"], rows["ce_clean"]),
        "kl_saved_of_mean": metrics.harm_avoided(rows["kl_mean"], rows["kl_sae"]),
    }


def needed_columns(columns: Statistics, ratios: Iterable[ColumnRatio]) -> Statistics:
    """The columns that some ratio needs, in their order there."""
    names = [name for ratio in ratios for name in (ratio.num, ratio.den) if name]
    return {name: columns[name] for name in dict.fromkeys(names)}


def latent_statistics(active: Int[np.ndarray, " d_sae"], tokens: int) -> Statistics:
    """Tokens on which each latent is active; and whether these are any, over 1 %, or over 10 %."""
    return {
        "active_tokens": active.astype(np.float64),
        "alive": metrics.is_alive(active).astype(np.float64),
        "over_1_percent": metrics.is_denser(active, tokens, 0.01).astype(np.float64),
        "over_10_percent": metrics.is_denser(active, tokens, 0.1).astype(np.float64),
    }


def density_evidence(
    active: Int[np.ndarray, " d_sae"], tokens: int
) -> Iterator[Evidence | Missing]:
    """How often latents are active: shares of alive and of dense ones, and a histogram."""
    statistics = latent_statistics(active, tokens)
    yield from ratio_evidence(units("latents", "latent", statistics), DENSITIES)
    yield from _histogram_evidence(active, tokens)


def _histogram_evidence(active: Int[np.ndarray, " d_sae"], tokens: int) -> Iterator[Evidence]:
    """Share of latents in each bin of density; the bin is the part."""
    counts = metrics.density_histogram(active, tokens)
    table = units(
        "density_bins",
        "bin",
        {"latents": list(counts.values()), "of": [len(active)] * len(counts)},
        part=list(counts),
    )
    for name in counts:
        yield declared.DENSITY_HISTOGRAM.evidence(
            table, {"num": "latents", "den": "of"}, part=name, no_interval=ALL_LATENTS
        )
