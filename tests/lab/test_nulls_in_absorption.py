"""On the lab's letters and kinds, the oracle, trained SAEs and a null stand in their order."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
from saeval_tasks.absorption import Absorption

from saeval.activations import model_source
from saeval.evidence import Evidence, Summary, summarise
from saeval.models import load_model
from saeval.running.run import load_sae

TRAINED = ("topk-16", "relu-16")


@pytest.fixture(scope="module")
def scored() -> Mapping[str, Mapping[str, Summary]]:
    """Scores over all letters and families of each SAE, on the same words and sentences."""
    source = model_source(load_model("lab/world"), "layers.1")
    task = Absorption(words_per_letter=80, documents=100)
    prepared = task.prepare(source, 0)

    def scores(name: str) -> dict[str, Summary]:
        found = task.score(load_sae(f"lab/world/{name}"), prepared, source, 0)
        whole = [one for one in found if isinstance(one, Evidence) and one.part is None]
        return {one.metric: summarise(one, replicates=500) for one in whole}

    return {name: scores(name) for name in ("oracle", *TRAINED, "random")}


def test_the_oracle_neither_absorbs_nor_loses(scored: Mapping[str, Mapping[str, Summary]]) -> None:
    """A latent for every letter and kind: found, never silent, nothing taken over."""
    oracle = {metric: found.value for metric, found in scored["oracle"].items()}
    assert oracle["main_latent_f1"] > 0.97
    assert oracle["parent_latent_f1"] > 0.97
    for metric in ("full_absorption_rate", "lost_rate", "hierarchy_absorption"):
        assert oracle[metric] == pytest.approx(0, abs=0.01), metric
    assert oracle["mean_absorption_fraction"] < 0.03


@pytest.mark.parametrize("trained", TRAINED)
def test_trained_saes_know_letters_better_than_chance(
    scored: Mapping[str, Mapping[str, Summary]], trained: str
) -> None:
    """They detect more and lose fewer words, beyond both intervals; the oracle is better still."""
    for metric, sign in (("main_latent_f1", 1), ("lost_rate", -1)):
        ends = [_ends(scored[name][metric], sign) for name in ("random", trained, "oracle")]
        for (_, high), (low, _) in pairwise(ends):
            assert high < low, (metric, ends)


def _ends(found: Summary, sign: int) -> tuple[float, float]:
    """The interval, worse end first; a rate that is 0 on every letter has none but its value."""
    low = found.value if found.ci_low is None else found.ci_low
    high = found.value if found.ci_high is None else found.ci_high
    return min(sign * low, sign * high), max(sign * low, sign * high)
