"""Tiny SAEs in every format that others write, as what lies in their folders."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

D, F = 6, 16
REPOSITORY = "SAE-Res-Qwen3-1.7B-Base-W32K-L0_3"
"""A name that says k, as Qwen Scope needs it."""


def sae_lens(tiny: SimpleNamespace) -> dict[str, Any]:
    """Files of a standard SAE of SAELens."""
    names = ("W_enc", "b_enc", "W_dec", "b_dec")
    return {
        "cfg.json": {"architecture": "standard", "d_in": D, "d_sae": F},
        "sae_weights.safetensors": {name: getattr(tiny, name) for name in names},
    }


def dictionary_learning(tiny: SimpleNamespace) -> dict[str, Any]:
    """Files of an AutoEncoder of dictionary_learning."""
    return {
        "config.json": {"trainer": {"trainer_class": "StandardTrainer"}},
        "ae.pt": {
            "encoder.weight": tiny.W_enc.T,
            "encoder.bias": tiny.b_enc,
            "decoder.weight": tiny.W_dec.T,
            "bias": tiny.b_dec,
        },
    }


def sparsify(tiny: SimpleNamespace) -> dict[str, Any]:
    """Files of a TopK of sparsify."""
    return {
        "cfg.json": {"d_in": D, "num_latents": F, "k": 3},
        "sae.safetensors": {
            "encoder.weight": tiny.W_enc.T,
            "encoder.bias": tiny.b_enc,
            "W_dec": tiny.W_dec,
            "b_dec": tiny.b_dec,
        },
    }


def gemma_scope(tiny: SimpleNamespace) -> dict[str, Any]:
    """Files of Gemma Scope."""
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    return {"params.npz": {name: getattr(tiny, name) for name in names}}


def gemma_scope_2(tiny: SimpleNamespace) -> dict[str, Any]:
    """Files of Gemma Scope 2."""
    arrays = gemma_scope(tiny)["params.npz"]
    lower = {name.replace("W_", "w_"): value for name, value in arrays.items()}
    return {"params.safetensors": lower}


def llama_tensors(tiny: SimpleNamespace) -> dict[str, Any]:
    """Tensors of Llama Scope."""
    return {
        "encoder.weight": tiny.W_enc.T,
        "encoder.bias": tiny.b_enc,
        "decoder.weight": tiny.W_dec.T,
        "decoder.bias": tiny.b_dec,
    }


def llama_scope(tiny: SimpleNamespace) -> dict[str, Any]:
    """Files of Llama Scope."""
    config = {
        "act_fn": "jumprelu",
        "norm_activation": "inference",
        "jump_relu_threshold": 0.1,
        "d_model": D,
        "d_sae": F,
    }
    return {"hyperparams.json": config, "checkpoints/final.safetensors": llama_tensors(tiny)}


def llama_scope_r1(tiny: SimpleNamespace) -> dict[str, Any]:
    """Files of Llama Scope's successor."""
    config = {
        "act_fn": "jumprelu",
        "norm_activation": "inference",
        "hook_point_in": "blocks.1.hook_resid_post",
        "d_model": D,
    }
    more = {"log_jumprelu_threshold": np.log(tiny.threshold)}
    return {"config.json": config, "sae_weights.safetensors": llama_tensors(tiny) | more}


def openai(tiny: SimpleNamespace) -> dict[str, Any]:
    """File of OpenAI."""
    return {
        "3.pt": {
            "pre_bias": tiny.b_dec,
            "encoder.weight": tiny.W_enc.T,
            "latent_bias": tiny.b_enc,
            "decoder.weight": tiny.W_dec.T,
            "activation": "ReLU",
        }
    }


def circuit_tracer(tiny: SimpleNamespace) -> dict[str, Any]:
    """A layer of circuit-tracer's transcoders."""
    config = {"activation": "relu", "feature_input_hook": "mlp.hook_in", "model_name": "org/m"}
    content = {
        "W_enc": tiny.W_enc.T,
        "b_enc": tiny.b_enc,
        "W_dec": tiny.W_dec,
        "b_dec": tiny.b_dec,
        "activation_function.threshold": tiny.threshold,
    }
    config["activation"] = "jumprelu"
    return {"config.yaml": config, "layer_3.safetensors": content}


def qwen_scope(tiny: SimpleNamespace) -> dict[str, Any]:
    """A layer of Qwen Scope, in a folder that says k."""
    content = {
        "W_enc": tiny.W_enc.T,
        "b_enc": tiny.b_enc,
        "W_dec": tiny.W_dec.T,
        "b_dec": tiny.b_dec,
    }
    return {"layer3.sae.pt": content}


def goodfire(tiny: SimpleNamespace) -> dict[str, Any]:
    """Goodfire's file."""
    return {
        "Llama-3.1-8B-Instruct-SAE-l19.pt": {
            "encoder_linear.weight": tiny.W_enc.T,
            "encoder_linear.bias": tiny.b_enc,
            "decoder_linear.weight": tiny.W_dec.T,
            "decoder_linear.bias": tiny.b_dec,
        }
    }


def qresearch(tiny: SimpleNamespace) -> dict[str, Any]:
    """The file of DeepSeek-R1's SAE."""
    (content,) = goodfire(tiny).values()
    short = {name.replace("_linear", ""): value for name, value in content.items()}
    return {"DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt": short}


def hook_z(tiny: SimpleNamespace) -> dict[str, Any]:
    """A layer's attention SAE."""
    names = ("W_enc", "b_enc", "W_dec", "b_dec")
    return {"gpt2-small_L5_Hcat_z_lr1.20e-03.pt": {name: getattr(tiny, name) for name in names}}


def weights_of(files: dict[str, Any]) -> str:
    """Name of the file that holds tensors."""
    return next(name for name in files if not name.endswith((".json", ".yaml")))


FORMATS: dict[str, Callable[[SimpleNamespace], dict[str, Any]]] = {
    "sae_lens": sae_lens,
    "dictionary_learning": dictionary_learning,
    "sparsify": sparsify,
    "gemma_scope": gemma_scope,
    "gemma_scope 2": gemma_scope_2,
    "llama_scope": llama_scope,
    "llama_scope r1": llama_scope_r1,
    "openai": openai,
    "circuit_tracer": circuit_tracer,
    "qwen_scope": qwen_scope,
    "goodfire": goodfire,
    "goodfire qresearch": qresearch,
    "hook_z": hook_z,
}
"""Files of every foreign format, by loader and variant."""
