"""The nulls are what they claim: a fitted PCA, and directions drawn from a seed."""

import numpy as np
import pytest
import torch

from saeval.errors import DataError
from saeval.sae.architectures.pca import fit_pca
from saeval.sae.architectures.random import random_topk


def test_pca_is_fitted_in_batches() -> None:
    """Batches give numpy's components and mean, also about a mean that dwarfs the variance."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((500, 5)) @ np.diag([5, 3, 2, 1, 0.5]) + 1000
    x = torch.from_numpy(data.astype(np.float32))
    pca = fit_pca([x[:0], x[:7], x[7:300], x[300:]], k=2)
    exact = x.double().numpy()
    _, _, components = np.linalg.svd(exact - exact.mean(0))
    overlap = np.abs(np.sum(pca.W_dec.numpy() * components, 1))
    assert np.allclose(overlap, 1, atol=1e-4)
    assert np.allclose(pca.b_dec, exact.mean(0), rtol=1e-6)
    assert torch.allclose(pca.W_dec @ pca.W_dec.T, torch.eye(5), atol=1e-5)


def test_pca_with_all_components_is_exact() -> None:
    """Keeping every score loses nothing, and fewer lose the least along the first."""
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7)
    whole = fit_pca([x], k=6)
    assert torch.allclose(whole.decode(whole.encode(x), x), x, atol=1e-4)
    error = [
        float((x - pca.decode(pca.encode(x), x)).square().sum())
        for pca in (fit_pca([x], k=k) for k in (1, 3, 6))
    ]
    assert error[0] > error[1] > error[2]


def test_pca_of_nothing() -> None:
    """No activations, no components."""
    with pytest.raises(DataError, match="was given none"):
        fit_pca([torch.zeros(0, 3)], k=1)


def test_random_directions_come_from_the_seed() -> None:
    """Equal seeds give equal SAEs of unit rows, other seeds others; L0 is at most k."""
    b_dec = torch.randn(8, generator=torch.Generator().manual_seed(0))
    first, again, other = (random_topk(b_dec, 32, 4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.W_dec, again.W_dec)
    assert not torch.equal(first.W_dec, other.W_dec)
    assert torch.allclose(first.W_dec.norm(dim=1), torch.ones(32))
    assert torch.equal(first.W_enc, first.W_dec.T)
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(3))
    assert int(first.encode_codes(x).l0.max()) <= 4
