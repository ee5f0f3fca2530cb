"""JSON and YAML are read strictly: one value a key, real numbers, bounded size and depth."""

from pathlib import Path

import pytest

from saeval.config.configuration import read_configuration
from saeval.config.strict_json import LARGEST_BYTES, parse_json
from saeval.config.strict_yaml import parse_yaml
from saeval.errors import UsageError


@pytest.mark.parametrize("text", ['{"a": 1, "b": [2.5, null, true, "x"]}', "[]", '"a"'])
def test_both_read_what_json_is(text: str) -> None:
    """JSON is YAML, and both give the same values."""
    assert parse_json(text) == parse_yaml(text)


@pytest.mark.parametrize(
    "text, reason",
    [
        ('{"k": 8, "k": 9}', "'k' stands twice, as 8 and as 9"),
        ('{"k": 8, "k": 8}', "'k' stands twice"),
        ('{"a": [{"b": {"k": 1, "k": 2}}]}', "'k' stands twice"),
        ('{"k": NaN}', "NaN is no JSON number"),
        ('{"k": -Infinity}', "-Infinity is no JSON number"),
        ("[" * 100_000, "deeper"),
        ('"' + "a" * LARGEST_BYTES + '"', "larger than"),
        ("{", "Expecting"),
        ('{"k": 1} {"k": 2}', "Extra data"),
    ],
    ids=lambda text: text[:24],
)
def test_json_that_is_refused(text: str, reason: str) -> None:
    """Each fault is named."""
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("k: 8\nk: 9\n", "line 2: the key 'k' stands twice"),
        ("a:\n  - b: {k: 1, k: 2}\n", "line 2: the key 'k' stands twice"),
        ("? [k]\n: 1\na: [\n", "line"),
        ("a: !!python/object/apply:os.getcwd []\n", "line 1"),
    ],
)
def test_yaml_that_is_refused(text: str, reason: str) -> None:
    """Each fault is named with its line, and no code is run."""
    with pytest.raises(ValueError, match=reason):
        parse_yaml(text)


def test_an_alias_is_no_repetition() -> None:
    """What is written once and meant twice is read."""
    assert parse_yaml("a: &one {k: 1}\nb: *one\n") == {"a": {"k": 1}, "b": {"k": 1}}


@pytest.mark.parametrize("name", ["run.yaml", "run.json"])
def test_a_run_configuration_has_one_value_a_key(tmp_path: Path, name: str) -> None:
    """A run with two limits is refused, whichever way it is written."""
    path = tmp_path / name
    path.write_text('{"saes": ["a"], "limit": 3, "limit": 4}')
    with pytest.raises(UsageError, match=r"run\.(yaml|json).*'limit' stands twice"):
        read_configuration(path)
