"""On the lab's letters and kinds, the oracle, trained SAEs and a null stand in their order."""

from collections.abc import Mapping

import pytest
from saeval_tasks.absorption import Absorption

from saeval.activations import model_source
from saeval.evidence import Evidence, Summary, compare, summarise
from saeval.models import load_model
from saeval.running.run import load_sae

TRAINED = ("topk-16", "relu-16")


@pytest.fixture(scope="module")
def evidence() -> Mapping[str, Mapping[str, Evidence]]:
    """Evidence over all letters and families of each SAE, on the same words and sentences."""
    source = model_source(load_model("lab/world"), "layers.1")
    task = Absorption(words_per_letter=80, documents=100)
    prepared = task.prepare(source, 0)

    def by_metric(name: str) -> dict[str, Evidence]:
        entries = task.score(load_sae(f"lab/world/{name}"), prepared, source, 0)
        return {
            entry.metric: entry
            for entry in entries
            if isinstance(entry, Evidence) and entry.part is None
        }

    return {name: by_metric(name) for name in ("oracle", *TRAINED, "random")}


@pytest.fixture(scope="module")
def scored(
    evidence: Mapping[str, Mapping[str, Evidence]],
) -> Mapping[str, Mapping[str, Summary]]:
    """The scores of the evidence."""
    return {
        name: {metric: summarise(entry, replicates=500) for metric, entry in entries.items()}
        for name, entries in evidence.items()
    }


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
    scored: Mapping[str, Mapping[str, Summary]],
    evidence: Mapping[str, Mapping[str, Evidence]],
    trained: str,
) -> None:
    """They detect more and lose fewer words, beyond both intervals; the oracle is better still.

    The oracle loses no word, and of 25 letters its interval cannot be narrower than some .15; so it
    is held to the paired difference.
    """
    for metric, sign in (("main_latent_f1", 1), ("lost_rate", -1)):
        (_, high), (low, _) = (_ends(scored[name][metric], sign) for name in ("random", trained))
        assert high < low, metric
        better = compare(evidence["oracle"][metric], evidence[trained][metric], replicates=500)
        assert better.ci_low is not None, better.reason
        assert better.ci_high is not None
        assert min(sign * better.ci_low, sign * better.ci_high) > 0, metric


def _ends(found: Summary, sign: int) -> tuple[float, float]:
    """The interval, worse end first; a rate that is 0 on every letter has none but its value."""
    low = found.value if found.ci_low is None else found.ci_low
    high = found.value if found.ci_high is None else found.ci_high
    return min(sign * low, sign * high), max(sign * low, sign * high)
