"""Gemma Scope folders: params.npz, or its successor's params.safetensors."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.registry.model_names import canonical_name
from saeval.sae import SAE, Origin
from saeval.sae.architectures import JumpReLU, Transcoder, build
from saeval.sae.loaders.before_gain import reading_before_gain
from saeval.sae.loaders.config import choice, remaining, switch, text
from saeval.sae.loaders.files import read_json, read_npz, read_safetensors
from saeval.sae.loaders.tensors import check_width, exactly

FORMAT = "params.npz (Gemma Scope) or params.safetensors (Gemma Scope 2)"

REQUIRED = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
SKIP = "affine_skip_connection"
REPOSITORY = re.compile(r"gemma-scope-(\d+b)-(pt|it)-(res|mlp|att|transcoders)\b")
SUCCESSOR = re.compile(r"gemma-scope-2-(\d+[bm])-(pt|it)\b")
SITES = {
    "res": ("blocks.{}.hook_resid_post", None),
    "mlp": ("blocks.{}.hook_mlp_out", None),
    "att": ("blocks.{}.attn.hook_z", None),
    "transcoders": ("blocks.{}.ln2.hook_normalized", "blocks.{}.hook_mlp_out"),
}
"""Sites read and written, by the last part of the names of the first release's repositories."""
SUCCESSOR_SITES = {
    "resid_post": ("blocks.{}.hook_resid_post", None),
    "mlp_out": ("blocks.{}.hook_mlp_out", None),
    "attn_out": ("blocks.{}.attn.hook_z", None),
    "transcoder": ("blocks.{}.mlp.hook_in", "blocks.{}.hook_mlp_out"),
}
"""The same by folder of the second release. Attention is read at its projection's input,
transcoders after the gain of the norm: so say the configurations that some of its SAEs have."""
UNSUPPORTED = {
    "clt": "a cross-layer transcoder, whose latents write at many layers at once",
    "crosscoder": "a crosscoder, which reads several sites at once",
}
"""Other kinds of dictionary in the second release, by folder and by `type`."""
NAMED_PARTS = 8
"""Last folders of a path that are searched for model and site: as many as a hub cache has."""
UNDERSTOOD = {
    "architecture",
    "affine_connection",
    "type",
    "width",
    "model_name",
    "hf_hook_point_in",
    "hf_hook_point_out",
}


def matches(folder: Path) -> bool:
    """Whether either file is there."""
    return (folder / "params.npz").is_file() or (folder / "params.safetensors").is_file()


def load(folder: Path, entry: Entry | None = None) -> SAE:
    """The SAE in a folder, in float32: JumpReLU without subtraction of b_dec.

    Model and site come from the successor's config.json, else from the names of repository and
    folder where these state them.

    Raises:
        LoadError: if both files exist, or the file is damaged, incomplete or of another format.
    """
    older, newer = folder / "params.npz", folder / "params.safetensors"
    if older.is_file() and newer.is_file():
        raise LoadError(f"{folder} holds both {older.name} and {newer.name}. Leave only one.")
    path = older if older.is_file() else newer
    config = _config(folder / "config.json")
    kind = config.get("type") or next(
        (name for name in _folder_kinds(folder) if name in UNSUPPORTED), None
    )
    if kind in UNSUPPORTED:
        raise LoadError(f"{folder} holds type '{kind}': {UNSUPPORTED[kind]}. It is not supported.")
    content = read_npz(older) if path == older else read_safetensors(newer)
    content = {
        _tensor_name(name): value
        for name, value in content.items()
        if not _is_unit_factor(name, value)
    }
    required = (*REQUIRED, SKIP) if config.get("affine_connection") else REQUIRED
    tensors: dict[str, Any] = {**exactly(content, path, required, optional=(SKIP,))}
    skip = tensors.pop(SKIP, None)
    origin = _origin(folder, config, f"{entry.source} " if entry else "")
    inner = build(JumpReLU, **tensors, subtract_b_dec=False, origin=origin)
    check_width(config.get("width"), inner.d_sae, "width", folder / "config.json")
    if _is_embedding(folder):
        inner = _fold_embedding_scale(inner)
    if skip is None and origin.write_site is None:
        return inner
    model = (entry.model if entry else None) or origin.model
    inner, origin = reading_before_gain(inner, origin, model)
    return build(
        Transcoder, inner=inner, W_skip=skip, origin=replace(origin, architecture="transcoder")
    )


