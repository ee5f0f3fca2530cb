"""Does an SAE reconstruct real activations as they are, and as well as was published?"""

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
from saeval.errors import NotApplicable
from saeval.registry.entries import Expected
from saeval.sae import SAE, decode_codes, encode_codes, traits_of
from saeval.sae.traits import extra_inputs

SAMPLE_TOKENS = 384
"""Activations that the numerical checks look at."""
L0_FACTOR = 2.0
"""How far measured L0 may lie from an entry's figure: texts differ, misuse differs far more."""
FVU_SLACK = 0.1
"""Measured FVU may exceed an entry's figure by the larger of this and the figure itself."""
FAR_BETTER = 0.5
"""A rescaled input betrays a wrong scale where it leaves less than half of the variance
unexplained, and less than half of what the input as it is leaves."""


@dataclass(frozen=True)
class Check:
    """One question asked of an SAE and a model, and its answer."""

    name: str
    status: Literal["ok", "warning", "error", "unknown"]
    expected: str = ""
    observed: str = ""
    message: str = ""
    """What is wrong and what to do; empty where nothing is."""

    def row(self) -> dict[str, str]:
        """The check as one JSON object."""
        return dict(vars(self))


@dataclass(frozen=True)
class Sample:
    """Activations at an SAE's sites, special tokens left out."""

    x: Float[Tensor, "tokens d_in"]
    y: Float[Tensor, "tokens d_out"]
    """What should be reconstructed; x itself for an ordinary SAE."""
    begins_with_bos: bool | None
    """Whether every row begins with BOS; None where there are no tokens to look at."""
    tokens: Int[Tensor, " tokens"] | None = None
    """Their ids; None where there are none."""
    gradient: Callable[[], Float[Tensor, "tokens d_in"]] | None = None
    """Computes the gradient of the model's next-token loss at x, for SAEs that need it; None for
    stored activations."""

    def beside(self, sae: SAE) -> Mapping[str, Tensor] | None:
        """What the SAE needs beside x; None if it is not to be had here.

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


def take_sample(source: ActivationSource, rows: TokenRows) -> Sample:
    """The first `SAMPLE_TOKENS` activations of some rows, of which no more than needed are read."""
    enough = int(np.searchsorted(np.cumsum(rows.mask.sum(1)), SAMPLE_TOKENS)) + 1
    shown = rows.take(slice(0, enough))
    batches = list(source.batches(shown))
    x = torch.cat([batch.x_tokens.float() for batch in batches])[:SAMPLE_TOKENS]
    y = torch.cat([batch.y_tokens.float() for batch in batches])[:SAMPLE_TOKENS]
    if source.model is None:
        return Sample(x, y, None)

    def gradient() -> Tensor:
        slopes = [next_token_gradient(source, shown, batch)[batch.mask] for batch in batches]
        return torch.cat(slopes)[:SAMPLE_TOKENS]

    bos = source.model.bos_id
    ids = [batch.token_ids for batch in batches]
    return Sample(
        x,
        y,
        bos is not None and bool((rows.ids[:, 0] == bos).all()),
        torch.cat([each for each in ids if each is not None])[:SAMPLE_TOKENS],
        gradient,
    )


def check_numbers(sae: SAE, expected: Expected, sample: Sample) -> list[Check]:
    """Scale of the activations, and published figures, against what the sample gives."""
    if bool((sample.y == sample.y[:1]).all()):
        return [Check("scale", "unknown", observed="activations that are all equal")]
    try:
        needed = sample.beside(sae)
    except NotApplicable:  # the tasks will say why
        needed = None
    if needed is None:
        lack = "activations without what the SAE needs beside them"
        return [Check("scale", "unknown", observed=lack)]
    fvu, l0 = measure(sae, sample.x, sample.y, needed)
    if not (math.isfinite(fvu) and math.isfinite(l0)):
        message = "Its reconstruction of real activations is not finite, so no score would be."
        return [Check("finite", "error", "finite numbers", f"fvu {fvu}, l0 {l0}", message)]
    return [
        check_scale(fvu, alternatives(sae, sample, needed), sample),
        *_figures(expected, fvu=fvu, l0=l0),
    ]


def measure(
    sae: SAE,
    x: Float[Tensor, "tokens d_in"],
    y: Float[Tensor, "tokens d_out"],
    beside: Mapping[str, Tensor],
) -> tuple[float, float]:
    """FVU about the sample's mean (a fraction, 0 is exact) and l0 (latents per token)."""
    with torch.no_grad():
        codes = encode_codes(sae, x, beside)
        error = (decode_codes(sae, codes, x) - y).cpu().double()
        mean = y.cpu().double().mean(0)
        spread = (y.cpu().double() - mean).square().sum()
    return float(error.square().sum() / spread), float(codes.l0.cpu().double().mean())


