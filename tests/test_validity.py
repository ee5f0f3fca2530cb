"""A/A over the lab's real evidence: equals rarely differ, and intervals never contradict p."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import validity
from validity import Clustered

import saeval
from saeval.evidence import Evidence
from saeval.results.reading import result_evidence

SAES = ("lab/world/topk-16", "lab/world/relu-16")
SHORT: dict[str, Any] = {
    "core": {"rows": 96, "ce_rows": 16},
    "absorption": {"documents": 100, "words_per_letter": 60},
    "probing": {"train_rows": 200, "test_rows": 200, "documents": 60, "top_k": [1, 4]},
}


def scored(folder: Path, tasks: Sequence[str], config: Any) -> list[tuple[Evidence, Evidence]]:
    """The evidence of the metrics of two SAEs of the lab, metric by metric, without parts."""
    saeval.evaluate(SAES, list(tasks), config=config, output_path=folder)
    folders = sorted(path for path in folder.iterdir() if path.name != "inputs")
    by_name = [
        {
            (entry.metric, entry.part): entry
            for path in sorted(sae.iterdir())
            if path.is_dir()
            for entry in result_evidence(path)
            if entry.part is None and entry.no_interval is None
        }
        for sae in folders
    ]
    return [(by_name[0][key], by_name[1][key]) for key in by_name[0] if key in by_name[1]]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Evidence, Evidence]]:
    """Metrics of two SAEs of the lab, measured on little."""
    folder = tmp_path_factory.mktemp("results")
    return scored(folder, tuple(SHORT), SHORT)


def test_metrics_of_the_lab_rarely_tell_equals_apart(
    pairs: list[tuple[Evidence, Evidence]],
) -> None:
    """Over 24 random halves, and 24 random swaps, no metric rejects more than five times."""
    assert {entry.metric for entry, _ in pairs} >= {
        "fvu",
        "auc_top_4",
        "lost_rate",
        "split_latents",
    }
    for a, b in pairs:
        sides = Clustered(a), Clustered(b)
        for rate in (
            validity.halves_rate(sides[0], 24, replicates=60),
            validity.swaps_rate(*sides, 24, replicates=60),
        ):
            assert rate.contradictions == 0, a.metric
            assert rate.events <= 5, (a.metric, str(rate))


def test_evidence_of_the_lab_says_its_data_and_keeps_to_bounds(
    pairs: list[tuple[Evidence, Evidence]],
) -> None:
    """Each table says what it was measured on, alike for both SAEs; each interval is in bounds."""
    for a, b in pairs:
        assert a.units.data
        assert a.units.data == b.units.data
    for entry, found in zip(*summaries([a for a, _ in pairs]), strict=True):
        low, high = entry.bounds
        if found.ci_low is None or found.ci_high is None:
            assert found.reason, entry.metric
            continue
        assert found.ci_low < found.ci_high, entry.metric
        assert low is None or found.ci_low >= low
        assert high is None or found.ci_high <= high


def summaries(entries: list[Evidence]) -> tuple[list[Evidence], Any]:
    """Evidence beside its summaries."""
    return entries, saeval.evidence.summarise_all(entries, replicates=200)


@pytest.mark.soak
def test_metrics_of_the_lab_reject_equals_at_the_stated_rate(tmp_path: Path) -> None:
    """Over 300 halves and swaps each metric rejects in 7 % at most, but for chance (9 %)."""
    for a, b in scored(tmp_path, tuple(SHORT), {}):
        sides = Clustered(a), Clustered(b)
        for side in sides:
            rate = validity.halves_rate(side, 300, replicates=300)
            assert rate.contradictions == 0
            assert np.isnan(rate.share) or rate.share <= 0.09, (a.metric, str(rate))
        rate = validity.swaps_rate(*sides, 300, replicates=300)
        assert np.isnan(rate.share) or rate.share <= 0.09, (a.metric, str(rate))
