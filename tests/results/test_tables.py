"""Tables: digits that the standard error supports, blocks a reader understands, safe texts."""

from typing import Any

import pytest

from saeval.results.score import Labels, Score
from saeval.results.tables import counted, number, score_tables
from saeval.results.text import listing, plain_listing, printable, record_text


def score(metric: str | None, sae: str = "org/a", seed: int = 0, **columns: Any) -> Score:
    """A score of task `t`, by default a plain value with its interval."""
    plain: dict[str, Any] = {
        "metric": metric,
        "value": 0.51234,
        "stderr": 0.0123,
        "ci_low": 0.49,
        "ci_high": 0.54,
        "n": 12,
        "unit_of_n": "row",
        "unit": "fraction",
        "better": "higher",
        "status": "scored",
    }
    return Labels(sae, "t", 2, seed).score(**{**plain, **columns})


@pytest.mark.parametrize(
    "value, stderr, text",
    [
        (0.107234, 0.00123, "0.1072"),
        (0.107234, 0.0123, "0.107"),
        (14.2824, 0.4, "14.28"),
        (1234.56, 120.0, "1235"),
        (0.000012345, 0.0000012, "0.0000123"),
        (3.0, None, "3"),
        (0.640234, None, "0.6402"),
        (0.0, None, "0"),
        (0.0, 0.01, "0.000"),
        (1e9, 1e7, "1e+09"),
        (1e-12, None, "1e-12"),
        (-0.5, 0.01, "-0.500"),
        (None, None, ""),
    ],
)
def test_digits_follow_the_standard_error(
    value: float | None, stderr: float | None, text: str
) -> None:
    """Two significant digits of the standard error; without one, four of the value."""
    assert number(value, stderr) == text


@pytest.mark.parametrize(
    "n, unit, text",
    [
        (12, "row", "12 rows"),
        (1, "row", "1 row"),
        (36, "family", "36 families"),
        (3, "batch", "3 batches"),
        (12, None, "12"),
        (None, "row", ""),
        (1520, "text x label (152 x 10)", "152 texts x 10 labels"),
        (1060, "text x label (1060 of 252 x 8)", "1060 of 252 texts x 8 labels"),
        (152, "text x label (152 x 1)", "152 texts x 1 label"),
        (816, "occurrence in family (816 in 18)", "816 occurrences in 18 families"),
    ],
)
def test_n_says_what_it_counts(n: int | None, unit: str | None, text: str) -> None:
    """In the plural, and of crossed or nested units how many there are of either."""
    assert counted(n, unit) == text


def test_one_sae_has_a_row_a_metric() -> None:
    """Value, interval, unit, n, floor and ceiling, with an arrow where a direction is better."""
    text = score_tables([score("m", floor=0.0, ceiling=1.0), score("l", better="lower", n=1)])
    title, head, _, first, second = text.splitlines()
    assert title == "t v2 · org/a · seed 0"
    for name in ("metric", "value", "95 % interval", "unit", "n", "floor", "ceiling"):
        assert name in head
    assert first.split() == "m ↑ 0.512 [0.490, 0.540] fraction 12 rows 0 1".split()
    assert "l ↓" in second
    assert "1 row " in second + " "


def test_columns_without_content_are_left_out() -> None:
    """No floor anywhere, no floor column."""
    assert "floor" not in score_tables([score("m")])


def test_several_saes_stand_side_by_side() -> None:
    """One row a metric, a column an SAE under its shortest telling name, with intervals."""
    high = score("m", "x/y/b", value=0.9, ci_low=0.8, ci_high=0.95)
    text = score_tables([score("m", "x/y/a"), high, score("k", "x/y/b", ci_low=None)])
    lines = text.splitlines()
    assert lines[0] == "t v2"
    assert lines[1].split() == ["metric", "unit", "a", "b"]
    assert lines[3].split() == "m ↑ fraction 0.512 ± 0.028 0.90 ± 0.10".split()
    assert lines[4].split() == "k ↑ fraction 0.512".split()
    assert "95 % interval" in text


@pytest.mark.parametrize(
    "saes, heads",
    [
        (("/home/x/a", "/home/x/b"), "a b"),
        (("/home/x/a", "/home/y/a"), "x/a y/a"),
        (("/x/a", "/y/a"), "/x/a /y/a"),
        (("/home/x/saes/a", "org/k/a"), "/home/x/saes/a org/k/a"),
        (("org/4k/a", "org/16k/b"), "4k/a 16k/b"),
    ],
)
def test_no_half_of_an_absolute_path(saes: tuple[str, str], heads: str) -> None:
    """Absolute paths show the end that tells them apart, or all of themselves."""
    text = score_tables([score("m", sae) for sae in saes], width=200)
    assert text.splitlines()[1].split()[2:] == heads.split()


