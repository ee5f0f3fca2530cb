"""How close each latent's nearest neighbour is, in the encoder and in the decoder."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saeval import metrics
from saeval.evidence import Evidence, Metric, Missing, units
from saeval.sae import SAE

from . import metrics as declared
from .evidence import WEIGHTS_ONLY, ColumnRatio, ratio_evidence

EXACT_UP_TO = 2**16
"""Latents up to which every pair is compared."""
SAMPLE = 4096
"""Latents drawn from a wider SAE; each is still compared with all others."""


def nearest_neighbours(
    sae: SAE, seed: int, exact_up_to: int = EXACT_UP_TO
) -> Iterator[Evidence | Missing]:
    """Mean over latents of the largest cosine with another one, for encoder and decoder.

    Above `exact_up_to` latents it is the mean over a seeded sample. Then its unit says so, and it
    has an interval, which a mean over all latents has not.
    """
    sample = _draw_latents(sae.d_sae, seed) if sae.d_sae > exact_up_to else None
    matrices = (
        ("encoder", declared.AVERAGE_MAX_ENCODER_COSINE_SIM, _encoder(sae)),
        ("decoder", declared.AVERAGE_MAX_DECODER_COSINE_SIM, sae.W_dec),
    )
    for side, declared_metric, directions in matrices:
        metric = (
            declared_metric if sample is None else _sampled_metric(declared_metric, len(sample))
        )
        if directions is None or sae.d_sae < 2:
            reason = (
                f"The SAE has no {side} matrix" if directions is None else "There is one latent"
            )
            yield metric.missing(f"{reason}, so nothing has a nearest neighbour.")
            continue
        table = units(
            f"{side}_neighbours",
            "latent" if sample is None else "sampled latent",
            {"nearest_cosine": _nearest_cosines(directions, sample)},
            unit_id=sample,
        )
        no_interval = WEIGHTS_ONLY if sample is None else None
        yield from ratio_evidence(table, [ColumnRatio(metric, "nearest_cosine", None, no_interval)])


def _sampled_metric(metric: Metric, latents: int) -> Metric:
    """The metric as it is named over a sample, which is not compared with one over all."""
    return replace(metric, unit=f"{metric.unit}, {latents} latents sampled")


def _encoder(sae: SAE) -> Float[Tensor, "d_sae d_in"] | None:
    """Encoder directions as rows; None for an object that has none by that name."""
    W_enc = getattr(sae, "W_enc", None)
    return W_enc.T if isinstance(W_enc, Tensor) and W_enc.shape == (sae.d_in, sae.d_sae) else None


def _draw_latents(d_sae: int, seed: int) -> Int[np.ndarray, " sample"]:
    return np.sort(np.random.default_rng(seed).choice(d_sae, min(SAMPLE, d_sae), replace=False))


def _nearest_cosines(
    directions: Float[Tensor, "d_sae d"], sample: Int[np.ndarray, " sample"] | None
) -> Float[np.ndarray, " latents"]:
    index = None if sample is None else torch.from_numpy(sample).to(directions.device)
    return metrics.nearest_cosines(directions.detach(), index).cpu().numpy()
