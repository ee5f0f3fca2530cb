"""Trained SAEs of the lab stand clear of its nulls in core's scores, intervals and all."""

from collections.abc import Mapping

import pytest
from saeval_tasks.core import Core

from saeval.activations import model_source
from saeval.evidence import Evidence, Summary, summarise
from saeval.models import load_model
from saeval.running.run import load_sae

TRAINED, NULLS = ("topk-16", "relu-16"), ("random", "frozen-decoder")
METRICS = ("fvu", "ce_loss_score_mean_ablation")
ROWS = 32


@pytest.fixture(scope="module")
def scored() -> Mapping[str, Mapping[str, Summary]]:
    """Both metrics of each SAE and each null on the same rows of the lab's own text."""
    source, task = model_source(load_model("lab/world"), "layers.1"), Core(rows=ROWS, ce_rows=ROWS)
    prepared = task.prepare(source, 0)

    def scores(name: str) -> dict[str, Summary]:
        found = task.score(load_sae(f"lab/world/{name}"), prepared, source, 0)
        chosen = [one for one in found if isinstance(one, Evidence) and one.metric in METRICS]
        return {one.metric: summarise(one, replicates=1000) for one in chosen}

    return {name: scores(name) for name in (*TRAINED, *NULLS)}


@pytest.mark.parametrize("null", NULLS)
@pytest.mark.parametrize("trained", TRAINED)
def test_training_beats_chance(
    scored: Mapping[str, Mapping[str, Summary]], trained: str, null: str
) -> None:
    """It leaves less variance unexplained and more of the loss, beyond both intervals' ends."""
    fvu, floor = scored[trained]["fvu"], scored[null]["fvu"]
    assert fvu.ci_high is not None
    assert floor.ci_low is not None
    assert fvu.ci_high < floor.ci_low
    kept, chance = scored[trained][METRICS[1]], scored[null][METRICS[1]]
    assert kept.ci_low is not None
    assert chance.ci_high is not None
    assert kept.ci_low > chance.ci_high


def test_learning_an_encoder_helps_random_directions(
    scored: Mapping[str, Mapping[str, Summary]],
) -> None:
    """The nulls differ among themselves: an encoder trained on random directions explains more."""
    assert scored["frozen-decoder"]["fvu"].value < scored["random"]["fvu"].value
