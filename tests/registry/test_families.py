"""Families stand for the entries they were written from, and every form of `each` is read."""

from pathlib import Path
from typing import Any

import pytest

from saeval.errors import RegistryError
from saeval.registry.each import expand_record
from saeval.registry.entries import Entry, Expected
from saeval.registry.families import families_yaml
from saeval.registry.lookup import load_registry


@pytest.mark.parametrize(
    "each, ids",
    [
        ({"n": [1, 2]}, ["1", "2"]),
        ({"n": "3..5"}, ["3", "4", "5"]),
        ({"n": "9 17 22"}, ["9", "17", "22"]),
        ([{"n": 1}, {"n": "4 6"}, {"n": [8, 9]}], ["1", "4", "6", "8", "9"]),
        ([{"n": "a b"}], ["a b"]),
        ({"n": [{"n": 1, "m": 2}]}, ["1"]),
    ],
)
def test_every_form_of_each(each: Any, ids: list[str]) -> None:
    """Lists, ranges, numbers divided by blanks, and rows of one value or several."""
    records = expand_record({"each": each, "id": "x-{n}", "more": "{n}"}, "here")
    assert [record["id"] for record in records] == [f"x-{one}" for one in ids]


def test_a_placeholder_alone_keeps_its_type() -> None:
    """Numbers stay numbers where they stand alone, wherever in a record."""
    record = {"each": [{"n": 3, "l0": 2.5}], "id": "{n}%", "l": ["{n}"], "e": {"l0": "{l0}"}}
    assert list(expand_record(record, "here")) == [{"id": "3%", "l": [3], "e": {"l0": 2.5}}]


@pytest.mark.parametrize("each", [{}, [], 3, {"n": 1}, {"n": []}, [{"n": 1}, {"m": 1}]])
def test_what_each_may_not_be(each: Any) -> None:
    """Nothing, or rows of different names, are refused."""
    with pytest.raises(RegistryError, match=r"here.*each"):
        list(expand_record({"each": each, "id": "x"}, "here"))


def entry(layer: int, width: str, l0: float | None, **more: Any) -> Entry:
    """An entry of a release."""
    return Entry(
        id=f"zoo/layer_{layer}/width_{width}",
        source=f"hf://org/zoo/layer_{layer}/width_{width}/average_l0_{l0}",
        model="org/m-2b",
        site=f"blocks.{layer}.hook_resid_post",
        expected=Expected(l0=l0),
        **more,
    )


FAMILIES: dict[str, list[Entry]] = {
    "a grid": [entry(n, width, None) for n in range(3) for width in ("16k", "65k")],
    "rows": [entry(0, "16k", 41.0), entry(1, "16k", 52.0), entry(5, "65k", 9.5)],
    "one": [entry(7, "16k", 41.0)],
    "scales": [entry(n, "16k", None, input_scale=0.25 + n / 3) for n in range(3)],
    "one scale": [entry(n, "16k", 12.0, input_scale=0.25) for n in range(3)],
    "flags": [entry(0, "16k", None, centred=True, prepend_bos=True), entry(1, "16k", None)],
    "without BOS": [entry(n, "16k", None, prepend_bos=False) for n in range(2)],
    "leading zeros": [
        Entry(id=f"zoo/{n:03}", source=f"hf://org/zoo/{n:03}", model="org/m") for n in range(4)
    ],
    "words": [
        Entry(id=f"zoo-{tuning}/3", source=f"hf://org/zoo-{tuning}/3", model=f"org/m-{tuning}")
        for tuning in ("pt", "it")
    ],
}


@pytest.mark.parametrize("entries", FAMILIES.values(), ids=FAMILIES)
def test_families_are_the_entries_they_were_written_from(
    tmp_path: Path, entries: list[Entry]
) -> None:
    """Written and read again, the same entries come back with every field."""
    path = tmp_path / "registry.yaml"
    path.write_text("saes:\n" + families_yaml(entries))
    found = load_registry([path]).entries
    for one in entries:
        back = found[one.id]
        for field in ("source", "model", "site", "expected", "input_scale"):
            assert getattr(back, field) == getattr(one, field), field
        assert bool(back.centred) == bool(one.centred)
        assert back.prepend_bos is one.prepend_bos
    assert len(found) == len(entries)


def test_what_goes_together_is_written_once() -> None:
    """Every combination is a grid of two lines, however many entries it stands for."""
    grid = [entry(n, width, None) for n in range(40) for width in ("16k", "65k")]
    assert "layer: 0..39" in families_yaml(grid)
    assert len(families_yaml(grid).splitlines()) < 8
