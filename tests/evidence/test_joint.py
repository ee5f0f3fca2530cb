"""Numbers computed from several pieces of evidence stay paired, and lie where they should."""

from dataclasses import replace

import numpy as np
import pytest

from saeval.errors import ResultError
from saeval.evidence import Evidence, compare, summarise, units
from saeval.evidence.contrasts import Contrast
from saeval.evidence.joint import Varying, check_pairable, combined, mean, on_curve, varying
from saeval.evidence.methods import compare_sides

N = 60
OPEN = (None, None)


def evidence(values: np.ndarray, name: str = "m", data: str = "d", **about: object) -> Evidence:
    """The mean of some rows."""
    table = units("rows", "row", {"x": values}, data={"rows": data})
    return Evidence(name, table, {"num": "x"}, "nats", "higher", **about)  # type: ignore[arg-type]


def rows(seed: int, shift: float = 0.0) -> np.ndarray:
    """Normal rows."""
    return np.random.default_rng(seed).normal(size=N) + shift


def test_single_sides_are_compared_as_a_pair_is() -> None:
    """With one training each, the difference is that of `compare`, number by number."""
    a, b = evidence(rows(0, 0.3)), evidence(rows(0) * 0.5 + rows(1))
    first, second = varying([a, b])
    found, known = compare_sides([first], [second], OPEN), compare(a, b)
    assert isinstance(found.outcome, Contrast)
    assert not found.is_of_methods
    for name in ("stderr", "ci_low", "ci_high", "p", "mde"):
        assert getattr(found.outcome, name) == pytest.approx(getattr(known, name), rel=1e-9)
    assert found.delta == pytest.approx(known.delta)
    assert found.clusters == known.clusters


def test_value_and_spread_are_those_of_a_summary() -> None:
    """A number alone varies as its own interval says."""
    entry = evidence(rows(3))
    (number,) = varying([entry])
    known = summarise(entry)
    assert number.value == pytest.approx(known.value)
    assert number.sampling.spread == pytest.approx(known.stderr or 0.0, rel=1e-9)


def test_means_and_sums_follow_the_chain_rule() -> None:
    """Value, replicates and influences of a sum are the sums of them."""
    parts = varying([evidence(rows(0)), evidence(rows(1)), evidence(rows(2))])
    total = combined(parts, [1.0, -2.0, 0.5])
    (key,) = total.moves
    assert total.value == pytest.approx(parts[0].value - 2 * parts[1].value + parts[2].value / 2)
    expected = parts[0].moves[key] - 2 * parts[1].moves[key] + parts[2].moves[key] / 2
    assert total.moves[key] == pytest.approx(expected)
    assert mean(parts[:2]).draws == pytest.approx((parts[0].draws + parts[1].draws) / 2)


def test_running_numbers_of_other_data_are_drawn_apart() -> None:
    """Row 3 of other texts is another row: replicates do not move together."""
    same = varying([evidence(rows(0)), evidence(rows(0))])
    apart = varying([evidence(rows(0)), evidence(rows(0), data="others")])
    assert same[0].draws == pytest.approx(same[1].draws)
    assert abs(np.corrcoef(apart[0].draws, apart[1].draws)[0, 1]) < 0.1
    assert len(combined(apart, [1.0, 1.0]).moves) == 2


def curve(places: list[float], values: list[float]) -> tuple[list[Varying], list[Varying]]:
    """Numbers at places, both with noise that is common to all."""
    entries = [evidence(rows(0) * 0.1 * place + place) for place in places]
    entries += [evidence(rows(0) * 0.2 + value) for value in values]
    numbers = varying(entries)
    return numbers[: len(places)], numbers[len(places) :]


@pytest.mark.parametrize("at", [8.5, 13.0, 20.0, 30.0])
def test_a_curve_is_linear_in_the_logarithm(at: float) -> None:
    """Between neighbours it is numpy's interpolation of the values measured."""
    places, values = curve([16, 8, 32], [0.5, 0.1, 0.6])
    order = np.argsort([place.value for place in places])
    known = np.interp(
        np.log(at),
        np.log([places[n].value for n in order]),
        [values[n].value for n in order],
    )
    assert on_curve(places, values, at).value == pytest.approx(float(known))


def test_a_curve_moves_with_place_and_value_as_reweighting_does() -> None:
    """Influences are the derivative by a cluster's weight, of the L0 as of the value."""
    at, step = 13.0, 1e-5
    x = [rows(0) * 0.1 * place + place for place in (8, 32)]
    y = [rows(1) * 0.2 + value for value in (0.1, 0.6)]
    numbers = varying([evidence(column) for column in (*x, *y)])
    found = on_curve(numbers[:2], numbers[2:], at)
    (moves,) = found.moves.values()

    def value(weights: np.ndarray) -> float:
        places = [np.average(column, weights=weights) for column in x]
        heights = [np.average(column, weights=weights) for column in y]
        return float(np.interp(np.log(at), np.log(places), heights))

    for row in (0, 7, N - 1):
        weights = np.ones(N)
        weights[row] += step
        assert moves[row] == pytest.approx((value(weights) - value(np.ones(N))) / step, rel=0.05)
    assert found.draws.mean() == pytest.approx(found.value, abs=0.01)


def test_beyond_a_curve_nothing_is_said() -> None:
    """Outside the span an error names it; equal places count as one."""
    places, values = curve([8, 32], [0.1, 0.6])
    for at in (7.0, 40.0):
        with pytest.raises(ResultError, match="outside the span"):
            on_curve(places, values, at)
    one = varying([evidence(np.full(N, 16.0))])[0]
    a, b = varying([evidence(rows(0)), evidence(rows(1))])
    assert on_curve([one, one], [a, b], 16.0).value == pytest.approx((a.value + b.value) / 2)


def test_evidence_of_other_questions_or_data_is_no_pair() -> None:
    """Other metric, data or units: refused, naming what differs."""
    entry = evidence(rows(0))
    check_pairable([entry, evidence(rows(1))])
    with pytest.raises(ResultError, match="metric"):
        check_pairable([entry, evidence(rows(1), name="other")])
    with pytest.raises(ResultError, match="other data"):
        check_pairable([entry, evidence(rows(1), data="others")])
    fewer = evidence(rows(1)[:9])
    with pytest.raises(ResultError, match="9 on the other"):
        check_pairable([entry, fewer])
    check_pairable([entry, replace(fewer)], units=False)
