"""Comparing many SAEs at once gives what comparing each two gives."""

from itertools import combinations

import numpy as np
import pytest

from saeval.errors import ResultError
from saeval.evidence import Evidence, compare, compare_seeds, units
from saeval.evidence.all_pairs import PairDifference, compare_all

SAES, ROWS = 5, 60


def _ratio(rng: np.random.Generator, seed: int) -> Evidence:
    order = rng.permutation(ROWS)  # rows may be stored in any order
    x = rng.normal(0.3 * rng.random(), 1, ROWS)
    table = units("t", "row", {"x": x}, unit_id=order, data={"rows": f"d{seed}"})
    return Evidence("mean", table, {"num": "x"}, "points", "higher")


def _clustered(rng: np.random.Generator, seed: int) -> Evidence:
    letters = np.array([f"letter {row % 12}" for row in range(ROWS)])
    columns = {"num": rng.random(ROWS), "den": np.ones(ROWS)}
    table = units("t", "row", columns, cluster=letters, data={"rows": f"d{seed}"})
    return Evidence("f1", table, {"num": "num", "den": "den"}, "F1", "higher", bounds=(0, 1))


def _ranked(rng: np.random.Generator, seed: int) -> Evidence:
    label = np.arange(ROWS) < ROWS // 2
    columns = {"score": rng.normal(size=ROWS) + label, "label": label}
    table = units("t", "row", columns, data={"rows": f"d{seed}"})
    roles = {"score": "score", "label": "label"}
    return Evidence("auc", table, roles, "AUC", "higher", "auc/1", bounds=(0, 1))


@pytest.mark.parametrize("make", [_ratio, _clustered, _ranked])
@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_every_pair_is_as_compared_alone(make, seeds: int) -> None:  # noqa: ANN001
    """Delta, standard error, interval and p are those of `compare`, or of `compare_seeds`."""
    rng = np.random.default_rng(seeds)
    evidence = [[make(rng, seed) for seed in range(seeds)] for _ in range(SAES)]
    found = compare_all(evidence)
    assert set(found) == set(combinations(range(SAES), 2))
    for (first, second), one in found.items():
        pairs = list(zip(evidence[first], evidence[second], strict=True))
        alone = compare(*pairs[0]) if seeds == 1 else compare_seeds(pairs)
        for name in ("delta", "stderr", "ci_low", "ci_high", "p"):
            assert getattr(one, name) == pytest.approx(getattr(alone, name), rel=1e-9, abs=1e-12)
        assert one.reason == alone.reason


def test_an_sae_and_its_copy_cannot_be_told_apart() -> None:
    """A copy differs by 0, without an interval, and with the reason."""
    evidence = _ratio(np.random.default_rng(0), 0)
    (one,) = compare_all([[evidence], [evidence]]).values()
    assert one.delta == 0
    assert one.p is None
    assert "0 of 60 clusters differ" in str(one.reason)


def test_a_reversed_difference_has_its_interval_turned() -> None:
    """The second less the first: all signs turn, and p stays."""
    one = PairDifference(1.0, 0.5, 0.1, 1.9, 0.03, None)
    assert one.reversed == PairDifference(-1.0, 0.5, -1.9, -0.1, 0.03, None)


def test_what_cannot_be_paired_is_refused() -> None:
    """Other data, or another number of seeds, is an error and no difference."""
    rng = np.random.default_rng(0)
    with pytest.raises(ResultError, match="other data"):
        compare_all([[_ratio(rng, 0)], [_ratio(rng, 1)]])
    with pytest.raises(ResultError, match="equal seeds"):
        compare_all([[_ratio(rng, 0)], [_ratio(rng, 0), _ratio(rng, 1)]])
