"""What a panel's scores say of a metric, by cases computed by hand."""

import math

import panels
import pytest
from panels import Seeds

from saeval.results.score import Labels, Score


def score(sae: str, seed: int, value: float | None, half_width: float = 0.1) -> Score:
    """A score with an interval around it."""
    if value is None:
        return Labels(sae, "probing", 3, seed, "id").score(
            metric="f1", better="higher", status="not_applicable", reason="No rows."
        )
    ends = {"ci_low": value - half_width, "ci_high": value + half_width}
    return Labels(sae, "probing", 3, seed, "id").score(
        metric="f1", better="higher", value=value, status="scored", **ends
    )


def seeds(*values: float, half_width: float = 0.1) -> Seeds:
    """One SAE's scores under several seeds."""
    return Seeds(tuple(score("a", i, value, half_width) for i, value in enumerate(values)))


def test_scores_are_grouped_by_metric_and_sae() -> None:
    """What has no value is left out."""
    groups = panels.by_metric([score("a", 0, 0.5), score("a", 1, None), score("b", 0, 0.7)])
    assert {sae: found.values for sae, found in groups["f1"].items()} == {"a": [0.5], "b": [0.7]}


def test_noise_over_seeds_is_measured_from_the_floor() -> None:
    """0.8 and 0.9 have mean 0.85 and deviation 0.0707: 8.3 % of the mean, 20 % above 0.5."""
    panel = [seeds(0.8, 0.9)]
    assert panels.reseed_cv(panel) == pytest.approx(math.sqrt(0.005) / 0.85)
    assert panels.reseed_cv(panel, 0.5) == pytest.approx(math.sqrt(0.005) / 0.35)
    assert math.isnan(panels.reseed_cv([seeds(0.5, 0.5)], 0.5))


def test_signal_is_the_spread_of_means_over_the_pooled_noise() -> None:
    """Means 1 and 3 (deviation sqrt 2), variances over seeds 2 and 8, pooled 5."""
    panel = [seeds(0.0, 2.0), seeds(1.0, 5.0)]
    assert panels.signal_to_noise(panel) == pytest.approx(math.sqrt(2 / 5))


def test_nulls_are_last_where_every_trained_sae_is_better_than_the_best_of_them() -> None:
    """Of three SAEs two are better than both nulls; a tie is not better; lower may be better."""
    assert panels.share_above([0.9, 0.8, 0.3], [0.5, 0.2], "higher") == pytest.approx(2 / 3)
    assert panels.share_above([0.9, 0.8, 0.3], [0.5, 0.2], "lower") == 0
    assert panels.share_above([0.0, 0.1], [0.0], "higher") == 0.5
    assert panels.share_above([0.1, 0.2], [0.5], "lower") == 1
    assert math.isnan(panels.share_above([0.1], [0.5], "none"))
    assert panels.ordered({"a": 0.9, "b": 0.2}, "lower") == ["b", "a"]


def test_agreement_is_spearmans_over_the_saes_that_have_both() -> None:
    """One swap among three ranks is a rho of 0.5."""
    means = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 9.0}
    assert panels.rank_correlation(means, {"a": 1, "b": 3, "c": 2}) == pytest.approx(0.5)
