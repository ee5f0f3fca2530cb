"""dictionary_learning folders: config.json and ae.pt, of every trainer but crosscoders."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saeval.errors import LoadError
from saeval.registry.entries import Entry
from saeval.sae import SAE
from saeval.sae.architectures import BatchTopK, Gated, JumpReLU, Matryoshka, ReLU, TopK, build
from saeval.sae.loaders.config import whole
from saeval.sae.loaders.dictionary_learning_file import CONFIG, Checkpoint, read_checkpoint
from saeval.sae.loaders.files import mentions
from saeval.sae.loaders.tensors import check_width, scalar, transposed

FORMAT = "config.json and ae.pt (dictionary_learning)"


def matches(folder: Path) -> bool:
    """Whether there is an ae.pt, and it is not in OpenAI's format."""
    path = folder / "ae.pt"
    return path.is_file() and not mentions(path, "pre_bias", "latent_bias")


def load(folder: Path, entry: Entry | None = None) -> SAE:  # noqa: ARG001, all loaders take it
    """The SAE in a folder, in float32.

    Raises:
        LoadError: if the trainer or class is unknown, a needed threshold was never set, or
            configuration and tensors are damaged, incomplete or contradict each other.
    """
    file = read_checkpoint(folder)
    sae = BUILDERS[file.dictionary](file)
    path = folder / CONFIG
    check_width(file.trainer.get("activation_dim"), sae.d_in, "activation_dim", path)
    check_width(file.trainer.get("dict_size"), sae.d_sae, "dict_size", path)
    return sae


def _linear_weights(file: Checkpoint, tensors: Mapping[str, Tensor], b_dec: str) -> dict[str, Any]:
    """Weights and biases of the classes that store them as two torch Linears."""
    return {
        "W_enc": transposed(tensors["encoder.weight"], "encoder.weight", file.path),
        "b_enc": tensors["encoder.bias"] * file.bias_scale,
        "W_dec": transposed(tensors["decoder.weight"], "decoder.weight", file.path),
        "b_dec": tensors[b_dec] * file.bias_scale,
    }


def _autoencoder(file: Checkpoint) -> SAE:
    """relu(E(x - bias) + b), decoded with the same bias; decoder columns brought to norm 1.

    A latent whose decoder has norm n is scaled by n, which leaves reconstructions unchanged. A
    latent of norm 0 is never active.

    Source: dictionary_learning, `AutoEncoder.normalize_decoder`.
    """
    tensors = file.tensors("encoder.weight", "encoder.bias", "decoder.weight", "bias")
    sae = build(ReLU, **_linear_weights(file, tensors, "bias"), origin=file.origin_as("relu"))
    norm = sae.W_dec.norm(dim=1)
    if torch.allclose(norm, torch.ones_like(norm)):
        return sae
    W_dec = sae.W_dec / torch.where(norm > 0, norm, 1)[:, None]
    return replace(sae, W_enc=sae.W_enc * norm, b_enc=sae.b_enc * norm, W_dec=W_dec)


