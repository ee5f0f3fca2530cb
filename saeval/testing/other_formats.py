"""A tiny folder of every format that saeval reads, in the form its library writes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from saeval.sae.architectures.random import random_topk
from saeval.sae.loaders import saeval_format
from saeval.sae.loaders.circuit_tracer import THRESHOLD

D_IN, D_SAE = 6, 16

NAMES = {"qwen_scope": "SAE-Res-Qwen3-1.7B-Base-W1K-L0_3"}
"""Folder names of formats that read something from the name."""

Content = Mapping[str, Any]
"""File name -> a JSON object, or arrays by name."""


def write_formats(folder: Path) -> dict[str, list[Path]]:
    """Write all formats. Returns their folders by the name of the loader that reads them."""
    folders_by_loader: dict[str, list[Path]] = {}
    for number, (loader, content) in enumerate(_formats(np.random.default_rng(0))):
        place = folder / str(number) / NAMES.get(loader, loader)
        for name, values in content.items():
            _write(place / name, values)
        folders_by_loader.setdefault(loader, []).append(place)
    sae = random_topk(torch.zeros(D_IN), D_SAE, 2, seed=0)
    saeval_format.save(sae, folder / "saeval")
    folders_by_loader["saeval"] = [folder / "saeval"]
    return folders_by_loader


def _formats(rng: np.random.Generator) -> list[tuple[str, Content]]:
    """Loader and files of each format, with random numbers."""

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    W_enc, W_dec, b_enc, b_dec = draw(D_IN, D_SAE), draw(D_SAE, D_IN), draw(D_SAE), draw(D_IN)
    threshold = np.abs(draw(D_SAE))
    torch_layers = {"encoder.weight": W_enc.T, "encoder.bias": b_enc, "decoder.weight": W_dec.T}
    biased = {**torch_layers, "decoder.bias": b_dec}
    papers = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec}
    lens = {"architecture": "standard", "d_in": D_IN, "d_sae": D_SAE}
    eleuther = {"encoder.weight": W_enc.T, "encoder.bias": b_enc, "W_dec": W_dec, "b_dec": b_dec}
    llama = {"act_fn": "jumprelu", "norm_activation": "inference", "d_model": D_IN}
    llama_1 = {**llama, "jump_relu_threshold": 0.1, "d_sae": D_SAE}
    llama_2 = {**llama, "hook_point_in": "blocks.1.hook_resid_post"}
    logs = {"log_jumprelu_threshold": np.log(threshold)}
    small = {"w_enc": W_enc, "b_enc": b_enc, "w_dec": W_dec, "b_dec": b_dec}
    gpt = {"pre_bias": b_dec, "latent_bias": b_enc, "activation": "ReLU"}
    gpt |= {"encoder.weight": W_enc.T, "decoder.weight": W_dec.T}
    linear = {"encoder_linear.weight": W_enc.T, "encoder_linear.bias": b_enc}
    linear |= {"decoder_linear.weight": W_dec.T, "decoder_linear.bias": b_dec}
    trainer = {"trainer": {"trainer_class": "StandardTrainer"}}
    return [
        ("sae_lens", {"cfg.json": lens, "sae_weights.safetensors": papers}),
        ("dictionary_learning", {"config.json": trainer, "ae.pt": {**torch_layers, "bias": b_dec}}),
        (
            "sparsify",
            {
                "cfg.json": {"d_in": D_IN, "num_latents": D_SAE, "k": 3},
                "sae.safetensors": eleuther,
            },
        ),
        ("gemma_scope", {"params.npz": {**papers, "threshold": threshold}}),
        ("gemma_scope", {"params.safetensors": {**small, "threshold": threshold}}),
        ("llama_scope", {"hyperparams.json": llama_1, "checkpoints/final.safetensors": biased}),
        ("llama_scope", {"config.json": llama_2, "sae_weights.safetensors": {**biased, **logs}}),
        ("openai", {"3.pt": gpt}),
        (
            "circuit_tracer",
            {
                "config.yaml": {"activation": "jump_relu"},
                "layer_1.safetensors": {**papers, "W_enc": W_enc.T, THRESHOLD: threshold},
            },
        ),
        ("goodfire", {"Llama-3-SAE-l19.pth": linear}),
        ("hook_z", {"gelu-2l_L1_Hcat_z.pt": papers}),
        ("qwen_scope", {"layer3.sae.pt": {**papers, "W_enc": W_enc.T, "W_dec": W_dec.T}}),
    ]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".json", ".yaml"):
        path.write_text(json.dumps(content), encoding="utf-8")
    elif path.suffix == ".npz":
        np.savez(path, **content)
    elif path.suffix == ".safetensors":
        save_file({name: np.ascontiguousarray(value) for name, value in content.items()}, path)
    else:
        torch.save(
            {
                name: torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value
                for name, value in content.items()
            },
            path,
        )
