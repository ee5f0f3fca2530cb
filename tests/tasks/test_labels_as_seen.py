"""Labels and texts of all files of a data set are compared as a reader sees them."""

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from saeval_tasks._texts.data_set import DataSet
from saeval_tasks._texts.equal_texts import groups, visible_text
from saeval_tasks._texts.label_cells import cells
from saeval_tasks._texts.labelled import list_data_sets, read_data_set
from saeval_tasks._texts.tables import read_table

from saeval.errors import DataError

WORDS = "the market fell while a ferry left its harbour and nobody saw the old clock stop".split()


def _write(path: Path, labels: Sequence[Any], offset: int = 0) -> str:
    rows = [
        {"text": f"{WORDS[(i + offset) % 15]} {i + offset} {WORDS[i % 7]} {i * 7}", "label": label}
        for i, label in enumerate(labels)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def _read(data: Any) -> DataSet:
    (files,) = list_data_sets(data)
    return read_data_set(files, 0)


def _classes(data_set: DataSet) -> set[str]:
    halves = (data_set.train, data_set.test)
    return {label for half in halves for labels in half.labels for label in labels}


@pytest.mark.parametrize(
    "train, test",
    [
        ((True, False), (1, 0)),
        (("true", "false"), ("1", "0")),
        ((1, 0), ("TRUE", "FALSE")),
        (("True", "False"), ("true", "false")),
        (([True], [False]), ([1], [0])),
    ],
)
def test_yes_and_no_are_two_classes_over_all_files(
    train: tuple[Any, Any], test: tuple[Any, Any], tmp_path: Path
) -> None:
    """However each file writes them: never three or four."""
    data = {
        "train": _write(tmp_path / "a.jsonl", train * 30),
        "test": _write(tmp_path / "b.jsonl", test * 20, offset=100),
    }
    data_set = _read(data)
    assert _classes(data_set) == {"True", "False"}


@pytest.mark.parametrize(
    "column, expected",
    [
        ([[1], ["true"], [True], []], [("True",), ("True",), ("True",), ()]),
        (["true", "false", "true"], [("true",), ("false",), ("true",)]),
        ([1, 0, 3], [("1",), ("0",), ("3",)]),
        (["true", "maybe"], [("true",), ("maybe",)]),
        ([" tea\u200b", "tea", "te\u0301a", "t\u00e9a"], [("tea",), ("tea",), ("téa",), ("téa",)]),
        (["green  tea", "green tea"], [("green tea",), ("green tea",)]),
    ],
)
def test_one_label_is_one_class(column: list[Any], expected: list[tuple[str, ...]]) -> None:
    """Also within lists, in any Unicode form, with characters that nobody sees."""
    assert [cell.labels for cell in cells(column) if cell is not None] == [
        tuple(unicodedata.normalize("NFC", label) for label in labels) for labels in expected
    ]


@pytest.mark.parametrize(
    "column",
    [
        ["true", 1, "1", "other"],
        [True, "other"],
        ["true", "True", "other"],
        [["true"], [1], ["other"]],
        [[True], ["other"]],
    ],
)
def test_yes_and_no_beside_other_labels_are_refused(column: list[Any], tmp_path: Path) -> None:
    """Where they are written in several ways, or as themselves, nobody can say what is meant."""
    with pytest.raises(ValueError, match="mixes true and false with other labels"):
        cells(column)
    data = _write(tmp_path / "a.jsonl", column * 20)
    with pytest.raises(DataError, match="Write each label one way"):
        _read(data)


HIDDEN = "\u200b\u00ad\ufeff\u034f\ufe0f\u180b\u115f\u3164\0\b"
"""Without width, fillers, variation selectors, controls."""


@pytest.mark.parametrize("character", HIDDEN)
def test_what_nobody_sees_makes_no_other_text(character: str) -> None:
    """Characters that are not shown, wherever they stand."""
    assert visible_text(f"{character}ab{character}c d") == "abc d"


def test_texts_without_spaces_have_near_duplicates() -> None:
    """Each character counts as a word there."""
    first = "今天早上市场下跌而渡轮离开了港口没有人看见旧钟停下"
    second, other = first[:-1] + "来", "昨晚的雨让整个城市安静下来孩子们在窗边数着星星入睡"
    number = groups([first, second, other])
    assert number[0] == number[1] != number[2]


def test_a_text_file_is_cut_at_ends_of_lines_alone(tmp_path: Path) -> None:
    """Not at other characters that Python takes for one."""
    (tmp_path / "a.txt").write_text("a\u2028b\fc\u0085d\r\nsecond\n", encoding="utf-8", newline="")
    assert read_table(tmp_path / "a.txt")["text"].tolist() == ["a\u2028b\fc\u0085d", "second"]


def test_a_row_without_a_text_is_told(tmp_path: Path) -> None:
    """Null is nothing, not nan."""
    path = tmp_path / "a.jsonl"
    _write(path, ["a", "b"] * 10)
    with path.open("a") as file:
        file.write('{"text": null, "label": "a"}\n')
    with pytest.raises(DataError, match=r"Row 20 of .* has nothing in 'text'"):
        _read(str(path))