def test_seeds_and_width() -> None:
    """Seeds are columns too; what the width does not hold goes into a further table."""
    scores = [score("m", sae, seed) for sae in ("a", "b") for seed in (0, 1)]
    wide = score_tables(scores, width=200)
    heads = [f"{sae} seed {seed}" for sae in ("a", "b") for seed in (0, 1)]
    assert wide.splitlines()[1].split()[2:] == " ".join(heads).split()
    narrow = score_tables(scores, width=50)
    assert narrow.count("metric") > 1
    assert all(narrow.count(f"{sae} seed {seed}") == 1 for sae in "ab" for seed in (0, 1))
    alone = score_tables([score("m", "a", seed) for seed in (0, 1)])
    assert alone.splitlines()[1].split()[2:] == ["seed", "0", "seed", "1"]


def test_anchors_that_differ_are_a_range() -> None:
    """One floor that all share is shown; floors of their own as their range."""
    same = score_tables([score("m", "a", floor=0.5), score("m", "b", floor=0.5)])
    assert same.splitlines()[3].split()[-1] == "0.5000"
    text = score_tables([score("m", "a", floor=0.25), score("m", "b", floor=0.5)])
    assert "0.2500 to 0.5000" in text


def test_parts_give_way_to_the_headline() -> None:
    """With a figure over everything, parts are only counted; without one, the first are shown."""
    parts = [score("m", part=f"p{i}") for i in range(9)]
    text = score_tables([score("m"), *parts])
    assert "p0" not in text
    assert "9 figures of parts are not shown; --json has them." in text
    text = score_tables(parts)
    assert "p5" in text
    assert "p6" not in text
    assert "3 figures of parts" in text


def test_what_was_not_scored_says_why() -> None:
    """Rows without a value are lines below the table, with their reason."""
    bare = dict.fromkeys(
        ("value", "stderr", "ci_low", "ci_high", "n", "unit_of_n", "unit", "better")
    )
    failed = score(None, **bare, status="failed", reason="it broke")
    text = score_tables([failed])
    assert text.splitlines()[-1] == "failed: org/a · seed 0: it broke"
    missing = score("ce", **bare, status="not_applicable", reason="no logits")
    text = score_tables([score("m"), missing])
    assert text.splitlines()[-1] == "not applicable: org/a · seed 0 ce: no logits"


def test_reasons_are_said_once() -> None:
    """What shares a reason shares a line, with its SAEs and their metrics."""
    names = ("value", "stderr", "ci_low", "ci_high", "n", "unit_of_n", "unit", "better")
    bare: dict[str, Any] = dict.fromkeys(names)
    bare |= {"status": "not_applicable", "reason": "no logits"}
    missing = [score(metric, sae, **bare) for sae in ("a", "b") for metric in ("ce", "kl")]
    text = score_tables([score("m", "a"), *missing])
    assert text.splitlines()[-1] == "not applicable: a, b ce, kl: no logits"
    text = score_tables([score("m", "a"), *missing[:3]])
    assert text.splitlines()[-1] == "not applicable: a ce, kl; b ce: no logits"
    assert text.count("no logits") == 1
    many = [score(metric, "a", **bare, part=part) for part in "xy" for metric in "defg"]
    text = score_tables([score("m", "a"), *many[:5]])
    assert text.splitlines()[-1] == "not applicable: a · seed 0 x (4 metrics), d y: no logits"


def test_values_without_an_interval_say_why() -> None:
    """Metrics that share a reason share a line."""
    constant = {"stderr": None, "ci_low": None, "ci_high": None, "reason": "of the weights alone"}
    text = score_tables([score("a", **constant), score("b", **constant)])
    assert text.splitlines()[-1] == "No interval for a, b: of the weights alone"


def test_tasks_are_blocks_of_their_own() -> None:
    """Each task and version has its table."""
    other = Labels("org/a", "u", 1, 0).score(
        metric="m", value=1.0, status="scored", unit="nats", better="none"
    )
    assert [block.splitlines()[0] for block in score_tables([score("m"), other]).split("\n\n")] == [
        "t v2 · org/a · seed 0",
        "u v1 · org/a · seed 0",
    ]


def test_control_characters_never_reach_the_terminal() -> None:
    """Escape sequences in names, reasons and records are replaced."""
    evil = "a\x1b[2Jb"
    assert "\x1b" not in printable(evil)
    assert "\x1b" not in score_tables([score(evil, evil), score("x", status="scored", unit=evil)])
    assert "\x1b" not in plain_listing([{"name": evil, "b": None}])
    assert "\x1b" not in record_text({evil: [evil], "k": {"v": evil}, "l": [{"x": evil}]})


def test_records() -> None:
    """A line a field: lists are counted, mappings joined, tables nested, empty fields left out."""
    text = record_text(
        {
            "name": "x",
            "none": None,
            "saes": ["a", "b"],
            "expected": {"l0": 3, "fvu": None},
            "fields": [{"name": "k", "doc": "one\ntwo"}],
            "does": "first\nsecond",
        }
    )
    assert text.splitlines() == [
        "name: x",
        "saes (2):",
        "    a",
        "    b",
        "expected: l0 3",
        "fields:",
        "    name  doc",
        "    ----  ---",
        "    k     one",
        "          two",
        "does:",
        "    first",
        "    second",
    ]
    assert listing([]) == ""
