"""The lab's own random SAE stands at the floors that null SAEs set, a trained one far above."""

from collections.abc import Mapping

import pytest

import saeval
from saeval.results.score import Score

FIELDS = {
    "core": {"limit": 128, "ce_rows": 48},
    "absorption": {"words_per_letter": 20, "documents": 100},
    "probing": {"sets": ["gender"], "top_k": [1], "documents": 60},
}
DRAWS_DIFFER = 0.25
"""How far a random SAE may lie from the mean of two others, as a share of the way to a trained SAE.
Intervals are about other texts, and random SAEs differ on equal texts too."""

Scores = Mapping[tuple[str | None, str | None], Score]


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    """Every score of all data that has a direction and a floor, by SAE and metric."""
    results = saeval.evaluate(
        ["lab/world/random", "lab/world/topk-16"],
        list(FIELDS),
        config=FIELDS,
        output_path=tmp_path_factory.mktemp("results"),
    )
    assert not results.failed
    return {
        (score.sae, score.metric): score
        for score in results.scores
        if score.part is None and score.better != "none" and score.floor is not None
    }


def test_a_random_sae_is_at_the_floor(scores: Scores) -> None:
    """Its interval holds the floor, or it lies no farther off than random SAEs do."""
    nulls = [score for (sae, _), score in scores.items() if sae == "lab/world/random"]
    assert {score.task for score in nulls} == set(FIELDS)
    assert len(nulls) >= 14
    for score in nulls:
        trained = scores["lab/world/topk-16", score.metric].value
        low, high, value, floor = score.ci_low, score.ci_high, score.value, score.floor
        assert value is not None
        assert floor is not None
        assert trained is not None
        holds_floor = low is not None and high is not None and low <= floor <= high
        assert holds_floor or abs(value - floor) < DRAWS_DIFFER * abs(trained - floor), score


def test_a_trained_sae_is_far_above_it(scores: Scores) -> None:
    """Also by `kl_div_score`, of which a random SAE has nearly all, as of `ce_loss_score`."""
    for metric in ("fvu", "kl_div_score"):
        trained = scores["lab/world/topk-16", metric].anchored
        assert trained is not None
        assert trained > 0.8
    floor = scores["lab/world/topk-16", "ce_loss_score"].floor
    assert floor is not None
    assert floor > 0.9