def _autoencoder_new(file: Checkpoint) -> SAE:
    """relu(E(x) + b), with a bias of the decoder's own that is not subtracted."""
    tensors = file.tensors("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
    weights = _linear_weights(file, tensors, "decoder.bias")
    return build(ReLU, **weights, subtract_b_dec=False, origin=file.origin_as("relu"))


def _topk(file: Checkpoint) -> SAE:
    """Encoding uses k and not the threshold that may be stored beside it."""
    names = ("encoder.weight", "encoder.bias", "decoder.weight", "b_dec", "k")
    tensors = file.tensors(*names, optional=("threshold",))
    return build(
        TopK,
        **_linear_weights(file, tensors, "b_dec"),
        k=_checked_k(file, tensors),
        origin=file.origin_as("topk"),
    )


def _batchtopk(file: Checkpoint) -> SAE:
    """Encoding uses the threshold; k is the average number of latents in training."""
    threshold = _threshold(file)
    names = ("encoder.weight", "encoder.bias", "decoder.weight", "b_dec", "k", "threshold")
    tensors = file.tensors(*names)
    _checked_k(file, tensors)
    weights = _linear_weights(file, tensors, "b_dec")
    return build(BatchTopK, **weights, threshold=threshold, origin=file.origin_as("batchtopk"))


def _matryoshka(file: Checkpoint) -> SAE:
    """BatchTopK in nested groups, all of them active; its matrices are not transposed."""
    threshold = _threshold(file)
    tensors = file.tensors("W_enc", "b_enc", "W_dec", "b_dec", "k", "threshold", "group_sizes")
    _checked_k(file, tensors)
    sizes = [int(size) for size in tensors["group_sizes"].flatten().tolist()]
    if file.trainer.get("group_sizes", sizes) != sizes:
        raise LoadError(
            f"{file.path} has groups of {sizes} latents, but config.json beside it says "
            f"{file.trainer['group_sizes']}."
        )
    return build(
        Matryoshka,
        **_matrix_weights(file, tensors),
        threshold=threshold,
        prefixes=tuple(accumulate(sizes)),
        origin=file.origin_as("matryoshka"),
    )


def _jumprelu(file: Checkpoint) -> SAE:
    """One threshold per latent; b_dec is not subtracted."""
    tensors = file.tensors("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    threshold = tensors["threshold"] * file.bias_scale
    return build(
        JumpReLU,
        **_matrix_weights(file, tensors),
        threshold=threshold,
        subtract_b_dec=False,
        origin=file.origin_as("jumprelu"),
    )


def _matrix_weights(file: Checkpoint, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Weights and biases of the classes that store matrices in saeval's orientation."""
    return {
        "W_enc": tensors["W_enc"],
        "b_enc": tensors["b_enc"] * file.bias_scale,
        "W_dec": tensors["W_dec"],
        "b_dec": tensors["b_dec"] * file.bias_scale,
    }


def _gated(file: Checkpoint) -> SAE:
    """Gate and magnitude share an encoder without bias."""
    names = ("encoder.weight", "r_mag", "gate_bias", "mag_bias", "decoder.weight", "decoder_bias")
    tensors = file.tensors(*names)
    return build(
        Gated,
        W_enc=transposed(tensors["encoder.weight"], "encoder.weight", file.path),
        b_gate=tensors["gate_bias"] * file.bias_scale,
        b_mag=tensors["mag_bias"] * file.bias_scale,
        r_mag=tensors["r_mag"],
        W_dec=transposed(tensors["decoder.weight"], "decoder.weight", file.path),
        b_dec=tensors["decoder_bias"] * file.bias_scale,
        origin=file.origin_as("gated"),
    )


def _threshold(file: Checkpoint) -> float:
    """The threshold for all latents, on the scale of raw activations.

    Raises:
        LoadError: if there is none.
    """
    stored = file.state.get("threshold")
    if not isinstance(stored, Tensor) or not stored.is_floating_point():
        raise LoadError(
            f"{file.path} has no threshold in floating point. Without it latents depend on the "
            "whole batch, as in training, and cannot be evaluated token by token."
        )
    return scalar(stored, "threshold", file.path) * file.bias_scale


def _checked_k(file: Checkpoint, tensors: Mapping[str, Tensor]) -> int:
    """The file's k, which the configuration must not contradict."""
    k = int(scalar(tensors["k"], "k", file.path))
    trainer_k = k
    if file.trainer.get("k") is not None:
        trainer_k = whole(file.trainer, "k", file.folder / CONFIG)
    if trainer_k != k:
        raise LoadError(f"k is {k} in {file.path}, but {trainer_k!r} in config.json beside it.")
    return k


BUILDERS: dict[str, Callable[[Checkpoint], SAE]] = {
    "AutoEncoder": _autoencoder,
    "AutoEncoderNew": _autoencoder_new,
    "AutoEncoderTopK": _topk,
    "BatchTopKSAE": _batchtopk,
    "MatryoshkaBatchTopKSAE": _matryoshka,
    "JumpReluAutoEncoder": _jumprelu,
    "GatedAutoEncoder": _gated,
}
"""The function that builds an SAE from each class of dictionary."""
