"""SAELens folders: cfg.json and sae_weights.safetensors, of every version, checkpoints included."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import SAE, Origin
from saeval.sae.architectures import (
    AbsTopK,
    BatchTopK,
    Gated,
    JumpReLU,
    MatchingPursuit,
    ReLU,
    TopK,
    Transcoder,
    build,
)
from saeval.sae.architectures.transforms import InputOnly
from saeval.sae.loaders.before_gain import reading_before_gain
from saeval.sae.loaders.config import number, switch, whole
from saeval.sae.loaders.files import read_safetensors
from saeval.sae.loaders.sae_lens_config import REFUSED, SaeLensSettings, read_settings
from saeval.sae.loaders.tensors import check_width, exactly, scalar, transposed

FORMAT = "cfg.json and sae_weights.safetensors (SAELens)"
WEIGHTS = "sae_weights.safetensors"

AFFINE = ("W_enc", "b_enc", "W_dec", "b_dec")
FACTORS = ("scaling_factor", "finetuning_scaling_factor")
"""One factor per latent, learned after training; the older name first."""


def matches(folder: Path) -> bool:
    """Whether both files are there, or those of a temporal SAE, which `load` refuses by name."""
    return all((folder / name).is_file() for name in ("cfg.json", WEIGHTS)) or _is_temporal(folder)


def _is_temporal(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("conf.yaml", "latest_ckpt.safetensors"))


def load(folder: Path, entry: Entry | None = None) -> SAE:
    """The SAE in a folder, in float32. A training checkpoint is read in its inference form.

    Raises:
        LoadError: if the architecture is unknown or cannot be evaluated token by token, or if
            configuration and tensors are damaged, incomplete or contradict each other.
    """
    if _is_temporal(folder):
        raise LoadError(f"{folder} holds a 'temporal' SAE: {REFUSED['temporal']}")
    settings = read_settings(folder, entry)
    path = settings.path.with_name(WEIGHTS)
    required, make = BUILDERS[settings.architecture]
    tensors = exactly(_read_tensors(path), path, required, optional=FACTORS)
    factors = [tensors.pop(name) for name in FACTORS if name in tensors]
    sae = make(settings, tensors)
    check_width(settings.values.get("d_in"), sae.d_in, "d_in", settings.path)
    check_width(settings.values.get("d_sae"), sae.d_sae, "d_sae", settings.path)
    return _fold_factors(sae, factors, settings)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors; older checkpoints hold a threshold's logarithm, which is undone here.

    Source: SAELens, `JumpReLUTrainingSAE.process_state_dict_for_loading`.
    """
    content = read_safetensors(path)
    stored = content.get("log_threshold")
    if "threshold" not in content and stored is not None and stored.is_floating_point():
        content["threshold"] = content.pop("log_threshold").exp()
    return content


def _fold_factors(sae: Any, factors: list[Tensor], settings: SaeLensSettings) -> SAE:
    """Move finetuned factors into W_dec: each latent has one, which multiplies acts at decoding.

    Raises:
        LoadError: if one is not 1, but the configuration denies that factors apply, or there is
            not one for each latent.
    """
    for factor in factors:
        if bool(torch.isclose(factor, torch.ones(())).all()):
            continue
        if not settings.scaled_latents or factor.shape != (sae.d_sae,):
            raise LoadError(
                f"{settings.path.with_name(WEIGHTS)} holds a factor a latent of shape "
                f"{list(factor.shape)}, but the configuration sets finetuning_scaling_factor to "
                f"{settings.scaled_latents} and d_sae to {sae.d_sae}. Whether it applies cannot be "
                "known."
            )
        sae = replace(sae, W_dec=sae.W_dec * factor[:, None])
    return sae


def _fold_scale(sae: Any, settings: SaeLensSettings) -> SAE:
    """Move the constant that inputs were multiplied by into the weights.

    W_enc s, W_dec / s and b_dec / s; biases and thresholds of latents stay.

    Source: SAELens, `fold_activation_norm_scaling_factor`.
    """
    s = settings.scale
    if s is None:
        return sae
    return replace(sae, W_enc=sae.W_enc * s, W_dec=sae.W_dec / s, b_dec=sae.b_dec / s)


def _origin_as(settings: SaeLensSettings, architecture: str) -> Origin:
    return replace(settings.origin, architecture=architecture)


def _affine(settings: SaeLensSettings, tensors: dict[str, Tensor]) -> SAE:
    kind, name = (JumpReLU, "jumprelu") if "threshold" in tensors else (ReLU, "relu")
    sae = build(
        kind,
        **tensors,
        subtract_b_dec=settings.subtract_b_dec,
        transform=settings.transform,
        origin=_origin_as(settings, name),
    )
    return _fold_scale(sae, settings)


def _gated(settings: SaeLensSettings, tensors: dict[str, Tensor]) -> SAE:
    sae = build(
        Gated,
        **tensors,
        subtract_b_dec=settings.subtract_b_dec,
        transform=settings.transform,
        origin=_origin_as(settings, "gated"),
    )
    return _fold_scale(sae, settings)


def _topk(settings: SaeLensSettings, tensors: dict[str, Tensor]) -> SAE:
    """TopK and AbsTopK. Rescaling by decoder norm is folded, as SAELens' own folding does.

    Acts are pre |W_dec| and decode through W_dec / |W_dec|: the same acts and reconstruction.
    """
    kind = AbsTopK if settings.architecture == "abstopk" else TopK
    sae = build(
        kind,
        **tensors,
        k=whole(settings.values, "k", settings.path),
        subtract_b_dec=settings.subtract_b_dec,
        transform=settings.transform,
        origin=_origin_as(settings, settings.architecture),
    )
    return _fold_scale(_fold_decoder_norm(sae, settings), settings)


