"""Tables: digits that the intervals support, rows a reader understands, no line too wide."""

import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from saeval.errors import ResultError, UsageError
from saeval.evidence import Evidence, over_seeds, units
from saeval.results.results import Results
from saeval.results.score import Labels, Result, Score
from saeval.results.tables import View, check_columns, number, score_html, score_tables
from saeval.results.tables.cells import count_text, with_half
from saeval.results.tables.names import short_names
from saeval.results.tables.view import shares
from saeval.results.task_seeds import join_seeds, seeds_text

WIDTHS = (40, 60, 80, 120, 200)
BARE: dict[str, Any] = dict.fromkeys(
    ("value", "stderr", "ci_low", "ci_high", "n", "unit_of_n", "unit", "better")
)


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


def columns_of(line: str) -> int:
    """Columns of a terminal, by Unicode's own tables and not by what lays tables out."""
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me")
        else 1 + (unicodedata.east_asian_width(c) in ("W", "F"))
        for c in line
    )


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
    "value, half, text",
    [
        (0.482, 0.0113, ".482 ±.011"),
        (-0.001, 0.0713, "-.001 ±.071"),
        (15.99948, 0.00023, "15.9995 ±.0002"),
        (0.5, 0.0000123, ".50000 ±.00001"),
        (1234.5, 120.0, "1234 ±120"),
        (10.4, 1.0, "10.4 ±1.0"),
    ],
)
def test_a_value_and_its_interval_take_few_columns(value: float, half: float, text: str) -> None:
    """Two digits of the interval, four decimals at most unless that would hide it."""
    assert with_half(value, half) == text


def test_an_interval_is_never_shown_as_nothing() -> None:
    """Whatever its size, the ± of a cell is above 0, and right to half its last digit."""
    draw = random.Random(0)
    for _ in range(2000):
        half = 10 ** draw.uniform(-7, 6)
        shown = float(with_half(draw.uniform(-2, 2) * half, half).rpartition("±")[2])
        assert shown == pytest.approx(half, rel=0.5 if half < 1e-3 else 0.05)


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
        (
            37,
            "text x label (37 of 10 x 4, 9 to 10 each)",
            "37 of 10 texts x 4 labels, 9 to 10 each",
        ),
        (7, "letter of 3 to 18 words", "7 letters of 3 to 18 words"),
        (1, "letter of 5 words", "1 letter of 5 words"),
        (816, "occurrence in family (816 in 18)", "816 occurrences in 18 families"),
    ],
)
def test_n_says_what_it_counts(n: int | None, unit: str | None, text: str) -> None:
    """In the plural, and of crossed or nested units how many there are of either."""
    assert count_text(n, unit) == text


def test_one_sae_has_a_row_a_metric() -> None:
    """Value, interval, n with its unit, floor and ceiling, with an arrow where one is better."""
    text = score_tables(
        [score("m", floor=0.0, ceiling=1.0), score("l", better="lower", n=1)], width=100
    )
    title, head, _, first, second = text.splitlines()
    assert title == "t v2 · org/a · seed 0"
    assert head.split() == "metric value 95 % interval n floor ceiling unit".split()
    assert first.split() == "m ↑ .512 .490 to .540 12 rows 0 1 fraction".split()
    assert second.split() == "l ↓ .512 .490 to .540 1 row fraction".split()


def test_columns_without_content_are_left_out() -> None:
    """No floor anywhere, no floor column."""
    assert "floor" not in score_tables([score("m")])


def test_units_stand_in_a_note_where_the_table_has_no_room() -> None:
    """On a narrow terminal the unit's column gives way to a line below; it is never lost."""
    long = [score("a_long_name_of_a_metric", unit="latents per token"), score("b")]
    wide, narrow = (score_tables(long, width=width) for width in (120, 60))
    assert "Units" not in wide
    assert "latents per token" in wide
    assert "Units: latents per token (a_long_name_of_a_metric), fraction (b)." in " ".join(
        narrow.split()
    )


