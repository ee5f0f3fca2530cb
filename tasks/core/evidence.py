"""The evidence of `core`: which two columns of sums over tokens each metric is the ratio of."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from saeval import metrics
from saeval.evidence import Evidence, Metric, Missing, Units, units

from . import metrics as declared
from .row_sums import Statistics

WEIGHTS_ONLY = "it is a constant of the weights, with nothing sampled"
ALL_LATENTS = "every latent is counted; what varies is how many tokens were seen"
Anchors = Mapping[Metric, tuple[float, float | None]]
"""Floor and ceiling of metrics for which the data set them."""


@dataclass(frozen=True)
class Ratio:
    """A metric that is sum(num) / sum(den) over the units of a table."""

    metric: Metric
    num: str
    """Statistic column."""
    den: str | None
    """Statistic column; None counts the units."""
    no_interval: str | None = None


RECONSTRUCTION = (
    Ratio(declared.L0, "l0", "tokens"),
    Ratio(declared.L1, "l1", "tokens"),
    Ratio(declared.FVU, "sq_err", "sq_dev"),
    Ratio(declared.EXPLAINED_VARIANCE, "explained", "sq_dev"),
    Ratio(declared.MSE, "sq_err", "values"),
    Ratio(declared.COSINE_SIMILARITY, "cosine", "directed"),
    Ratio(declared.L2_RATIO, "l2_ratio", "directed"),
    Ratio(declared.RELATIVE_RECONSTRUCTION_BIAS, "sq_norm_hat", "dot"),
)
"""Over the table `rows`."""

LOSSES = (
    Ratio(declared.CE_LOSS_WITH_SAE, "ce_sae", "ce_positions"),
    Ratio(declared.CE_LOSS_WITHOUT_SAE, "ce_clean", "ce_positions"),
    Ratio(declared.CE_LOSS_WITH_ABLATION, "ce_zero", "ce_positions"),
    Ratio(declared.CE_LOSS_WITH_MEAN_ABLATION, "ce_mean", "ce_positions"),
    Ratio(declared.CE_LOSS_SCORE, "ce_saved_of_zero", "ce_stake_of_zero"),
    Ratio(declared.CE_LOSS_SCORE_MEAN_ABLATION, "ce_saved_of_mean", "ce_stake_of_mean"),
    Ratio(declared.KL_DIV_WITH_SAE, "kl_sae", "kl_positions"),
    Ratio(declared.KL_DIV_WITH_ABLATION, "kl_zero", "kl_positions"),
    Ratio(declared.KL_DIV_WITH_MEAN_ABLATION, "kl_mean", "kl_positions"),
    Ratio(declared.KL_DIV_SCORE, "kl_saved_of_zero", "kl_zero"),
    Ratio(declared.KL_DIV_SCORE_MEAN_ABLATION, "kl_saved_of_mean", "kl_mean"),
)
"""Over the table `ce_rows`."""

DENSITIES = (
    Ratio(declared.FRAC_ALIVE, "alive", None, ALL_LATENTS),
    Ratio(declared.FREQ_OVER_1_PERCENT, "over_1_percent", None, ALL_LATENTS),
    Ratio(declared.FREQ_OVER_10_PERCENT, "over_10_percent", None, ALL_LATENTS),
)
"""Over the table `latents`."""


def evidence(
    table: Units, ratios: Iterable[Ratio], anchors: Anchors | None = None
) -> Iterator[Evidence | Missing]:
    """Evidence of each ratio over a table; Missing where its denominator is not above 0."""
    for ratio in ratios:
        metric = ratio.metric
        if ratio.den and not _total(table, ratio.den) > 0:
            yield metric.missing(f"Undefined: {metric.undefined or 'nothing was counted'}.")
            continue
        columns = {"num": ratio.num} | ({"den": ratio.den} if ratio.den else {})
        floor, ceiling = (anchors or {}).get(metric, (None, None))
        yield metric.evidence(
            table, columns, floor=floor, ceiling=ceiling, no_interval=ratio.no_interval
        )


def _total(table: Units, column: str) -> float:
    rows = table.rows(None)
    return float(table.column(column, rows) @ table.column("weight", rows))


def missing(ratios: Iterable[Ratio], reason: str) -> Iterator[Missing]:
    """Each metric declared absent for one reason."""
    for ratio in ratios:
        yield ratio.metric.missing(reason)


def reconstruction(rows: Statistics, unit: str) -> Iterator[Evidence | Missing]:
    """Metrics of reconstruction and sparsity over the units."""
    columns = rows | {"explained": metrics.explained(rows["sq_dev"], rows["sq_err"])}
    table = units("rows", unit, used(columns, RECONSTRUCTION), weight=rows["tokens"] > 0)
    variance = float(rows["sq_dev"].sum() / rows["values"].sum())
    yield from evidence(table, RECONSTRUCTION, {declared.MSE: (variance, None)})


def losses(rows: Statistics, unit: str) -> Iterator[Evidence | Missing]:
    """Metrics of the model's predictions over the rows that were spliced."""
    columns = rows | harm_of_zeros(rows) | harm_of_mean(rows)
    table = units("ce_rows", unit, used(columns, LOSSES), weight=rows["kl_positions"] > 0)
    ce_positions, kl_positions = rows["ce_positions"].sum(), rows["kl_positions"].sum()
    if not (ce_positions and kl_positions):
        yield from missing(LOSSES, "No counted token of these rows has another one after it.")
        return
    ce_zero = float(rows["ce_zero"].sum() / ce_positions)
    ce_clean = float(rows["ce_clean"].sum() / ce_positions)
    kl_zero = float(rows["kl_zero"].sum() / kl_positions)
    anchors = {
        declared.CE_LOSS_WITH_SAE: (ce_zero, ce_clean),
        declared.KL_DIV_WITH_SAE: (kl_zero, None),
    }
    yield from evidence(table, LOSSES, anchors)


