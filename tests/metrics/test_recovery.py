"""Recovery of a known dictionary: perfect, permuted, random, and by hand."""

import numpy as np
import pytest
import scipy.sparse as sp

from saeval.errors import DataError
from saeval.metrics.recovery import (
    cosines,
    covered,
    distinctness,
    firing,
    magnitudes,
    match,
    nearest_feature,
)


def _random(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 96))


def mcc(cosine: np.ndarray) -> float:
    """Mean |cosine| over the best pairing."""
    return float(match(cosine).cosine.mean())


def uniqueness(cosine: np.ndarray) -> float:
    """Different features nearest to some latent, as a share of the latents."""
    return float(distinctness(nearest_feature(cosine)).mean())


def _sparse(tokens: int, columns: int, seed: int, rate: float = 0.3) -> sp.csr_matrix:
    """Magnitudes from 0 to 1, each present at a rate and otherwise 0."""
    rng = np.random.default_rng(seed)
    present = rng.random((tokens, columns)) < rate
    return sp.csr_matrix(present * rng.uniform(0.1, 1, (tokens, columns)))


def _codes(*columns: list[float]) -> sp.csr_matrix:
    """Activations of latents (or features), each given over all tokens."""
    return sp.csr_matrix(np.array(columns).T)


def test_the_dictionary_itself_scores_one_in_any_order_and_sign() -> None:
    """A permuted, rescaled copy is matched throughout, and every latent is unique."""
    planted = _random(40, 0)
    order = np.random.default_rng(1).permutation(40)
    cosine = cosines(planted[order] * 3, planted)
    assert mcc(cosine) == pytest.approx(1)
    assert mcc(cosines(-planted, planted)) == pytest.approx(1)
    assert uniqueness(cosine) == pytest.approx(1)
    assert covered(cosine).mean() == 1
    assert np.array_equal(nearest_feature(cosine), order)
    found = match(cosine)
    assert np.array_equal(found.feature, order[found.latent])


def test_an_unrelated_dictionary_scores_low() -> None:
    """Random directions match as other random ones do, far from 1, and cover nothing."""
    planted = _random(40, 2)
    first, second = (cosines(_random(40, seed), planted) for seed in (3, 4))
    assert mcc(first) == pytest.approx(mcc(second), abs=0.03)
    assert mcc(first) < 0.4
    assert uniqueness(first) == pytest.approx(uniqueness(second), abs=0.15)
    assert covered(first).mean() == covered(second).mean() == 0


def test_matching_by_hand() -> None:
    """The best pairing is not the greedy one: .8 + .7 beats .9 + 0."""
    cosine = np.array([[0.9, 0.8], [0.7, 0.0]])
    found = match(cosine)
    assert found.latent.tolist() == [0, 1]
    assert found.feature.tolist() == [1, 0]
    assert mcc(cosine) == pytest.approx(0.75)
    assert nearest_feature(cosine).tolist() == [0, 0]
    assert distinctness(nearest_feature(cosine)).tolist() == [0.5, 0.5]
    assert uniqueness(cosine) == 0.5
    assert covered(cosine, 0.85).tolist() == [1, 0]


def test_fewer_latents_than_features_are_matched_as_far_as_they_go() -> None:
    """Half of the dictionary is matched perfectly, and covers half."""
    planted = _random(40, 4)
    cosine = cosines(planted[:20], planted)
    assert len(match(cosine).latent) == 20
    assert mcc(cosine) == pytest.approx(1)
    assert covered(cosine).mean() == 0.5


def test_a_dictionary_of_another_width_is_refused() -> None:
    """Directions of different widths have no cosine."""
    with pytest.raises(DataError, match="another world"):
        cosines(_random(3, 0), _random(3, 0)[:, :90])


def test_firing_counts_by_hand() -> None:
    """Two hits, one miss and one false alarm; a latent that never fires is dead and scores 0."""
    truth = _codes([1.0, 2.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0])
    acts = _codes([0.5, 0.0, -1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0])
    found = firing(acts, truth, np.array([0, 1]))
    assert found.both.tolist() == [2, 0]
    assert found.latent_only.tolist() == [1, 0]
    assert found.feature_only.tolist() == [1, 1]
    assert found.f1.tolist() == [pytest.approx(2 * 2 / (2 * 2 + 1 + 1)), 0]
    assert found.dead.tolist() == [0, 1]


def test_firing_with_the_truth_scores_one() -> None:
    """Latents that fire exactly when their features do score 1, in any order and sign."""
    truth = _sparse(500, 30, 0)
    order = np.random.default_rng(1).permutation(30)
    assert firing(sp.csr_matrix(-truth[:, order]), truth, order).f1.min() == 1


def test_firing_at_random_scores_what_chance_gives() -> None:
    """Independent firing at rate p scores F1 p, since precision and recall are both p."""
    truth, acts = _sparse(20_000, 10, 0), _sparse(20_000, 10, 1)
    assert firing(acts, truth, np.arange(10)).f1.mean() == pytest.approx(0.3, abs=0.01)


def test_counts_of_batches_add_up() -> None:
    """Firing and magnitudes over two batches are those over all tokens."""
    truth, acts = _sparse(300, 10, 0), _sparse(300, 10, 1)
    feature, W_dec = np.arange(10), _random(10, 0)
    parts = [(acts[:100], truth[:100]), (acts[100:], truth[100:])]
    counted = [firing(a, t, feature) for a, t in parts]
    sized = [magnitudes(a, t, feature, W_dec) for a, t in parts]
    whole = firing(acts, truth, feature)
    both = counted[0] + counted[1]
    assert np.array_equal(both.both, whole.both)
    assert np.array_equal(both.f1, whole.f1)
    expected = magnitudes(acts, truth, feature, W_dec)
    assert (sized[0] + sized[1]).lost == pytest.approx(expected.lost)
    assert (sized[0] + sized[1]).truth == pytest.approx(expected.truth)


def test_shrinkage_by_hand() -> None:
    """Where both fire, 2 + 4 became 1 + 2 once the decoder's norm of 2 is counted: half is lost."""
    truth = _codes([2.0, 4.0, 7.0])
    acts = _codes([0.5, 1.0, 0.0])
    direction = np.array([[0.0, 2.0]])
    found = magnitudes(acts, truth, np.array([0]), direction)
    assert (found.lost.tolist(), found.truth.tolist()) == ([3], [6])
    assert magnitudes(truth, truth, np.array([0]), direction / 2).lost.tolist() == [0]
    silent = magnitudes(_codes([0.0, 0.0, 0.0]), truth, np.array([0]), direction)
    assert (silent.lost.tolist(), silent.truth.tolist()) == ([0], [0])