def _batchtopk(settings: SaeLensSettings, tensors: dict[str, Tensor]) -> SAE:
    """A checkpoint of a BatchTopK, nested or not, as it is saved for inference.

    A latent is active above the threshold that training estimated. The threshold is in the units
    of pre times decoder norm where training ranked latents by that product.

    Raises:
        LoadError: if the threshold was never set.

    Source: SAELens, `BatchTopKTrainingSAE.process_state_dict_for_saving_inference`.
    """
    path = settings.path.with_name(WEIGHTS)
    threshold = scalar(tensors.pop("topk_threshold"), "topk_threshold", path)
    if threshold <= 0:
        raise LoadError(
            f"{path} has topk_threshold {threshold:g}: it was never set, so that latents would "
            "depend on the whole batch. Train on, or save its inference form."
        )
    sae = build(
        BatchTopK,
        **tensors,
        threshold=threshold,
        subtract_b_dec=settings.subtract_b_dec,
        transform=settings.transform,
        origin=_origin_as(settings, "batchtopk"),
    )
    return _fold_scale(_fold_decoder_norm(sae, settings), settings)


def _fold_decoder_norm(sae: Any, settings: SaeLensSettings) -> Any:
    """Move rescaling by decoder norm, where it is switched on, into the weights."""
    if not switch(settings.values, "rescale_acts_by_decoder_norm", settings.path, default=False):
        return sae
    norm = sae.W_dec.norm(dim=1)
    # A latent whose decoder row is 0 must stay 0, not become NaN.
    W_dec = sae.W_dec / torch.where(norm > 0, norm, 1)[:, None]
    return replace(sae, W_enc=sae.W_enc * norm, b_enc=sae.b_enc * norm, W_dec=W_dec)


def _matching_pursuit(settings: SaeLensSettings, tensors: dict[str, Tensor]) -> SAE:
    """Tied atoms; b_dec is added at decoding only where it is subtracted at encoding.

    Raises:
        LoadError: if an input scale is known, which tied weights cannot hold.
    """
    if settings.scale is not None:
        raise LoadError(f"{settings.path} gives an input scale, which tied weights cannot hold.")
    values = settings.values
    steps = values.get("max_iterations")
    return build(
        MatchingPursuit,
        **tensors | {"b_dec": tensors["b_dec"] * settings.subtract_b_dec},
        # Without a limit SAELens stops after as many steps as there are input dimensions.
        max_steps=whole(values, "d_in" if steps is None else "max_iterations", settings.path),
        residual_norm=number(values, "residual_threshold", settings.path),
        stop_on_repeat=switch(values, "stop_on_duplicate_support", settings.path, default=True),
        transform=settings.transform,
        origin=_origin_as(settings, "matching_pursuit"),
    )


def _transcoder(settings: SaeLensSettings, tensors: dict[str, Tensor]) -> SAE:
    """Encoding does not use b_dec, which is the output's, and its normalisation is not undone.

    Raises:
        LoadError: if b_dec is to be subtracted, or an input scale would have to be undone.
    """
    if settings.subtract_b_dec or settings.scale is not None:
        raise LoadError(
            f"{settings.path} sets apply_b_dec_to_input or an input scale for a transcoder, whose "
            "b_dec and scale belong to another site. SAELens refuses the former, too."
        )
    skip = tensors.pop("W_skip", None)
    kind, name = (JumpReLU, "jumprelu") if "threshold" in tensors else (ReLU, "relu")
    inner = build(
        kind,
        **tensors,
        subtract_b_dec=False,
        transform=InputOnly(settings.transform),
        origin=Origin(architecture=name),
    )
    origin = _origin_as(settings, "transcoder")
    inner, origin = reading_before_gain(inner, origin, origin.model)
    check_width(settings.values.get("d_out"), len(inner.b_dec), "d_out", settings.path)
    if skip is not None:
        skip = transposed(skip, "W_skip", settings.path.with_name(WEIGHTS))
    return build(Transcoder, inner=inner, W_skip=skip, origin=origin)


Builder = Callable[[SaeLensSettings, dict[str, Tensor]], SAE]
BUILDERS: dict[str, tuple[tuple[str, ...], Builder]] = {
    "standard": (AFFINE, _affine),
    "jumprelu": ((*AFFINE, "threshold"), _affine),
    "gated": (("W_enc", "b_gate", "b_mag", "r_mag", "W_dec", "b_dec"), _gated),
    "topk": (AFFINE, _topk),
    "abstopk": (AFFINE, _topk),
    "batchtopk": ((*AFFINE, "topk_threshold"), _batchtopk),
    "matryoshka_batchtopk": ((*AFFINE, "topk_threshold"), _batchtopk),
    "matching_pursuit": (("W_dec", "b_dec"), _matching_pursuit),
    "transcoder": (AFFINE, _transcoder),
    "skip_transcoder": ((*AFFINE, "W_skip"), _transcoder),
    "jumprelu_transcoder": ((*AFFINE, "threshold"), _transcoder),
    "jumprelu_skip_transcoder": ((*AFFINE, "threshold", "W_skip"), _transcoder),
}
"""Names of the tensors that each architecture needs, and the function that builds it."""
