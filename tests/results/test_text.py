"""Texts for a terminal: safe, wrapped, and in tables and records that fit."""

import random
import unicodedata

import pytest

from saeval.results.text import (
    layout,
    listing,
    one_line,
    printable,
    record_text,
    shortened,
    width_of,
    wrapped,
)

WIDTHS = (40, 60, 80, 120, 200)
ALPHABETS = ("ab c", "ab/_-.", "\u65e5\u672c \uff21", "ae\u0301 o\u0308", "a\x1b\u202e\u200b \n")


def columns_of(line: str) -> int:
    """Columns of a terminal, by Unicode's own tables."""
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me")
        else 1 + (unicodedata.east_asian_width(c) in ("W", "F"))
        for c in line
    )


def words(draw: random.Random, most: int) -> str:
    """Any text."""
    return "".join(draw.choices(draw.choice(ALPHABETS), k=draw.randint(0, most)))


def test_nothing_that_steers_a_terminal_is_printed() -> None:
    """Control characters, marks of direction and invisible ones are replaced, wherever they are."""
    evil = "a\x1b[2Jb\u202ec\u200fd\u2066e\u200bf\x07g\x9bh\u2028i"
    assert printable(evil) == "a\ufffd[2Jb\ufffdc\ufffdd\ufffde\ufffdf\ufffdg\ufffdh\ufffdi"
    assert one_line("a\n  b\tc\x00") == "a b c\ufffd"
    shown = [
        listing([{"name": evil, evil: evil, "b": None}], 80),
        record_text({evil: [evil], "k": {"v": evil}, "l": [{evil: evil}], "m": f"{evil}\nx"}),
    ]
    assert all(c == "\n" or c.isprintable() for text in shown for c in text)


@pytest.mark.parametrize("text", ["abc", "e\u0301", "\u65e5\u672c", "\uff21x", "\u2193 \u00b1", ""])
def test_widths_are_those_of_a_terminal(text: str) -> None:
    """Wide characters take two columns, combining ones none."""
    assert width_of(text) == columns_of(text)


def test_wrapped_lines_fit_and_lose_nothing() -> None:
    """Any text in any width: no line is wider, and together they hold every sign in order."""
    draw = random.Random(0)
    for _ in range(2000):
        text, width = one_line(words(draw, 120)), draw.randint(8, 60)
        lines = wrapped(text, width, hanging=draw.choice((0, 2, 4)))
        assert max(map(columns_of, lines)) <= width
        assert "".join("".join(lines).split()) == "".join(text.split())


def test_words_break_where_names_do() -> None:
    """At spaces first; a word too long for a line after a slash or an underscore."""
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert wrapped("org/some_long_name", 10) == ["org/some_", "long_name"]
    assert wrapped("a bbbb cccc", 8, hanging=2) == ["a bbbb", "  cccc"]


def test_shortened_names_keep_both_ends() -> None:
    """The middle goes, and more of the end is kept; short names stay as they are."""
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 10) == "abc…fghijk"
    draw = random.Random(1)
    for _ in range(500):
        text, width = one_line(words(draw, 80)), draw.randint(8, 60)
        assert columns_of(shortened(text, width)) <= width


def test_columns_of_a_table_stand_in_line() -> None:
    """Wide and combining characters leave no column out of line; numbers end in line."""
    body = [["\u65e5\u672c", "1"], ["e\u0301", "10"]]
    text = layout(["n", "v"], body, foot=[["f", "2"]], right=[1])
    assert {columns_of(line) for line in text.splitlines()} == {8}
    assert text.splitlines()[0].endswith(" v")
    assert text.splitlines()[1] == text.splitlines()[4] == "----  --"


def test_a_list_gives_up_columns_and_says_so() -> None:
    """Prose is wrapped first; then the least important columns go, which the last line names."""
    rows = [{"id": "lab/world/a", "does": "one two three four five six seven", "source": "s" * 50}]
    wide = listing(rows, 120)
    assert "one two three four five six seven" in wide
    assert "Not shown" not in wide
    narrow = listing(rows, 40)
    assert narrow.splitlines()[-2] == "Not shown for want of room: source."
    assert "one two three four" in narrow
    assert "lab/world/a" in narrow


def test_a_list_whose_needed_columns_do_not_fit_is_records() -> None:
    """Nothing that must stand is cut: rows become records of a line a field."""
    rows = [{"a": "x" * 30, "b": "y" * 30, "c": "z" * 30}] * 2
    text = listing(rows, 50, needed=3)
    assert text.splitlines()[0] == "a: " + "x" * 30
    assert text.count("z" * 30) == 2


def test_empty_columns_are_left_out() -> None:
    """A column without any text has no head; no rows are no table."""
    assert listing([{"a": 1, "b": None}], 80).splitlines()[0] == "a"
    assert listing([], 80) == ""


@pytest.mark.parametrize("width", WIDTHS)
def test_lists_and_records_fit(width: int) -> None:
    """Any rows and records, hostile ones too: no line is wider than the terminal."""
    draw = random.Random(width)
    for _ in range(60):
        names = [f"column{i}" for i in range(draw.randint(1, 8))]
        rows = [{name: words(draw, 80) for name in names} for _ in range(draw.randint(1, 30))]
        record = {"list": rows, "items": [words(draw, 200)], "map": {"k": words(draw, 200)}}
        text = listing(rows, width, needed=draw.randint(1, 8))
        text += "\n" + record_text({**record, "text": words(draw, 300), "n": None}, width)
        assert max(map(columns_of, text.splitlines())) <= width


def test_records() -> None:
    """A line a field: lists are counted, mappings joined, tables nested, prose runs on."""
    text = record_text(
        {
            "name": "x",
            "none": None,
            "saes": ["a", "b"],
            "expected": {"l0": 3, "fvu": None},
            "fields": [{"name": "k", "doc": "one\ntwo\n\nthree"}],
            "does": "first\nsecond\n\nthird",
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
        "    ----  -------",
        "    k     one two",
        "",
        "          three",
        "does:",
        "    first second",
        "",
        "    third",
    ]