def test_n_is_a_number_where_its_words_have_no_room() -> None:
    """A note says what is counted, and no row of the table takes two lines."""
    scores = [
        score("mean_absorption_fraction", n=25, unit_of_n="letter of 4 to 43 words", floor=1.0),
        score("hierarchy_absorption", n=1000, unit_of_n="occurrence in family (1000 in 18)"),
    ]
    narrow, wide = (score_tables(scores, width=width).splitlines() for width in (80, 140))
    rows = [line.split() for line in narrow[3:5]]
    assert [(row[0], row[6]) for row in rows] == [
        ("mean_absorption_fraction", "25"),
        ("hierarchy_absorption", "1000"),
    ]
    assert "n counts 25 letters of 4 to 43 words (mean_absorption_fraction)" in " ".join(narrow)
    assert "25 letters of 4 to 43 words" in wide[3]
    assert not any(line.startswith("n counts") for line in wide)


def test_several_saes_have_a_row_each() -> None:
    """A row an SAE under its short name, a column a metric, and what ± and the units are."""
    scores = [
        score("m", "x/y/a", floor=0.0, ceiling=1.0),
        score("m", "x/y/b", value=0.9, ci_low=0.8, ci_high=0.95, floor=0.25, ceiling=1.0),
        score("k", "x/y/b", ci_low=None, ci_high=None, unit="nats", better="lower"),
    ]
    lines = score_tables(scores).splitlines()
    assert lines[0] == "t v2 · seed 0 · 2 SAEs of x/y/"
    assert lines[1].split() == ["SAE", "m", "↑", "k", "↓"]
    assert lines[3].split() == ["a", ".512", "±.028", "-"]
    assert lines[4].split() == ["b", ".90", "±.10", ".512"]
    assert lines[6].split() == "floor → ceiling 0 to .2500 → 1".split()
    assert lines[8] == "± reaches the farther end of the 95 % interval, over 12 rows."
    assert lines[9] == "Units: fraction (m), nats (k)."


@pytest.mark.parametrize(
    "saes, shown",
    [
        (("/home/x/a", "/home/x/b"), "a b"),
        (("/home/x/a", "/home/y/a"), "x/a y/a"),
        (("/x/a", "/y/a"), "/x/a /y/a"),
        (("/home/x/saes/a", "org/k/a"), "/home/x/saes/a org/k/a"),
        (("org/4k/a", "org/16k/b"), "4k/a 16k/b"),
    ],
)
def test_no_half_of_an_absolute_path(saes: tuple[str, str], shown: str) -> None:
    """Absolute paths show the end that tells them apart, or all of themselves."""
    lines = score_tables([score("m", sae) for sae in saes], width=200).splitlines()
    assert [line.split()[0] for line in lines[3:5]] == shown.split()


def test_short_names_can_be_made_whole_again() -> None:
    """Common beginning + short name is the name, or the legend has it; no two look alike."""
    draw = random.Random(1)
    for _ in range(300):
        names = _random_names(draw, draw.randint(1, 30))
        short = short_names(names, draw.choice((16, 26, 40)))
        assert len(set(short.short.values())) == len(names)
        legend = dict(line.split(": ", 1) for line in short.legend)
        for name, shown in short.short.items():
            plain = " ".join(_safe(name).split())
            by_legend = legend.get(shown, legend.get(shown.split(" ")[0]))
            assert plain in (" ".join(f"{short.common}{shown}".split()), by_legend)


def test_seeds_have_a_column_where_there_are_several() -> None:
    """One seed stands in the title; several are rows of their own."""
    scores = [score("m", sae, seed) for sae in ("a", "b") for seed in (0, 1)]
    lines = score_tables(scores).splitlines()
    assert lines[1].split() == ["SAE", "seed", "m", "↑"]
    keys = [[sae, seed] for sae in "ab" for seed in "01"]
    assert [line.split()[:2] for line in lines[3:7]] == keys
    assert "seed 0" in score_tables([score("m", "a"), score("m", "b")]).splitlines()[0]


def evidence_of(result_id: str) -> list[Evidence]:
    """Evidence of m over 40 rows, 10 more of 100 right with each seed; the id is SAE and seed."""
    sae, _, number = result_id.partition("/")
    right = np.arange(40) < 20 + 4 * int(number) - (sae == "b")
    table = units("rows", "row", {"x": right}, data={"rows": f"rows {number}"})
    return [Evidence("m", table, {"num": "x"}, "fraction", "higher", bounds=(0, 1))]


def seeded(sae: str, seeds: Sequence[int]) -> list[Score]:
    """Scores of m, one for each seed."""
    return [score("m", sae, seed, result_id=f"{sae}/{seed}", ci_high=0.52) for seed in seeds]


