"""Two SAEs of a run are compared from its evidence, seed by seed."""

from pathlib import Path

import numpy as np
import pytest
from tiny_runs import Error, topk

import saeval
from saeval.errors import ResultError
from saeval.evidence import Difference, SeedDifference
from saeval.results.reading import find_folder, result_evidence
from saeval.results.results import Results


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """Two SAEs over three seeds."""
    monkeypatch.setenv("SAEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    vectors = np.random.default_rng(0).normal(size=(60, 16)).astype(np.float32)
    saes = {"a": topk(0), "b": topk(1)}
    return saeval.evaluate(saes, Error(), data=vectors, seeds=[0, 1, 2])


def test_three_seeds_are_compared_with_their_seed(results: Results) -> None:
    """The mean of the seeds' differences of values, with an interval that ends about it."""
    metric = str(results.scores[0].metric)
    found = results.compare("a", "b", metric)
    assert isinstance(found, SeedDifference)
    values = {(score.sae, score.seed): score.value or 0.0 for score in results.scores}
    deltas = [values["a", seed] - values["b", seed] for seed in range(3)]
    assert found.deltas == pytest.approx(deltas)
    assert found.seed_sd is not None
    assert results.compare("b", "a", metric).delta == pytest.approx(-np.mean(deltas))


def test_one_seed_is_compared_by_its_units(results: Results) -> None:
    """The paired difference of one result, its standard error that of the rows' differences."""
    one = Results([each for each in results if each.seed == 0], root=Path("results"))
    score = one.scores[0]
    found = one.compare("a", "b", str(score.metric), task=score.task)
    assert isinstance(found, Difference)
    columns = []
    for result in one:
        folder = find_folder(Path("results"), result.result_id)
        assert folder is not None
        entry = result_evidence(folder)[0]
        rows = entry.values(entry.units.rows(None))
        columns.append(rows["num"] / rows["den"])
    assert found.delta == pytest.approx(float(np.mean(columns[0] - columns[1])), rel=1e-3)


def test_what_cannot_be_compared_says_why(results: Results) -> None:
    """Unknown names, other seeds, and results without a folder."""
    metric = str(results.scores[0].metric)
    with pytest.raises(ResultError, match="There is no SAE 'c' among"):
        results.compare("a", "c", metric)
    with pytest.raises(ResultError, match="There is no metric 'none' among"):
        results.compare("a", "b", "none")
    fewer = Results([each for each in results if (each.sae, each.seed) != ("b", 2)])
    with pytest.raises(ResultError, match="of seeds 0, 1, 2 and 0, 1"):
        fewer.compare("a", "b", metric)
    with pytest.raises(ResultError, match="not read from a folder"):
        Results(results.results).compare("a", "b", metric)
