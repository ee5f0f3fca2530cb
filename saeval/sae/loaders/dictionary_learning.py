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
    """Whether an ae.pt is there that is not another library's."""
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


def _weights(file: Checkpoint, found: Mapping[str, Tensor], b_dec: str) -> dict[str, Any]:
    """Weights and biases of the classes that keep them in two torch Linears."""
    return {
        "W_enc": transposed(found["encoder.weight"], "encoder.weight", file.path),
        "b_enc": found["encoder.bias"] * file.bias_scale,
        "W_dec": transposed(found["decoder.weight"], "decoder.weight", file.path),
        "b_dec": found[b_dec] * file.bias_scale,
    }


def _autoencoder(file: Checkpoint) -> SAE:
    """relu(E(x - bias) + b), decoded with the same bias; decoder columns brought to norm 1.

    A latent of decoder norm n is scaled by n, which leaves reconstructions as they are. One of
    norm 0 never acts.

    Source: dictionary_learning, `AutoEncoder.normalize_decoder`.
    """
    found = file.tensors("encoder.weight", "encoder.bias", "decoder.weight", "bias")
    sae = build(ReLU, **_weights(file, found, "bias"), origin=file.told("relu"))
    norm = sae.W_dec.norm(dim=1)
    if torch.allclose(norm, torch.ones_like(norm)):
        return sae
    W_dec = sae.W_dec / torch.where(norm > 0, norm, 1)[:, None]
    return replace(sae, W_enc=sae.W_enc * norm, b_enc=sae.b_enc * norm, W_dec=W_dec)


def _autoencoder_new(file: Checkpoint) -> SAE:
    """relu(E(x) + b), with a bias of the decoder's own that is not subtracted."""
    found = file.tensors("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
    weights = _weights(file, found, "decoder.bias")
    return build(ReLU, **weights, subtract_b_dec=False, origin=file.told("relu"))


def _topk(file: Checkpoint) -> SAE:
    """Encoding uses k and not the threshold that may be stored beside it."""
    names = ("encoder.weight", "encoder.bias", "decoder.weight", "b_dec", "k")
    found = file.tensors(*names, optional=("threshold",))
    return build(
        TopK, **_weights(file, found, "b_dec"), k=_k(file, found), origin=file.told("topk")
    )


def _batchtopk(file: Checkpoint) -> SAE:
    """Encoding uses the threshold; k held on average in training."""
    threshold = _threshold(file)
    names = ("encoder.weight", "encoder.bias", "decoder.weight", "b_dec", "k", "threshold")
    found = file.tensors(*names)
    _k(file, found)
    weights = _weights(file, found, "b_dec")
    return build(BatchTopK, **weights, threshold=threshold, origin=file.told("batchtopk"))


def _matryoshka(file: Checkpoint) -> SAE:
    """BatchTopK in nested groups, all of them active; its matrices are not transposed."""
    threshold = _threshold(file)
    found = file.tensors("W_enc", "b_enc", "W_dec", "b_dec", "k", "threshold", "group_sizes")
    _k(file, found)
    sizes = [int(size) for size in found["group_sizes"].flatten().tolist()]
    if file.trainer.get("group_sizes", sizes) != sizes:
        raise LoadError(
            f"{file.path} has groups of {sizes} latents, but config.json beside it says "
            f"{file.trainer['group_sizes']}."
        )
    return build(
        Matryoshka,
        **_plain(file, found),
        threshold=threshold,
        prefixes=tuple(accumulate(sizes)),
        origin=file.told("matryoshka"),
    )


def _jumprelu(file: Checkpoint) -> SAE:
    """A threshold a latent; b_dec is not subtracted."""
    found = file.tensors("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    threshold = found["threshold"] * file.bias_scale
    return build(
        JumpReLU,
        **_plain(file, found),
        threshold=threshold,
        subtract_b_dec=False,
        origin=file.told("jumprelu"),
    )


def _plain(file: Checkpoint, found: Mapping[str, Tensor]) -> dict[str, Any]:
    """Weights and biases of the classes that keep them as saeval does."""
    return {
        "W_enc": found["W_enc"],
        "b_enc": found["b_enc"] * file.bias_scale,
        "W_dec": found["W_dec"],
        "b_dec": found["b_dec"] * file.bias_scale,
    }


def _gated(file: Checkpoint) -> SAE:
    """Gate and magnitude share an encoder without bias."""
    names = ("encoder.weight", "r_mag", "gate_bias", "mag_bias", "decoder.weight", "decoder_bias")
    found = file.tensors(*names)
    return build(
        Gated,
        W_enc=transposed(found["encoder.weight"], "encoder.weight", file.path),
        b_gate=found["gate_bias"] * file.bias_scale,
        b_mag=found["mag_bias"] * file.bias_scale,
        r_mag=found["r_mag"],
        W_dec=transposed(found["decoder.weight"], "decoder.weight", file.path),
        b_dec=found["decoder_bias"] * file.bias_scale,
        origin=file.told("gated"),
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


def _k(file: Checkpoint, found: Mapping[str, Tensor]) -> int:
    """The file's k, which the configuration must not contradict."""
    k = int(scalar(found["k"], "k", file.path))
    said = k if file.trainer.get("k") is None else whole(file.trainer, "k", file.folder / CONFIG)
    if said != k:
        raise LoadError(f"k is {k} in {file.path}, but {said!r} in config.json beside it.")
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
"""What is made of each class of dictionary."""