def test_three_seeds_are_one_row_with_their_mean() -> None:
    """The mean and an interval that is wider than any seed's own; what it includes is said."""
    scores = [*seeded("a", (0, 1, 2)), *seeded("b", (0, 1, 2))]
    lines = score_tables(scores, View(evidence_of=evidence_of, chosen={"m"})).splitlines()
    assert lines[0] == "t v2 · mean of seeds 0 to 2 · 2 SAEs"
    assert lines[1].split() == ["SAE", "m", "↑"]
    expected = over_seeds([evidence_of(f"a/{seed}")[0] for seed in range(3)])
    assert expected.ci_high is not None
    assert lines[3].split()[:2] == ["a", ".60"]
    half = max(expected.ci_high - 0.6, 0.6 - (expected.ci_low or 0))
    assert float(lines[3].rpartition("±")[2]) == pytest.approx(half, abs=0.006)
    note = " ".join(lines)
    assert "Means over seeds; intervals include what other seeds draw and choose." in note
    assert "--seeds 0,1,2" not in note


def test_an_sae_of_one_seed_beside_means_keeps_its_seed() -> None:
    """A column says which row is a mean of which seeds, and the note whom it leaves out."""
    scores = [*seeded("a", (0, 1, 2, 5)), *seeded("b", (1,))]
    lines = score_tables(scores, View(evidence_of=evidence_of, chosen={"m"})).splitlines()
    assert lines[1].split() == ["SAE", "seed", "m", "↑"]
    assert lines[3].split()[:5] == ["a", "0,", "1,", "2,", "5"]
    assert lines[4].split()[:2] == ["b", "1"]
    assert "tells the rest" in " ".join(lines)


def test_one_sae_over_seeds_names_them_in_its_title() -> None:
    """The table of one SAE has the mean, too."""
    text = score_tables(seeded("a", (3, 4, 5)), View(evidence_of=evidence_of))
    assert text.splitlines()[0] == "t v2 · a · mean of seeds 3 to 5"
    text = score_tables(seeded("a", (1, 3, 5, 6, 7, 9)), View(evidence_of=evidence_of))
    assert text.splitlines()[0] == "t v2 · a · mean of 6 seeds"


@pytest.mark.parametrize("case", ["two seeds", "no evidence", "a seed without value", "versions"])
def test_seeds_that_cannot_be_joined_stay_apart(case: str) -> None:
    """Two seeds, evidence that is gone, a value that is missing: a row for each seed, as before."""
    scores = seeded("a", (0, 1, 2))
    if case == "two seeds":
        scores.pop()
    if case == "no evidence":
        scores[2] = replace(scores[2], result_id=None)
    if case == "a seed without value":
        scores[2] = score("m", "a", 2, **BARE, status="not_applicable", reason="no")
    if case == "versions":
        scores[2] = replace(scores[2], task_version=3)

    def found(result_id: str) -> list[Evidence]:
        if not result_id:
            raise ResultError("It is gone.")
        return evidence_of(result_id)

    joined = join_seeds(scores, {("t", "m", None)}, found)
    assert joined.scores == tuple(scores)
    assert not joined.seeds


def test_means_stand_between_the_mean_anchors() -> None:
    """Each seed's data has a floor of its own; of floor and ceiling there is one over all seeds."""
    floors, ceilings = (0.1, 0.2, 0.6), (1.0, 0.9, None)
    scores = [
        replace(each, floor=floor, ceiling=ceiling)
        for each, floor, ceiling in zip(seeded("a", (0, 1, 2)), floors, ceilings, strict=True)
    ]
    (found,) = join_seeds(scores, {("t", "m", None)}, evidence_of).scores
    assert found.floor == pytest.approx(0.3)
    assert found.ceiling is None
    text = score_tables(scores, View(evidence_of=evidence_of))
    assert re.search(r"m.* \.3000 ", text)


def test_a_figure_without_value_in_any_seed_is_one_row() -> None:
    """It has no mean, and does not keep the others from theirs."""
    nothing = [
        score("k", "a", seed, **BARE, status="not_applicable", reason="No head.")
        for seed in range(3)
    ]
    joined = join_seeds(
        [*seeded("a", (0, 1, 2)), *nothing], {("t", "m", None), ("t", "k", None)}, evidence_of
    )
    assert [(each.metric, each.status) for each in joined.scores] == [
        ("m", "scored"),
        ("k", "not_applicable"),
    ]
    assert joined.seeds == {("a", None, "t"): (0, 1, 2)}


