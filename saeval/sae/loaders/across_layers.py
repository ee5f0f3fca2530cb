"""Cross-layer transcoders in circuit-tracer's files, as one transcoder of all their layers.

A latent of layer l reads layer l's site and writes at the sites of l and of all later layers. With
the sites side by side, that is a transcoder whose W_enc is block diagonal and whose W_dec is block
triangular: y_t = b_dec_t + sum over l <= t of f_l W_dec_l[:, t - l].
"""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from saeval.errors import LoadError
from saeval.sae import SAE, Origin
from saeval.sae.architectures import JumpReLU, ReLU, Transcoder, build
from saeval.sae.architectures.transforms import IDENTITY, InputOnly
from saeval.sae.loaders.config import choice, remaining, text
from saeval.sae.loaders.files import read_safetensors, read_yaml
from saeval.sae.loaders.tensors import exactly, matrix

ENCODER = re.compile(r"W_enc_(\d+)\.safetensors")
KIND = "cross_layer_transcoder"
LARGEST = 2**31
"""Numbers in W_enc and W_dec together at most, zeros included: 8 GiB in float32."""
UNDERSTOOD = {"feature_input_hook", "feature_output_hook", "model_kind", "model_name", "scan"}


def load_across_layers(folder: Path) -> SAE:
    """All layers of a cross-layer transcoder, in float32: a JumpReLU or a ReLU.

    Source: circuit-tracer, `CrossLayerTranscoder` (`compute_reconstruction`).

    Raises:
        LoadError: if a layer is missing, the matrices would be too large for memory, or the files
            are damaged or contradictory.
    """
    matches = (ENCODER.fullmatch(path.name) for path in folder.iterdir())
    numbers = sorted(int(match[1]) for match in matches if match)
    if not numbers or numbers != list(range(len(numbers))):
        raise LoadError(
            f"{folder} is a cross-layer transcoder and holds the encoders of layers "
            f"{', '.join(map(str, numbers)) or '(none)'}. All from 0 on are needed, since what a "
            "layer gives is a sum over the layers before it."
        )
    _check_size(folder, len(numbers))
    layers = [_layer(folder, number, len(numbers)) for number in numbers]
    if len({(tuple(layer["W_enc"].shape), *sorted(layer)) for layer in layers}) > 1:
        raise LoadError(f"Layers of the cross-layer transcoder {folder} differ in shape or kind.")
    weights: dict[str, Any] = {
        "W_enc": torch.block_diag(*(layer["W_enc"].T for layer in layers)),
        "W_dec": torch.cat(
            [_decoder_rows(layer["W_dec"], number) for number, layer in enumerate(layers)]
        ),
        **{name: torch.cat([layer[name] for layer in layers]) for name in ("b_enc", "b_dec")},
    }
    kind: type = ReLU
    if "threshold" in layers[0]:
        kind = JumpReLU
        weights["threshold"] = torch.cat([layer["threshold"].flatten() for layer in layers])
        if bool((weights["threshold"] < 0).any()):
            raise LoadError(f"{folder} has negative thresholds, which are not supported.")
    inner = build(
        kind,
        **weights,
        subtract_b_dec=False,
        transform=InputOnly(IDENTITY),
        origin=Origin(architecture="jumprelu" if kind is JumpReLU else "relu"),
    )
    return build(Transcoder, inner=inner, origin=_origin(folder / "config.yaml", len(numbers)))


def _check_size(folder: Path, layers: int) -> None:
    """Refuse a transcoder that is too large, before its tensors are read.

    Raises:
        LoadError: if the two matrices would have more than `LARGEST` numbers.
    """
    path = folder / "W_enc_0.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            latents, width = file.get_slice("W_enc_0").get_shape()
    except (OSError, SafetensorError, ValueError) as error:
        raise LoadError(f"{path} does not hold W_enc_0 [latents, width]: {error}.") from error
    numbers = 2 * latents * width * layers**2
    if numbers > LARGEST:
        raise LoadError(
            f"{folder} is a cross-layer transcoder of {layers} layers, {latents:,} latents each: "
            f"laid out for all its sites it has {numbers:,} numbers, more than the {LARGEST:,} "
            "that are supported. A transcoder of one layer is."
        )


def _layer(folder: Path, number: int, layers: int) -> dict[str, Tensor]:
    """Tensors of one layer, without the number in their names.

    Raises:
        LoadError: if its decoder does not write at all later layers.
    """
    encoder = folder / f"W_enc_{number}.safetensors"
    decoder = folder / f"W_dec_{number}.safetensors"
    names = [f"{name}_{number}" for name in ("W_enc", "b_enc", "b_dec")]
    tensors = exactly(read_safetensors(encoder), encoder, names, optional=[f"threshold_{number}"])
    tensors |= exactly(read_safetensors(decoder), decoder, [f"W_dec_{number}"])
    layer = {name.removesuffix(f"_{number}"): tensor for name, tensor in tensors.items()}
    latents, width = matrix(layer["W_enc"], names[0], encoder).shape
    expected = [latents, layers - number, width]
    shape = list(layer["W_dec"].shape)
    if shape != expected:
        raise LoadError(
            f"W_dec_{number} in {decoder} has shape {shape}, but {expected} is needed: of {layers} "
            f"layers, those from {number} on are written."
        )
    return layer


def _decoder_rows(W_dec: Tensor, number: int) -> Tensor:
    """A layer's decoder over all sites side by side, with zeros at the sites of earlier layers."""
    latents, _, width = W_dec.shape
    return torch.cat([W_dec.new_zeros(latents, number * width), W_dec.reshape(latents, -1)], dim=1)


def _origin(config_path: Path, layers: int) -> Origin:
    """Model and hooks from config.yaml, a site for each layer."""
    config = read_yaml(config_path) if config_path.is_file() else {}
    choice(config, "model_kind", config_path, (KIND,), KIND)
    hooks = [text(config, f"feature_{end}_hook", config_path) for end in ("input", "output")]
    read, write = (
        ",".join(f"blocks.{number}.{hook}" for number in range(layers)) if hook else None
        for hook in hooks
    )
    return Origin(
        loader="circuit_tracer",
        architecture="transcoder",
        model=text(config, "model_name", config_path),
        read_site=read,
        write_site=write,
        metadata={**remaining(config, config_path, UNDERSTOOD, ()), "across_layers": layers},
    )
