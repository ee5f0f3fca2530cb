"""SAELens configurations, from 2024's flat ones to version 6, brought to one form."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.errors import LoadError
from saeval.sae import Origin
from saeval.sae.architectures.transforms import IDENTITY, ConstantNorm, LayerNorm, Transform
from saeval.sae.loaders.config import (
    choice,
    count,
    flag,
    peek_number,
    remaining,
    switch,
    text,
    whole,
)
from saeval.sae.loaders.files import read_json

logger = logging.getLogger(__name__)

RENAMED = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "hook_point_layer": "hook_layer",
    "activation_fn_str": "activation_fn",
}
"""Older keys, and what they are called now."""
NORMALISATIONS: dict[str, Transform] = {
    "none": IDENTITY,
    "expected_average_only_in": IDENTITY,
    "constant_norm_rescale": ConstantNorm(),
    "layer_norm": LayerNorm(),
}
"""`expected_average_only_in` is one constant, which is folded into the weights if it is known."""
UNDERSTOOD = {
    "architecture",
    "d_in",
    "d_sae",
    "d_out",
    "apply_b_dec_to_input",
    "normalize_activations",
    "reshape_activations",
    "activation_fn",
    "activation_fn_kwargs",
    "finetuning_scaling_factor",
    "norm_scaling_factor",
    "model_name",
    "hook_name",
    "prepend_bos",
    "context_size",
    "metadata",
}
OWN: dict[str, set[str]] = {
    "standard": set(),
    "jumprelu": set(),
    "gated": set(),
    "topk": {"k", "rescale_acts_by_decoder_norm"},
    "abstopk": {"k", "rescale_acts_by_decoder_norm"},
    "matching_pursuit": {"residual_threshold", "max_iterations", "stop_on_duplicate_support"},
    "transcoder": set(),
    "skip_transcoder": set(),
    "jumprelu_transcoder": set(),
    "jumprelu_skip_transcoder": set(),
}
"""Architectures that saeval reads, and the keys that bear on the arithmetic of each alone."""
_UNFINISHED = (
    "a training checkpoint, whose latents depend on the whole batch. Save its inference form "
    "(save_inference_model), which is a jumprelu."
)
REFUSED = {
    "temporal": "its latents depend on earlier tokens of the text, so that it cannot be evaluated "
    "token by token.",
    "batchtopk": _UNFINISHED,
    "matryoshka_batchtopk": _UNFINISHED,
}
"""Architectures that SAELens knows and saeval cannot evaluate, and why."""
HARMLESS = {
    "activations_mixing_fraction",
    "b_dec_init_method",
    "cached_activations_path",
    "dead_feature_threshold",
    "decoder_heuristic_init",
    "decoder_heuristic_init_norm",
    "decoder_init_norm",
    "decoder_orthogonal_init",
    "feature_reinit_scale",
    "init_encoder_as_decoder_transpose",
    "jumprelu_init_threshold",
    "log_activation_store_to_wandb",
    "lp_norm",
    "mse_loss_normalization",
    "new_cached_activations_path",
    "noise_scale",
    "normalize_sae_decoder",
    "scale_sparsity_penalty_by_decoder_norm",
    "use_cached_activations",
}
"""Keys of older training runs that look arithmetic, but concern training only."""


@dataclass(frozen=True)
class Settings:
    """What a cfg.json says, whatever its age."""

    path: Path
    values: Mapping[str, Any]
    """All keys under their present names."""
    architecture: str
    subtract_b_dec: bool
    transform: Transform
    scale: float | None
    """Constant that inputs were multiplied by and that the weights do not contain yet."""
    scaled_latents: bool
    """Whether a finetuned factor a latent applies at decoding."""
    origin: Origin


def read_settings(folder: Path) -> Settings:
    """The configuration of an SAELens folder.

    Raises:
        LoadError: if it is no JSON object, or says something that saeval does not know.
    """
    path = folder / "cfg.json"
    values = {RENAMED.get(name, name): value for name, value in read_json(path).items()}
    architecture = _architecture(values, path)
    if architecture == "topk" and values.get("k") is None:
        values["k"] = _keywords(values, path).get("k")
    kind = _normalisation(values, path)
    scale = _known_scale(values, folder) if kind == "expected_average_only_in" else None
    rest = remaining(values, path, UNDERSTOOD | OWN[architecture], HARMLESS)
    return Settings(
        path=path,
        values=values,
        architecture=architecture,
        subtract_b_dec=switch(values, "apply_b_dec_to_input", path, default=True),
        transform=NORMALISATIONS[kind],
        scale=scale,
        scaled_latents=switch(values, "finetuning_scaling_factor", path, default=False),
        origin=_origin(values, path, rest, _statement(kind, scale, values, path)),
    )


def _architecture(values: Mapping[str, Any], path: Path) -> str:
    """Its name; an older `standard` with a top-k activation is a topk.

    Raises:
        LoadError: if it is unknown or cannot be evaluated, or its activation is another.
    """
    architecture = values.get("architecture") or "standard"
    if architecture in REFUSED:
        raise LoadError(f"{path} is a '{architecture}': {REFUSED[architecture]}")
    activation, keywords = values.get("activation_fn") or "relu", _keywords(values, path)
    if activation == "topk" and architecture == "standard":
        architecture = "topk"
    if architecture not in OWN:
        raise LoadError(
            f"{path} names the architecture {architecture!r}, which saeval does not know. Known "
            f"are {', '.join(OWN)}."
        )
    fitting = ("topk", "relu") if architecture == "topk" else ("relu",)
    if activation not in fitting or set(keywords) - ({"k"} if architecture == "topk" else set()):
        raise LoadError(
            f"{path} sets activation_fn to {activation!r} with {dict(keywords)} for the "
            f"architecture {architecture!r}, which saeval does not know. An unknown activation is "
            "never read as relu."
        )
    if architecture == "topk" and keywords.get("k", values.get("k")) is None:
        raise LoadError(f"{path} has a top-k activation, but no k: without it nothing is known.")
    return architecture


def _keywords(values: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    keywords = values.get("activation_fn_kwargs") or {}
    if not isinstance(keywords, Mapping):
        raise LoadError(f"{path} must give activation_fn_kwargs as an object, not {keywords!r}.")
    return {name: value for name, value in keywords.items() if value not in (None, False)}


def _normalisation(values: Mapping[str, Any], path: Path) -> str:
    """Its name; older files say true for `expected_average_only_in`, false or null for none."""
    said = values.get("normalize_activations")
    if isinstance(said, bool) or said is None:
        return "expected_average_only_in" if said else "none"
    return choice(values, "normalize_activations", path, NORMALISATIONS, "none")


def _known_scale(values: Mapping[str, Any], folder: Path) -> float | None:
    """Input scale in the configuration or in a checkpoint's activation_scaler.json.

    Raises:
        LoadError: if the checkpoint was trained on whitened activations.
    """
    scaler = folder / "activation_scaler.json"
    saved = read_json(scaler) if scaler.exists() else {}
    if saved.get("has_whitening"):
        raise LoadError(f"{scaler} says that activations were whitened, which saeval cannot undo.")
    return peek_number(values.get("norm_scaling_factor")) or peek_number(
        saved.get("scaling_factor")
    )


def _statement(
    kind: str, scale: float | None, values: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    """What is recorded about a normalisation by a constant."""
    if kind != "expected_average_only_in":
        return {}
    if scale is not None:
        return {"input_scale": scale, "input_scale_folded": True}
    width = whole(values, "d_in", path)
    logger.warning(
        "%s was trained on activations scaled to an average norm of sqrt(%d), but does not say by "
        "what factor. They are read as they are, as SAELens does; if the factor was not folded "
        "into the weights, the activation scale check will show it.",
        path,
        width,
    )
    return {"input_scale": None, "input_scale_folded": False, "expected_norm": width**0.5}


def _hook(told: Mapping[str, Any], path: Path) -> str | None:
    """The hook that is read; one head of it as `hook_z[1]`.

    Raises:
        LoadError: if the head is no whole number from 0.
    """
    hook, head = text(told.get("hook_name")), told.get("hook_head_index")
    if head is None or hook is None:
        return hook
    if not isinstance(head, int) or isinstance(head, bool) or head < 0:
        raise LoadError(
            f"{path} gives hook_head_index {head!r}, which numbers no head: write 0, 1 and so on, "
            "or null for all heads."
        )
    return f"{hook}[{head}]"


def _origin(
    values: Mapping[str, Any], path: Path, rest: Mapping[str, Any], statement: Mapping[str, Any]
) -> Origin:
    metadata = values.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise LoadError(f"{path} must give metadata as an object, not {metadata!r}.")
    told = {**values, **{RENAMED.get(name, name): value for name, value in metadata.items()}}
    processing = told.get("model_from_pretrained_kwargs") or {}
    reshape = choice(values, "reshape_activations", path, ("none", "hook_z"), "none")
    return Origin(
        loader="sae_lens",
        model=text(told.get("model_name")),
        read_site=_hook(told, path),
        write_site=text(told.get("hook_name_out")),
        prepend_bos=flag(told.get("prepend_bos")),
        context_size=count(told.get("context_size")),
        centred=isinstance(processing, Mapping)
        and processing.get("center_writing_weights") is True,
        metadata={**rest, **metadata, **statement, "reshape_activations": reshape},
    )
