"""What `core` reports of a reconstruction has its known value: exact, the mean, and by hand."""

import numpy as np
import pytest
import torch
from core_oracles import values
from saeval_tasks.core.evidence import (
    harm_of_mean,
    harm_of_zeros,
    loss_evidence,
    reconstruction_evidence,
)
from saeval_tasks.core.measuring import token_statistics
from saeval_tasks.core.row_sums import RowSums
from saeval_tasks.core.site_sums import site_sums
from torch import Tensor

from saeval.evidence import Evidence, Missing
from saeval.sae import Codes


def yielded(y: Tensor, y_hat: Tensor) -> list[Evidence | Missing]:
    """Metrics of reconstruction, each token a unit, by the path that a run takes."""
    unit = torch.arange(len(y))
    site, sums = site_sums([(unit, y)], len(y)), RowSums(len(y))
    sums.add(unit, **token_statistics(y, y_hat, Codes.from_dense(y_hat)))
    return list(reconstruction_evidence(site.statistics | sums.statistics(), "token"))


def reported(y: Tensor, y_hat: Tensor) -> dict[str, float]:
    """Metric -> value."""
    return values(yielded(y, y_hat))


@pytest.fixture
def y() -> Tensor:
    """Activations whose mean dwarfs their spread, as in a residual stream."""
    return torch.randn(500, 8, generator=torch.Generator().manual_seed(0)) + 100


def test_exact_reconstruction_leaves_nothing_unexplained(y: Tensor) -> None:
    """An exact copy scores FVU 0, explained variance 1, error 0, cosine, ratio and bias 1."""
    found = reported(y, y)
    assert (found["fvu"], found["explained_variance"], found["mse"]) == (0, 1, 0)
    assert found["cosine_similarity"] == pytest.approx(1, abs=1e-6)
    assert found["l2_ratio"] == pytest.approx(1)
    assert found["relative_reconstruction_bias"] == pytest.approx(1)


def test_the_mean_explains_no_variance(y: Tensor) -> None:
    """Always predicting the mean scores FVU 1 although its cosine is near 1."""
    found = reported(y, y.double().mean(0, keepdim=True).float().expand_as(y))
    assert found["fvu"] == pytest.approx(1, abs=1e-5)
    assert found["explained_variance"] == pytest.approx(0, abs=1e-5)
    assert found["cosine_similarity"] > 0.999


@pytest.mark.parametrize("scale", [1.0, 20.0, 28.0, 1000.0])
def test_fvu_does_not_depend_on_the_scale(scale: float) -> None:
    """A reconstruction that leaves a tenth of the variance scores 0.1 at every scale."""
    generator = torch.Generator().manual_seed(1)
    y, noise = (torch.randn(4000, 96, generator=generator) for _ in range(2))
    y_hat = y + noise * np.sqrt(0.1)
    assert reported(y * scale, y_hat * scale)["fvu"] == pytest.approx(0.1, rel=0.02)


def test_reconstruction_by_hand() -> None:
    """Two tokens done on paper: every ratio is one of sums."""
    y = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    y_hat = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert reported(y, y_hat) == pytest.approx(
        {
            "l0": 1,
            "l1": 3.5,
            "mse": 5,
            "fvu": 20 / 6.5,
            "explained_variance": 1 - 20 / 6.5,
            "cosine_similarity": 0.8,
            "l2_ratio": 1.3,
            "relative_reconstruction_bias": 25 / 17,
        }
    )


def test_shrinkage_shows_in_ratio_and_bias(y: Tensor) -> None:
    """A reconstruction shrunk by a fifth has length ratio and bias 0.8 and cosine 1."""
    found = reported(y, 0.8 * y)
    assert found["l2_ratio"] == pytest.approx(0.8)
    assert found["relative_reconstruction_bias"] == pytest.approx(0.8)
    assert found["cosine_similarity"] == pytest.approx(1)


def test_zero_activations_are_left_out_of_angles_and_lengths() -> None:
    """A token without direction changes neither the mean cosine nor the mean length ratio."""
    y = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    found = reported(y, torch.tensor([[2.0, 0.0], [1.0, 1.0]]))
    assert found["cosine_similarity"] == 1
    assert found["l2_ratio"] == 2


@pytest.mark.parametrize(
    "y, y_hat, reasons",
    [
        (
            torch.ones(3, 2),
            torch.ones(3, 2),
            dict.fromkeys(("fvu", "explained_variance"), "all activations are equal"),
        ),
        (
            torch.zeros(3, 2),
            torch.ones(3, 2),
            {
                **dict.fromkeys(("fvu", "explained_variance"), "all activations are equal"),
                **dict.fromkeys(("cosine_similarity", "l2_ratio"), "all activations are zero"),
                "relative_reconstruction_bias": "does not point along the activations",
            },
        ),
    ],
)
def test_what_has_no_meaning_is_missing(y: Tensor, y_hat: Tensor, reasons: dict[str, str]) -> None:
    """A metric whose denominator vanishes is declared missing, with what that means."""
    told = {one.metric: one.reason for one in yielded(y, y_hat) if isinstance(one, Missing)}
    assert set(told) == set(reasons)
    assert all(reasons[name] in reason for name, reason in told.items())


def test_scores_of_losses_at_their_anchors() -> None:
    """No loss scores 1, as bad as ablation 0, worse is negative; halfway is one half."""
    for spliced, ce, kl in ((3.0, 1, 1), (7.0, 0, 0), (5.0, 0.5, 0.5), (9.0, -0.5, -0.5)):
        found = values(loss_evidence(_losses(spliced, spliced - 3), "row"))
        assert found["ce_loss_score"] == found["ce_loss_score_mean_ablation"] == ce
        assert found["kl_div_score"] == found["kl_div_score_mean_ablation"] == kl


def test_ablation_that_does_no_harm_leaves_no_score() -> None:
    """Where an ablation costs nothing there is nothing to save, and the score is missing."""
    rows = _losses(3.5, 0.0) | {name: np.full(2, 2.9) for name in ("ce_zero", "ce_mean")}
    rows |= {name: np.zeros(2) for name in ("kl_zero", "kl_mean")}
    told = {one.metric for one in loss_evidence(rows, "row") if isinstance(one, Missing)}
    assert told == {
        *("ce_loss_score", "ce_loss_score_mean_ablation"),
        *("kl_div_score", "kl_div_score_mean_ablation"),
    }


def test_harm_is_summed_before_it_is_divided() -> None:
    """Rows of unequal length: the score is one ratio of sums, not a mean of ratios."""
    rows = _losses(3.0, 0.0) | {"ce_sae": np.array([3.0, 6.0]), "ce_zero": np.array([4.0, 12.0])}
    rows["ce_clean"] = np.array([2.0, 3.0])
    share = ((4 - 3) + (12 - 6)) / ((4 - 2) + (12 - 3))
    assert values(loss_evidence(rows, "row"))["ce_loss_score"] == pytest.approx(share)
    assert harm_of_zeros(rows)["ce_saved_of_zero"].tolist() == [1, 6]
    assert harm_of_mean(rows)["ce_stake_of_mean"].tolist() == [5, 4]


def _losses(ce: float, kl: float) -> dict[str, np.ndarray]:
    """Two rows of one position: clean loss 3, ablated 7, KL of ablation 4."""
    each = {"ce_clean": 3.0, "ce_zero": 7.0, "ce_mean": 7.0, "kl_zero": 4.0, "kl_mean": 4.0}
    each |= {"ce_sae": ce, "kl_sae": kl, "ce_positions": 1.0, "kl_positions": 1.0}
    return {name: np.full(2, value) for name, value in each.items()}
