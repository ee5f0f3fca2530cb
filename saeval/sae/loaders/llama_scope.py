"""Llama Scope folders: hyperparams.json with checkpoints/, or the layout of its R1 successor."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import SAE, Origin
from saeval.sae.architectures import JumpReLU, Transcoder, build
from saeval.sae.loaders.config import choice, count, number, remaining, switch, text
from saeval.sae.loaders.files import peek_json, read_json, read_safetensors
from saeval.sae.loaders.tensors import check_width, exactly, scalar, transposed

logger = logging.getLogger(__name__)

FORMAT = (
    "hyperparams.json and checkpoints/final.safetensors, or config.json (with hook_point_in) and "
    "sae_weights.safetensors (Llama Scope)"
)

WEIGHTS = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
NORM = "dataset_average_activation_norm"
UNDERSTOOD = {
    "act_fn",
    "apply_decoder_bias_to_pre_encoder",
    "d_model",
    "d_sae",
    NORM,
    "expansion_factor",
    "hook_point_in",
    "hook_point_out",
    "jump_relu_threshold",
    "norm_activation",
    "use_decoder_bias",
    "use_glu_encoder",
}
HARMLESS = {
    "decoder_exactly_fixed_norm",
    "force_unit_decoder_norm",
    "init_decoder_norm",
    "init_encoder_norm",
    "init_encoder_with_decoder_transpose",
    "init_encoder_with_decoder_transpose_factor",
    "jumprelu_threshold_window",
    "k_warmup_steps",
    "promote_act_fn_dtype",
    "remove_gradient_parallel_to_decoder_directions",
    "sparsity_include_decoder_norm",
    "sparsity_threshold_for_triton_spmm_kernel",
    "top_k",
    "use_batch_norm_mse",
    "use_triton_kernel",
}
"""Keys that look arithmetic, but concern training: weights and thresholds are saved as used."""


def matches(folder: Path) -> bool:
    """Whether the files of either layout are there."""
    if (folder / "hyperparams.json").is_file():
        return (folder / "checkpoints" / "final.safetensors").is_file()
    config = folder / "config.json"
    if not config.is_file() or not (folder / "sae_weights.safetensors").is_file():
        return False
    content = peek_json(config)
    # A configuration that cannot be read is better told so than not recognised.
    return not (folder / "cfg.json").exists() if content is None else "hook_point_in" in content


def load(folder: Path, entry: Entry | None = None) -> SAE:  # noqa: ARG001, all loaders take it
    """The SAE in a folder, in float32: JumpReLU without subtraction of b_dec.

    Weights hold for activations times sqrt(d_model) / average norm. That factor s is folded into
    them: W_enc s, W_dec / s, b_dec / s.

    Raises:
        LoadError: if it is no jumprelu, uses parts that saeval does not know, or is damaged,
            incomplete or contradictory.
    """
    older = (folder / "hyperparams.json").is_file()
    path = folder / ("hyperparams.json" if older else "config.json")
    weights = folder / ("checkpoints/final.safetensors" if older else "sae_weights.safetensors")
    config = read_json(path)
    _check_known(config, path)
    content = read_safetensors(weights)
    norms = {name: scalar(content.pop(name), name, weights) for name in _norm_names(content)}
    log_threshold = () if older else ("log_jumprelu_threshold",)
    found = exactly(content, weights, (*WEIGHTS, *log_threshold))
    scale_in, scale_out = _scales(config, norms, path)
    W_enc = transposed(found["encoder.weight"], "encoder.weight", weights)
    sae = build(
        JumpReLU,
        W_enc=W_enc,
        b_enc=found["encoder.bias"],
        W_dec=transposed(found["decoder.weight"], "decoder.weight", weights),
        b_dec=found["decoder.bias"],
        threshold=_threshold(config, found, W_enc.shape[1], scale_in, path),
        subtract_b_dec=switch(config, "apply_decoder_bias_to_pre_encoder", path, default=False),
        origin=_origin(config, (scale_in, scale_out), path),
    )
    check_width(config.get("d_model"), sae.d_in, "d_model", path)
    check_width(_latents(config, path), sae.d_sae, "d_sae (or expansion_factor d_model)", path)
    return _folded(sae, scale_in or 1.0, scale_out or 1.0)


def _check_known(config: Mapping[str, Any], path: Path) -> None:
    """Refuse all but the one form that is described."""
    choice(config, "act_fn", path, ("jumprelu",), "")
    choice(config, "sae_type", path, ("sae",), "sae")
    choice(config, "norm_activation", path, ("dataset-wise", "none", "inference"), "")
    for name, needed in (("use_glu_encoder", False), ("use_decoder_bias", True)):
        if switch(config, name, path, default=needed) != needed:
            raise LoadError(f"{path} sets '{name}' to {not needed}, which saeval does not know.")


def _norm_names(content: Mapping[str, Tensor]) -> list[str]:
    return [name for name in content if name.startswith(f"{NORM}.")]


def _scales(
    config: Mapping[str, Any], norms: Mapping[str, float], path: Path
) -> tuple[float | None, float | None]:
    """Factors that inputs and outputs were multiplied by; None where the files do not tell.

    The successor keeps the norms among the tensors, by `in` and `out` or by name of hook.
    """
    if config["norm_activation"] != "dataset-wise":
        return 1.0, 1.0
    stated = config.get(NORM) or {}
    if not isinstance(stated, Mapping):
        raise LoadError(f"{path} must give {NORM} as an object, not {stated!r}.")
    known = {name.removeprefix(f"{NORM}."): value for name, value in norms.items()} | dict(stated)
    ends = ("in", "out")
    found = [known.get(end, known.get(str(config.get(f"hook_point_{end}")))) for end in ends]
    if found[0] is None:
        logger.warning(
            "%s was trained on activations scaled to an average norm of sqrt(d_model), but does "
            "not say by what factor. They are read as they are; if the factor was not folded into "
            "the weights, the activation scale check will show it.",
            path,
        )
        return None, None
    root = number(config, "d_model", path) ** 0.5
    values = {"in": found[0], "out": found[0] if found[1] is None else found[1]}
    scales = [root / number(values, end, path) for end in ends]
    if min(scales) <= 0 or (scales[0] != scales[1] and not _transcodes(config)):
        raise LoadError(f"{path} gives average norms {values}, which one site cannot have.")
    return scales[0], scales[1]


def _threshold(
    config: Mapping[str, Any],
    found: Mapping[str, Tensor],
    d_sae: int,
    scale: float | None,
    path: Path,
) -> Tensor:
    """One threshold for all latents, times the input's scale; the successor has one a latent.

    Source: SAELens, `get_llama_scope_config_from_hf` and its R1 sibling.
    """
    if "log_jumprelu_threshold" in found:
        return found["log_jumprelu_threshold"].exp()
    return torch.full((d_sae,), number(config, "jump_relu_threshold", path) * (scale or 1.0))


def _folded(sae: JumpReLU, scale_in: float, scale_out: float) -> SAE:
    """Weights for raw activations; a transcoder where the sites differ."""
    raw = replace(
        sae, W_enc=sae.W_enc * scale_in, W_dec=sae.W_dec / scale_out, b_dec=sae.b_dec / scale_out
    )
    if sae.origin.write_site is None:
        return raw
    return build(Transcoder, inner=raw, origin=replace(sae.origin, architecture="transcoder"))


def _transcodes(config: Mapping[str, Any]) -> bool:
    read = config.get("hook_point_in")
    return config.get("hook_point_out", read) != read


def _latents(config: Mapping[str, Any], path: Path) -> int | None:
    if config.get("d_sae") is not None or config.get("expansion_factor") is None:
        return config.get("d_sae")
    return int(number(config, "d_model", path) * number(config, "expansion_factor", path))


def _origin(
    config: Mapping[str, Any], scales: tuple[float | None, float | None], path: Path
) -> Origin:
    statement = {"input_scale": scales[0], "input_scale_folded": scales[0] is not None}
    return Origin(
        loader="llama_scope",
        architecture="jumprelu",
        model=text(config.get("model_name")),
        read_site=text(config.get("hook_point_in")),
        write_site=text(config.get("hook_point_out")) if _transcodes(config) else None,
        context_size=count(config.get("context_size")),
        metadata={**remaining(config, path, UNDERSTOOD, HARMLESS), **statement},
    )
