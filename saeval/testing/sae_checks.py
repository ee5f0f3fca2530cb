"""Checks on the SAE that a loader returns: shapes, numbers, dtypes, and outputs of its library."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import SAE, d_out, decode_codes, encode_codes, origin_of
from saeval.sae.architectures import moved

TOKENS = 12
"""Number of random activations that an SAE is tried on."""
TOLERANCE = 1e-5
"""Allowed difference of numbers that should be equal, relative to the largest of a row."""


@dataclass(frozen=True)
class LoaderTrial:
    """A loader and a folder of its format. Failures begin with its name."""

    loader: ModuleType
    name: str
    folder: Path
    """A copy, which the checks may damage."""

    def fail(self, message: str) -> AssertionError:
        """A failure of this trial."""
        return AssertionError(f"The loader {self.name}: {message}")


def check_sae(trial: LoaderTrial, sae: SAE) -> None:
    """Shapes are right, numbers finite, tokens independent, and no call changes a later one."""
    x, other_x = _random_x(sae, 0), _random_x(sae, 1)
    _check_shape(trial, "W_dec", sae.W_dec, (sae.d_sae, d_out(sae)))
    acts = _encode(trial, sae, x)
    _check_shape(trial, "encode(x)", acts, (TOKENS, sae.d_sae))
    x_hat = _answer(trial, "decode", lambda: sae.decode(acts, x))
    _check_shape(trial, "decode(acts, x)", x_hat, (TOKENS, d_out(sae)))
    if sae.W_dec.dtype != torch.float32 or acts.dtype != torch.float32:
        raise trial.fail(
            f"`load` gives weights in {sae.W_dec.dtype} and acts in {acts.dtype}: SAEs come in "
            "float32, and `dtype` of load_sae changes that. Convert the tensors when they are read."
        )
    if not _close(_encode(trial, sae, x[:1]), acts[:1]):
        raise trial.fail(
            "`encode` of a token changes with the tokens beside it, as batch top-k does in "
            "training, so that --batch-size would change scores. Load the inference form, with a "
            "threshold."
        )
    _encode(trial, sae, other_x)
    if not _close(sae.decode(acts, x), x_hat):
        raise trial.fail(
            "`decode` changes with what was encoded last. Take all it needs from the x that it is "
            "given."
        )
    codes = encode_codes(sae, x)
    if not _close(codes.dense(), acts) or not _close(decode_codes(sae, codes, x), x_hat):
        raise trial.fail(
            "`encode_codes` and `decode_codes` give other numbers than `encode` and `decode`. "
            "Leave them out, or make them agree."
        )
    if origin_of(sae).loader == "object":
        raise trial.fail(
            "the SAE's origin does not name its loader, so that results would not say how it was "
            f"read. Give Origin(loader='{trial.name}', ...)."
        )


def check_dtype(trial: LoaderTrial, sae: SAE) -> None:
    """All tensors change their dtype together, as `load_sae(..., dtype=...)` needs."""
    try:
        wide = moved(sae, dtype=torch.float64)
        acts = wide.encode(_random_x(sae, 0).double())
        x_hat = wide.decode(acts, _random_x(sae, 0).double())
    except Exception as error:
        raise trial.fail(
            f"the SAE cannot compute in float64 ({type(error).__name__}: {error}), so the dtype of "
            "load_sae would fail. Keep tensors as fields of the dataclass, and make no others of a "
            "fixed dtype."
        ) from error
    if {wide.W_dec.dtype, acts.dtype, x_hat.dtype} != {torch.float64}:
        raise trial.fail(
            f"asked for float64, the SAE has W_dec in {wide.W_dec.dtype} and answers in "
            f"{acts.dtype} and {x_hat.dtype}: the dtype of load_sae is not obeyed. Keep tensors as "
            "fields of the dataclass, and make no others of a fixed dtype."
        )


def check_outputs(trial: LoaderTrial, sae: SAE, outputs: Mapping[str, Any]) -> None:
    """Encode and decode give the outputs of the library that wrote the files."""
    unknown = set(outputs) - {"x", "acts", "x_hat"}
    if unknown or "x" not in outputs or len(outputs) < 2:
        raise trial.fail(
            f"outputs holds {', '.join(sorted(outputs)) or 'nothing'}. Give `x`, and `acts` or "
            "`x_hat` or both."
        )
    stored = {name: torch.as_tensor(value).float() for name, value in outputs.items()}
    acts = _encode(trial, sae, stored["x"])
    computed = {"acts": acts, "x_hat": sae.decode(acts, stored["x"])}
    for name, expected in stored.items():
        if name == "x" or _close(computed[name], expected):
            continue
        same_shape = computed[name].shape == expected.shape
        off = float((computed[name] - expected).abs().max()) if same_shape else None
        difference = f"by up to {off:.3g}" if same_shape else "in shape"
        raise trial.fail(
            f"`{name}` differs from what the library gave {difference}, so that another SAE than "
            "its author's would be scored. Look at the activation function, the order of bias and "
            "scale, and transposed weights."
        )


def _encode(trial: LoaderTrial, sae: SAE, x: Float[Tensor, "tokens d_in"]) -> Tensor:
    return _answer(trial, "encode", lambda: sae.encode(x))


def _answer(trial: LoaderTrial, method: str, ask: Callable[[], Any]) -> Tensor:
    """The output of a method of the SAE, if it is a finite tensor."""
    try:
        with torch.no_grad():
            answer = ask()
    except Exception as error:
        raise trial.fail(
            f"`{method}` of the SAE raises {type(error).__name__} on {TOKENS} random activations: "
            f"{error}. It must work on any number of tokens."
        ) from error
    if not isinstance(answer, Tensor) or not bool(answer.isfinite().all()):
        raise trial.fail(
            f"`{method}` of the SAE answers something else than a finite tensor. Every score would "
            "be undefined; look at the weights."
        )
    return answer


def _random_x(sae: SAE, seed: int) -> Float[Tensor, "tokens d_in"]:
    return torch.randn(TOKENS, sae.d_in, generator=torch.Generator().manual_seed(seed))


def _check_shape(trial: LoaderTrial, quantity: str, tensor: Tensor, shape: tuple[int, int]) -> None:
    if tuple(tensor.shape) != shape:
        raise trial.fail(
            f"{quantity} has shape {list(tensor.shape)}, but {list(shape)} is needed for {TOKENS} "
            "tokens and the widths that the SAE gives. Transpose the weights, or correct the "
            "widths."
        )


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    scale = b.abs().amax(1, keepdim=True).clamp(min=1e-6) if b.numel() else 1.0
    return bool(((a - b).abs() <= TOLERANCE * scale).all())
