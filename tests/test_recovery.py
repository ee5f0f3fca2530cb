"""Recovery of a known dictionary: perfect, permuted, random, and by hand."""

import numpy as np
import pytest
import scipy.sparse as sp

from saeval.recovery import cosines, firing, match, mcc, nearest_feature, uniqueness


def _random(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 96))


def test_the_dictionary_itself_scores_one_in_any_order_and_sign() -> None:
    """A permuted, rescaled copy is matched throughout, and every latent is unique."""
    planted = _random(40, 0)
    order = np.random.default_rng(1).permutation(40)
    cosine = cosines(planted[order] * 3, planted)
    assert mcc(cosine) == pytest.approx(1)
    assert mcc(cosines(-planted, planted)) == pytest.approx(1)
    assert uniqueness(cosine) == pytest.approx(1)
    assert np.array_equal(nearest_feature(cosine), order)
    assert match(cosine) is not None


def test_an_unrelated_dictionary_scores_low() -> None:
    """Random directions match at chance, far below a true copy."""
    assert mcc(cosines(_random(40, 2), _random(40, 3))) < 0.4


def test_firing_counts_by_hand() -> None:
    """True and false firings of one latent against its feature, counted on four tokens."""
    acts = sp.csr_matrix(np.array([[1.0], [2.0], [0.0], [0.0]]))
    truth = sp.csr_matrix(np.array([[1.0], [0.0], [3.0], [0.0]]))
    found = firing(acts, truth, np.array([0]))
    both = {name: np.asarray(value).tolist() for name, value in vars(found).items()}
    assert [1] in both.values()
