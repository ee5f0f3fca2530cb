"""Transcoders that read an RMS norm's value before its gain: no module of a model emits that.

TransformerLens calls it `ln2.hook_normalized`. It is the stream before the norm, divided by its
root mean square. So the transcoder is made to read that stream and to divide it first.
"""

import re
from dataclasses import replace
from typing import Any, TypeVar

from saeval.registry.model_names import canonical_name
from saeval.sae import Origin
from saeval.sae.architectures.transforms import IDENTITY, InputOnly, RMSNorm

T = TypeVar("T")
_BEFORE_GAIN = re.compile(r"blocks\.(\d+)\.ln2\.hook_normalized")
EPSILON = (
    (re.compile(r"google/gemma-[23]?-?\d", re.IGNORECASE), 1e-6),
    (re.compile(r"meta-llama/(Meta-)?Llama-3", re.IGNORECASE), 1e-5),
    (re.compile(r"Qwen/Qwen[23]", re.IGNORECASE), 1e-6),
)
"""By family of models, what its RMS norms add to the mean square: `rms_norm_eps`."""


def reading_before_gain(inner: T, origin: Origin, model: str | None) -> tuple[T, Origin]:
    """A transcoder's inner SAE and origin, made to read the stream before the norm.

    Both come back unchanged where it reads at another site, or where `rms_norm_eps` of the model is
    unknown.
    """
    site = _BEFORE_GAIN.fullmatch(origin.read_site or "")
    name = canonical_name(model) if model else ""
    eps = next((eps for family, eps in EPSILON if family.match(name)), None)
    sae: Any = inner
    if site is None or eps is None or sae.transform not in (IDENTITY, InputOnly(IDENTITY)):
        return inner, origin
    return (
        replace(sae, transform=InputOnly(RMSNorm(eps))),
        replace(
            origin,
            read_site=f"blocks.{site[1]}.hook_resid_mid",
            metadata={**origin.metadata, "rms_norm_eps": eps},
        ),
    )
