"""ITDA: no gradient descent; activations that the dictionary reconstructs worst become atoms."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saeval.errors import DataError
from saeval.sae import Origin, architectures
from saeval.sae.architectures.pursuit import signed_pursuit
from saeval.training.method import Setup, check_same_site, unit_rows

CHUNKS = 64
"""Parts of the sample, after each of which the dictionary grows."""
SAME = 0.99
"""|cosine| from which two activations count as the same atom."""


@dataclass(frozen=True)
class ITDA:
    """Reads the sample in chunks and adds the worst reconstructed activations of each.

    The paper adds all activations whose error exceeds a threshold, which decides the
    dictionary's size. Here the size is chosen, and decides how many each chunk adds. The origin
    holds the atoms' positions in the sample (`labels`), by which dictionaries of other sites or
    models on the same data and seed can be compared.

    Source: Leask et al. 2025, arXiv 2505.17769.
    """

    name: ClassVar[str] = "itda"

    def fit(self, setup: Setup) -> architectures.ITDA:
        """The dictionary, at the target number of pursuit's steps.

        Raises:
            UsageError: for a transcoder.
            DataError: if the sample has too few activations that differ.
        """
        check_same_site(setup, self.name)
        x, k, d_sae = setup.x, setup.recipe.k, setup.recipe.d_sae
        units = unit_rows(x)
        atoms: list[int] = []
        for number, chunk in enumerate(torch.arange(len(x)).chunk(CHUNKS), start=1):
            worst = _worst_first(x[chunk], units[atoms], k)
            _add_atoms(atoms, chunk[worst.cpu()], units, -(-d_sae * number // CHUNKS))
        _add_atoms(atoms, torch.arange(len(x)), units, d_sae)
        if len(atoms) < d_sae:
            raise DataError(
                f"Only {len(atoms)} of {len(x)} activations in the sample differ in direction, "
                f"too few for {d_sae} atoms. Ask for fewer latents (`d_sae`)."
            )
        origin = Origin(architecture="itda", metadata={"labels": atoms})
        return architectures.ITDA(units[atoms], torch.zeros_like(x[0]), k, origin=origin)


def _worst_first(
    x: Float[Tensor, "tokens d_in"], atoms: Float[Tensor, "atoms d_in"], k: int
) -> Int[Tensor, " tokens"]:
    """Order of activations by falling error of their reconstruction."""
    error = x - signed_pursuit(x, atoms, k) @ atoms if len(atoms) else x
    return error.square().sum(1).argsort(descending=True)


def _add_atoms(
    atoms: list[int],
    candidates: Int[Tensor, " tokens"],
    units: Float[Tensor, "sample d_in"],
    size: int,
) -> None:
    """Add the first candidates that differ from all atoms, up to a size."""
    for candidate in candidates.tolist():
        if len(atoms) >= size:
            break
        is_same = (units[atoms] @ units[candidate]).abs() >= SAME
        if not bool(is_same.any()):
            atoms.append(candidate)
