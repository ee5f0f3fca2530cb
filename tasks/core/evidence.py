"""Which metrics `core` reports: the columns each is the ratio of, its unit, direction, anchors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Int

from saeval import metrics
from saeval.evidence import Evidence, Missing, Units, units

from .row_sums import Statistics

WEIGHTS_ONLY = "it is a constant of the weights, with nothing sampled"
ALL_LATENTS = "every latent is counted; what varies is how many tokens were seen"


@dataclass(frozen=True)
class Ratio:
    """A metric that is sum(num) / sum(den) over the units of a table."""

    metric: str
    num: str
    """Statistic column."""
    den: str | None
    """Statistic column; None counts the units."""
    unit: str
    better: Literal["higher", "lower", "none"] = "none"
    floor: float | None = None
    ceiling: float | None = None
    undefined: str = "nothing was counted"
    """What it means where sum(den) is not above 0."""
    no_interval: str | None = None


def evidence(table: Units, ratios: Iterable[Ratio]) -> Iterator[Evidence | Missing]:
    """Evidence of each ratio over a table; Missing where its denominator is not above 0."""
    for ratio in ratios:
        if ratio.den and not _total(table, ratio.den) > 0:
            reason = f"Undefined: {ratio.undefined}."
            yield Missing(ratio.metric, reason, unit=ratio.unit, better=ratio.better)
            continue
        columns = {"num": ratio.num} | ({"den": ratio.den} if ratio.den else {})
        yield Evidence(
            ratio.metric,
            table,
            columns,
            unit=ratio.unit,
            better=ratio.better,
            floor=ratio.floor,
            ceiling=ratio.ceiling,
            no_interval=ratio.no_interval,
        )


def _total(table: Units, column: str) -> float:
    rows = table.rows(None)
    return float(table.column(column, rows) @ table.column("weight", rows))


def missing(ratios: Iterable[Ratio], reason: str) -> Iterator[Missing]:
    """Each metric declared absent for one reason."""
    for ratio in ratios:
        yield Missing(ratio.metric, reason, unit=ratio.unit, better=ratio.better)


RECONSTRUCTION = (
    Ratio("l0", "l0", "tokens", "latents per token"),
    Ratio("l1", "l1", "tokens", "summed |acts| per token"),
    Ratio(
        "fvu", "sq_err", "sq_dev", "fraction", "lower", floor=1, ceiling=0,
        undefined="all activations are equal",
    ),
    Ratio(
        "explained_variance", "explained", "sq_dev", "fraction", "higher", floor=0, ceiling=1,
        undefined="all activations are equal",
    ),
    Ratio("mse", "sq_err", "values", "squared activation per dimension", "lower", ceiling=0),
    Ratio(
        "cosine_similarity", "cosine", "directed", "cosine", "higher", ceiling=1,
        undefined="all activations are zero",
    ),
    Ratio("l2_ratio", "l2_ratio", "directed", "ratio", undefined="all activations are zero"),
    Ratio(
        "relative_reconstruction_bias", "sq_norm_hat", "dot", "ratio",
        undefined="the reconstruction does not point along the activations",
    ),
)  # fmt: skip
"""Over the table `rows`."""

LOSSES = (
    Ratio("ce_loss_with_sae", "ce_sae", "ce_positions", "nats", "lower"),
    Ratio("ce_loss_without_sae", "ce_clean", "ce_positions", "nats"),
    Ratio("ce_loss_with_ablation", "ce_zero", "ce_positions", "nats"),
    Ratio("ce_loss_with_mean_ablation", "ce_mean", "ce_positions", "nats"),
    Ratio(
        "ce_loss_score", "ce_saved_of_zero", "ce_stake_of_zero", "fraction", "higher",
        floor=0, ceiling=1, undefined="zero ablation does not raise the loss",
    ),
    Ratio(
        "ce_loss_score_mean_ablation", "ce_saved_of_mean", "ce_stake_of_mean", "fraction",
        "higher", floor=0, ceiling=1, undefined="mean ablation does not raise the loss",
    ),
    Ratio("kl_div_with_sae", "kl_sae", "kl_positions", "nats", "lower", ceiling=0),
    Ratio("kl_div_with_ablation", "kl_zero", "kl_positions", "nats"),
    Ratio("kl_div_with_mean_ablation", "kl_mean", "kl_positions", "nats"),
    Ratio(
        "kl_div_score", "kl_saved_of_zero", "kl_zero", "fraction", "higher",
        floor=0, ceiling=1, undefined="zero ablation changes no prediction",
    ),
    Ratio(
        "kl_div_score_mean_ablation", "kl_saved_of_mean", "kl_mean", "fraction", "higher",
        floor=0, ceiling=1, undefined="mean ablation changes no prediction",
    ),
)  # fmt: skip
"""Over the table `ce_rows`. Zero ablation where the name says nothing else."""

DENSITIES = (
    Ratio("frac_alive", "alive", None, "fraction", "higher", ceiling=1, no_interval=ALL_LATENTS),
    Ratio("freq_over_1_percent", "over_1_percent", None, "fraction", no_interval=ALL_LATENTS),
    Ratio("freq_over_10_percent", "over_10_percent", None, "fraction", no_interval=ALL_LATENTS),
)
"""Over the table `latents`."""


def reconstruction(rows: Statistics, unit: str) -> Iterator[Evidence | Missing]:
    """Metrics of reconstruction and sparsity over the units."""
    columns = rows | {"explained": rows["sq_dev"] - rows["sq_err"]}
    table = units("rows", unit, used(columns, RECONSTRUCTION), weight=rows["tokens"] > 0)
    variance = float(rows["sq_dev"].sum() / rows["values"].sum())
    yield from evidence(table, _anchored(RECONSTRUCTION, mse=(variance, 0)))


def losses(rows: Statistics, unit: str) -> Iterator[Evidence | Missing]:
    """Metrics of the model's predictions over the rows that were spliced."""
    columns = with_shares(rows)
    table = units("ce_rows", unit, used(columns, LOSSES), weight=rows["kl_positions"] > 0)
    positions = rows["ce_positions"].sum(), rows["kl_positions"].sum()
    if not all(positions):
        yield from missing(LOSSES, "No counted token of these rows has another one after it.")
        return
    ce_zero, ce_clean = (
        float(rows[f"ce_{edit}"].sum() / positions[0]) for edit in ("zero", "clean")
    )
    kl_zero = float(rows["kl_zero"].sum() / positions[1])
    anchors = {"ce_loss_with_sae": (ce_zero, ce_clean), "kl_div_with_sae": (kl_zero, 0)}
    yield from evidence(table, _anchored(LOSSES, **anchors))