def alternatives(
    sae: SAE, sample: Sample, beside: Mapping[str, Tensor]
) -> Mapping[str, tuple[float, str]]:
    """FVU of the same activations prepared as other libraries prepare them, and the fix for each.

    `scaled`: to mean norm sqrt(d). `centred`: each minus the mean of its own dimensions, as
    TransformerLens's processed weights give.
    """
    scale_x, scale_y = (
        math.sqrt(v.shape[1]) / float(v.norm(dim=1).mean()) for v in (sample.x, sample.y)
    )
    centre_x, centre_y = (v - v.mean(1, keepdim=True) for v in (sample.x, sample.y))
    fold = f"fold the factor {scale_x:.4g} into its weights before saving it"
    return {
        "scaled to mean norm sqrt(d)": (
            measure(sae, sample.x * scale_x, sample.y * scale_y, beside)[0],
            fold,
        ),
        "centred": (
            measure(sae, centre_x, centre_y, beside)[0],
            "say so in a registry.yaml entry with 'centred: true'",
        ),
    }


def check_scale(fvu: float, others: Mapping[str, tuple[float, str]], sample: Sample) -> Check:
    """The SAE reconstructs activations as they are, not only after some rescaling."""
    norm = float(sample.x.norm(dim=1).mean())
    offset = float(sample.x.mean(0).norm())
    observed = f"mean norm {norm:.4g}, norm of mean {offset:.4g}, fvu {fvu:.3g}"
    observed += "".join(f", {name} {other:.3g}" for name, (other, _) in others.items())
    expected = "lowest fvu on activations as they are"
    name, (best, fix) = min(others.items(), key=lambda item: item[1][0])
    if best < FAR_BETTER and best < FAR_BETTER * fvu:
        message = (
            f"It leaves {fvu:.3g} of the variance of this site's activations unexplained, but "
            f"{best:.3g} once they are {name}: it was trained on such activations. To score it "
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


def _figures(expected: Expected, *, fvu: float, l0: float) -> list[Check]:
    """Published l0 within a factor, published FVU not exceeded by far."""
    checks = []
    if expected.l0 is not None:
        fits = expected.l0 / L0_FACTOR <= l0 <= expected.l0 * L0_FACTOR
        checks.append(_figure("l0", expected.l0, l0, f"within a factor {L0_FACTOR:g}", fits=fits))
    if expected.fvu is not None:
        slack = max(FVU_SLACK, expected.fvu)
        fits = fvu <= expected.fvu + slack
        checks.append(_figure("fvu", expected.fvu, fvu, f"at most {slack:.3g} above", fits=fits))
    return checks


def _figure(name: str, expected: float, measured: float, tolerance: str, *, fits: bool) -> Check:
    promise = f"{expected:.4g}, {tolerance}"
    if fits:
        return Check(name, "ok", promise, f"{measured:.4g}")
    message = (
        f"Its entry promises {name} {promise}, but {measured:.4g} was measured: check model, site "
        "and special tokens, or correct the entry."
    )
    return Check(name, "error", promise, f"{measured:.4g}", message)
