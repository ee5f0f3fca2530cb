"""Every metric against an oracle: exact reconstruction, the mean, and cases done by hand."""

import math

import numpy as np
import pytest
import torch

from saeval import metrics
from saeval.errors import DataError
from saeval.metrics.sparsity import token_sums
from saeval.sae import Codes


@pytest.fixture
def y() -> torch.Tensor:
    """Activations whose mean dwarfs their spread, as in a residual stream."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(500, 8, generator=generator) + 100


def codes(*rows: list[float]) -> Codes:
    """Sparse codes of dense rows."""
    return Codes.from_dense(torch.tensor(rows))


def test_exact_reconstruction_leaves_nothing_unexplained(y: torch.Tensor) -> None:
    """An exact copy scores FVU 0, explained variance 1, error 0, cosine, ratio and bias 1."""
    assert metrics.fvu(y, y) == 0
    assert metrics.explained_variance(y, y) == 1
    assert metrics.mse(y, y) == 0
    assert metrics.cosine_similarity(y, y) == pytest.approx(1, abs=1e-12)
    assert metrics.l2_ratio(y, y) == pytest.approx(1)
    assert metrics.relative_reconstruction_bias(y, y) == pytest.approx(1)


def test_the_mean_explains_no_variance(y: torch.Tensor) -> None:
    """Always predicting the mean scores FVU 1 although its cosine is near 1."""
    mean = y.mean(0, keepdim=True).expand_as(y)
    assert metrics.fvu(y, mean) == pytest.approx(1, abs=1e-6)
    assert metrics.explained_variance(y, mean) == pytest.approx(0, abs=1e-6)
    assert metrics.cosine_similarity(y, mean) > 0.999


@pytest.mark.parametrize("scale", [1.0, 20.0, 28.0, 1000.0])
def test_fvu_does_not_depend_on_the_scale(scale: float) -> None:
    """A reconstruction that leaves a tenth of the variance scores 0.1 at every scale."""
    y = torch.randn(4000, 96, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(4000, 96, generator=torch.Generator().manual_seed(2))
    y_hat = y + noise * math.sqrt(0.1)
    assert metrics.fvu(y * scale, y_hat * scale) == pytest.approx(0.1, rel=0.02)


def test_reconstruction_by_hand() -> None:
    """Two tokens done on paper: errors, dots, cosines and lengths."""
    y = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    y_hat = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert metrics.squared_error(y, y_hat).tolist() == [16, 4]
    assert metrics.squared_deviation(y, torch.tensor([1.0, 1.0])).tolist() == [13, 2]
    assert metrics.token_dot(y, y_hat).tolist() == [9, 8]
    assert metrics.token_cosines(y, y_hat).tolist() == pytest.approx([0.6, 1.0])
    assert metrics.token_l2_ratios(y, y_hat).tolist() == pytest.approx([0.6, 2.0])
    assert metrics.mse(y, y_hat) == 5
    assert metrics.fvu(y, y_hat) == pytest.approx(20 / 6.5)
    assert metrics.cosine_similarity(y, y_hat) == pytest.approx(0.8)
    assert metrics.l2_ratio(y, y_hat) == pytest.approx(1.3)
    assert metrics.relative_reconstruction_bias(y, y_hat) == pytest.approx(25 / 17)


def test_shrinkage_shows_in_ratio_and_bias(y: torch.Tensor) -> None:
    """A reconstruction shrunk by a fifth has length ratio and bias 0.8 and cosine 1."""
    assert metrics.l2_ratio(y, 0.8 * y) == pytest.approx(0.8)
    assert metrics.relative_reconstruction_bias(y, 0.8 * y) == pytest.approx(0.8)
    assert metrics.cosine_similarity(y, 0.8 * y) == pytest.approx(1)


def test_zero_activations_are_left_out_of_angles_and_lengths() -> None:
    """A token without direction changes neither the mean cosine nor the mean length ratio."""
    y = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    y_hat = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    assert metrics.cosine_similarity(y, y_hat) == 1
    assert metrics.l2_ratio(y, y_hat) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.fvu(torch.ones(3, 2), torch.ones(3, 2)),
        lambda: metrics.cosine_similarity(torch.zeros(3, 2), torch.ones(3, 2)),
        lambda: metrics.l2_ratio(torch.zeros(3, 2), torch.ones(3, 2)),
        lambda: metrics.relative_reconstruction_bias(torch.ones(3, 2), torch.zeros(3, 2)),
        lambda: metrics.ce_loss_score(clean=3.0, spliced=3.1, ablated=2.9),
        lambda: metrics.kl_div_score(spliced=0.0, ablated=0.0),
        lambda: metrics.freq_over(np.array([1]), 0, 0.1),
        lambda: metrics.nearest_cosines(torch.ones(1, 2)),
    ],
)
def test_what_has_no_meaning_is_an_error(call) -> None:  # noqa: ANN001  (a lambda of no arguments)
    """A metric whose denominator vanishes raises instead of giving NaN or infinity."""
    with pytest.raises(DataError, match=r"\."):
        call()


def test_sparsity_by_hand() -> None:
    """Active means not 0, so negative acts count in L0 and add to L1."""
    sparse = codes([0.0, 2.0, -1.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0])
    assert metrics.l0(sparse) == 1
    assert metrics.l1(sparse) == 2
    assert metrics.token_l1(sparse).tolist() == [3, 0, 3]
    assert token_sums(sparse, sparse.value).tolist() == [1, 0, 3]
    assert metrics.active_counts(sparse).tolist() == [0, 2, 1]


def test_densities_by_hand() -> None:
    """Of four latents one is dead, three exceed 1 %, one exceeds 10 % of 100 tokens."""
    counts = np.array([0, 2, 10, 11])
    assert metrics.frac_alive(counts) == 0.75
    assert metrics.freq_over(counts, 100, 0.01) == 0.75
    assert metrics.freq_over(counts, 100, 0.1) == 0.25


def test_density_histogram_counts_every_latent_once() -> None:
    """Edges belong to the lower bin, the dead have a bin of their own, nothing is lost."""
    counts = np.array([0, 1, 9, 10, 100, 1000, 10_000, 100_000, 1_000_000])
    histogram = metrics.density_histogram(counts, 1_000_000)
    assert histogram == {
        "dead": 1,
        "below 1e-4": 4,
        "1e-4 to 1e-3": 1,
        "1e-3 to 0.01": 1,
        "0.01 to 0.1": 1,
        "0.1 to 1": 1,
    }


def test_cross_entropy_of_a_uniform_prediction() -> None:
    """Uniform logits cost log(vocabulary) nats whatever comes next."""
    log_probs = torch.zeros(3, 50).log_softmax(1)
    loss = metrics.cross_entropy(log_probs, torch.tensor([0, 7, 49]))
    assert loss.tolist() == pytest.approx([math.log(50)] * 3)


def test_kl_by_hand_and_without_underflow() -> None:
    """KL is 0 for equal predictions, log 2 for a halved certainty, finite where q underflows."""
    certain = torch.tensor([[0.0, -1e4], [0.0, -1e4], [-1e4, 0.0]]).log_softmax(1)
    q = torch.tensor([[0.0, -1e4], [0.0, 0.0], [0.0, -1e4]]).log_softmax(1)
    assert metrics.kl_divergence(q, q).tolist() == [0, 0, 0]
    expected = [0, math.log(2), 1e4]
    assert metrics.kl_divergence(certain, q).tolist() == pytest.approx(expected)
    assert metrics.kl_divergence(certain, q).shape == (3,)


def test_scores_at_their_anchors() -> None:
    """No loss scores 1, as bad as ablation 0, worse is negative; halfway is one half."""
    assert metrics.ce_loss_score(clean=3.0, spliced=3.0, ablated=7.0) == 1
    assert metrics.ce_loss_score(clean=3.0, spliced=7.0, ablated=7.0) == 0
    assert metrics.ce_loss_score(clean=3.0, spliced=5.0, ablated=7.0) == 0.5
    assert metrics.ce_loss_score(clean=3.0, spliced=9.0, ablated=7.0) == -0.5
    assert metrics.kl_div_score(spliced=0.0, ablated=4.0) == 1
    assert metrics.kl_div_score(spliced=4.0, ablated=4.0) == 0


@pytest.mark.parametrize("latents", [2, 5, 2048, 2500])
def test_nearest_cosines_equal_the_dense_matrix(latents: int) -> None:
    """Blocks of any remainder give what the whole cosine matrix gives; so does a sample."""
    directions = torch.randn(latents, 6, generator=torch.Generator().manual_seed(latents))
    directions[0] = 0
    unit = torch.nn.functional.normalize(directions, dim=1)
    dense = (unit @ unit.T).fill_diagonal_(-1).amax(1)
    torch.testing.assert_close(metrics.nearest_cosines(directions), dense)
    sample = torch.arange(latents).flip(0)[: latents // 2 + 1]
    torch.testing.assert_close(metrics.nearest_cosines(directions, sample), dense[sample])


def test_nearest_cosines_by_hand() -> None:
    """Twins have cosine 1, opposite directions -1, lengths do not matter."""
    assert metrics.nearest_cosines(torch.tensor([[1.0, 0.0], [3.0, 0.0]])).tolist() == [1, 1]
    assert metrics.nearest_cosines(torch.tensor([[1.0, 0.0], [-2.0, 0.0]])).tolist() == [-1, -1]


def test_losses_in_place_are_the_losses() -> None:
    """The fast pass gives what cross_entropy and kl_divergence give, and 0 for equal logits."""
    generator = torch.Generator().manual_seed(3)
    clean, logits = (torch.randn(7, 30, generator=generator) * 4 for _ in range(2))
    targets = torch.arange(7)
    log_probs = logits.log_softmax(1)
    expected = (
        metrics.cross_entropy(log_probs, targets),
        metrics.kl_divergence(clean.log_softmax(1), log_probs),
    )
    assert metrics.losses_in_place(clean.clone(), clean.clone(), targets)[1].tolist() == [0] * 7
    torch.testing.assert_close(metrics.losses_in_place(clean, logits, targets), expected)


def test_logit_chunk_bounds_memory() -> None:
    """Large vocabularies get fewer positions at once, but never fewer than 64."""
    assert metrics.logit_chunk(1024) == 256 * torch.get_num_threads()
    assert metrics.logit_chunk(256_000) == 64
    assert metrics.logit_chunk(256_000, "cuda:0") == 262
