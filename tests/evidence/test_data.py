"""Evidence says what it was measured on, and other data is never paired."""

from pathlib import Path

import numpy as np
import pytest

from saeval.errors import ResultError
from saeval.evidence import Evidence, Missing, compare, content_digest, on_data, units
from saeval.evidence.data import data_without_seeds
from saeval.results.evidence_files import read_evidence, recipe, write_table

RNG = np.random.default_rng


def mean_of(data: dict[str, str] | None) -> Evidence:
    """A mean over thirty rows with running numbers."""
    table = units("rows", "row", {"x": RNG(0).normal(size=30)}, data=data)
    return Evidence("mean", table, {"num": "x"}, "nats", "lower", bounds=(None, 5))


def test_other_data_is_refused_by_name() -> None:
    """Rows of other texts have the same numbers, but are no pair: the error names what differs."""
    a, b = mean_of({"rows": "ab", "seed": "0"}), mean_of({"rows": "cd", "seed": "0"})
    with pytest.raises(ResultError, match=r"measured on other data \(rows ab and cd\). Score both"):
        compare(a, b)
    with pytest.raises(ResultError, match=r"\(seed 0 and absent\)"):
        compare(a, mean_of({"rows": "ab"}))
    assert compare(a, mean_of({"rows": "ab", "seed": "0"})).delta == 0


def test_data_that_is_not_told_is_refused() -> None:
    """Evidence that does not say its data, as of earlier versions, is not compared."""
    for pair in ((mean_of(None), mean_of(None)), (mean_of({"rows": "a"}), mean_of(None))):
        with pytest.raises(ResultError, match="does not say what data it was measured on"):
            compare(*pair)


def test_only_the_name_tells_a_seed_from_data() -> None:
    """Under `seed`, or `seed_1` of a second place, stands a seed; else data."""
    data = {"rows": "12", "seed": "3", "seed_1": "3", "seeds": "3"}
    table = units("rows", "row", {"x": [1.0]}, data=data)
    assert data_without_seeds(table) == {"rows": "12", "seeds": "3"}


def test_data_is_stamped_once_a_table() -> None:
    """Metrics over one table share it still, and a table that says its data keeps it."""
    first, told = mean_of(None), mean_of({"rows": "own"})
    second = Evidence("other", first.units, {"num": "x"}, "nats", "lower")
    missing = Missing("m", "Not here.")
    stamped = list(on_data([first, second, told, missing], {"rows": "ab"}))
    assert isinstance(stamped[0], Evidence)
    assert isinstance(stamped[1], Evidence)
    assert stamped[0].units is stamped[1].units
    assert stamped[0].units.data == {"rows": "ab"}
    assert stamped[2:] == [told, missing]


def test_digests_tell_contents_apart() -> None:
    """Order, kind and borders of contents all count."""
    contents = (
        ("ab", "c"),
        ("a", "bc"),
        (["ab", "c"],),
        (np.arange(3),),
        (np.arange(3.0),),
        (np.arange(3)[::-1],),
        (None,),
    )
    assert len({content_digest(*content) for content in contents}) == len(contents)
    assert content_digest("a", 1) == content_digest("a", 1)


def test_data_and_bounds_are_stored_and_old_results_are_read(tmp_path: Path) -> None:
    """Both come back from disk; a result of schema 1, without them, is read with neither."""
    evidence = mean_of({"rows": "ab"})
    _, about = write_table(evidence.units, tmp_path)
    metric = {**recipe(evidence), "bounds": list(evidence.bounds)}
    (back,) = read_evidence(tmp_path, {"tables": {"rows": about}, "metrics": [metric]})
    assert (back.units.data, back.bounds) == ({"rows": "ab"}, (None, 5))
    about.pop("data")
    metric.pop("bounds")
    (old,) = read_evidence(tmp_path, {"tables": {"rows": about}, "metrics": [metric]})
    assert (old.units.data, old.bounds) == (None, (None, None))
