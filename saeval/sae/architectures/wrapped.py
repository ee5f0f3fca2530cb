"""Any Python object with encode and decode as an SAE: tested once, when it is wrapped."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from saeval.errors import LoadError
from saeval.sae import Origin, traits_of
from saeval.sae.declared import declared_origin, declared_width
from saeval.sae.short_repr import short_repr
from saeval.sae.traits import extra_inputs

PROBE_TOKENS = 8
"""Random activations that an object must encode when it is wrapped."""
PROBE_IDS = 2
"""Different token ids in the probe, where ids are needed: few, as no vocabulary is known."""
TOLERANCE = 1e-3
"""Relative difference above which two answers that should be equal count as different."""
ROUNDINGS = 8
"""The same in units of the dtype's eps, for dtypes in which that is the larger tolerance."""
IDENTITY_BYTES = 2**26
"""Bytes of one-hot acts at a time while decoder directions are recovered."""


@dataclass(frozen=True, eq=False)
class Foreign:
    """An object's two methods, called in the object's dtype and on its device."""

    inner: Any
    takes_x: bool
    """Whether its decode takes the input x too."""
    dtype: torch.dtype
    device: torch.device

    def encode(self, x: Float[Tensor, "tokens d_in"], extra: Mapping[str, Tensor]) -> Tensor:
        """Acts as encode gives them, in x's dtype and on its device."""
        keywords = {
            name: self._cast(value) if value.is_floating_point() else value.to(self.device)
            for name, value in extra.items()
        }
        return _tensor(self.inner.encode(self._cast(x), **keywords), "encode").to(x)

    def decode(
        self, acts: Float[Tensor, "tokens d_sae"], x: Float[Tensor, "tokens d_in"]
    ) -> Tensor:
        """Reconstruction as decode gives it, in x's dtype and on its device."""
        inputs = (self._cast(x),) if self.takes_x else ()
        return _tensor(self.inner.decode(self._cast(acts), *inputs), "decode").to(x)

    def _cast(self, x: Tensor) -> Tensor:
        return x.to(device=self.device, dtype=self.dtype)