def test_one_task_does_not_keep_another_apart() -> None:
    """A task whose seeds cannot be joined has a row for each, and the other its mean."""
    others = [replace(each, task="u", metric="k") for each in seeded("a", (0, 1, 2))]
    others[1] = replace(others[1], **BARE, status="not_applicable", reason="No head.")
    text = score_tables([*seeded("a", (0, 1, 2)), *others], View(evidence_of=evidence_of))
    assert "t v2 · a · mean of seeds 0 to 2" in text
    head = text.index("u v2")
    assert [line.split()[:2] for line in text[head:].splitlines()[3:6]] == [
        ["a", "0"],
        ["a", "1"],
        ["a", "2"],
    ]


@pytest.mark.parametrize("moves", [True, False])
def test_the_note_on_means_stands_where_seeds_matter(moves: bool) -> None:  # noqa: FBT001
    """Where all seeds have one value and none chose anything, there is nothing to include."""
    scores = seeded("a", (0, 1, 2))
    if not moves:
        scores = [replace(each, value=0.5, result_id="a/0") for each in scores]
        assert "Means over" in score_tables(scores, View(evidence_of=evidence_of, chosen={"m"}))
    else:
        scores = [replace(s, value=0.5 + 0.1 * s.seed) for s in scores]
    assert ("Means over" in score_tables(scores, View(evidence_of=evidence_of))) == moves


def test_a_continued_table_has_no_blank_rows() -> None:
    """Where a table is cut in two, the second has the metrics that have an anchor."""
    scores = [score(f"metric_{i}", "a", floor=0.1 if i == 3 else None) for i in range(6)]
    lines = score_tables(scores, View(("all",)), width=40).splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.split()[1:2] == ["floor"]]
    assert [line.split()[:1] for line in lines[head + 2 :]][:2] == [["metric_3"], []]
    assert sum(line.startswith("m") for line in lines[:head]) == 7


def test_n_of_means_is_that_of_a_seed() -> None:
    """Over three seeds of 12 rows n is 12 a seed, in the table of one SAE and of several."""
    view = View(evidence_of=evidence_of)
    narrow = [
        replace(each, unit_of_n="row in document (12 in 4)") for each in seeded("a", (0, 1, 2))
    ]
    assert "n counts 12 rows in 4 documents a seed." in score_tables(narrow, view, width=40)
    assert "n a seed" in score_tables(seeded("a", (0, 1, 2)), view, width=120)
    several = [*seeded("a", (0, 1, 2)), *seeded("b", (0, 1, 2))]
    assert "over 12 rows a seed." in " ".join(score_tables(several, view).split())
    assert "a seed" not in score_tables([score("m", "a"), score("m", "b")])


def test_a_part_without_interval_is_named_beside_parts_that_have_one() -> None:
    """Over seeds some parts may vary and others not."""
    parts = [
        score("h", "a", part="rare", ci_low=None, ci_high=None, stderr=None, reason="all agree"),
        score("h", "a", part="frequent"),
    ]
    text = " ".join(score_tables(parts, View(parts=True)).split())
    assert "No interval for h rare: all agree" in text
    alone = " ".join(score_tables(parts[:1], View(parts=True)).split())
    assert "No interval for h: all agree" in alone


def test_a_single_seed_is_said_to_leave_out_what_others_choose() -> None:
    """One line, only where a metric shown has something that a seed chose."""
    scores = [score("m", "a"), score("k", "a")]
    note = (
        "Intervals of m are about new test units, given what this seed's training data chose; "
        "--seeds 0,1,2 tells the rest."
    )
    assert note in " ".join(score_tables(scores, View(chosen={"m", "x"})).split())
    assert "--seeds" not in score_tables(scores, View(chosen={"x"}))


def test_seeds_are_told_in_few_words() -> None:
    """Consecutive seeds as a span, few others one by one, many by their number."""
    assert seeds_text([0, 1, 2]) == "0 to 2"
    assert seeds_text([0, 3, 7]) == "0, 3, 7"
    assert seeds_text([1, 3, 5, 7, 9, 11]) == "6 seeds"


