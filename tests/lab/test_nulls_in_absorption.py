"""On the lab's letters and kinds, the oracle, trained SAEs and a null stand in their order."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from saeval_tasks.absorption import Absorption, metrics

from saeval.activations import model_source
from saeval.evidence import Evidence, Metric, Summary, compare, summarise
from saeval.models import load_model
from saeval.running.run import load_sae
from saeval.training.permuted_decoder import permuted

TRAINED = ("topk-16", "relu-16", "hierarchical-topk-16")
CHECKPOINTS = ("topk-16-at-06", "topk-16-at-25", "topk-16")
NULLS = ("random", "frozen-decoder", "permuted-decoder", "pca", "neurons")
ARROWED = sorted(
    metric.name
    for metric in vars(metrics).values()
    if isinstance(metric, Metric)
    and metric.better != "none"
    and metric.where != "with --compat saebench"
)
"""Metrics of which the task itself says that one direction is better: higher, of all of them."""


@pytest.fixture(scope="module")
def evidence() -> Mapping[str, Mapping[str, Evidence]]:
    """Evidence over all letters and families of each SAE, on the same words and sentences."""
    source = model_source(load_model("lab/world"), "layers.1")
    task = Absorption(words_per_letter=80, documents=100)
    prepared = task.prepare(source, 0)

    def loaded(name: str) -> Any:
        if name == "permuted-decoder":
            return permuted(load_sae("lab/world/topk-16"), torch.Generator().manual_seed(0))
        return load_sae(f"lab/world/{name}")

    def by_metric(name: str) -> dict[str, Evidence]:
        entries = task.score(loaded(name), prepared, source, 0)
        return {
            entry.metric: entry
            for entry in entries
            if isinstance(entry, Evidence) and entry.part is None
        }

    return {name: by_metric(name) for name in {"oracle", *TRAINED, *CHECKPOINTS, *NULLS}}


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
    assert oracle["kept_letter_f1"] > 0.85
    assert oracle["kept_parent_f1"] > 0.85
    assert oracle["main_latent_f1"] > 0.97
    assert oracle["parent_latent_f1"] > 0.97
    for metric in ("full_absorption_rate", "lost_rate", "hierarchy_absorption"):
        assert oracle[metric] == pytest.approx(0, abs=0.01), metric
    assert oracle["mean_absorption_fraction"] < 0.03


def test_only_what_is_higher_where_more_is_known_has_an_arrow() -> None:
    """The task claims a direction for two numbers, which the tests below hold to it."""
    assert ARROWED == ["kept_letter_f1", "kept_parent_f1"]
    assert {vars(metrics)[name.upper()].better for name in ARROWED} == {"higher"}
    shown = [name for name in Absorption.headline if name in ARROWED]
    assert shown == ["kept_letter_f1"] == list(Absorption.headline[:1])


@pytest.mark.parametrize("metric", ARROWED)
def test_the_oracle_is_first(evidence: Mapping[str, Mapping[str, Evidence]], metric: str) -> None:
    """It is better than every trained SAE and every null, beyond the interval of the difference."""
    for name in set(evidence) - {"oracle"}:
        _assert_better(evidence, metric, "oracle", name)


@pytest.mark.parametrize("metric", ARROWED)
def test_nulls_are_last(
    evidence: Mapping[str, Mapping[str, Evidence]],
    scored: Mapping[str, Mapping[str, Summary]],
    metric: str,
) -> None:
    """None is above a trained SAE, all are near 0, and the best trained SAE is clear of them.

    A trained SAE that keeps nothing has 0 as they have: to be last is not to be last alone.
    """
    nulls = {name: scored[name][metric].value for name in NULLS}
    assert max(nulls.values()) <= min(scored[name][metric].value for name in TRAINED)
    assert max(nulls.values()) < 0.01
    best = max(TRAINED, key=lambda name: scored[name][metric].value)
    for null in NULLS:
        _assert_better(evidence, metric, best, null)


@pytest.mark.parametrize("metric", ARROWED)
def test_it_rises_with_training(scored: Mapping[str, Mapping[str, Summary]], metric: str) -> None:
    """From checkpoint to checkpoint of one training, from nothing."""
    first, later, last = (scored[name][metric].value for name in CHECKPOINTS)
    assert first < 0.01
    assert first <= later < last


def test_letters_are_learned_beyond_noise(
    evidence: Mapping[str, Mapping[str, Evidence]],
) -> None:
    """Each checkpoint keeps more letters than the one before, beyond the interval."""
    for earlier, later in pairwise(CHECKPOINTS):
        _assert_better(evidence, "kept_letter_f1", later, earlier)


def _assert_better(
    evidence: Mapping[str, Mapping[str, Evidence]], metric: str, good: str, bad: str
) -> None:
    """The difference is beyond its interval; where it has none, the two intervals lie apart.

    It has none where nearly all letters differ alike, and but a few otherwise.
    """
    found = compare(evidence[good][metric], evidence[bad][metric], replicates=500)
    if found.ci_low is not None:
        assert found.ci_low > 0, (good, bad)
        return
    better, worse = (summarise(evidence[name][metric], replicates=500) for name in (good, bad))
    assert better.ci_low is not None
    assert worse.ci_high is not None
    assert better.ci_low > worse.ci_high, (good, bad)


def test_what_has_no_arrow_is_led_by_a_null(scored: Mapping[str, Mapping[str, Summary]]) -> None:
    """Knowing nothing absorbs least, and detects as well as some trained SAE: hence no arrow."""
    for metric in ("mean_absorption_fraction", "full_absorption_rate"):
        least = min(scored[name][metric].value for name in NULLS)
        assert all(least < scored[name][metric].value for name in TRAINED), metric
    for metric in ("main_latent_f1", "parent_latent_f1"):
        best = max(scored[name][metric].value for name in NULLS)
        assert any(best >= scored[name][metric].value for name in TRAINED), metric


@pytest.mark.parametrize("trained", ["topk-16", "relu-16"])
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