@dataclass(frozen=True, eq=False)
class Wrapped:
    """An object that is not saeval's own, behind the SAE protocol."""

    foreign: Foreign
    d_in: int
    d_sae: int
    W_dec: Float[Tensor, "d_sae d_out"]
    answers: Float[Tensor, "probe_tokens both"]
    """Acts and reconstructions of the probe, side by side: they enter the content hash."""
    signed: bool = False
    needs_gradient: bool = False
    needs_tokens: bool = False
    takes_k: bool = False
    origin: Origin = field(default_factory=Origin)

    def __repr__(self) -> str:
        return short_repr(self)

    def encode(
        self, x: Float[Tensor, "tokens d_in"], **extra: Shaped[Tensor, "tokens *_"]
    ) -> Float[Tensor, "tokens d_sae"]:
        """Latent activations that the object gives for x and its other inputs."""
        return self.foreign.encode(x, extra)

    def decode(
        self, acts: Float[Tensor, "tokens d_sae"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """Reconstruction that the object gives."""
        return self.foreign.decode(acts, x)

    def with_k(self, k: int) -> "Wrapped":
        """The object's own form with at most k latents per token, wrapped again."""
        return replace(wrap(self.foreign.inner.with_k(k), d_in=self.d_in), origin=self.origin)


def wrap(inner: Any, *, d_in: int | None = None) -> Wrapped:
    """Make an SAE of an object with `encode(x)` and `decode(acts)` or `decode(acts, x)`.

    The width of its input is read from its attributes (`d_in`, `activation_dim`, `cfg.d_in`,
    `W_enc`, `W_dec`), and so are its model and sites. Without a `W_dec` [d_sae, d_out] its decoder
    directions are recovered by decoding, which needs a decode that is affine and ignores x.
    It may declare each trait in `saeval.sae.traits.Traits` by an attribute of that name.

    Raises:
        LoadError: if it lacks a method or a width, or if its answers have the wrong shape, are
            not finite, or depend on other tokens or on earlier calls.
    """
    for method in ("encode", "decode"):
        if not callable(getattr(inner, method, None)):
            raise LoadError(
                f"{_name(inner)} has no method '{method}'. An SAE needs encode(x) and decode(acts) "
                "or decode(acts, x)."
            )
    width = d_in or _required_width(inner)
    # The first of its tensors tells the dtype and device that it computes in.
    tensor = next(_tensors_of(inner), torch.zeros(0))
    foreign = Foreign(inner, takes_x=_takes_x(inner), dtype=tensor.dtype, device=tensor.device)
    traits = traits_of(inner)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(PROBE_TOKENS, width, generator=generator)
    extra = extra_inputs(
        traits,
        tokens=torch.arange(PROBE_TOKENS) % PROBE_IDS,
        gradient=torch.randn(PROBE_TOKENS, width, generator=generator),
    )
    with torch.no_grad():
        acts, x_hat = (tensor.detach() for tensor in _probe(foreign, x, extra))
        W_dec = _decoder_directions(foreign, acts.shape[1], x).detach()
    return Wrapped(
        foreign,
        d_in=width,
        d_sae=acts.shape[1],
        W_dec=W_dec,
        answers=torch.cat([acts, x_hat], 1),
        signed=traits.signed or bool((acts < 0).any()),
        needs_gradient=traits.needs_gradient,
        needs_tokens=traits.needs_tokens,
        takes_k=traits.takes_k and callable(getattr(inner, "with_k", None)),
        origin=declared_origin(inner),
    )


def _probe(
    foreign: Foreign, x: Float[Tensor, "tokens d_in"], extra: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Acts and reconstruction of x, after tests that they depend on x alone.

    Raises:
        LoadError: as `wrap`.
    """
    acts = _answer(foreign, "encode", x, extra)
    x_hat = _answer(foreign, "decode", acts, x)
    # One token by itself must get the acts that it got among the others, and decoding must give
    # the same again although another encode came between.
    first = {name: value[:1] for name, value in extra.items()}
    if not _close(_answer(foreign, "encode", x[:1], first), acts[:1], foreign.dtype):
        _refuse_training(foreign.inner, "encode")
        raise LoadError(
            f"encode of {_name(foreign.inner)} changes with the tokens beside it, as batch top-k "
            "does in training. Its inference form, with a threshold, is needed."
        )
    if not _close(_answer(foreign, "decode", acts, x), x_hat, foreign.dtype):
        _refuse_training(foreign.inner, "decode")
        raise LoadError(
            f"decode of {_name(foreign.inner)} changes with what was encoded last. Give it "
            "decode(acts, x), so that it need remember nothing."
        )
    return acts, x_hat


def _refuse_training(inner: Any, method: str) -> None:
    """Refuse a module whose answers differ because it is in training mode, as far as it tells.

    Raises:
        LoadError: if it, or a module within it, is in training mode.
    """
    if not isinstance(inner, torch.nn.Module):
        return
    training = [name for name, module in inner.named_modules() if module.training]
    if training:
        where = "" if "" in training else f" (its part '{training[0]}')"
        raise LoadError(
            f"{_name(inner)} is in training mode{where}, and its {method} fails, or answers the "
            "same tokens differently from call to call or beside other tokens. Call its eval() "
            "first; if that changes nothing, its inference form is needed."
        )


def _answer(foreign: Foreign, method: str, *arguments: Any) -> Tensor:
    """The answer of a method to the probe, which must be a finite [tokens, width].

    Raises:
        LoadError: if it is something else, or the method fails.
    """
    tokens = len(arguments[0])
    try:
        answer = getattr(foreign, method)(*arguments)
    except LoadError:
        raise
    except Exception as error:
        _refuse_training(foreign.inner, method)
        raise LoadError(
            f"{_name(foreign.inner)} cannot {method} {tokens} tokens: {type(error).__name__}: "
            f"{error}. Its methods must work on any number of tokens, and again; one that "
            "differentiates must switch gradients on for itself (torch.enable_grad)."
        ) from error
    if answer.ndim != 2 or len(answer) != tokens or not bool(answer.isfinite().all()):
        raise LoadError(
            f"{method} of {_name(foreign.inner)} answers {list(answer.shape)} to {tokens} tokens, "
            "or numbers that are not finite. A finite [tokens, width] is needed."
        )
    return answer


def _decoder_directions(foreign: Foreign, d_sae: int, x: Tensor) -> Float[Tensor, "d_sae d_out"]:
    """W_dec as the object has it, or what each latent adds to a reconstruction.

    Raises:
        LoadError: if its W_dec is mis-shaped, or it has none and decode is not affine.
    """
    attribute = getattr(foreign.inner, "W_dec", None)
    if attribute is not None:
        W_dec = _tensor(attribute, "W_dec").detach().float().cpu()
        if W_dec.ndim != 2 or len(W_dec) != d_sae:
            raise LoadError(
                f"W_dec of {_name(foreign.inner)} has shape {list(W_dec.shape)}, but must be "
                f"[d_sae, d_out] with d_sae = {d_sae}."
            )
        return W_dec
    zero = torch.zeros(1, d_sae)
    bias = foreign.decode(zero, x[:1])
    step = max(1, IDENTITY_BYTES // (4 * d_sae))
    rows = []
    for start in range(0, d_sae, step):
        index = torch.arange(start, min(start + step, d_sae))
        one_hot = torch.zeros(len(index), d_sae).scatter(1, index[:, None], 1.0)
        rows.append(foreign.decode(one_hot, x[:1].expand(len(index), -1)) - bias)
    W_dec = torch.cat(rows)
    acts = torch.rand(len(x), d_sae, generator=torch.Generator().manual_seed(1))
    if not _close(foreign.decode(acts, x), acts @ W_dec + bias, foreign.dtype):
        raise LoadError(
            f"{_name(foreign.inner)} has no W_dec, and none can be recovered: its decode is not "
            "affine in acts, or depends on x. Give it an attribute W_dec [d_sae, d_out]."
        )
    return W_dec


def _takes_x(inner: Any) -> bool:
    """Whether decode has a second parameter that is required or called x."""
    try:
        parameters = list(inspect.signature(inner.decode).parameters.values())
    except (TypeError, ValueError):
        return False
    positional = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return len(positional) > 1 and (
        positional[1].default is inspect.Parameter.empty or positional[1].name == "x"
    )


def _required_width(inner: Any) -> int:
    """Input width that an object declares.

    Raises:
        LoadError: if it declares none.
    """
    width = declared_width(inner)
    if width is None:
        raise LoadError(
            f"{_name(inner)} does not tell the width of its input. Give it an attribute d_in, or "
            "name the site it reads (saeval.evaluate(..., model=..., site=...))."
        )
    return width


def _tensors_of(inner: Any) -> Any:
    """Floating-point tensors of an object: their dtype and device are those it computes in."""
    values = inner.parameters() if isinstance(inner, torch.nn.Module) else vars(inner).values()
    return (value for value in values if isinstance(value, Tensor) and value.is_floating_point())


def _tensor(value: Any, label: str) -> Tensor:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if not isinstance(value, Tensor):
        raise LoadError(
            f"{label} must be a tensor, but is {type(value).__name__}. Wrap the object so that "
            "encode answers acts [tokens, d_sae] and decode answers [tokens, d_out]."
        )
    return value


def _close(a: Tensor, b: Tensor, dtype: torch.dtype) -> bool:
    """Whether two answers are equal apart from rounding in the dtype they were computed in."""
    tolerance = max(TOLERANCE, ROUNDINGS * torch.finfo(dtype).eps)
    return a.shape == b.shape and bool((a - b).norm() <= tolerance * b.norm() + 1e-6)


def _name(inner: Any) -> str:
    return type(inner).__name__
