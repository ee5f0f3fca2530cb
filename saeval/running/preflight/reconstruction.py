"""Does an SAE reconstruct a model's activations as they are, and as well as was published?"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saeval.activations import ActivationSource, TokenRows
from saeval.activations.gradient import next_token_gradient
from saeval.activations.tokens import tokenizer_adds_bos
from saeval.errors import NotApplicable
from saeval.registry.entries import Expected
from saeval.sae import SAE, decode_codes, encode_codes, traits_of
from saeval.sae.traits import extra_inputs

SAMPLE_TOKENS = 384
"""Number of activations for the numerical checks."""
L0_FACTOR = 2.0
"""Factor between measured L0 and an entry's figure up to which the difference may be due to the
text. A wrong model or site makes a far greater difference."""
FVU_SLACK = 0.1
"""Measured FVU may exceed an entry's figure by the larger of this and the figure itself."""
FAR_BETTER = 0.5
"""The SAE was trained on activations prepared in another way if their FVU is below this, and below
this times the FVU of the activations as they are."""


@dataclass(frozen=True)
class Check:
    """One question asked of an SAE and a model, and its answer."""

    name: str
    status: Literal["ok", "warning", "error", "unknown"]
    expected: str = ""
    observed: str = ""
    message: str = ""
    """What is wrong and what to do, or what a reader of the scores must know; else empty."""

    def row(self) -> dict[str, str]:
        """The check as one JSON object."""
        return dict(vars(self))


@dataclass(frozen=True)
class RowStarts:
    """How rows begin, and how the model's tokenizer would begin them."""

    begins_with_bos: bool | None
    """Whether every row begins with BOS; None for stored activations."""
    tokenizer_adds_bos: bool | None
    """Whether the tokenizer by itself begins every text with BOS; None where there is no BOS."""


def starts_of(source: ActivationSource, rows: TokenRows) -> RowStarts:
    """How some rows of a source begin."""
    if source.model is None:
        return RowStarts(None, None)
    bos = source.model.bos_id
    begins = bos is not None and bool((rows.ids[:, 0] == bos).all())
    return RowStarts(begins, tokenizer_adds_bos(source.model))


@dataclass(frozen=True)
class ActivationSample:
    """Activations at an SAE's sites, without those of special tokens."""

    x: Float[Tensor, "tokens d_in"]
    y: Float[Tensor, "tokens d_out"]
    """The vectors to reconstruct: x itself, except for a transcoder."""
    begins_with_bos: bool | None
    """Whether every row begins with BOS; None for stored activations."""
    tokens: Int[Tensor, " tokens"] | None = None
    """Ids of the tokens; None for stored activations."""
    gradient: Callable[[], Float[Tensor, "tokens d_in"]] | None = None
    """Computes the gradient of the model's next-token loss at x, for SAEs that need it; None for
    stored activations."""
    tokenizer_adds_bos: bool | None = None
    """Whether the tokenizer by itself begins every text with BOS; None where there is no BOS."""

    def extra_for(self, sae: SAE) -> Mapping[str, Tensor] | None:
        """Arguments that the SAE needs besides x; None if the sample lacks one.

        Raises:
            NotApplicable: if the model gives no gradient.
        """
        traits = traits_of(sae)
        if (traits.needs_tokens and self.tokens is None) or (
            traits.needs_gradient and self.gradient is None
        ):
            return None
        gradient = self.gradient() if traits.needs_gradient and self.gradient else None
        return extra_inputs(traits, tokens=self.tokens, gradient=gradient)


def take_sample(source: ActivationSource, rows: TokenRows) -> ActivationSample:
    """The first `SAMPLE_TOKENS` activations of some rows; no more rows than needed are read."""
    # The first row at which the running count of scored tokens reaches the sample's size.
    row_count = int(np.searchsorted(np.cumsum(rows.mask.sum(1)), SAMPLE_TOKENS)) + 1
    rows_read = rows.take(slice(0, row_count))
    batches = list(source.batches(rows_read))
    x = torch.cat([batch.x_tokens.float() for batch in batches])[:SAMPLE_TOKENS]
    y = torch.cat([batch.y_tokens.float() for batch in batches])[:SAMPLE_TOKENS]
    if source.model is None:
        return ActivationSample(x, y, None)

    def gradient() -> Tensor:
        gradients = [next_token_gradient(source, rows_read, batch)[batch.mask] for batch in batches]
        return torch.cat(gradients)[:SAMPLE_TOKENS]

    starts = starts_of(source, rows)
    ids = [batch.token_ids for batch in batches]
    return ActivationSample(
        x,
        y,
        starts.begins_with_bos,
        torch.cat([part for part in ids if part is not None])[:SAMPLE_TOKENS],
        gradient,
        starts.tokenizer_adds_bos,
    )


