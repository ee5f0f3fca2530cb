"""A tiny model of every family of causal language models that transformers knows.

Each is made from the family's own default configuration with every size cut down, so that a family
that a later transformers brings is built too, or says that it is not.
"""

from typing import Any

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

CAUSAL = tuple(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
WRAPPERS = tuple(sorted(set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES) - set(CAUSAL)))
"""Models of images and text, which hold a text model and are run on text alone."""

VOCABULARY, CONTEXT, LAYERS, WIDTH = 64, 48, 3, 16
_MOST_WEIGHTS = 9_000_000

_SIZES = {
    VOCABULARY: "vocab_size decoder_vocab_size unpadded_vocab_size vocab_size_per_layer_input "
    "pronunciation_vocab_size shape_vocab_size entity_vocab_size",
    CONTEXT: "max_position_embeddings n_positions n_ctx max_seq_len max_target_positions "
    "model_max_length original_max_position_embeddings max_source_positions context_length",
    32: "intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim ffn_hidden_size dim_ff dff "
    "d_inner n_inner feed_forward_size intermediate_size_mlp dense_intermediate_size mamba_d_ssm "
    "mlp_dim d_ff",
    WIDTH: "hidden_size d_model n_embd emb_dim embedding_dim embedding_size input_embedding_size "
    "output_embedding_size word_embed_proj_dim lru_width attention_hidden_size image_size "
    "vision_hidden_size projection_dim embed_dim hidden_dim out_hidden_size qformer_hidden_size "
    "cross_attention_hidden_size",
    8: "moe_intermediate_size shared_expert_intermediate_size shared_intermediate_size "
    "expert_ffn_hidden_size moe_shared_expert_intermediate_size index_head_dim "
    "shared_experts_intermediate_size q_lora_rank kv_lora_rank qk_head_dim mamba_d_head "
    "mamba_head_dim hidden_size_per_layer_input router_hidden_size pronunciation_embed_dim "
    "shape_embed_dim block_multiple_of num_buckets o_lora_rank hc_lowrank kv_channels "
    "attention_head_size",
    4: "num_attention_heads num_heads n_head n_heads decoder_attention_heads "
    "encoder_attention_heads attention_heads num_decoder_attention_heads "
    "num_encoder_attention_heads head_dim num_experts num_local_experts n_routed_experts "
    "moe_num_experts qk_rope_head_dim qk_nope_head_dim v_head_dim index_topk sliding_window "
    "attention_chunk_size window_size local_attention sliding_window_size attention_window_size "
    "linear_num_value_heads linear_key_head_dim linear_value_head_dim linear_head_dim "
    "linear_num_heads mamba_d_state mamba_n_heads mamba_chunk_size ssm_state_size mamba_num_heads "
    "state_size chunk_size rotary_dim swa_num_attention_heads swa_head_dim swa_v_head_dim d_head "
    "dim_head laurel_rank attention_head_dim adapter_rank patch_size n_mamba_heads "
    "num_query_groups conv_kernel_size local_attn_chunk_length lsh_attn_chunk_length "
    "vision_patch_size num_mel_bins gated_norm_rank d_rel rel_extent",
    LAYERS: "num_hidden_layers num_layers n_layer n_layers decoder_layers num_decoder_layers "
    "num_blocks",
    2: "num_key_value_heads num_experts_per_tok num_experts_per_token moe_topk moe_k n_group "
    "num_expert_group index_n_heads linear_num_key_heads mamba_dt_rank time_step_rank "
    "type_vocab_size swa_num_key_value_heads moe_layer_end_index interleave_moe_layer_step "
    "num_kv_heads decoder_start_token_id eos_token_id sep_token_id attn_layer_period hc_count "
    "hc_mult depth num_random_blocks block_size o_groups cls_token_id zero_expert_num n_groups "
    "spatial_merge_size temporal_patch_size",
    1: "encoder_layers num_encoder_layers n_shared_experts num_shared_experts "
    "moe_num_shared_experts topk_group mamba_n_groups mamba_ngroups first_k_dense_replace "
    "num_dense_layers moe_layer_start_index max_window_layers bos_token_id attn_layer_offset",
    0: "num_nextn_predict_layers num_kv_shared_layers",
}
_SMALL = {name: size for size, names in _SIZES.items() for name in names.split()} | {
    "pad_token_id": 3,
    "initializer_range": 0.3,
    "init_std": 0.3,
}
_A_LAYER = "layer_types mlp_layer_types indexer_types no_rope_layers layer_rope_theta "
_PER_LAYER = (_A_LAYER + "activation_sparsity_pattern layers_block_type").split()
"""Lists with one entry for each layer: the kinds there are take turns."""

