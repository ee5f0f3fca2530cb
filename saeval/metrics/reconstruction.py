"""How well y_hat reconstructs y, token by token: squared errors, angles and lengths."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor


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


def directed(square: Float[Tensor, " tokens"]) -> Bool[Tensor, " tokens"]:
    """Whether each token's y has a direction and a length to compare with, from its |y|^2."""
    return square > 0


def explained(
    deviation: Float[np.ndarray, " units"], error: Float[np.ndarray, " units"]
) -> Float[np.ndarray, " units"]:
    """Squared deviation from the mean that is not left as squared error, summed in each unit.

    Negative where the reconstruction is worse than the mean.
    """
    return deviation - error