def harm_of_zeros(rows: Statistics) -> Statistics:
    """What the SAE saves of the harm that zero ablation does, and how much was at stake."""
    return {
        "ce_saved_of_zero": metrics.harm_avoided(rows["ce_zero"], rows["ce_sae"]),
        "ce_stake_of_zero": metrics.harm_at_stake(rows["ce_zero"], rows["ce_clean"]),
        "kl_saved_of_zero": metrics.harm_avoided(rows["kl_zero"], rows["kl_sae"]),
    }


def harm_of_mean(rows: Statistics) -> Statistics:
    """The same of mean ablation."""
    return {
        "ce_saved_of_mean": metrics.harm_avoided(rows["ce_mean"], rows["ce_sae"]),
        "ce_stake_of_mean": metrics.harm_at_stake(rows["ce_mean"], rows["ce_clean"]),
        "kl_saved_of_mean": metrics.harm_avoided(rows["kl_mean"], rows["kl_sae"]),
    }


def used(columns: Statistics, ratios: Iterable[Ratio]) -> Statistics:
    """The columns that some ratio needs, in their order there."""
    names = [name for ratio in ratios for name in (ratio.num, ratio.den) if name]
    return {name: columns[name] for name in dict.fromkeys(names)}


def latent_statistics(active: Int[np.ndarray, " d_sae"], tokens: int) -> Statistics:
    """On how many tokens each latent is active, and whether that is any, over 1 % or over 10 %."""
    return {
        "active_tokens": active.astype(np.float64),
        "alive": metrics.is_alive(active).astype(np.float64),
        "over_1_percent": metrics.is_denser(active, tokens, 0.01).astype(np.float64),
        "over_10_percent": metrics.is_denser(active, tokens, 0.1).astype(np.float64),
    }


def densities(active: Int[np.ndarray, " d_sae"], tokens: int) -> Iterator[Evidence | Missing]:
    """How often latents are active: alive and dense ones, and all by bin."""
    statistics = latent_statistics(active, tokens)
    yield from evidence(units("latents", "latent", statistics), DENSITIES)
    yield from _histogram(active, tokens)


def _histogram(active: Int[np.ndarray, " d_sae"], tokens: int) -> Iterator[Evidence]:
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
