"""The configuration of a folder of Llama Scope or its successors, read before its tensors."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import Origin
from saeval.sae.loaders.config import choice, count, number, remaining, switch, text
from saeval.sae.loaders.files import peek_json, read_json
from saeval.sae.loaders.tensors import scalar

logger = logging.getLogger(__name__)

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
    "sae_type",
    "sparsity_include_decoder_norm",
    "top_k",
    "use_decoder_bias",
    "use_glu_encoder",
}
HARMLESS = {
    "bias_init_method",
    "decoder_exactly_fixed_norm",
    "force_unit_decoder_norm",
    "init_decoder_norm",
    "init_encoder_norm",
    "init_encoder_with_decoder_transpose",
    "init_encoder_with_decoder_transpose_factor",
    "jumprelu_threshold_grad_scale",
    "jumprelu_threshold_window",
    "k_warmup_steps",
    "lp_norm",
    "matryoshka_loss_weights",
    "promote_act_fn_dtype",
    "remove_gradient_parallel_to_decoder_directions",
    "sparsity_threshold_for_csr",
    "sparsity_threshold_for_triton_spmm_kernel",
    "use_batch_norm_mse",
    "use_triton_kernel",
}
"""Keys that look arithmetic, but concern training, or the program that computes a product."""
KINDS = ("sae", "matryoshka_sae")
"""Kinds of dictionary that are read. A Matryoshka's nested losses matter in training only."""
UNSUPPORTED = {
    "clt": "a cross-layer transcoder, whose latents write at many layers at once",
    "crosscoder": "a crosscoder, which reads several sites at once",
    "lorsa": "a Lorsa (low-rank sparse attention), whose latents depend on the whole text",
    "mixcoder": "a mixcoder, which divides its latents among modalities",
    "molt": "a MOLT (mixture of linear transforms), whose latents write matrices, not vectors",
}
"""Kinds that the library writes and saeval does not read, each with a description."""
ACTIVATIONS = ("relu", "jumprelu", "topk")
BATCH_ACTIVATIONS = ("batchtopk", "layertopk", "batchlayertopk")
"""Activations that choose among the latents of many tokens or layers."""


@dataclass(frozen=True)
class LlamaScopeSettings:
    """The part of the configuration that bears on the arithmetic."""

    path: Path
    config: Mapping[str, Any]
    older: bool
    """Whether it is a hyperparams.json, with one threshold for all latents."""
    activation: str
    by_norm: bool
    """Whether pre is multiplied by |W_dec| before it is compared or ranked."""
    subtract_b_dec: bool
    decoder_bias: bool
    normalised: bool
    """Whether each token is brought to norm sqrt(d_model)."""
    scale_in: float | None
    """Factor of the inputs in training; None where the files do not state it."""
    scale_out: float | None
    """Factor of the outputs in training, likewise."""
    origin: Origin

    @property
    def transcodes(self) -> bool:
        """Whether it predicts another site than it reads."""
        return self.origin.write_site is not None


def read_settings(
    path: Path, norms: Mapping[str, float], entry: Entry | None
) -> LlamaScopeSettings:
    """The configuration of a folder, with the average norms that its tensors include.

    Raises:
        LoadError: if it sets something that saeval does not know, or contradicts itself.
    """
    config = read_json(path)
    check_kind(config, path)
    act_fn = config.get("act_fn")
    # The library writes the name in either case.
    lowered = {**config, "act_fn": act_fn.lower() if isinstance(act_fn, str) else act_fn}
    activation = choice(lowered, "act_fn", path, (*ACTIVATIONS, *BATCH_ACTIVATIONS), "")
    if activation in BATCH_ACTIVATIONS:
        raise LoadError(
            f"{path} sets act_fn to {activation!r}, whose latents depend on the whole batch. The "
            "library turns such an SAE into a jumprelu for inference: give that form."
        )
    if switch(config, "use_glu_encoder", path, default=False):
        raise LoadError(f"{path} sets use_glu_encoder: gated linear encoders are not supported.")
    kinds = ("dataset-wise", "none", "inference", "token-wise")
    if config.get("norm_activation") == "batch-wise":
        raise LoadError(f"{path} normalises by the average norm of each batch: not supported.")
    normalisation = choice(config, "norm_activation", path, kinds, "")
    read, write = _sites(config, path)
    if normalisation == "token-wise" and write is not None:
        raise LoadError(
            f"{path} brings each token to one norm at both of its sites. What it predicts has a "
            "norm that its input does not tell, so that it cannot be evaluated."
        )
    scales = (1.0, 1.0)
    if normalisation == "dataset-wise":
        scales = _scales(config, norms, entry, path, transcodes=write is not None)
    return LlamaScopeSettings(
        path=path,
        config=config,
        older=path.name == "hyperparams.json",
        activation=activation,
        by_norm=switch(config, "sparsity_include_decoder_norm", path, default=True),
        subtract_b_dec=switch(config, "apply_decoder_bias_to_pre_encoder", path, default=False),
        decoder_bias=switch(config, "use_decoder_bias", path, default=True),
        normalised=normalisation == "token-wise",
        scale_in=scales[0],
        scale_out=scales[1],
        origin=_origin(config, (read, write), scales, path),
    )