def test_a_headline_is_what_the_task_names() -> None:
    """Declared metrics in their order, else those with a direction; all, or any, when asked."""
    scores = [score("n", better="none"), *(score(f"m{i}") for i in range(12)), score("z_z")]

    def shown(view: View) -> list[str]:
        rows = score_tables(scores, view).split("\n\n")[0].splitlines()[3:]
        return [line.split()[0] for line in rows]

    assert shown(View(headlines={"t": ("m3", "gone", "n")})) == ["m3", "n"]
    assert shown(View()) == [f"m{i}" for i in range(8)]
    assert shown(View(("all",))) == [s.metric for s in scores]
    assert shown(View(("z*", "m1"))) == ["z_z", "m1"]
    assert "Not shown (--columns all, --parts, --json): 6 metrics." in score_tables(scores)


def test_an_unknown_column_is_refused_with_the_nearest() -> None:
    """A name that no metric has is wrong usage; a glob that matches is not."""
    check_columns(["all", "fv*"], [score("fvu")])
    with pytest.raises(UsageError, match=r"no metric 'fvi'.*'fvu'"):
        check_columns(["fvi"], [score("fvu")])


def test_tasks_share_the_room_of_one_table() -> None:
    """Tasks of one run share eight columns, at least two each."""
    assert shares([7, 7, 8]) == [3, 3, 2]
    assert shares([1, 9]) == [1, 7]
    assert shares([3, 3, 3, 3, 3]) == [2] * 5
    assert shares([2, 2]) == [2, 2]
    u = [replace(score(name, sae), task="u") for name in "xy" for sae in "ab"]
    scores = [*(score(name, sae) for name in "mn" for sae in "ab"), *u]
    wide = score_tables(scores, width=120).splitlines()
    assert wide[0] == "t v2, u v2 · seed 0 · 2 SAEs"
    assert wide[1].split() == "SAE t m ↑ t n ↑ u x ↑ u y ↑".split()
    narrow = score_tables(scores, width=50)
    assert [line for line in narrow.splitlines() if " v2" in line] == [
        "t v2 · seed 0 · 2 SAEs",
        "u v2 · seed 0 · 2 SAEs",
    ]


def test_parts_are_rows_when_asked() -> None:
    """Figures of parts are counted, and shown when asked; alone they are shown as far as six."""
    parts = [score("m", part=f"p{i}") for i in range(9)]
    text = score_tables([score("m"), *parts])
    assert "p0" not in text
    assert "9 figures of parts." in text
    assert "p8" in score_tables([score("m"), *parts], View(parts=True))
    text = score_tables(parts)
    assert ("p5" in text, "p6" in text) == (True, False)
    assert "3 figures of parts" in text
    two = [replace(one, sae=sae) for sae in ("a", "b") for one in [score("m"), *parts[:2]]]
    lines = score_tables(two, View(parts=True)).splitlines()
    assert [line.split()[:2] for line in lines[3:6]] == [["a", "all"], ["a", "p0"], ["a", "p1"]]


def test_what_was_not_scored_says_what_and_why() -> None:
    """A line names task or metric and the reason; a cell says in a word that there is no value."""
    failed = score(None, **BARE, status="failed", reason="it\nbroke")
    assert score_tables([failed]) == "failed: t: it broke"
    missing = score("ce", **BARE, status="not_applicable", reason="no logits")
    lines = score_tables([score("m"), missing], View(("all",))).splitlines()
    assert lines[4].split() == ["ce", "n/a"]
    assert lines[-1] == "not applicable: ce: no logits"
    both = [score("m", "a"), replace(failed, sae="b")]
    lines = score_tables(both).splitlines()
    assert lines[4].split() == ["b", "failed"]
    assert lines[-1] == "failed: t of b: it broke"


def test_equal_reasons_are_said_once_with_their_number() -> None:
    """What shares a reason shares a line, which names some of many SAEs and counts the rest."""
    bare = {**BARE, "status": "not_applicable", "reason": "no logits"}
    missing = [score(metric, sae, **bare) for sae in "abcdefghij" for metric in ("ce", "kl")]
    text = score_tables([score("m", "a"), *missing], View(("all",)), width=200)
    said = "not applicable: ce, kl of 10 SAEs (a, b and 8 more): no logits"
    assert text.splitlines()[-1] == said
    text = score_tables([score("m", "a"), *missing[:3]], View(("all",)), width=200)
    assert text.splitlines()[-1] == "not applicable: ce, kl of a; ce of b: no logits"
    assert "no logits" not in score_tables([score("m", "a"), score("m", "b"), *missing[:3]])


