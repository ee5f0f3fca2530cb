"""OpenAI's autoencoders: one torch file whose state dict names its own activation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import SAE, Origin
from saeval.sae.architectures import ReLU, TopK, build
from saeval.sae.architectures.transforms import LayerNorm
from saeval.sae.loaders.config import choice, whole
from saeval.sae.loaders.files import mentions, read_torch
from saeval.sae.loaders.tensors import exactly, transposed

FORMAT = "one .pt file with pre_bias and latent_bias (OpenAI)"

REQUIRED = ("pre_bias", "encoder.weight", "latent_bias", "decoder.weight")
REPEATED = "activation."
"""Prefix of settings that the state dict repeats, from the activation's own module."""
STATISTICS = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")


def matches(folder: Path) -> bool:
    """Whether a torch file mentions this library's names of tensors. Nothing is unpickled."""
    return bool(_files(folder))


def _files(folder: Path) -> list[Path]:
    candidates = [folder] if folder.is_file() else sorted(folder.glob("*.pt"))
    return [path for path in candidates if mentions(path, "pre_bias", "latent_bias")]


def load(folder: Path, entry: Entry | None = None) -> SAE:  # noqa: ARG001, all loaders take it
    """The SAE in a folder, or in a file of its own, in float32.

    A TopK is trained on activations normalised token by token, which the reconstruction undoes;
    a ReLU on activations as they are.

    Raises:
        LoadError: if there are several files, or one is damaged, incomplete, or has an
            activation that saeval does not know.
    """
    files = _files(folder)
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise LoadError(f"{folder} must hold one autoencoder, but holds {names}. Give one file.")
    path = files[0]
    content = dict(read_torch(path))
    activation = choice(content, "activation", path, ("TopK", "ReLU"), "")
    settings = content.pop("activation_state_dict", {})
    repeated = {name: content.pop(name) for name in list(content) if name.startswith(REPEATED)}
    if any(
        _differs(settings, name.removeprefix(REPEATED), value) for name, value in repeated.items()
    ):
        raise LoadError(f"{path} gives {repeated}, which contradict its {settings}.")
    del content["activation"]
    statistics = [content.pop(name) for name in STATISTICS if name in content]
    if not all(isinstance(value, Tensor) for value in statistics):
        raise LoadError(f"{path} must give {', '.join(STATISTICS)} as tensors, if at all.")
    tensors = exactly(content, path, REQUIRED)
    weights: dict[str, Any] = {
        "W_enc": transposed(tensors["encoder.weight"], "encoder.weight", path),
        "b_enc": tensors["latent_bias"],
        "W_dec": transposed(tensors["decoder.weight"], "decoder.weight", path),
        "b_dec": tensors["pre_bias"],
    }
    if activation == "ReLU":
        return build(ReLU, **weights, origin=Origin(loader="openai", architecture="relu"))
    return build(
        TopK,
        **weights,
        k=_read_k(settings, path),
        transform=LayerNorm(),
        origin=Origin(loader="openai", architecture="topk"),
    )


def _differs(settings: Any, name: str, value: Any) -> bool:
    return not isinstance(settings, Mapping) or name not in settings or settings[name] != value


def _read_k(settings: Any, path: Path) -> int:
    """The k of a TopK that applies a ReLU to its k latents.

    Raises:
        LoadError: if it applies another function to them.
    """
    if not isinstance(settings, Mapping):
        raise LoadError(f"{path} must give activation_state_dict as a mapping, not {settings!r}.")
    choice(settings, "postact_fn", path, ("ReLU",), "")
    return whole(settings, "k", path)