def check_kind(config: Mapping[str, Any], path: Path) -> None:
    """Refuse a kind of dictionary that is no SAE and no transcoder of one layer.

    Raises:
        LoadError: with a description of that kind.
    """
    kind = choice(config, "sae_type", path, (*KINDS, *UNSUPPORTED), "sae")
    if kind in UNSUPPORTED:
        raise LoadError(f"{path} has sae_type '{kind}': {UNSUPPORTED[kind]}. It is not supported.")


def pop_norms(content: dict[str, Tensor], weights: Path) -> dict[str, float]:
    """Average norms that a successor stores among its tensors, by `in`, `out` or hook."""
    names = [name for name in content if name.startswith(f"{NORM}.")]
    return {
        name.removeprefix(f"{NORM}."): scalar(content.pop(name), name, weights) for name in names
    }


def _sites(config: Mapping[str, Any], path: Path) -> tuple[str | None, str | None]:
    read, write = text(config, "hook_point_in", path), text(config, "hook_point_out", path)
    return read, write if write != read else None


def _scales(
    config: Mapping[str, Any],
    norms: Mapping[str, float],
    entry: Entry | None,
    path: Path,
    *,
    transcodes: bool,
) -> tuple[float | None, float | None]:
    """sqrt(d_model) over the average norms in and out; None where no file states them."""
    config_norms = config.get(NORM) or {}
    if not isinstance(config_norms, Mapping):
        raise LoadError(f"{path} must give {NORM} as an object, not {config_norms!r}.")
    norms = {**norms, **config_norms}
    ends = ("in", "out")
    norm_in, norm_out = (
        norms.get(end, norms.get(str(config.get(f"hook_point_{end}")))) for end in ends
    )
    if norm_in is None and entry is not None and entry.input_scale is not None:
        return entry.input_scale, entry.input_scale
    if norm_in is None:
        logger.warning(
            "%s was trained on activations scaled to an average norm of sqrt(d_model), but does "
            "not say by what factor. They are read as they are; if the factor was not folded into "
            "the weights, the activation scale check will show it.",
            path,
        )
        return None, None
    root = number(config, "d_model", path) ** 0.5
    values = {"in": norm_in, "out": norm_in if norm_out is None else norm_out}
    averages = [number(values, end, path) for end in ends]
    if min(averages) <= 0 or (averages[0] != averages[1] and not transcodes):
        raise LoadError(f"{path} gives average norms {values}, which one site cannot have.")
    return root / averages[0], root / averages[1]


def latents(config: Mapping[str, Any], path: Path) -> int | None:
    """Number of latents that the configuration states, if it states one."""
    d_sae = count(config, "d_sae", path)
    if d_sae is not None or config.get("expansion_factor") is None:
        return d_sae
    return round(number(config, "d_model", path) * number(config, "expansion_factor", path))


def _origin(
    config: Mapping[str, Any],
    sites: tuple[str | None, str | None],
    scales: tuple[float | None, float | None],
    path: Path,
) -> Origin:
    scale_record = {"input_scale": scales[0], "input_scale_folded": scales[0] is not None}
    lm_config = peek_json(path.with_name("lm_config.json")) or {}
    return Origin(
        loader="llama_scope",
        architecture=str(config["act_fn"]).lower(),
        model=text(config, "model_name", path) or text(lm_config, "model_name", path),
        read_site=sites[0],
        write_site=sites[1],
        context_size=count(config, "context_size", path),
        metadata={**remaining(config, path, UNDERSTOOD, HARMLESS), **scale_record},
    )