def test_values_without_an_interval_say_why() -> None:
    """Metrics that share a reason share a line."""
    constant = {"stderr": None, "ci_low": None, "ci_high": None, "reason": "of the weights alone"}
    text = score_tables([score("a", **constant), score("b", **constant)])
    assert text.splitlines()[-1] == "No interval for a, b: of the weights alone"


def test_an_interval_that_only_some_saes_lack_names_these() -> None:
    """A metric that has an interval for another SAE is not said to have none."""
    equal = {"stderr": None, "ci_low": None, "ci_high": None, "reason": "all clusters agree"}
    text = score_tables([score("l0", "relu"), score("l0", "topk", **equal)], width=120)
    assert "No interval for l0 of topk: all clusters agree" in text.splitlines()


def test_nulls_are_marked() -> None:
    """An SAE that is there to be beaten says so in its row."""
    text = score_tables([score("m", "a"), score("m", "r")], View(nulls={"r"}))
    assert "r (null)" in text
    assert "a (null)" not in text


def test_training_seeds_have_mean_and_spread_of_their_own() -> None:
    """Below the members of a set of seeds stand mean and SD, said to be no interval over texts."""
    members = [
        replace(score("m", sae, value=value, ci_low=value - 0.05, ci_high=value + 0.05), set="s/x")
        for sae, value in (("a", 0.4), ("b", 0.5), ("c", 0.9))
    ]
    lines = score_tables([*members, score("m", "d")], View(seed_sets={"s/x"})).splitlines()
    assert lines[8].split() == "mean of 3 seeds .60".split()
    assert lines[9].split() == "SD of 3 seeds .26".split()
    note = " ".join(" ".join(lines).split())
    assert "mean and SD: over the 3 training seeds of s/x" in note
    assert "± is over texts and says nothing of other training seeds" in note
    assert "mean of" not in score_tables(members)


def test_ten_saes_fit_on_a_page() -> None:
    """Ten SAEs with seven metrics take fewer than forty lines at 80 columns, one table at 120."""
    metrics = "fvu l0 ce_loss_score kl_div_score cosine_similarity frac_alive mmcs".split()
    scores = [score(metric, f"lab/world/name-{i}") for i in range(10) for metric in metrics]
    assert len(score_tables(scores, width=80).splitlines()) < 40
    assert len(score_tables(scores, width=120).splitlines()) < 25


ALPHABETS = (
    "abcdefgh",
    "abc/_-. ",
    "\u65e5\u672c\u8a9e\uff21\U0001f600",
    "ae\u0301o\u0308\u20dd",
    "a\x1b[2J\r\n\t\u202e\u200f\u200b\x00",
)


def _safe(name: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(name.split()))


def _random_name(draw: random.Random, most: int) -> str:
    alphabet = draw.choice(ALPHABETS)
    return "n" + "".join(draw.choices(alphabet, k=draw.randint(0, most - 1)))


def _random_names(draw: random.Random, count: int) -> list[str]:
    """Different names, some below one folder, some absolute, up to 120 characters."""
    start = draw.choice(("", "/", "lab/world/", "/home/somebody/with a long path/"))
    names = {start + _random_name(draw, 120 - len(start)) for _ in range(count)}
    return list({_safe(name): name for name in names}.values())


def _random_scores(draw: random.Random, saes: int) -> list[Score]:
    """Scores of any kind: values of all sizes, parts, sets, several tasks, rows without values."""
    metrics = [_random_name(draw, draw.choice((8, 30, 120))) for _ in range(draw.randint(1, 12))]
    tasks = [_random_name(draw, 20) for _ in range(draw.randint(1, 3))]
    scores = []
    for sae in _random_names(draw, saes):
        for task in tasks:
            group = draw.choice((None, "s/seeds", _random_name(draw, 120)))
            labels = Labels(sae, task, 1, 0, set=group)
            if draw.random() < 0.1:
                scores.append(labels.score(status="failed", reason=_random_name(draw, 300)))
                continue
            scores += [_random_score(draw, labels, metric) for metric in metrics]
    return scores


