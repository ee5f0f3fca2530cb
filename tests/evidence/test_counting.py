"""What n counts is said in words, and of crossed and nested units with their numbers."""

import numpy as np
import pytest

from saeval.errors import ResultError
from saeval.evidence import Evidence, Metric, Units, units


def unit_of_n(table: Units, part: str | None = None) -> str:
    """Of a mean over the table."""
    return Evidence("m", table, {"num": "x"}, "fraction", "none", part=part).unit_of_n


def crossed(texts: int, labels: int, left_out: int = 0) -> Units:
    """Every text under every label, but for some of the last."""
    text, label = np.divmod(np.arange(texts * labels - left_out), labels)
    return units(
        "rows",
        "text x label",
        {"x": np.ones(len(text))},
        part=[f"l{i}" for i in label],
        unit_id=text,
        cluster=text,
    )


def test_plain_units_are_called_by_their_name() -> None:
    """A row is a row, with a part or without."""
    table = units("rows", "row", {"x": [1, 2]}, part=["a", "b"])
    assert unit_of_n(table) == unit_of_n(table, "a") == "row"


@pytest.mark.parametrize("texts, labels", [(152, 10), (3, 1), (2, 70)])
def test_crossed_units_are_counted_on_both_sides(texts: int, labels: int) -> None:
    """Their product is n; under one label alone, only the texts count."""
    table = crossed(texts, labels)
    assert unit_of_n(table) == f"text x label ({texts} x {labels})"
    assert unit_of_n(table, "l0") == "text"


def test_units_that_are_not_wholly_crossed_say_how_many_there_are() -> None:
    """Where labels have other texts, the product is more than n."""
    assert unit_of_n(crossed(10, 4, left_out=3)) == "text x label (37 of 10 x 4, 9 to 10 each)"


def test_units_without_weight_do_not_count() -> None:
    """A text whose rows weigh nothing is none of the texts."""
    whole = crossed(10, 4).table
    table = Units("rows", "text x label", whole.assign(weight=1.0 * (whole["cluster"] < 9)))
    assert unit_of_n(table) == "text x label (9 x 4)"


def test_nested_units_say_what_they_lie_in() -> None:
    """Five words of two letters."""
    cluster = ["A", "A", "B", "B", "B"]
    table = units("words", "word in letter", {"x": np.ones(5)}, cluster=cluster)
    assert unit_of_n(table) == "word in letter (5 in 2)"


def test_groups_tell_their_sizes() -> None:
    """Each letter is one unit, however many words it has; without weight it is none."""
    columns = {"x": np.ones(3), "words": [18, 3, 5]}
    table = units("letters", "letter of words", columns, part=["A", "B", "C"])
    assert unit_of_n(table) == "letter of 3 to 18 words"
    assert unit_of_n(table, "C") == "letter of 5 words"
    rest = Units("letters", "letter of words", table.table.assign(weight=[1.0, 0, 1]))
    assert unit_of_n(rest) == "letter of 5 to 18 words"
    with pytest.raises(ResultError, match="needs a statistic 'words'"):
        units("letters", "letter of words", {"x": [1, 2]})


@pytest.mark.parametrize("unit", ["text x label", "word in letter"])
def test_a_name_that_the_table_does_not_bear_out_is_refused(unit: str) -> None:
    """Crossed or nested units without a cluster cannot be counted; the message says what to do."""
    with pytest.raises(ResultError, match="needs a cluster in every row"):
        units("rows", unit, {"x": [1, 2]})


METRIC = Metric("m_{k}", "fraction", "higher", formula="x.", floor=0, ceiling="what is known")


def test_evidence_has_what_its_record_declares() -> None:
    """Name, unit, direction, the floor by number, and the ceiling where the data give one."""
    table = units("rows", "row", {"x": [1, 2]})
    made = METRIC.numbered(4).evidence(table, {"num": "x"}, ceiling=0.9)
    assert (made.metric, made.unit, made.better) == ("m_4", "fraction", "higher")
    assert (made.floor, made.ceiling) == (0, 0.9)
    assert METRIC.evidence(table, {"num": "x"}).ceiling is None
    gone = METRIC.numbered(2).missing("No row.", "a")
    assert (gone.metric, gone.unit, gone.better, gone.part) == ("m_2", "fraction", "higher", "a")


def test_an_anchor_that_is_not_declared_is_refused() -> None:
    """A record that says 0 is not contradicted: the message names metric, anchor and both."""
    with pytest.raises(ResultError, match=r"'m_\{k\}' declares 0 as its floor, but 0.5"):
        METRIC.evidence(units("rows", "row", {"x": [1, 2]}), {"num": "x"}, floor=0.5)
