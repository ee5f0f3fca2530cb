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
    Settings,
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
"""Where weights may lie: the first that is there counts, as in the library."""
OLDER = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
NEWER = ("W_E", "b_E", "W_D", "b_D")
"""Names of the same four tensors; the newer matrices lie the other way round."""
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
    # A configuration that cannot be read is better told so than not recognised.
    if content is None:
        return not (folder / "cfg.json").exists()
    return "hook_point_in" in content or "sae_type" in content


def load(folder: Path, entry: Entry | None = None) -> SAE:
    """The SAE or transcoder in a folder, in float32.

    Weights hold for activations times sqrt(d_model) / average norm. That factor s is folded into
    them: W_enc s, W_dec / s, b_dec / s.

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
    content = _content(weights)
    settings = read_settings(path, pop_norms(content, weights), entry)
    found = _tensors(content, settings, weights)
    check_width(settings.config.get("d_model"), found["W_enc"].shape[0], "d_model", path)
    check_width(
        latents(settings.config, path),
        found["W_enc"].shape[1],
        "d_sae (or expansion_factor d_model)",
        path,
    )
    sae = _built(found, settings)
    if not settings.transcodes:
        return sae
    sae, origin = reading_before_gain(sae, sae.origin, _model(settings, entry))
    return build(Transcoder, inner=sae, origin=replace(origin, architecture="transcoder"))


def _model(settings: Settings, entry: Entry | None) -> str | None:
    """The model, as far as it is known: the first release is of one model only."""
    told = (entry.model if entry else None) or settings.origin.model
    return told or ("meta-llama/Llama-3.1-8B" if settings.older else None)


def _content(weights: Path) -> dict[str, Tensor]:
    if weights.suffix == ".safetensors":
        return read_safetensors(weights)
    content = read_torch(weights)
    state = content.get("sae", content)
    if not isinstance(state, Mapping):
        raise LoadError(f"'sae' in {weights} must be a state dict, not {type(state).__name__}.")
    return dict(state)


def _tensors(content: dict[str, Tensor], settings: Settings, weights: Path) -> dict[str, Tensor]:
    """The tensors under saeval's names: W_enc, b_enc, W_dec, b_dec and, of a successor, theta."""
    newer = "W_E" in content
    names = NEWER if newer else OLDER
    required = names if settings.decoder_bias else names[:3]
    theta = LOG_THRESHOLD[newer]
    if settings.activation == "jumprelu" and not settings.older:
        required = (*required, theta)
    found = exactly(content, weights, required)
    turn = matrix if newer else transposed
    W_enc, W_dec = (turn(found[names[at]], names[at], weights) for at in (0, 2))
    tensors = {"W_enc": W_enc, "b_enc": found[names[1]], "W_dec": W_dec}
    tensors["b_dec"] = found[names[3]] if settings.decoder_bias else W_dec.new_zeros(W_dec.shape[1])
    if theta in found:
        tensors["theta"] = found[theta].exp()
    return tensors


def _built(found: dict[str, Tensor], settings: Settings) -> Any:
    """The architecture by its activation, with the input's and the output's scale folded in."""
    kind: type = {"relu": ReLU, "jumprelu": JumpReLU, "topk": TopK}[settings.activation]
    W_dec, theta = found["W_dec"], found.pop("theta", None)
    more: dict[str, Any] = {}
    if settings.activation == "jumprelu":
        more["threshold"] = _one_threshold(settings, W_dec) if theta is None else theta
    elif settings.activation == "topk":
        more["k"] = whole(settings.config, "top_k", settings.path)
        if settings.by_norm:
            kind, more["weight"] = WeightedTopK, W_dec.norm(dim=1)
    sae = build(
        kind,
        **found,
        **more,
        subtract_b_dec=settings.subtract_b_dec,
        transform=ConstantNorm() if settings.normalised else IDENTITY,
        origin=settings.origin,
    )
    if isinstance(sae, JumpReLU) and settings.by_norm:
        sae = replace(sae, threshold=_over_norm(sae.threshold, W_dec.norm(dim=1)))
    into, out = settings.scale_in or 1.0, settings.scale_out or 1.0
    return replace(sae, W_enc=sae.W_enc * into, W_dec=sae.W_dec / out, b_dec=sae.b_dec / out)


def _one_threshold(settings: Settings, W_dec: Tensor) -> Tensor:
    """The first release's one number for all latents, in the units of normalised activations.

    The library applies it once weights are folded for raw activations: there pre |W_dec| comes
    out smaller by the output's scale, and pre alone by the input's.

    Source: Language-Model-SAEs, `initializer.py` (`state == "inference"`), `sae.py`
    (`standardize_parameters_of_dataset_norm`, `transform_to_unit_decoder_norm`).
    """
    scale = (settings.scale_out if settings.by_norm else settings.scale_in) or 1.0
    stated = number(settings.config, "jump_relu_threshold", settings.path)
    return W_dec.new_full((len(W_dec),), stated * scale)


def _over_norm(theta: Tensor, norm: Tensor) -> Tensor:
    """What pre must exceed so that pre |W_dec| exceeds theta; no pre does where W_dec is 0.

    Source: llamascopium, `sae.py` (`encode`, `sparsity_include_decoder_norm`).
    """
    return torch.where(norm > 0, theta / norm, torch.finfo(norm.dtype).max)