def with_shares(rows: Statistics) -> Statistics:
    """Losses with what the SAE saves of each ablation's harm, and how much was at stake."""
    shares = {}
    for edit in [edit for edit in ("zero", "mean") if f"ce_{edit}" in rows]:
        shares[f"ce_saved_of_{edit}"] = rows[f"ce_{edit}"] - rows["ce_sae"]
        shares[f"ce_stake_of_{edit}"] = rows[f"ce_{edit}"] - rows["ce_clean"]
        shares[f"kl_saved_of_{edit}"] = rows[f"kl_{edit}"] - rows["kl_sae"]
    return rows | shares


def used(columns: Statistics, ratios: Iterable[Ratio]) -> Statistics:
    """The columns that some ratio needs, in their order there."""
    names = [name for ratio in ratios for name in (ratio.num, ratio.den) if name]
    return {name: columns[name] for name in dict.fromkeys(names)}


def _anchored(ratios: Iterable[Ratio], **anchors: tuple[float, float]) -> list[Ratio]:
    """The same metrics, some with a floor and ceiling that the data sets."""
    return [
        replace(ratio, floor=low, ceiling=high)
        for ratio in ratios
        for low, high in (anchors.get(ratio.metric, (ratio.floor, ratio.ceiling)),)
    ]


def latent_statistics(active: Int[np.ndarray, " d_sae"], tokens: int) -> Statistics:
    """On how many tokens each latent is active, and whether that is any, over 1 % or over 10 %."""
    density = active / tokens
    return {
        "active_tokens": active.astype(np.float64),
        "alive": (active > 0).astype(np.float64),
        "over_1_percent": (density > 0.01).astype(np.float64),
        "over_10_percent": (density > 0.1).astype(np.float64),
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
        yield Evidence(
            "density_histogram",
            table,
            {"num": "latents", "den": "of"},
            unit="fraction of latents",
            better="none",
            part=name,
            no_interval=ALL_LATENTS,
        )
