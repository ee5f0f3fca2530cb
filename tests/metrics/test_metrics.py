"""Every function that metrics are made of, against cases done by hand and dense arithmetic."""

import math

import numpy as np
import pytest
import torch

from saeval import metrics
from saeval.errors import DataError
from saeval.sae import Codes


def codes(*rows: list[float]) -> Codes:
    """Sparse codes of dense rows."""
    return Codes.from_dense(torch.tensor(rows))


def test_reconstruction_by_hand() -> None:
    """Two tokens done on paper: errors, dots, cosines and lengths."""
    y = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    y_hat = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert metrics.squared_error(y, y_hat).tolist() == [16, 4]
    assert metrics.squared_deviation(y, torch.tensor([1.0, 1.0])).tolist() == [13, 2]
    assert metrics.squared_norm(y).tolist() == [25, 4]
    assert metrics.token_dot(y, y_hat).tolist() == [9, 8]
    assert metrics.token_cosines(y, y_hat).tolist() == pytest.approx([0.6, 1.0])
    assert metrics.token_l2_ratios(y, y_hat).tolist() == pytest.approx([0.6, 2.0])
    assert metrics.explained(np.array([13.0, 2.0]), np.array([16.0, 4.0])).tolist() == [-3, -2]


def test_zero_activations_have_no_direction() -> None:
    """Where y is zero, cosine and length ratio are 0 and the token is not counted."""
    y = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    y_hat = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    assert metrics.token_cosines(y, y_hat).tolist() == [1, 0]
    assert metrics.token_l2_ratios(y, y_hat).tolist() == [2, 0]
    assert metrics.directed(metrics.squared_norm(y)).tolist() == [True, False]


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.is_denser(np.array([1]), 0, 0.1),
        lambda: metrics.density_histogram(np.array([1]), 0),
        lambda: metrics.nearest_cosines(torch.ones(1, 2)),
    ],
)
def test_what_has_no_meaning_is_an_error(call) -> None:  # noqa: ANN001  (a lambda of no arguments)
    """What would divide by zero, or compare with nothing, raises instead of giving NaN."""
    with pytest.raises(DataError, match=r"\."):
        call()


def test_sparsity_by_hand() -> None:
    """Active means not 0, so negative acts count in L0 and add to L1."""
    sparse = codes([0.0, 2.0, -1.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0])
    assert metrics.token_l0(sparse).tolist() == [2, 0, 1]
    assert metrics.token_l1(sparse).tolist() == [3, 0, 3]
    assert metrics.token_sums(sparse, sparse.value).tolist() == [1, 0, 3]
    assert metrics.active_counts(sparse).tolist() == [0, 2, 1]


def test_densities_by_hand() -> None:
    """Of four latents one is dead, three exceed 1 %, one exceeds 10 % of 100 tokens."""
    counts = np.array([0, 2, 10, 11])
    assert metrics.is_alive(counts).tolist() == [False, True, True, True]
    assert metrics.is_denser(counts, 100, 0.01).tolist() == [False, True, True, True]
    assert metrics.is_denser(counts, 100, 0.1).tolist() == [False, False, False, True]


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
    assert kl(q, q) == [0, 0, 0]
    assert kl(certain, q) == pytest.approx([0, math.log(2), 1e4])


def kl(clean: torch.Tensor, edited: torch.Tensor) -> list[float]:
    """KL of each position, from copies."""
    return metrics.kl_divergence_in_place(clean.clone(), edited.clone()).tolist()


def test_harm_by_hand() -> None:
    """Of 4 nats that an ablation adds, an SAE that costs 1 avoids 3."""
    assert metrics.harm_at_stake(7.0, 3.0) == 4
    assert metrics.harm_avoided(7.0, 4.0) == 3
    assert metrics.harm_avoided(np.array([7.0, 7.0]), np.array([7.0, 9.0])).tolist() == [0, -2]


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
    """The pass in place gives what the definitions give in float64, and 0 for equal logits."""
    generator = torch.Generator().manual_seed(3)
    clean, logits = (torch.randn(7, 30, generator=generator) * 4 for _ in range(2))
    targets = torch.arange(7)
    p, q = clean.double().softmax(1), logits.double().softmax(1)
    expected = -q[torch.arange(7), targets].log(), (p * (p / q).log()).sum(1)
    assert metrics.losses_in_place(clean.clone(), clean.clone(), targets)[1].tolist() == [0] * 7
    for found, right in zip(metrics.losses_in_place(clean, logits, targets), expected, strict=True):
        torch.testing.assert_close(found.double(), right, rtol=1e-5, atol=1e-6)


def test_logit_chunk_bounds_memory() -> None:
    """Large vocabularies get fewer positions at once, but never fewer than 64."""
    assert metrics.logit_chunk(1024) == 256 * torch.get_num_threads()
    assert metrics.logit_chunk(256_000) == 64
    assert metrics.logit_chunk(256_000, "cuda:0") == 262
