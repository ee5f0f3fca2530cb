"""Transforms of an SAE's input before encoding, undone after decoding, token by token.

A transform holds constants only. `undo` takes the input itself, so nothing is remembered between
encode and decode.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from saeval.errors import LoadError


@runtime_checkable
class Transform(Protocol):
    """A reversible change of each token's activation."""

    def apply(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
        """Raw activations in the units that the encoder was trained on."""
        ...

    def undo(
        self, x_hat: Float[Tensor, "tokens d_out"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """A reconstruction in raw units. x is the raw input that it reconstructs."""
        ...


@dataclass(frozen=True)
class Identity:
    """No change."""

    def apply(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
        """The input unchanged."""
        return x

    def undo(
        self, x_hat: Float[Tensor, "tokens d_out"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """The reconstruction unchanged."""
        return x_hat


@dataclass(frozen=True)
class LayerNorm:
    """Each token's own mean and standard deviation: (x - mean) / (std + eps).

    std is the unbiased one (divisor d_in - 1), and undo multiplies by std without eps, as the
    libraries do. A constant token becomes zeros and comes back as its mean.

    Source: openai/sparse_autoencoder, `LN`; SAELens `normalize_activations="layer_norm"`.
    """

    eps: float = 1e-5
    """Added to std when dividing, in the units of x."""

    def apply(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
        """Tokens of mean 0 and standard deviation 1."""
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.std(-1, keepdim=True) + self.eps)

    def undo(
        self, x_hat: Float[Tensor, "tokens d_out"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """Multiply by x's standard deviation, add x's mean."""
        return x_hat * x.std(-1, keepdim=True) + x.mean(-1, keepdim=True)


@dataclass(frozen=True)
class ConstantNorm:
    """Each token scaled to norm sqrt(d_in). A zero token stays zero, both ways.

    Source: SAELens `normalize_activations="constant_norm_rescale"`, which gives NaN at zero.
    """

    def apply(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
        """Tokens of norm sqrt(d_in)."""
        norm = x.norm(dim=-1, keepdim=True)
        return x * (x.shape[-1] ** 0.5 / norm).where(norm > 0, norm.new_zeros(()))

    def undo(
        self, x_hat: Float[Tensor, "tokens d_out"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """Scale back to x's norm."""
        return x_hat * (x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5)


@dataclass(frozen=True)
class RMSNorm:
    """Each token divided by its root mean square: what an RMS norm gives before its gain.

    Source: TransformerLens, `ln2.hook_normalized` of models with RMS norms.
    """

    eps: float = 1e-6
    """Added to the mean square, in the units of x squared."""

    def apply(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
        """Tokens of root mean square 1, apart from eps."""
        return x / self._root_mean_square(x)

    def undo(
        self, x_hat: Float[Tensor, "tokens d_out"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """Multiply by x's root mean square."""
        return x_hat * self._root_mean_square(x)

    def _root_mean_square(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens 1"]:
        return (x.square().mean(-1, keepdim=True) + self.eps).sqrt()


@dataclass(frozen=True)
class Scale:
    """Every token times one constant."""

    factor: float
    """Above 0; usually sqrt(d_in) over the average norm of the training activations."""

    def __post_init__(self) -> None:
        if not 0 < self.factor < float("inf"):
            raise LoadError(f"Activations cannot be scaled by {self.factor}: it must be above 0.")

    def apply(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
        """Multiplied by the constant."""
        return x * self.factor

    def undo(
        self, x_hat: Float[Tensor, "tokens d_out"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """Divided by the constant."""
        return x_hat / self.factor


@dataclass(frozen=True)
class Centre:
    """Each token less the mean of its own entries, as in TransformerLens' centred models."""

    def apply(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
        """Tokens of mean 0."""
        return x - x.mean(-1, keepdim=True)

    def undo(
        self, x_hat: Float[Tensor, "tokens d_out"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """Add x's mean back."""
        return x_hat + x.mean(-1, keepdim=True)


@dataclass(frozen=True)
class InputOnly:
    """Another transform applied to the input and never undone: for transcoders.

    A transcoder writes at another site of the model, whose scale its input does not tell.
    """

    inner: Transform

    def apply(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
        """The inner transform of x."""
        return self.inner.apply(x)

    def undo(
        self, x_hat: Float[Tensor, "tokens d_out"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """The reconstruction unchanged."""
        return x_hat


IDENTITY = Identity()
"""The transform of most SAEs."""
TRANSFORMS: dict[str, type] = {
    "identity": Identity,
    "layer_norm": LayerNorm,
    "constant_norm": ConstantNorm,
    "rms_norm": RMSNorm,
    "scale": Scale,
    "centre": Centre,
    "input_only": InputOnly,
}
"""Every transform by the name it has in saeval's own format."""
