"""Llama Scope folders and their successors': hyperparams.json or config.json beside the weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import SAE
from saeval.sae.architectures import JumpReLU, ReLU, TopK, Transcoder, WeightedTopK, build
from saeval.sae.architectures.transforms import IDENTITY, ConstantNorm
from saeval.sae.loaders.before_gain import reading_before_gain
from saeval.sae.loaders.config import number, whole
from saeval.sae.loaders.files import peek_json, read_json, read_safetensors, read_torch
from saeval.sae.loaders.llama_scope_config import (
    LlamaScopeSettings,
    check_kind,
    latents,
    pop_norms,
    read_settings,
)
from saeval.sae.loaders.tensors import check_width, exactly, matrix, transposed

FORMAT = (
    "hyperparams.json or config.json (with hook_point_in or sae_type), and sae_weights.safetensors "
    "or checkpoints/final.safetensors (Llama Scope and its successors)"
)

WEIGHTS = tuple(
    f"{name}.{suffix}"
    for name in ("sae_weights", "checkpoints/pruned", "checkpoints/final")
    for suffix in ("safetensors", "pt")
)
"""Files that may hold the weights: the first that exists counts, as in the library."""
OLDER_NAMES = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
NEWER_NAMES = ("W_E", "b_E", "W_D", "b_D")
"""Names of the same four tensors; the newer matrices are stored transposed."""
LOG_THRESHOLD = ("log_jumprelu_threshold", "activation_function.log_jumprelu_threshold")
"""Name of the successor's thresholds, beside the older and beside the newer names."""


def matches(folder: Path) -> bool:
    """Whether the files of either layout are there."""
    if not any((folder / name).is_file() for name in WEIGHTS):
        return False
    if (folder / "hyperparams.json").is_file():
        return True
    config = folder / "config.json"
    if not config.is_file():
        return False
    content = peek_json(config)
    # Claim a configuration that cannot be read: then the error says that it is damaged, and not
    # that no format fits.
    if content is None:
        return not (folder / "cfg.json").exists()
    return "hook_point_in" in content or "sae_type" in content


def load(folder: Path, entry: Entry | None = None) -> SAE:
    """The SAE or transcoder in a folder, in float32.

    The stored weights take activations times sqrt(d_model) / average norm. That factor s is folded
    into them: W_enc s, W_dec / s, b_dec / s.

    Raises:
        LoadError: if it is another kind of dictionary, uses parts that saeval does not know, or
            is damaged, incomplete or contradictory.
    """
    older = (folder / "hyperparams.json").is_file()
    path = folder / ("hyperparams.json" if older else "config.json")
    check_kind(read_json(path), path)
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise LoadError(
            f"{folder} has a {path.name} and no weights beside it: {' or '.join(WEIGHTS)} is "
            "needed. Fetch the whole folder."
        )
    content = _read_state(weights)
    settings = read_settings(path, pop_norms(content, weights), entry)
    tensors = _named_tensors(content, settings, weights)
    check_width(settings.config.get("d_model"), tensors["W_enc"].shape[0], "d_model", path)
    check_width(
        latents(settings.config, path),
        tensors["W_enc"].shape[1],
        "d_sae (or expansion_factor d_model)",
        path,
    )
    sae = _build_sae(tensors, settings)
    if not settings.transcodes:
        return sae
    sae, origin = reading_before_gain(sae, sae.origin, _model(settings, entry))
    return build(Transcoder, inner=sae, origin=replace(origin, architecture="transcoder"))


def _model(settings: LlamaScopeSettings, entry: Entry | None) -> str | None:
    """The model's name, if it is known. The first release has SAEs of one model only."""
    name = (entry.model if entry else None) or settings.origin.model
    return name or ("meta-llama/Llama-3.1-8B" if settings.older else None)


