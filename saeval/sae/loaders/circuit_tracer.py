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
        LoadError: if several layers are there and none is named, if nothing tells the activation,
            or if the files are damaged or contradictory.
    """
    paths = [folder] if folder.is_file() else sorted(folder.glob("*.safetensors"))
    if any(CROSS_LAYER.fullmatch(path.name) for path in paths):
        return load_across_layers(folder.parent if folder.is_file() else folder)
    path = one_file(folder, lambda one: LAYER.fullmatch(one.name) is not None)
    beside = path.with_name("config.yaml")
    config = read_yaml(beside) if beside.is_file() else {}
    content = read_safetensors(path)
    activation = _activation(config, content, beside, entry)
    k = _k(config, content, beside, path)
    content.pop("k", None)
    if activation == "topk" and k is None:
        raise LoadError(f"{beside} has a topk activation, but neither it nor {path.name} gives k.")
    required = (*WEIGHTS, THRESHOLD) if activation == "jumprelu" else WEIGHTS
    found: dict[str, Any] = {**exactly(content, path, required, optional=("W_skip",))}
    skip = found.pop("W_skip", None)
    origin = _origin(config, path, beside)
    inner, origin = _inner(found, activation, k, path, origin, entry)
    if skip is not None:
        skip = transposed(skip, "W_skip", path)
    return build(Transcoder, inner=inner, W_skip=skip, origin=origin)


def _activation(
    config: Mapping[str, Any], content: Mapping[str, Tensor], beside: Path, entry: Entry | None
) -> str:
    """Its name; a file that neither has thresholds nor is told to be a topk is a ReLU.

    Raises:
        LoadError: if configuration and tensors contradict each other, or there is no configuration
            to tell a ReLU from a topk.
    """
    stated = None
    if config.get("activation") is not None:
        stated = choice(config, "activation", beside, ACTIVATIONS, "").replace("_", "")
    held = "jumprelu" if THRESHOLD in content else "topk" if "k" in content else None
    if held is None and not config and entry is None:
        raise LoadError(
            f"There is no {beside}, which tells the activation. Put circuit-tracer's config.yaml "
            "beside the layer's file, or list the transcoder in a registry."
        )
    return agreeing(beside, "activation", stated, held) or "relu"


def _k(
    config: Mapping[str, Any], content: Mapping[str, Tensor], beside: Path, path: Path
) -> int | None:
    """K of the configuration or the tensors, which must agree."""
    stored = exactly({"k": content["k"]}, path, ["k"], whole=["k"]) if "k" in content else {}
    held = int(scalar(stored["k"], "k", path)) if stored else None
    return agreeing(beside, "k", count(config, "k", beside), held)


def _inner(
    found: Mapping[str, Tensor],
    activation: str,
    k: int | None,
    path: Path,
    origin: Origin,
    entry: Entry | None,
) -> tuple[Any, Origin]:
    """Encoder and decoder. W_enc lies as [latents, width], W_dec as saeval keeps it.

    Raises:
        LoadError: if a threshold is negative, under which circuit-tracer lets negative latents be.
    """
    weights: dict[str, Any] = {name: found[name] for name in ("b_enc", "W_dec", "b_dec")}
    weights["W_enc"] = transposed(found["W_enc"], "W_enc", path)
    matrix(found["W_dec"], "W_dec", path)
    if activation == "jumprelu":
        weights["threshold"] = found[THRESHOLD].flatten()
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


def _origin(config: Mapping[str, Any], path: Path, beside: Path) -> Origin:
    """Model and hooks from config.yaml, the layer from the file's name."""
    layer = LAYER.fullmatch(path.name)
    number = layer[1] if layer else "?"
    hooks = [text(config, f"feature_{end}_hook", beside) for end in ("input", "output")]
    read, write = (f"blocks.{number}.{hook}" if hook else None for hook in hooks)
    choice(config, "model_kind", beside, ("transcoder_set",), "transcoder_set")
    rest = remaining(config, beside, UNDERSTOOD, ())
    return Origin(
        loader="circuit_tracer",
        architecture="transcoder",
        model=text(config, "model_name", beside),
        read_site=read,
        write_site=write,
        metadata={**rest, **{key: config[key] for key in ("scan",) if key in config}},
    )
