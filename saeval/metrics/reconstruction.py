"""How well y_hat reconstructs y: squared errors, variance explained, angles and lengths."""

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.errors import DataError


def squared_error(
    y: Float[Tensor, "tokens d_out"], y_hat: Float[Tensor, "tokens d_out"]
) -> Float[Tensor, " tokens"]:
    """|y - y_hat|^2 of each token, in squared activation units, 0 or more."""
    return squared_norm(y - y_hat)


def squared_deviation(
    y: Float[Tensor, "tokens d_out"], centre: Float[Tensor, " d_out"]
) -> Float[Tensor, " tokens"]:
    """|y - centre|^2 of each token: what is left when the centre stands for every token."""
    return squared_norm(y - centre)


def squared_norm(y: Float[Tensor, "tokens d_out"]) -> Float[Tensor, " tokens"]:
    """|y|^2 of each token."""
    return token_dot(y, y)


def token_dot(
    y: Float[Tensor, "tokens d_out"], y_hat: Float[Tensor, "tokens d_out"]
) -> Float[Tensor, " tokens"]:
    """Inner product of each token's two vectors."""
    return torch.linalg.vecdot(y, y_hat)


def token_cosines(
    y: Float[Tensor, "tokens d_out"], y_hat: Float[Tensor, "tokens d_out"]
) -> Float[Tensor, " tokens"]:
    """Cosine of the angle between y and y_hat of each token, -1 to 1; 0 where either is zero."""
    lengths = (squared_norm(y) * squared_norm(y_hat)).sqrt()
    return torch.where(lengths > 0, token_dot(y, y_hat) / lengths, 0).clamp(-1, 1)


def token_l2_ratios(
    y: Float[Tensor, "tokens d_out"], y_hat: Float[Tensor, "tokens d_out"]
) -> Float[Tensor, " tokens"]:
    """|y_hat| / |y| of each token, 0 or more; 0 where y is zero, which callers leave out."""
    length = squared_norm(y).sqrt()
    return torch.where(length > 0, squared_norm(y_hat).sqrt() / length, 0)


def fvu(y: Float[Tensor, "tokens d_out"], y_hat: Float[Tensor, "tokens d_out"]) -> float:
    """Fraction of variance unexplained: sum |y - y_hat|^2 / sum |y - mean(y)|^2.

    One ratio of two sums over all tokens, never a mean of ratios. 0 for an exact reconstruction,
    1 for always predicting the mean, above 1 for worse than that.

    Raises:
        DataError: if all activations are equal, so that there is no variance to explain.
    Source: https://en.wikipedia.org/wiki/Fraction_of_variance_unexplained, for vectors.
    """
    y64 = y.double()
    spread = float(squared_deviation(y64, y64.mean(0)).sum())
    if not spread > 0:
        raise DataError(
            f"All {len(y)} activations are equal, so no variance is left to explain. "
            "Score on more, and more varied, tokens."
        )
    return float(squared_error(y64, y_hat.double()).sum()) / spread


def explained_variance(
    y: Float[Tensor, "tokens d_out"], y_hat: Float[Tensor, "tokens d_out"]
) -> float:
    """1 - FVU: 1 for an exact reconstruction, 0 for the mean, negative for worse.

    Raises:
        DataError: if all activations are equal.
    """
    return 1 - fvu(y, y_hat)


def mse(y: Float[Tensor, "tokens d_out"], y_hat: Float[Tensor, "tokens d_out"]) -> float:
    """Mean squared error per dimension: sum |y - y_hat|^2 / (tokens * d_out)."""
    return float(squared_error(y.double(), y_hat.double()).sum()) / y.numel()


def cosine_similarity(
    y: Float[Tensor, "tokens d_out"], y_hat: Float[Tensor, "tokens d_out"]
) -> float:
    """Mean over tokens of the cosine between y and y_hat; tokens where y is zero are left out.

    Raises:
        DataError: if y is zero everywhere.
    """
    return _mean_where_nonzero(token_cosines(y.double(), y_hat.double()), y)


def l2_ratio(y: Float[Tensor, "tokens d_out"], y_hat: Float[Tensor, "tokens d_out"]) -> float:
    """Mean over tokens of |y_hat| / |y|; below 1 the SAE shrinks. Zero y are left out.

    Raises:
        DataError: if y is zero everywhere.
    """
    return _mean_where_nonzero(token_l2_ratios(y.double(), y_hat.double()), y)


def relative_reconstruction_bias(
    y: Float[Tensor, "tokens d_out"], y_hat: Float[Tensor, "tokens d_out"]
) -> float:
    """Length bias sum |y_hat|^2 / sum y.y_hat over all tokens: 1 is none, below 1 shrunk.

    Its inverse is the factor by which y_hat would have to be scaled to fit y best.

    Raises:
        DataError: if y_hat is orthogonal to y on the whole, as an all-zero reconstruction is.
    Source: https://arxiv.org/abs/2404.16014 (gated SAEs; there called gamma).
    """
    y64, y_hat64 = y.double(), y_hat.double()
    alignment = float(token_dot(y64, y_hat64).sum())
    if alignment == 0:
        raise DataError(
            "The reconstruction is orthogonal to the activations (sum y.y_hat is 0), so its bias "
            "is undefined. Check that the SAE has active latents on this data."
        )
    return float(squared_norm(y_hat64).sum()) / alignment


def _mean_where_nonzero(values: Float[Tensor, " tokens"], y: Tensor) -> float:
    counted = (y != 0).any(1)
    if not counted.any():
        raise DataError(
            f"All {len(y)} activations are zero, so they have no direction or length to compare. "
            "Check the site and the data."
        )
    return float(values[counted].mean())