def _tensor_name(name: str) -> str:
    """Saeval's name of a tensor; the successor writes w_enc and w_dec."""
    return name.replace("w_", "W_", 1) if name.startswith("w_") else name


def _is_unit_factor(name: str, value: Tensor) -> bool:
    """Whether it is a scaling factor of 1."""
    return name == "scaling_factor" and bool(torch.isclose(value, torch.ones_like(value)).all())


def _fold_embedding_scale(sae: JumpReLU) -> JumpReLU:
    """Fold the scale of embeddings in: their SAEs were trained on embeddings over sqrt(d_in).

    Source: SAELens, `gemma_2_sae_huggingface_loader`.
    """
    root = sae.d_in**0.5
    return replace(sae, W_enc=sae.W_enc / root, W_dec=sae.W_dec * root)


def _is_embedding(folder: Path) -> bool:
    return "embedding" in folder.absolute().parts[-3:]


def _config(path: Path) -> dict[str, Any]:
    """The successor's configuration; empty where there is none.

    Raises:
        LoadError: if it names another kind of dictionary.
    """
    if not path.is_file():
        return {}
    config = read_json(path)
    choice(config, "architecture", path, ("jump_relu", "jumprelu"), "jump_relu")
    choice(config, "type", path, ("sae", "transcoder", *UNSUPPORTED), "sae")
    switch(config, "affine_connection", path, default=False)
    remaining(config, path, UNDERSTOOD, ())
    return config


def _origin(folder: Path, config: Mapping[str, Any], source: str) -> Origin:
    name = source + "/".join(folder.absolute().parts[-NAMED_PARTS:])
    path = folder / "config.json"
    read, write = _hook(config, "in", path), _hook(config, "out", path)
    if read is None:
        read, write = _sites(folder, name)
    model_name = text(config, "model_name", path)
    return Origin(
        loader="gemma_scope",
        architecture="jumprelu",
        model=canonical_name(model_name) if model_name else _model(name),
        read_site=read,
        write_site=write if write != read else None,
        metadata=dict(config),
    )


def _hook(config: Mapping[str, Any], end: str, path: Path) -> str | None:
    """A module's end, such as `model.layers.5.output`, as a site.

    The path before `layers` depends on the model: multimodal ones have their text layers deeper.
    """
    match = re.fullmatch(r"(.+)\.(in|out)put", text(config, f"hf_hook_point_{end}", path) or "")
    if match is None:
        return None
    module = re.sub(r"^(?:[\w.]+\.)?(?=layers\.\d+)", "", match[1])
    return f"{module}:{match[2]}"


def _model(name: str) -> str | None:
    successor, first = SUCCESSOR.search(name), REPOSITORY.search(name)
    if successor:
        return canonical_name(f"gemma-v3-{successor[1]}-{successor[2]}")
    if first:
        return f"google/gemma-2-{first[1]}" + "-it" * (first[2] == "it")
    return None


def _folder_kinds(folder: Path) -> list[str]:
    """Names of the last folders, such as `resid_post`, without a suffix `_all`."""
    return [part.removesuffix("_all") for part in folder.absolute().parts[-3:]]


def _sites(folder: Path, name: str) -> tuple[str | None, str | None]:
    """Sites read and written, by the names; None where they do not state them."""
    repository, layer = REPOSITORY.search(name), re.search(r"\blayer_(\d+)", name)
    if _is_embedding(folder):
        return "hook_embed", None
    if repository:
        sites = SITES[repository[3]]
    else:
        sites = next(
            (SUCCESSOR_SITES[kind] for kind in _folder_kinds(folder) if kind in SUCCESSOR_SITES),
            None,
        )
    if sites is None or layer is None:
        return None, None
    read, write = sites
    return read.format(layer[1]), write.format(layer[1]) if write else None
