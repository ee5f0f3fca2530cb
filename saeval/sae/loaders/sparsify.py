"""sparsify folders, one per hookpoint: cfg.json and sae.safetensors (EleutherAI)."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import SAE, Origin
from saeval.sae.architectures import ARCHITECTURES, Transcoder, build
from saeval.sae.loaders.config import choice, count, remaining, switch, text, whole
from saeval.sae.loaders.files import peek_json, read_json, read_safetensors
from saeval.sae.loaders.tensors import check_width, exactly, transposed

FORMAT = "cfg.json and sae.safetensors (sparsify)"

UNDERSTOOD = {
    "activation",
    "d_in",
    "expansion_factor",
    "k",
    "num_latents",
    "signed",
    "skip_connection",
    "transcode",
}
HARMLESS = {"multi_topk", "normalize_decoder"}
"""Keys that look arithmetic, but concern training: the decoder lies in the file as it is used."""
HOOKPOINT = re.compile(r"embed_tokens|([\w.]+\.)?(layers|h|blocks)\.\d+(\.[\w.]+)?")
"""Matches the name of a folder that is a module's name."""


def matches(folder: Path) -> bool:
    """Whether both files are there."""
    return (folder / "cfg.json").is_file() and (folder / "sae.safetensors").is_file()


def load(folder: Path, entry: Entry | None = None) -> SAE:  # noqa: ARG001, all loaders take it
    """The SAE in a folder, in float32 (sparsify computes in bfloat16 where it can).

    b_dec is taken off the input unless it is a transcoder, whether or not the decoder was kept
    normalised in training. W_dec lies as [latents, width] already.

    Raises:
        LoadError: if the activation is unknown, or configuration and tensors are damaged,
            incomplete or contradict each other.
    """
    path, weights = folder / "cfg.json", folder / "sae.safetensors"
    config = read_json(path)
    transcode = switch(config, "transcode", path, default=False)
    skip = switch(config, "skip_connection", path, default=False)
    architecture = _architecture(config, path)
    required = ("encoder.weight", "encoder.bias", "W_dec", "b_dec", *("W_skip",) * skip)
    tensors = exactly(read_safetensors(weights), weights, required)
    sae = build(
        ARCHITECTURES[architecture],
        W_enc=transposed(tensors["encoder.weight"], "encoder.weight", weights),
        b_enc=tensors["encoder.bias"],
        W_dec=tensors["W_dec"],
        b_dec=tensors["b_dec"],
        k=whole(config, "k", path),
        subtract_b_dec=not transcode,
        origin=_origin(folder, config, architecture, transcode=transcode),
    )
    check_width(config.get("d_in"), sae.d_in, "d_in", path)
    check_width(_latents(config, path), sae.d_sae, "num_latents (or expansion_factor d_in)", path)
    if not (transcode or skip):
        return sae
    W_skip = transposed(tensors["W_skip"], "W_skip", weights) if skip else None
    return build(
        Transcoder, inner=sae, W_skip=W_skip, origin=replace(sae.origin, architecture="transcoder")
    )


def _architecture(config: Mapping[str, Any], path: Path) -> str:
    """Architecture by activation; `signed` is a switch of older files.

    Raises:
        LoadError: if the activation is unknown, or groupmax is to be signed.
    """
    activation = choice(config, "activation", path, ("topk", "groupmax"), "topk")
    if not switch(config, "signed", path, default=False):
        return activation
    if activation != "topk":
        raise LoadError(f"{path} sets 'signed' for {activation}, which only a topk can be.")
    return "abstopk"


def _latents(config: Mapping[str, Any], path: Path) -> int:
    """Number of latents; 0 stands for expansion_factor times d_in."""
    num_latents = 0 if config.get("num_latents") is None else whole(config, "num_latents", path)
    if num_latents:
        return num_latents
    return whole(config, "expansion_factor", path) * whole(config, "d_in", path)


def _origin(
    folder: Path, config: Mapping[str, Any], architecture: str, *, transcode: bool
) -> Origin:
    """Module from the folder's name, model from the run's configuration one level up."""
    run_config = folder.parent / "config.json"
    run = (peek_json(run_config) or {}) if run_config.is_file() else {}
    module = folder.name if HOOKPOINT.fullmatch(folder.name) else None
    return Origin(
        loader="sparsify",
        architecture=architecture,
        model=text(run, "model", run_config),
        read_site=f"{module}:in" if module and transcode else module,
        write_site=f"{module}:out" if module and transcode else None,
        context_size=count(run, "ctx_len", run_config),
        metadata=remaining(config, folder / "cfg.json", UNDERSTOOD, HARMLESS),
    )
