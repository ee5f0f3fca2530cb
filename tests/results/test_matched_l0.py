"""A metric at matched L0 lies on the line between the SAEs around it, and never beyond them."""

import pytest

from saeval.errors import UsageError
from saeval.results.matched_l0 import value_at_l0
from saeval.results.score import Score


def score(sae: str, metric: str, value: float, seed: int = 0, part: str | None = None) -> Score:
    """A score of one SAE."""
    rest = dict.fromkeys(
        ("set", "stderr", "ci_low", "ci_high", "unit_of_n", "floor", "ceiling", "result_id"), None
    )
    return Score(
        sae=sae,
        task="t",
        task_version=1,
        seed=seed,
        part=part,
        metric=metric,
        value=value,
        n=9,
        unit="fraction",
        better="higher",
        status="scored",
        reason="told",
        **rest,
    )


SCORES = [
    score("a-8", "l0", 8.0),
    score("a-32", "l0", 32.0),
    score("a-8", "f1", 0.2),
    score("a-8", "f1", 0.4, seed=1),
    score("a-8", "f1", 0.9, part="told/x"),
    score("a-32", "f1", 0.7),
    score("b-16", "l0", 16.0),
    score("b-16", "f1", 0.1),
]


def test_between_two_saes() -> None:
    """16 is half way from 8 to 32 in log L0: the mean of 0.3, of two seeds, and 0.7."""
    family = ["a-8", "a-32"]
    assert value_at_l0(SCORES, family, "f1", 16) == pytest.approx(0.5)
    assert value_at_l0(SCORES, family, "f1", 8) == pytest.approx(0.3)
    assert value_at_l0(SCORES, family, "f1", 32) == pytest.approx(0.7)


def test_saes_of_one_l0_are_averaged() -> None:
    """Two SAEs of L0 16 count together."""
    more = [*SCORES, score("c-16", "l0", 16.0), score("c-16", "f1", 0.3)]
    assert value_at_l0(more, ["b-16", "c-16"], "f1", 16) == pytest.approx(0.2)


def test_what_cannot_be_said_is_refused() -> None:
    """Beyond the family's L0, without SAEs, or without a score: one line says which."""
    with pytest.raises(UsageError, match="outside what these SAEs have, 8 to 32"):
        value_at_l0(SCORES, ["a-8", "a-32"], "f1", 33)
    with pytest.raises(UsageError, match="nothing"):
        value_at_l0(SCORES, [], "f1", 16)
    with pytest.raises(UsageError, match="b-16 has no score 'mcc'"):
        value_at_l0(SCORES, ["b-16"], "mcc", 16)
