"""SAEBench's own core figures, faults included, so that they can be compared on the same tokens."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saeval import metrics
from saeval.evidence import Evidence, Missing, units
from saeval.metrics.sparsity import token_sums
from saeval.sae import Codes

from .evidence import (
    DENSITIES,
    LOSSES,
    Ratio,
    evidence,
    latent_statistics,
    missing,
    used,
    with_shares,
)
from .row_sums import Statistics
from .site_sums import SiteSums

BATCH_ROWS = 16
"""Rows (of a long array: blocks) a batch in SAEBench's canonical run. Three of its figures depend
on it."""
TINY_NORM = 1e-4
"""Below this SAEBench divides by 1 instead of by |x|."""
FORMULA = "SAEBench's formula is no sum over units"

_ROWS = (
    Ratio("saebench_l0", "l0", "tokens", "latents per token"),
    Ratio("saebench_l1", "signed_l1", "tokens", "summed acts per token"),
    Ratio("saebench_l2_norm_in", "norm", "tokens", "activation units"),
    Ratio("saebench_l2_norm_out", "norm_hat", "tokens", "activation units"),
    Ratio("saebench_l2_ratio", "norm_ratio", "tokens", "ratio"),
    Ratio("saebench_cossim", "cosine", "tokens", "cosine", "higher"),
    Ratio("saebench_explained_variance_legacy", "legacy_explained", "tokens", "fraction", "higher"),
)
_BIAS = Ratio("saebench_relative_reconstruction_bias", "ratio", None, "ratio")
_VARIANCE = Ratio(
    "saebench_explained_variance",
    "explained",
    "total",
    "fraction",
    "higher",
    undefined="its total variance is not above 0",
    no_interval=FORMULA,
)
_MASS = tuple(
    Ratio(
        f"saebench_normalized_freq_over_{percent}_percent",
        f"mass_over_{percent}_percent",
        "active_tokens",
        "fraction",
        undefined="no latent is active",
        no_interval="every latent is counted",
    )
    for percent in (1, 10)
)
_LOSSES = tuple(
    replace(ratio, metric=f"saebench_{ratio.metric}")
    for ratio in LOSSES
    if "mean_ablation" not in ratio.metric
)
_DENSITIES = tuple(replace(ratio, metric=f"saebench_{ratio.metric}") for ratio in DENSITIES)


def batch_of(unit: Int[Tensor, " tokens"], first: int) -> Int[Tensor, " tokens"]:
    """SAEBench's batch of each row or block, counted from the first that serves these figures."""
    return (unit - first).clamp(min=0) // BATCH_ROWS


def batch_means(site: SiteSums, first: int) -> Float[np.ndarray, "batches d_out"]:
    """Mean activation of each batch, from the means of its rows."""
    tokens = site.statistics["tokens"][first:]
    starts = np.arange(0, len(tokens), BATCH_ROWS)
    total = np.add.reduceat(site.means[first:] * tokens[:, None], starts)
    return total / np.maximum(np.add.reduceat(tokens, starts), 1)[:, None]


def renamed(evidence: Evidence | Missing) -> Evidence | Missing:
    """A figure whose definition is SAEBench's own too, under SAEBench's name."""
    return replace(evidence, metric=f"saebench_{evidence.metric}")


def token_statistics(
    y: Float[Tensor, "tokens d_out"],
    y_hat: Float[Tensor, "tokens d_out"],
    codes: Codes,
    batch_mean: Float[Tensor, "tokens d_out"],
) -> dict[str, Float[Tensor, " tokens"]]:
    """What SAEBench averages over tokens and `core` does not have already."""
    norm, norm_hat = metrics.squared_norm(y).sqrt(), metrics.squared_norm(y_hat).sqrt()
    unexplained = metrics.squared_error(y, y_hat) / metrics.squared_error(y, batch_mean)
    return {
        "signed_l1": token_sums(codes, codes.value),
        "norm": norm,
        "norm_hat": norm_hat,
        "norm_ratio": norm_hat / torch.where(norm < TINY_NORM, 1.0, norm),
        "legacy_explained": 1 - unexplained,
    }


def positive_counts(codes: Codes, counted: Bool[Tensor, " tokens"]) -> Int[Tensor, " d_sae"]:
    """On how many of the counted tokens each latent is above 0; negative acts do not count."""
    kept = (codes.value > 0) & counted[codes.token]
    return torch.bincount(codes.index[kept], minlength=codes.d_sae)


def losses(rows: Statistics) -> Iterator[Evidence | Missing]:
    """CE and KL.

    Args:
        rows: Losses of the rows that serve them; `ce_zero` and `kl_zero` with every position
            ablated, special tokens too.
    """
    columns = used(with_shares(rows), _LOSSES)
    table = units("saebench_ce_rows", "row", columns, weight=rows["kl_positions"] > 0)
    yield from evidence(table, _LOSSES)


def missing_losses(reason: str) -> Iterator[Missing]:
    """CE and KL declared absent."""
    yield from missing(_LOSSES, reason)


def figures(
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
    after = {name: sums[first:] for name, sums in rows.items()}
    ids = np.arange(first, first + len(after["tokens"]))
    columns, weight = used(after, _ROWS), after["tokens"] > 0
    table = units("saebench_rows", unit, columns, unit_id=ids, weight=weight)
    yield from evidence(table, _ROWS)
    yield from _of_batches(after, d_out)
    tokens = int(after["tokens"].sum())
    latents = latent_statistics(active, tokens)
    for percent in (1, 10):
        over = latents[f"over_{percent}_percent"]
        latents[f"mass_over_{percent}_percent"] = over * active
    yield from evidence(units("saebench_latents", "latent", latents), (*_DENSITIES, *_MASS))


def _of_batches(rows: Statistics, d_out: int) -> Iterator[Evidence | Missing]:
    """The figures that depend on the batch: each batch's mean counts the same."""
    starts = np.arange(0, len(rows["tokens"]), BATCH_ROWS)
    sums = {
        name: np.add.reduceat(rows[name], starts)
        for name in ("tokens", "sq_err", "sq_norm", "sq_norm_hat", "dot")
    }
    sums = {name: column[sums["tokens"] > 0] for name, column in sums.items()}
    if (sums["dot"] == 0).any():
        yield from missing([_BIAS], "Undefined: in some batch the reconstruction is orthogonal.")
    else:
        ratio = sums["sq_norm_hat"] / sums["dot"]
        yield from evidence(units("saebench_batches", "batch", {"ratio": ratio}), [_BIAS])
    scale = float(np.mean(sums["sq_norm"] / sums["tokens"]))
    # Squares stand where the mean should: so the square of the mean becomes (scale / d_out)^2.
    total = scale - (scale / d_out) ** 2
    error = float(np.mean(sums["sq_err"] / sums["tokens"]))
    statistics = {"explained": [total - error], "total": [total]}
    yield from evidence(units("saebench_variance", "run", statistics), [_VARIANCE])


def ablated_everywhere(losses: Statistics) -> Statistics:
    """Losses in which zero ablation means every position, and mean ablation is left out."""
    kept = {name: sums for name, sums in losses.items() if not name.endswith("_mean")}
    return kept | {f"{loss}_zero": losses[f"{loss}_zero_all"] for loss in ("ce", "kl")}