def _random_score(draw: random.Random, labels: Labels, metric: str) -> Score:
    if draw.random() < 0.1:
        return labels.score(metric=metric, status="not_applicable", reason=_random_name(draw, 200))
    value = draw.choice((-1, 1)) * 10 ** draw.uniform(-9, 9)
    half = abs(value) * 10 ** draw.uniform(-6, 1)
    interval = draw.random() < 0.8
    return labels.score(
        metric=metric,
        part=draw.choice((None, None, _random_name(draw, 40))),
        value=value,
        stderr=half / 2 if interval else None,
        ci_low=value - half if interval else None,
        ci_high=value + half / 2 if interval else None,
        n=draw.randint(1, 10**7),
        unit_of_n=draw.choice(("row", "latent", _random_name(draw, 20))),
        unit=draw.choice(("fraction", None, _random_name(draw, 60))),
        better=draw.choice(("higher", "lower", "none")),
        floor=draw.choice((None, 0.0, draw.random())),
        ceiling=draw.choice((None, 1.0)),
        status="scored",
        reason=None if interval else _random_name(draw, 100),
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("seed", range(12))
def test_no_line_is_wider_than_the_terminal(width: int, seed: int) -> None:
    """1 to 30 SAEs, names up to 120 characters, wide, combining and hostile ones: all lines fit."""
    draw = random.Random(seed)
    scores = _random_scores(draw, draw.choice((1, 2, 3, 10, 30)))
    nulls = {scores[0].sae or ""}
    for columns in ((), ("all",)):
        view = View(columns, draw.random() < 0.5, {}, {"s/seeds"}, nulls)
        text = score_tables(scores, view, width=width)
        assert max(map(columns_of, text.splitlines())) <= width
        assert all(c == "\n" or c.isprintable() for c in text)


def _results(scores: Sequence[Score], **record: Any) -> Results:
    """One result for each SAE."""
    saes = dict.fromkeys(one.sae for one in scores)
    return Results(
        [
            Result.of(
                Labels(sae, "t", 2, 0),
                [one for one in scores if one.sae == sae],
                provenance=record,
                run={},
            )
            for sae in saes
        ]
    )


def test_html_is_escaped() -> None:
    """No name, unit or reason can put a tag or an attribute into a notebook."""
    evil = "<script>alert('x')</script><img src=x onerror=\"y\">"
    failed = score(None, evil + "2", **BARE, status="failed", reason=evil)
    scores = [score(evil, evil, unit=evil, part=None), score(evil, "b", unit=evil), failed]
    for html in (score_html(scores), score_html(scores[:1]), _results(scores)._repr_html_()):
        tags = set(re.findall(r"</?(\w+)", html))
        assert tags <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
        assert "&lt;script&gt;" in html
        assert '"' not in html


def test_html_holds_the_whole_table() -> None:
    """One table, however many columns; every cell of the text is in it."""
    scores = [score(f"metric_number_{i}", sae) for sae in "ab" for i in range(8)]
    html = score_html(scores)
    assert html.count("<table>") == 1
    assert html.count("<th>") == 9
    assert html.count(".512 ±.028") == 16


def test_results_show_themselves() -> None:
    """Repr is one line that counts; str and table are the tables; a null is known by its record."""
    results = _results([score("m", "a"), score("k", "a", better="none")], saes=[{"null": "random"}])
    assert repr(results) == "<Results: 1 of t, 2 scores>"
    assert repr(Results([])) == "<Results: 0 of nothing, 0 scores>"
    assert str(results).splitlines()[0] == "t v2 · a (null) · seed 0"
    assert results.table(columns=["k"]).splitlines()[3].startswith("k ")
    with pytest.raises(UsageError, match="no metric 'x'"):
        results.table(columns=["x"])
    pca = _results([score("m", "a")], saes=[{"null": None, "architecture": "pca"}])
    assert str(pca).splitlines()[0] == "t v2 · a (null) · seed 0"
    failed = _results([score(None, **BARE, status="failed", reason="no")])
    assert repr(failed) == "<Results: 1 of t, 1 scores, 1 failed>"
    assert "Not shown (table(columns=['all'], parts=True), to_pandas()): 1 metrics." in str(results)


def test_slices_of_results_are_shown_alike() -> None:
    """A slice keeps what its run knows: headlines and sets of training seeds."""
    scores = [replace(score(metric, sae), set="s") for sae in "abc" for metric in ("m", "h")]
    whole = Results(_results(scores).results, headlines={"t": ("h",)}, seed_sets=("s",))
    two = whole[:2]
    assert isinstance(two, Results)
    assert "mean of 2 seeds" in two.table()
    assert two.table().splitlines()[1].split() == ["SAE", "h", "↑"]