_MULTIPLIERS: dict[str, Any] = {
    "residual_multiplier": 0.22,
    "attention_out_multiplier": 0.7,
    "ssm_out_multiplier": 1.3,
    "embedding_multiplier": 3.0,
}
"""Numbers that are 1 by default, which would hide that they are forgotten."""

_MROPE = {
    "rope_type": "default",
    "rope_theta": 10000.0,
    "partial_rotary_factor": 1.0,
    "mrope_section": [1, 1, 0],
}
_SPECIAL: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local", "global"], 1]], "attention_layers": ...},
    "mamba2": {"head_dim": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "full_attention"]},
    "zaya": {"num_experts_per_tok": 1},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "layers_block_type": ["linear_attention", "hybrid", "hybrid"],
        "attention_hidden_size": 32,
        "attention_head_dim": 8,
    },
    "zamba2": {
        "layers_block_type": ["linear_attention", "hybrid", "hybrid"],
        "attention_hidden_size": 32,
        "attention_head_dim": 8,
    },
    "reformer": {
        "is_decoder": True,
        "axial_pos_embds": False,
        "attn_layers": ["local", "lsh", "local"],
        "num_hidden_layers": 3,
    },
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    },
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "clip_qkv": 8.0}},
    "bamba": {"attn_layer_indices": [1]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "dots3_note_text": {"per_layer_config": {}},
    "blt": {"encoder_hash_byte_group_vocab": 32},
} | {
    kind: {"text_config": {"rope_parameters": _MROPE}}
    for kind in (
        *("glm46v", "glm4v", "glm4v_moe", "glm_ocr", "glmga", "paddleocr_vl"),
        *("qwen2_vl", "qwen2_5_vl", "qwen2_5_omni_thinker"),
    )
}
for _kind in ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker"):
    # Read by its code, and in the files of published models, but not among the class's defaults.
    _SPECIAL[_kind] = {**_SPECIAL.get(_kind, {}), "vision_start_token_id": 5}
"""What a family needs besides: sizes that have to fit each other."""

_MISFIT = "has sizes that must fit each other, and do not once each is cut down"
_PICTURES = "runs on pictures or other things beside text"
UNBUILT = {
    **dict.fromkeys(
        (
            *("chameleon", "cohere_compass", "deepseek_ocr2", "dots3_note", "dots3_note_text"),
            *("ernie4_5_vl_moe", "florence2", "glm5_next", "granite4_vision", "inkling2"),
            *("molmo2", "muse_spark", "nemotron_h_omni", "qwen4_exp", "qwen4_exp_text"),
        ),
        _MISFIT,
    ),
    **dict.fromkeys(("fast_vlm", "gemma3n", "perception_lm"), "needs packages for pictures"),
    **dict.fromkeys(("gemma4_assistant", "gemma4_unified_assistant"), "drafts for another model"),
    **dict.fromkeys(("janus", "muse_glimmer"), "stays large: its vision part has other sizes"),
    **dict.fromkeys(("musicgen", "musicgen_melody"), "speaks in codes of sound, not in text"),
    "evolla": "is in no list of models that are made by their configuration",
}
"""Families of which no tiny model is made here."""

