"""The audit's verdict: what makes a metric a diagnostic, fault by fault."""

from dataclasses import replace

import audit
import pytest
from validity import Rate

SOUND = audit.Record(
    task="probing",
    metric="best_latent_f1",
    better="higher",
    headline=True,
    halves=Rate(15, 300, 300, 300),
    swaps=Rate(15, 300, 300, 300),
    coverage=Rate(285, 300, 300, 300),
    one_seed=0.9,
    three_seeds=0.95,
    cv=0.01,
    cv_above_null=0.02,
    signal_to_noise=8.0,
    apart=(20, 28),
    oracle=1,
    above_nulls=1.0,
    rho={"mcc": 0.7, "f1": 0.2},
)


def test_a_sound_metric_holds() -> None:
    """5 % of equals rejected, 95 % covered, nulls last, oracle first, one truth followed."""
    assert SOUND.faults == []
    assert str(SOUND).endswith("holds")


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"halves": Rate(32, 300, 300, 300)}, "halves"),
        ({"halves": Rate(0, 300, 300, 300)}, "halves"),
        ({"swaps": Rate(32, 300, 300, 300)}, "swaps"),
        ({"coverage": Rate(265, 300, 300, 300)}, "coverage"),
        ({"above_nulls": 0.9}, "nulls"),
        ({"above_nulls": float("nan")}, "nulls"),
        ({"oracle": 2}, "oracle"),
        ({"oracle": None}, "oracle"),
        ({"signal_to_noise": 3.9}, "SNR"),
        ({"signal_to_noise": float("nan")}, "SNR"),
        ({"rho": {"mcc": 0.4, "f1": 0.3}}, "rho"),
        ({"better": "none"}, "no direction"),
    ],
)
def test_each_fault_makes_a_diagnostic(change: dict[str, object], fault: str) -> None:
    """Nothing that was not measured counts as sound."""
    (found,) = replace(SOUND, **change).faults  # pyright: ignore[reportArgumentType]
    assert found.startswith(fault)


def test_no_valid_interval_is_no_false_claim() -> None:
    """Splits without an interval reject nothing, and 9 of 100 may be chance."""
    none = Rate(0, 0, 300, 300)
    assert replace(SOUND, halves=none, swaps=none, coverage=none).faults == []
    assert replace(SOUND, halves=Rate(0, 100, 300, 300)).faults == []
    assert replace(SOUND, halves=Rate(9, 100, 100, 100)).faults == []


def test_an_oracle_need_not_reconstruct() -> None:
    """Its rank is no fault of a metric of core."""
    assert replace(SOUND, task="core", oracle=9, rho={}).faults == []
