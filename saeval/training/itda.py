"""ITDA: no descent; the activations that the dictionary reconstructs worst become its atoms."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval import architectures
from saeval.architectures.pursuit import signed_pursuit
from saeval.errors import DataError
from saeval.training.method import Setup, check_same_site, unit_rows

CHUNKS = 64
"""Parts of the sample, after each of which the dictionary grows."""
SAME = 0.99
"""|cosine| from which two activations are one atom."""


@dataclass(frozen=True)
class ITDA:
    """Reads the sample in chunks and adds the worst reconstructed activations of each.

    The paper adds all whose error exceeds a threshold, and so finds the dictionary's size; here
    the size is given, and the threshold of each chunk follows from it.

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
        atoms = x[:0]
        for done, chunk in enumerate(x.chunk(CHUNKS), start=1):
            wanted = -(-d_sae * done // CHUNKS)
            atoms = _grown(atoms, _worst_first(chunk, atoms, k), wanted)
        atoms = atoms if len(atoms) == d_sae else _grown(atoms, x, d_sae)
        if len(atoms) < d_sae:
            raise DataError(
                f"Only {len(atoms)} of the {len(x)} activations in the sample differ in direction, "
                f"too few for {d_sae} atoms. Ask for fewer latents (`d_sae`)."
            )
        return architectures.ITDA(atoms, torch.zeros_like(atoms[0]), k)


def _worst_first(
    x: Float[Tensor, "tokens d_in"], atoms: Float[Tensor, "d_sae d_in"], k: int
) -> Float[Tensor, "tokens d_in"]:
    """Activations by falling error of their reconstruction."""
    if not len(atoms):
        return x[x.square().sum(1).argsort(descending=True)]
    missing = x - signed_pursuit(x, atoms, k) @ atoms
    return x[missing.square().sum(1).argsort(descending=True)]


def _grown(
    atoms: Float[Tensor, "d_sae d_in"], candidates: Float[Tensor, "tokens d_in"], size: int
) -> Float[Tensor, "more d_in"]:
    """Atoms with the first candidates that are no repetition, as unit rows, up to a size."""
    kept = list(atoms)
    for candidate in unit_rows(candidates):
        if len(kept) >= size:
            break
        if not kept or float((torch.stack(kept) @ candidate).abs().max()) < SAME:
            kept.append(candidate)
    return torch.stack(kept)