UNRUN = {
    **dict.fromkeys(
        (
            *("blip", "blip-2", "idefics", "instructblip", "instructblipvideo", "kosmos-2"),
            *("pi0", "pix2struct", "pp_formulanet", "t5gemma2", "udop"),
            *("vision-encoder-decoder",),
        ),
        _PICTURES,
    ),
    "blt": "reads bytes in patches",
    "diffusion_gemma": "writes a block at once, not token by token",
    "hunyuan_vl": _PICTURES,
}
"""Families whose tiny model does not run on rows of tokens alone."""


class Unbuilt(Exception):
    """Why no tiny model of a family can be made."""


def configuration(kind: str) -> Any:
    """The family's default configuration, cut down."""
    return _cut(CONFIG_MAPPING[kind], CONFIG_MAPPING[kind](), _SPECIAL.get(kind, {}))


def build(kind: str) -> nn.Module:
    """A tiny model with random weights, in eval mode, the same on every call.

    Raises:
        Unbuilt: if the family needs more than a configuration, or does not come out small.
    """
    auto = AutoModelForCausalLM if kind in CAUSAL else AutoModelForImageTextToText
    try:
        settings = configuration(kind)
        with torch.device("meta"):
            size = sum(weight.numel() for weight in auto.from_config(settings).parameters())
        if size > _MOST_WEIGHTS:
            raise Unbuilt(f"has {size} weights when cut down")
        torch.manual_seed(0)
        net = auto.from_config(settings).eval()
    except Unbuilt:
        raise
    except Exception as error:  # whatever a family's code may raise
        reason = str(error).strip().partition("\n")[0]
        raise Unbuilt(f"{type(error).__name__}: {reason}") from error
    with torch.no_grad():
        for name, weight in net.named_parameters():
            _lively(name, weight)
    return net.requires_grad_(requires_grad=False)


def _cut(kind: type, default: Any, special: dict[str, Any]) -> Any:
    settings: dict[str, Any] = {}
    for name, value in default.to_dict().items():
        if name in getattr(kind, "sub_configs", {}):
            settings[name] = _part(default, name, special.get(name, {}))
        elif name in _MULTIPLIERS and value == 1:
            settings[name] = _MULTIPLIERS[name]
        elif name in _PER_LAYER and isinstance(value, list):
            settings[name] = (list(dict.fromkeys(value)) * LAYERS)[:LAYERS]
        elif name in _SMALL and not isinstance(value, dict):
            settings[name] = _sized(name, value)
        elif isinstance(value, float) and "drop" in name:
            settings[name] = 0.0
    if "kv_lora_rank" in settings and "num_key_value_heads" in settings:
        settings["num_key_value_heads"] = settings["num_attention_heads"]
    rope = default.to_dict().get("rope_parameters") or {}
    if "mrope_section" in rope:
        pairs = int(settings.get("head_dim", 4) * rope.get("partial_rotary_factor", 1.0)) // 2
        settings["rope_parameters"] = {**rope, "mrope_section": [pairs - pairs // 2, pairs // 2, 0]}
    settings |= {
        name: value
        for name, value in special.items()
        if name not in getattr(kind, "sub_configs", {})
    }
    return kind(**{name: value for name, value in settings.items() if value is not ...})


def _sized(name: str, value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return _SMALL[name]
    return type(value)([_SMALL[name]] * min(len(value), LAYERS))


def _part(default: Any, name: str, special: dict[str, Any]) -> Any:
    part = getattr(default, name)
    return None if part is None else _cut(type(part), part, special)


def _lively(name: str, weight: torch.Tensor) -> None:
    """Weights that start as 0 or 1 would hide mistakes."""
    if weight.ndim == 1:
        nn.init.normal_(weight, 0.7 if "norm" in name.lower() or "ln" in name else 0.1, 0.2)
    elif weight.numel() and float(weight.std()) < 0.01:
        nn.init.normal_(weight, 0.0, 0.2)
