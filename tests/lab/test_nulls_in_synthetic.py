"""SAEs trained on a synthetic world stand clear of its nulls by `mcc`, and its oracle of both."""

from collections.abc import Mapping

import pytest
from saeval_tasks.synthetic import Synthetic

from saeval.evidence import Evidence, Summary, summarise
from saeval.lab.synthetic import world_source
from saeval.lab.zoo.members import GRADIENT, NULLS, ORACLE
from saeval.running.run import load_sae

TRAINED = tuple(f"{method}-8" for method in GRADIENT)


@pytest.fixture(scope="module")
def mcc() -> Mapping[str, Summary]:
    """The score of every architecture, every null and the oracle, on the same activations."""
    source, task = world_source("base"), Synthetic(limit=1024)
    prepared = task.prepare(source, 0)

    def score(name: str) -> Summary:
        sae = load_sae(f"lab/synthetic/base/{name}")
        found = [one for one in task.score(sae, prepared, source, 0) if isinstance(one, Evidence)]
        (chosen,) = [one for one in found if one.metric == "mcc" and one.part is None]
        return summarise(chosen, replicates=1000)

    return {name: score(name) for name in (ORACLE, *TRAINED, *NULLS)}


@pytest.mark.parametrize("trained", TRAINED)
def test_training_beats_every_null(mcc: Mapping[str, Summary], trained: str) -> None:
    """The lower end of its interval lies above the upper end of each null's."""
    low = mcc[trained].ci_low
    assert low is not None
    for null in NULLS:
        high = mcc[null].ci_high
        assert high is not None
        assert low > high, null


def test_the_oracle_stands_first(mcc: Mapping[str, Summary]) -> None:
    """The planted directions are found exactly, and no trained SAE's interval reaches that."""
    assert mcc[ORACLE].value == pytest.approx(1)
    highs = [mcc[name].ci_high for name in TRAINED]
    assert all(high is not None and high < mcc[ORACLE].value for high in highs)
