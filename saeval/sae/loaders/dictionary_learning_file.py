"""The content of an ae.pt and the config.json beside it, before an SAE is built from it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from saeval.errors import LoadError
from saeval.sae import Origin
from saeval.sae.loaders.config import count, number, remaining, text
from saeval.sae.loaders.files import read_json, read_torch
from saeval.sae.loaders.tensors import exactly, scalar

CONFIG, WEIGHTS = "config.json", "ae.pt"
WHOLE = ("k", "group_sizes")
"""Tensors that hold whole numbers."""
CLASSES = {
    "StandardTrainer": ("AutoEncoder", "AutoEncoderNew"),
    "StandardTrainerAprilUpdate": ("AutoEncoder", "AutoEncoderNew"),
    "StandardTrainerNew": ("AutoEncoderNew",),
    "PAnnealTrainer": ("AutoEncoder", "AutoEncoderNew"),
    "TopKTrainer": ("AutoEncoderTopK",),
    "BatchTopKTrainer": ("BatchTopKSAE",),
    "MatryoshkaBatchTopKTrainer": ("MatryoshkaBatchTopKSAE",),
    "JumpReluTrainer": ("JumpReluAutoEncoder",),
    "GatedSAETrainer": ("GatedAutoEncoder",),
    "GatedAnnealTrainer": ("GatedAutoEncoder",),
}
"""Trainers, and the classes of dictionary that each may train; the first is the default."""
UNDERSTOOD = {"trainer_class", "dict_class", "activation_dim", "dict_size", "k", "group_sizes"}
HARMLESS = {
    "group_fractions",
    "group_weights",
    "k_anneal_steps",
    "norm_factor",
    "threshold_beta",
    "threshold_start_step",
    "top_k_aux",
}
"""Keys that look arithmetic, but concern training, or are folded into the weights already."""
SITES = {
    "resid_post": "blocks.{}.hook_resid_post",
    "resid_pre": "blocks.{}.hook_resid_pre",
    "mlp_out": "blocks.{}.hook_mlp_out",
    "attn_out": "blocks.{}.hook_attn_out",
    "attention_out": "blocks.{}.hook_attn_out",
}
"""Sites by the start of `submodule_name`, before `_layer_N`."""


@dataclass(frozen=True)
class Checkpoint:
    """An ae.pt and the configuration beside it."""

    folder: Path
    dictionary: str
    """Class of dictionary."""
    trainer: Mapping[str, Any]
    state: Mapping[str, Any]
    bias_scale: float
    """Factor to apply to biases and thresholds: 1, or the norm factor for an interrupted run."""
    origin: Origin

    @property
    def path(self) -> Path:
        """The tensors' file."""
        return self.folder / WEIGHTS

    def tensors(self, *names: str, optional: Sequence[str] = ()) -> dict[str, Tensor]:
        """Exactly the named tensors."""
        return exactly(self.state, self.path, names, optional, whole=WHOLE)

    def origin_as(self, architecture: str) -> Origin:
        """The origin, with the architecture filled in."""
        return replace(self.origin, architecture=architecture)


def read_checkpoint(folder: Path) -> Checkpoint:
    """The files of a folder.

    Raises:
        LoadError: if the trainer or class is unknown, or the files are damaged.
    """
    path = folder / CONFIG
    config = read_json(path)
    trainer = config.get("trainer")
    if not isinstance(trainer, Mapping):
        raise LoadError(f"{path} has no 'trainer' object, which names the class of dictionary.")
    dictionary = _dictionary_class(trainer, path)
    origin = _origin(config, trainer, path)
    state, bias_scale = _state(read_torch(folder / WEIGHTS), folder / WEIGHTS)
    return Checkpoint(folder, dictionary, trainer, state, bias_scale, origin)


def _dictionary_class(trainer: Mapping[str, Any], path: Path) -> str:
    """Name of the dictionary's class.

    Raises:
        LoadError: if the trainer is unknown, or trains no such class.
    """
    name, dict_class = (text(trainer, key, path) for key in ("trainer_class", "dict_class"))
    all_classes = {dictionary for classes in CLASSES.values() for dictionary in classes}
    if name is None and dict_class in all_classes:
        return str(dict_class)
    if name not in CLASSES:
        raise LoadError(
            f"{path} names the trainer {name!r}, which saeval does not know. Known are "
            f"{', '.join(sorted(CLASSES))}."
        )
    allowed = CLASSES[name]
    if dict_class is not None and dict_class not in allowed:
        raise LoadError(
            f"{path} names dict_class {dict_class!r} for {name}, which trains "
            f"{' or '.join(allowed)}."
        )
    return dict_class or allowed[0]


def _state(content: Mapping[str, Any], path: Path) -> tuple[Mapping[str, Any], float]:
    """State dict, and the factor to apply to its biases.

    An interrupted run leaves {step, ae, optimizer, config, norm_factor}, whose biases are in the
    units of normalised activations; the biases of a finished run are scaled already.

    Raises:
        LoadError: if an interrupted run's file does not say by what activations were divided.
    """
    if "ae" not in content:
        return content, 1.0
    state = content["ae"]
    if not isinstance(state, Mapping):
        raise LoadError(f"'ae' in {path} must be a state dict, but is a {type(state).__name__}.")
    if "norm_factor" not in content:
        raise LoadError(
            f"{path} was left by an interrupted run and lacks 'norm_factor', without which its "
            "biases cannot be brought to the scale of raw activations. Finish the run."
        )
    factor = content["norm_factor"]
    if factor is None:
        return state, 1.0
    if isinstance(factor, Tensor):
        factor = scalar(factor, "norm_factor", path)
    factor = number({"norm_factor": factor}, "norm_factor", path)
    if factor <= 0:
        raise LoadError(f"'norm_factor' in {path} is {factor}, but must be above 0.")
    return state, factor


def _origin(config: Mapping[str, Any], trainer: Mapping[str, Any], path: Path) -> Origin:
    """Model and site by the configuration.

    Raises:
        LoadError: if it reads and writes at different sites, or sets something unknown that may
            bear on the numbers.
    """
    buffer = config.get("buffer") or {}
    if not isinstance(buffer, Mapping):
        raise LoadError(f"{path} must give 'buffer' as an object, not {buffer!r}.")
    io = text(buffer, "io", path) or "out"
    if io not in ("in", "out"):
        raise LoadError(
            f"{path} sets io to {io!r}: a dictionary that reads and writes at different "
            "sites, whose classes saeval does not know."
        )
    others = remaining(trainer, path, UNDERSTOOD, HARMLESS)
    return Origin(
        loader="dictionary_learning",
        model=text(trainer, "lm_name", path),
        read_site=_site(text(trainer, "submodule_name", path), io),
        context_size=count(buffer, "ctx_len", path),
        metadata={**others, "buffer": dict(buffer)},
    )


def _site(submodule: str | None, io: str) -> str | None:
    """Site that a name such as `resid_post_layer_5` means; None if it means no known site."""
    match = re.fullmatch(r"([a-z_]+)_layer_(\d+)", submodule or "")
    if match is None or match[1] not in SITES or io != "out":
        return None
    return SITES[match[1]].format(match[2])