def check_numbers(sae: SAE, expected: Expected, sample: ActivationSample) -> list[Check]:
    """Check the scale of the activations and the published figures on the sample."""
    if bool((sample.y == sample.y[:1]).all()):
        return [Check("scale", "unknown", observed="activations that are all equal")]
    try:
        extra = sample.extra_for(sae)
    except NotApplicable:  # the tasks report the reason
        extra = None
    if extra is None:
        observed = "activations without what the SAE needs beside them"
        return [Check("scale", "unknown", observed=observed)]
    fvu, l0 = measure(sae, sample.x, sample.y, extra)
    if not (math.isfinite(fvu) and math.isfinite(l0)):
        message = "Its reconstruction of real activations is not finite, so no score would be."
        return [Check("finite", "error", "finite numbers", f"fvu {fvu}, l0 {l0}", message)]
    return [
        check_scale(fvu, fvu_by_preparation(sae, sample, extra), sample),
        *_check_figures(expected, fvu=fvu, l0=l0),
    ]


def measure(
    sae: SAE,
    x: Float[Tensor, "tokens d_in"],
    y: Float[Tensor, "tokens d_out"],
    extra: Mapping[str, Tensor],
) -> tuple[float, float]:
    """FVU about the sample's mean (a fraction, 0 is exact) and l0 (latents per token)."""
    with torch.no_grad():
        codes = encode_codes(sae, x, extra)
        error = (decode_codes(sae, codes, x) - y).cpu().double()
        mean = y.cpu().double().mean(0)
        spread = (y.cpu().double() - mean).square().sum()
    return float(error.square().sum() / spread), float(codes.l0.cpu().double().mean())


def fvu_by_preparation(
    sae: SAE, sample: ActivationSample, extra: Mapping[str, Tensor]
) -> Mapping[str, tuple[float, str]]:
    """FVU of the same activations prepared as other libraries prepare them, and the fix for each.

    `scaled`: to mean norm sqrt(d). `centred`: each vector minus the mean over its dimensions, as
    TransformerLens's processed weights produce them.
    """
    scale_x, scale_y = (
        math.sqrt(vectors.shape[1]) / float(vectors.norm(dim=1).mean())
        for vectors in (sample.x, sample.y)
    )
    centred_x, centred_y = (
        vectors - vectors.mean(1, keepdim=True) for vectors in (sample.x, sample.y)
    )
    fix_scale = f"fold the factor {scale_x:.4g} into its weights before saving it"
    return {
        "scaled to mean norm sqrt(d)": (
            measure(sae, sample.x * scale_x, sample.y * scale_y, extra)[0],
            fix_scale,
        ),
        "centred": (
            measure(sae, centred_x, centred_y, extra)[0],
            "say so in a registry.yaml entry with 'centred: true'",
        ),
    }


def check_scale(
    fvu: float, prepared: Mapping[str, tuple[float, str]], sample: ActivationSample
) -> Check:
    """The SAE reconstructs activations as they are, not only after another preparation."""
    norm = float(sample.x.norm(dim=1).mean())
    offset = float(sample.x.mean(0).norm())
    observed = f"mean norm {norm:.4g}, norm of mean {offset:.4g}, fvu {fvu:.3g}"
    observed += "".join(f", {name} {other:.3g}" for name, (other, _) in prepared.items())
    expected = "lowest fvu on activations as they are"
    name, (lowest, fix) = min(prepared.items(), key=lambda item: item[1][0])
    if lowest < FAR_BETTER and lowest < FAR_BETTER * fvu:
        message = (
            f"It leaves {fvu:.3g} of the variance of this site's activations unexplained, but "
            f"{lowest:.3g} once they are {name}: it was trained on such activations. To score it "
            f"as trained, {fix}."
        )
        return Check("scale", "error", expected, observed, message)
    if fvu >= 1:
        message = (
            f"It leaves {fvu:.3g} of the variance of this site's activations unexplained: no "
            "better than their mean. Expected of a null; else check model, site and scale."
        )
        return Check("scale", "warning", expected, observed, message)
    return Check("scale", "ok", expected, observed)


def _check_figures(expected: Expected, *, fvu: float, l0: float) -> list[Check]:
    """Measured l0 is near the published figure, and measured FVU not far above it."""
    checks = []
    if expected.l0 is not None:
        within = expected.l0 / L0_FACTOR <= l0 <= expected.l0 * L0_FACTOR
        checks.append(
            _check_figure("l0", expected.l0, l0, f"within a factor {L0_FACTOR:g}", within=within)
        )
    if expected.fvu is not None:
        slack = max(FVU_SLACK, expected.fvu)
        within = fvu <= expected.fvu + slack
        checks.append(
            _check_figure("fvu", expected.fvu, fvu, f"at most {slack:.3g} above", within=within)
        )
    return checks


def _check_figure(
    name: str, expected: float, measured: float, tolerance: str, *, within: bool
) -> Check:
    promise = f"{expected:.4g}, {tolerance}"
    if within:
        return Check(name, "ok", promise, f"{measured:.4g}")
    message = (
        f"Its entry promises {name} {promise}, but {measured:.4g} was measured: check model, site "
        "and special tokens, or correct the entry."
    )
    return Check(name, "error", promise, f"{measured:.4g}", message)
