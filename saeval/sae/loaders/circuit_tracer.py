"""circuit-tracer's transcoders: layer_N.safetensors, or W_enc_N and W_dec_N across layers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import SAE, Origin
from saeval.sae.architectures import JumpReLU, ReLU, TopK, Transcoder, build
from saeval.sae.architectures.transforms import IDENTITY, InputOnly
from saeval.sae.loaders.across_layers import load_across_layers
from saeval.sae.loaders.before_gain import reading_before_gain
from saeval.sae.loaders.config import agreeing, choice, count, remaining, text
from saeval.sae.loaders.files import one_file, read_safetensors, read_yaml
from saeval.sae.loaders.tensors import exactly, matrix, scalar, transposed

FORMAT = "layer_N.safetensors, or W_enc_N and W_dec_N (circuit-tracer)"

LAYER = re.compile(r"layer_(\d+)\.safetensors")
CROSS_LAYER = re.compile(r"W_(?:enc|dec)_\d+\.safetensors")
WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")
ACTIVATIONS = ("relu", "topk", "jumprelu", "jump_relu")
THRESHOLD = "activation_function.threshold"
UNDERSTOOD = {
    "activation",
    "feature_input_hook",
    "feature_output_hook",
    "k",
    "model_kind",
    "model_name",
    "scan",
    "transcoders",
}


def matches(folder: Path) -> bool:
    """Whether it is such a file, or a folder with some."""
    paths = [folder] if folder.is_file() else folder.glob("*.safetensors")
    return any(LAYER.fullmatch(path.name) or CROSS_LAYER.fullmatch(path.name) for path in paths)


def load(folder: Path, entry: Entry | None = None) -> SAE:
    """The transcoder of one layer, in float32: JumpReLU, TopK or ReLU, with its skip if it has one.

    Files of a cross-layer transcoder are one transcoder of all its layers.

    Raises:
        LoadError: if there are several layers and none is named, if no file states the
            activation, or if the files are damaged or contradictory.
    """
    paths = [folder] if folder.is_file() else sorted(folder.glob("*.safetensors"))
    if any(CROSS_LAYER.fullmatch(path.name) for path in paths):
        return load_across_layers(folder.parent if folder.is_file() else folder)
    path = one_file(folder, lambda file: LAYER.fullmatch(file.name) is not None)
    config_path = path.with_name("config.yaml")
    config = read_yaml(config_path) if config_path.is_file() else {}
    content = read_safetensors(path)
    activation = _activation(config, content, config_path, entry)
    k = _agreed_k(config, content, config_path, path)
    content.pop("k", None)
    if activation == "topk" and k is None:
        raise LoadError(
            f"{config_path} has a topk activation, but neither it nor {path.name} gives k."
        )
    required = (*WEIGHTS, THRESHOLD) if activation == "jumprelu" else WEIGHTS
    tensors: dict[str, Any] = {**exactly(content, path, required, optional=("W_skip",))}
    skip = tensors.pop("W_skip", None)
    origin = _origin(config, path, config_path)
    inner, origin = _inner(tensors, activation, k, path, origin, entry)
    if skip is not None:
        skip = transposed(skip, "W_skip", path)
    return build(Transcoder, inner=inner, W_skip=skip, origin=origin)


def _activation(
    config: Mapping[str, Any], content: Mapping[str, Tensor], config_path: Path, entry: Entry | None
) -> str:
    """Name of the activation; a ReLU if neither configuration nor tensors state another.

    Raises:
        LoadError: if configuration and tensors contradict each other, or there is no configuration,
            without which a ReLU cannot be told from a topk.
    """
    config_activation = None
    if config.get("activation") is not None:
        config_activation = choice(config, "activation", config_path, ACTIVATIONS, "").replace(
            "_", ""
        )
    tensor_activation = "jumprelu" if THRESHOLD in content else "topk" if "k" in content else None
    if tensor_activation is None and not config and entry is None:
        raise LoadError(
            f"There is no {config_path}, which tells the activation. Put circuit-tracer's "
            "config.yaml beside the layer's file, or list the transcoder in a registry."
        )
    return agreeing(config_path, "activation", config_activation, tensor_activation) or "relu"


def _agreed_k(
    config: Mapping[str, Any], content: Mapping[str, Tensor], config_path: Path, path: Path
) -> int | None:
    """The k that the configuration or the tensors state; they must agree."""
    tensors = exactly({"k": content["k"]}, path, ["k"], whole=["k"]) if "k" in content else {}
    tensor_k = int(scalar(tensors["k"], "k", path)) if tensors else None
    return agreeing(config_path, "k", count(config, "k", config_path), tensor_k)


def _inner(
    tensors: Mapping[str, Tensor],
    activation: str,
    k: int | None,
    path: Path,
    origin: Origin,
    entry: Entry | None,
) -> tuple[Any, Origin]:
    """Encoder and decoder. W_enc is stored as [latents, width], W_dec in saeval's orientation.

    Raises:
        LoadError: if a threshold is negative: circuit-tracer then allows negative latents.
    """
    weights: dict[str, Any] = {name: tensors[name] for name in ("b_enc", "W_dec", "b_dec")}
    weights["W_enc"] = transposed(tensors["W_enc"], "W_enc", path)
    matrix(tensors["W_dec"], "W_dec", path)
    if activation == "jumprelu":
        weights["threshold"] = tensors[THRESHOLD].flatten()
        if bool((weights["threshold"] < 0).any()):
            raise LoadError(f"{path} has negative thresholds, which are not supported.")
    if activation == "topk":
        weights["k"] = k
    kind: type = {"relu": ReLU, "topk": TopK, "jumprelu": JumpReLU}[activation]
    inner = build(
        kind,
        **weights,
        subtract_b_dec=False,
        transform=InputOnly(IDENTITY),
        origin=Origin(architecture=activation),
    )
    return reading_before_gain(inner, origin, (entry.model if entry else None) or origin.model)


def _origin(config: Mapping[str, Any], path: Path, config_path: Path) -> Origin:
    """Model and hooks from config.yaml, the layer from the file's name."""
    layer = LAYER.fullmatch(path.name)
    number = layer[1] if layer else "?"
    hooks = [text(config, f"feature_{end}_hook", config_path) for end in ("input", "output")]
    read, write = (f"blocks.{number}.{hook}" if hook else None for hook in hooks)
    choice(config, "model_kind", config_path, ("transcoder_set",), "transcoder_set")
    others = remaining(config, config_path, UNDERSTOOD, ())
    return Origin(
        loader="circuit_tracer",
        architecture="transcoder",
        model=text(config, "model_name", config_path),
        read_site=read,
        write_site=write,
        metadata={**others, **{key: config[key] for key in ("scan",) if key in config}},
    )