def _read_state(weights: Path) -> dict[str, Tensor]:
    if weights.suffix == ".safetensors":
        return read_safetensors(weights)
    content = read_torch(weights)
    state = content.get("sae", content)
    if not isinstance(state, Mapping):
        raise LoadError(f"'sae' in {weights} must be a state dict, not {type(state).__name__}.")
    return dict(state)


def _named_tensors(
    content: dict[str, Tensor], settings: LlamaScopeSettings, weights: Path
) -> dict[str, Tensor]:
    """The tensors under saeval's names; `theta` holds the thresholds of a successor's file."""
    newer = "W_E" in content
    names = NEWER_NAMES if newer else OLDER_NAMES
    required = names if settings.decoder_bias else names[:3]
    theta = LOG_THRESHOLD[newer]
    if settings.activation == "jumprelu" and not settings.older:
        required = (*required, theta)
    stored = exactly(content, weights, required)
    orient = matrix if newer else transposed
    W_enc, W_dec = (orient(stored[names[i]], names[i], weights) for i in (0, 2))
    tensors = {"W_enc": W_enc, "b_enc": stored[names[1]], "W_dec": W_dec}
    tensors["b_dec"] = (
        stored[names[3]] if settings.decoder_bias else W_dec.new_zeros(W_dec.shape[1])
    )
    if theta in stored:
        tensors["theta"] = stored[theta].exp()
    return tensors


def _build_sae(tensors: dict[str, Tensor], settings: LlamaScopeSettings) -> Any:
    """The architecture by its activation, with the input's and the output's scale folded in."""
    kind: type = {"relu": ReLU, "jumprelu": JumpReLU, "topk": TopK}[settings.activation]
    W_dec, theta = tensors["W_dec"], tensors.pop("theta", None)
    parameters: dict[str, Any] = {}
    if settings.activation == "jumprelu":
        parameters["threshold"] = _shared_threshold(settings, W_dec) if theta is None else theta
    elif settings.activation == "topk":
        parameters["k"] = whole(settings.config, "top_k", settings.path)
        if settings.by_norm:
            kind, parameters["weight"] = WeightedTopK, W_dec.norm(dim=1)
    sae = build(
        kind,
        **tensors,
        **parameters,
        subtract_b_dec=settings.subtract_b_dec,
        transform=ConstantNorm() if settings.normalised else IDENTITY,
        origin=settings.origin,
    )
    if isinstance(sae, JumpReLU) and settings.by_norm:
        sae = replace(sae, threshold=_threshold_of_pre(sae.threshold, W_dec.norm(dim=1)))
    scale_in, scale_out = settings.scale_in or 1.0, settings.scale_out or 1.0
    return replace(
        sae,
        W_enc=sae.W_enc * scale_in,
        W_dec=sae.W_dec / scale_out,
        b_dec=sae.b_dec / scale_out,
    )


def _shared_threshold(settings: LlamaScopeSettings, W_dec: Tensor) -> Tensor:
    """The first release's one number for all latents, in the units of normalised activations.

    The library applies it after the weights were folded for raw activations. Folding makes
    pre |W_dec| smaller by the output's scale, and pre alone by the input's; so the threshold is
    multiplied by that scale here.

    Source: Language-Model-SAEs, `initializer.py` (`state == "inference"`), `sae.py`
    (`standardize_parameters_of_dataset_norm`, `transform_to_unit_decoder_norm`).
    """
    scale = (settings.scale_out if settings.by_norm else settings.scale_in) or 1.0
    threshold = number(settings.config, "jump_relu_threshold", settings.path)
    return W_dec.new_full((len(W_dec),), threshold * scale)


def _threshold_of_pre(theta: Tensor, norm: Tensor) -> Tensor:
    """The threshold of pre at which pre |W_dec| is theta; the largest number where W_dec is 0.

    Source: llamascopium, `sae.py` (`encode`, `sparsity_include_decoder_norm`).
    """
    return torch.where(norm > 0, theta / norm, torch.finfo(norm.dtype).max)
