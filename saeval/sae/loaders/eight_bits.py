"""Matrices stored as whole numbers from -127 to 127, with one scale a latent: half of float16."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from saeval.errors import LoadError

SCALE = ".scale"
"""What follows a matrix's name in the name of its scales."""
LARGEST = 127


def packed(name: str, matrix: Tensor, d_sae: int) -> dict[str, Tensor]:
    """A matrix as int8, and its scales: the matrix is their product.

    Each latent has its own scale, so that its largest number becomes 127; a number is off by at
    most half a scale.

    Args:
        name: The matrix's name.
        matrix: Finite numbers, one of its two axes as long as there are latents.
        d_sae: Number of latents.
    """
    over = 0 if matrix.shape[1] == d_sae else 1
    scale = matrix.abs().amax(over, keepdim=True).float() / LARGEST
    # A latent of zeros stays zeros, whatever its scale.
    whole = (matrix / scale.where(scale > 0, torch.ones(()))).round().to(torch.int8)
    return {name: whole.contiguous(), name + SCALE: scale.contiguous()}


def unpacked(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """All tensors of a file, those that have scales as float32.

    Raises:
        LoadError: if scales have no matrix of int8 beside them, or do not fit it.
    """
    plain = {name: tensor for name, tensor in tensors.items() if not name.endswith(SCALE)}
    for name in tensors.keys() - plain.keys():
        scale, matrix = tensors[name], tensors.get(name.removesuffix(SCALE))
        if matrix is None or matrix.dtype != torch.int8 or not scale.is_floating_point():
            raise LoadError(
                f"{path} holds '{name}', but no matrix of 8-bit integers beside it. The file is "
                "incomplete or was edited: save the SAE again."
            )
        if matrix.ndim != 2 or scale.shape not in [(1, matrix.shape[1]), (matrix.shape[0], 1)]:
            raise LoadError(
                f"'{name}' in {path} has shape {list(scale.shape)}, not one scale for each "
                f"row or column of a matrix of shape {list(matrix.shape)}. Save the SAE again."
            )
        plain[name.removesuffix(SCALE)] = matrix.float() * scale.float()
    return plain
