"""SAELens configurations, from 2024's flat ones to version 6, brought to one form."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import Origin
from saeval.sae.architectures.transforms import IDENTITY, ConstantNorm, LayerNorm, Transform
from saeval.sae.loaders.config import (
    agreeing,
    choice,
    count,
    factor,
    flag,
    index,
    remaining,
    switch,
    text,
    whole,
)
from saeval.sae.loaders.files import read_json
from saeval.sae.site import of_head

logger = logging.getLogger(__name__)

RENAMED = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "hook_point_layer": "hook_layer",
    "activation_fn_str": "activation_fn",
}
"""Older keys, and their present names."""
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
    "hook_head_index",
    "hook_head_index_out",
    "prepend_bos",
    "context_size",
    "metadata",
}
ARCHITECTURE_KEYS: dict[str, set[str]] = {
    "standard": set(),
    "jumprelu": set(),
    "gated": set(),
    "topk": {"k", "rescale_acts_by_decoder_norm"},
    "abstopk": {"k", "rescale_acts_by_decoder_norm"},
    "batchtopk": {"k", "rescale_acts_by_decoder_norm"},
    "matryoshka_batchtopk": {"k", "rescale_acts_by_decoder_norm"},
    "matching_pursuit": {"residual_threshold", "max_iterations", "stop_on_duplicate_support"},
    "transcoder": set(),
    "skip_transcoder": set(),
    "jumprelu_transcoder": set(),
    "jumprelu_skip_transcoder": set(),
}
"""Architectures that saeval reads, and the keys that bear on the arithmetic of each alone."""
REFUSED = {
    "temporal": "its latents depend on earlier tokens of the text, so that it cannot be evaluated "
    "token by token.",
}
"""Architectures that SAELens knows and saeval cannot evaluate, and why."""
HARMLESS = {
    "activations_mixing_fraction",
    "b_dec_init_method",
    "cached_activations_path",
    "compute_l2_norms",
    "dead_feature_threshold",
    "decoder_heuristic_init",
    "decoder_heuristic_init_norm",
    "decoder_init_norm",
    "decoder_orthogonal_init",
    "feature_reinit_scale",
    "init_encoder_as_decoder_transpose",
    "jumprelu_init_threshold",
    "jumprelu_tanh_scale",
    "log_activation_store_to_wandb",
    "log_activations_store_to_wandb",
    "lp_norm",
    "mse_loss_normalization",
    "n_batches_for_norm_estimate",
    "new_cached_activations_path",
    "noise_scale",
    "normalize_sae_decoder",
    "scale_sparsity_penalty_by_decoder_norm",
    "topk_threshold_lr",
    "use_cached_activations",
    "use_sparse_activations",
}
"""Keys of training runs, from version 2 to 6, that look arithmetic but concern training only."""


@dataclass(frozen=True)
class SaeLensSettings:
    """A cfg.json of any version, under present names."""

    path: Path
    values: Mapping[str, Any]
    """All keys under their present names."""
    architecture: str
    subtract_b_dec: bool
    transform: Transform
    scale: float | None
    """Constant that inputs were multiplied by and that the weights do not contain yet."""
    scaled_latents: bool
    """Whether each latent has a finetuned factor that applies at decoding."""
    origin: Origin


def read_settings(folder: Path, entry: Entry | None = None) -> SaeLensSettings:
    """The configuration of an SAELens folder.

    Raises:
        LoadError: if it is no JSON object, contradicts itself, or sets something that saeval does
            not know.
    """
    path = folder / "cfg.json"
    values = _rename_keys(read_json(path), path)
    metadata = _rename_keys(_object(values, "metadata", path), path)
    architecture = _architecture(values, path)
    if architecture == "topk":
        keyword_k = _activation_keywords(values, path).get("k")
        values["k"] = agreeing(path, "k", values.get("k"), keyword_k)
    kind = _normalisation(values, path)
    scale = _input_scale(values, folder, entry) if kind == "expected_average_only_in" else None
    harmless = HARMLESS | _training_keys(metadata, values)
    others = remaining(values, path, UNDERSTOOD | ARCHITECTURE_KEYS[architecture], harmless)
    return SaeLensSettings(
        path=path,
        values=values,
        architecture=architecture,
        subtract_b_dec=switch(values, "apply_b_dec_to_input", path, default=True),
        transform=NORMALISATIONS[kind],
        scale=scale,
        scaled_latents=switch(values, "finetuning_scaling_factor", path, default=False),
        origin=_origin(
            values, metadata, path, {**others, **_scale_record(kind, scale, values, path)}
        ),
    )


def _rename_keys(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """All keys under their present names; an older one must not contradict the newer."""
    values: dict[str, Any] = {}
    for name, value in config.items():
        present = RENAMED.get(name, name)
        twice = present in values
        values[present] = agreeing(path, present, values[present], value) if twice else value
    return values


def _object(values: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    value = values.get(name) or {}
    if not isinstance(value, Mapping):
        raise LoadError(f"{path} must give {name} as an object, not {value!r}.")
    return value


def _training_keys(metadata: Mapping[str, Any], values: Mapping[str, Any]) -> set[str]:
    """Keys that SAELens lists as training details, if their values equal those of this file."""
    details = metadata.get("training_architecture_details")
    if not isinstance(details, Mapping):
        return set()
    # These two are listed among the details too, but inference needs them.
    needed = {"k", "rescale_acts_by_decoder_norm"}
    return {
        name for name, value in details.items() if name not in needed and values.get(name) == value
    }


def _architecture(values: Mapping[str, Any], path: Path) -> str:
    """Name of the architecture; an older `standard` with a top-k activation is a topk.

    Raises:
        LoadError: if it is unknown or cannot be evaluated, or its activation is another.
    """
    architecture = text(values, "architecture", path) or "standard"
    if architecture in REFUSED:
        raise LoadError(f"{path} is a '{architecture}': {REFUSED[architecture]}")
    activation = text(values, "activation_fn", path) or "relu"
    keywords = _activation_keywords(values, path)
    if activation == "topk" and architecture == "standard":
        architecture = "topk"
    if architecture not in ARCHITECTURE_KEYS:
        raise LoadError(
            f"{path} names the architecture {architecture!r}, which saeval does not know. Known "
            f"are {', '.join(ARCHITECTURE_KEYS)}."
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


def _activation_keywords(values: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    keywords = _object(values, "activation_fn_kwargs", path)
    return {name: value for name, value in keywords.items() if value not in (None, False)}


def _normalisation(values: Mapping[str, Any], path: Path) -> str:
    """Name of the normalisation; older files hold true for the average norm, else false or null."""
    value = values.get("normalize_activations")
    if isinstance(value, bool) or value is None:
        return "expected_average_only_in" if value else "none"
    return choice(values, "normalize_activations", path, NORMALISATIONS, "none")


def _input_scale(values: Mapping[str, Any], folder: Path, entry: Entry | None) -> float | None:
    """Input scale in the configuration, a checkpoint's activation_scaler.json or a registry.

    Raises:
        LoadError: if the checkpoint was trained on whitened activations, or configuration and
            scaler state different scales.
    """
    scaler = folder / "activation_scaler.json"
    scaler_values = read_json(scaler) if scaler.exists() else {}
    if switch(scaler_values, "has_whitening", scaler, default=False):
        raise LoadError(f"{scaler} says that activations were whitened, which saeval cannot undo.")
    config_scale = factor(values, "norm_scaling_factor", folder / "cfg.json")
    scaler_scale = factor(scaler_values, "scaling_factor", scaler)
    scale = agreeing(folder, "scaling_factor", config_scale, scaler_scale)
    return scale if scale is not None or entry is None else entry.input_scale


def _scale_record(
    kind: str, scale: float | None, values: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    """Metadata on the scale of inputs, where they were normalised by a constant."""
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


def _origin(
    values: Mapping[str, Any], metadata: Mapping[str, Any], path: Path, record: Mapping[str, Any]
) -> Origin:
    """Model and sites; version 6 states them in `metadata`, older ones among the other keys."""

    def read_field(name: str, read: Callable[..., Any]) -> Any:
        return agreeing(path, name, read(values, name, path), read(metadata, name, path))

    kwargs = "model_from_pretrained_kwargs"
    processing = {**_object(values, kwargs, path), **_object(metadata, kwargs, path)}
    reshape = choice(values, "reshape_activations", path, ("none", "hook_z"), "none")
    return Origin(
        loader="sae_lens",
        model=read_field("model_name", text),
        read_site=of_head(read_field("hook_name", text), read_field("hook_head_index", index)),
        write_site=of_head(
            read_field("hook_name_out", text), read_field("hook_head_index_out", index)
        ),
        prepend_bos=read_field("prepend_bos", flag),
        context_size=read_field("context_size", count),
        centred=processing.get("center_writing_weights") is True,
        metadata={**metadata, **record, "reshape_activations": reshape},
    )
