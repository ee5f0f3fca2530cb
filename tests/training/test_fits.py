"""What is fitted without descent: ITDA finds planted atoms, nulls hold mean and components."""

import pytest
import torch

from saeval.errors import DataError, UsageError
from saeval.training import ITDA, PCA, Neurons, Random, Recipe
from saeval.training.method import Setup


def _setup(x: torch.Tensor, d_sae: int, k: int) -> Setup:
    return Setup(Recipe(d_sae, k), x, x)


def test_itda_takes_each_planted_direction_once() -> None:
    """Multiples of orthonormal directions, of either sign, give these as atoms and no error."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
    place = torch.randint(8, (500,), generator=generator)
    x = directions[place] * torch.randn(500, 1, generator=generator)
    sae = ITDA().fit(_setup(x, 8, 1))
    assert torch.allclose((sae.W_dec @ directions.T).abs().sum(0), torch.ones(8), atol=1e-5)
    assert torch.allclose(sae.decode(sae.encode(x), x), x, atol=1e-5)
    labels = torch.tensor(sae.origin.metadata["labels"])
    assert torch.allclose(x[labels] / x[labels].norm(dim=1, keepdim=True), sae.W_dec)
    with pytest.raises(DataError, match="Only 8 of 500"):
        ITDA().fit(_setup(x, 9, 1))


def test_nulls_keep_the_mean() -> None:
    """At k = d_in the neurons and the components are exact; a random SAE never is."""
    x = torch.randn(300, 6, generator=torch.Generator().manual_seed(0)) + 2
    for null in (Neurons(), PCA()):
        sae = null.fit(_setup(x, 12, 6))
        assert torch.allclose(sae.b_dec, x.mean(0), atol=1e-5)
        assert torch.allclose(sae.decode(sae.encode(x), x), x, atol=1e-4)
        with pytest.raises(UsageError, match="at most 6"):
            null.fit(_setup(x, 12, 7))
    drawn = [Random().fit(Setup(Recipe(12, 6, seed=seed), x, x)).W_dec for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
