"""Data handed over in memory: every form of a table is the same data, and none is printed whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from tiny_runs import TEXTS, topk

import saeval
from saeval.errors import DataError, SaevalError, UsageError
from saeval.running.session import request_of_keywords
from saeval.running.table_content import rows_sha256, table_sha256
from saeval.running.user_data import read_data, with_files

FORMS = ("rows", "frame", "named index", "data set", "split", "jsonl", "parquet", "odd parquet")

CORE = {"context": tiny_models.CONTEXT}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Labelled texts."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(tiny_models.WORDS, 6)) for _ in range(160)]
    return pd.DataFrame({"text": texts, "label": [0, 1] * 80})


def in_form(table: pd.DataFrame, form: str, folder: Path) -> Any:
    """The table as one of `FORMS`."""
    numbered = table.set_axis([f"r{i}" for i in range(len(table))])
    data_set = datasets.Dataset.from_pandas(table)
    values: dict[str, Any] = {
        "rows": table.to_dict("records"),
        "frame": table,
        "named index": numbered,
        "data set": data_set,
        "split": datasets.DatasetDict({"train": data_set})["train"],
    }
    if form in values:
        return values[form]
    folder.mkdir(parents=True)
    path = str(folder / f"data.{form.removeprefix('odd ')}")
    if form == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        (numbered if form == "odd parquet" else table).to_parquet(path)
    return path


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[..., Any]:
    """A run of a tiny SAE on a tiny model, in a folder of its own."""
    model = str(tiny_models.build("gpt2", tmp_path / "gpt2"))

    def run(tasks: str, **options: Any) -> Any:
        found = saeval.evaluate(
            {"sae": topk()},
            tasks,
            model=model,
            site="layers.1",
            output_path=tmp_path / "out",
            **options,
        )
        (result,) = found
        assert result.status == "scored", result.reason
        return result.result_id, [(s.metric, s.part, s.value) for s in result.scores]

    return run


def test_a_table_is_the_same_data_in_every_form(
    table: pd.DataFrame, evaluate: Callable[..., Any], tmp_path: Path
) -> None:
    """One id and equal scores, for labelled texts, for texts of a field, and for data of a run."""
    for task in ("probing", "core", "data"):
        outcomes = []
        for form in FORMS:
            value = in_form(table, form, tmp_path / task / form.replace(" ", "-"))
            if task == "probing":
                fields = {"data": value, "top_k": [1], "context": 8, "test_rows": 20}
                outcomes.append(evaluate("probing", config={"probing": fields}, force=True))
            elif task == "core":
                outcomes.append(evaluate("core", config={"core": {**CORE, "texts": value}}))
            else:
                outcomes.append(evaluate("core", data=value, config={"core": CORE}))
        assert outcomes[1:] == outcomes[:-1], task


def test_other_columns_and_nested_tables(
    table: pd.DataFrame, evaluate: Callable[..., Any], tmp_path: Path
) -> None:
    """Columns of other names are told as for files, and train and test may be tables each."""
    renamed = table.set_axis(["body", "topic"], axis=1)
    core = {**CORE, "text_column": "body"}
    as_frame = evaluate("core", data=renamed, config={"core": core})
    assert as_frame == evaluate("core", data=renamed.to_dict("records"), config={"core": core})
    common = {"name": "mine", "text": "body", "label": "topic"}
    fields: dict[str, Any] = {"top_k": [1], "context": 8, "test_rows": 20}
    halves = renamed.head(120), renamed.tail(40)
    rows = [half.to_dict("records") for half in halves]
    (a, b) = (
        evaluate(
            "probing", config={"probing": {"data": {**common, "train": x, "test": y}, **fields}}
        )
        for x, y in (halves, rows)
    )
    assert a == b
    assert not list((tmp_path / "out" / "inputs" / "unfinished").iterdir())


def test_a_list_of_texts_is_the_file_of_these_texts(evaluate: Callable[..., Any]) -> None:
    """In `data` and in a field; a table with that one column too."""
    texts = list(TEXTS)
    outcome = evaluate("core", data=texts, config={"core": CORE})
    assert outcome == evaluate("core", config={"core": {**CORE, "texts": texts}})
    assert outcome == evaluate("core", data=pd.DataFrame({"text": texts}), config={"core": CORE})


def test_a_column_of_texts_is_a_list_of_them(tmp_path: Path) -> None:
    """Of a frame, whatever its index, of a data set, or an array."""
    texts = list(TEXTS)
    frame = pd.DataFrame({"text": texts}, index=range(5, 5 + len(texts)))
    columns = (frame["text"], datasets.Dataset.from_dict({"text": texts})["text"], np.array(texts))
    for column in columns:
        assert read_data(column, tmp_path) == read_data(texts, tmp_path)
        settings = {"core": {"texts": column}}
        assert with_files(settings, tmp_path) == with_files({"core": {"texts": texts}}, tmp_path)


def test_content_is_what_counts(tmp_path: Path) -> None:
    """Missing values, whole numbers and the order of keys are the same however they are held."""
    rows = [{"text": "a", "label": 1, "more": None}, {"label": float("nan"), "text": "é"}]
    path = tmp_path / "t.jsonl"
    path.write_text('{"label": 1.0, "text": "a"}\n\n{"text": "\\u00e9"}\n')
    assert table_sha256(path) == rows_sha256(rows)
    frame = pd.DataFrame(rows)
    frame.to_parquet(tmp_path / "t.parquet")
    assert table_sha256(tmp_path / "t.parquet") == rows_sha256(rows)
    assert rows_sha256([{"text": "a"}]) != rows_sha256([{"text": "b"}])
    path.write_text("{")
    assert table_sha256(path) is None


def test_a_frame_of_numbers_is_activations(tmp_path: Path) -> None:
    """Without its index, as the array that it holds."""
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    frame = pd.DataFrame(x, columns=["a", "b", "c"], index=range(7, 47))
    for value in (frame, datasets.Dataset.from_pandas(frame, preserve_index=False)):
        array = read_data(value, tmp_path).array
        assert isinstance(array, np.ndarray)
        np.testing.assert_allclose(array, x)
    lists = [{"x": row.tolist()} for row in x]
    np.testing.assert_allclose(np.asarray(read_data(lists, tmp_path).array), x)


ONE_TEXT = datasets.Dataset.from_dict({"text": ["a"]})


@pytest.mark.parametrize(
    "data, says",
    [
        (
            datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["a"]})}),
            r"\['train'\]",
        ),
        (datasets.Dataset.from_dict({"text": ["a"]}).to_iterable_dataset(), r"list\(data.take"),
        (pd.DataFrame({"text": []}), "is empty"),
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), "two columns 'text'"),
        (pd.DataFrame({"a": [0.5, 1.5], "index": [0, 1]}), "'index' looks like row numbers"),
        (pd.DataFrame({"a": [0.5, 1.5], "n": [3, 1]}), "'n' holds int64"),
        (torch.ones(3, 4, dtype=torch.int64), "holds int64"),
        (torch.ones(3, 4, dtype=torch.bool), "holds bool"),
        (["a", "\ud800"], "half of a character"),
        ([], "empty"),
        ([1, 2], "is no data"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_data_is_told(data: Any, says: str, tmp_path: Path) -> None:
    """One line, which says what to do."""
    with pytest.raises(DataError, match=says) as told:
        read_data(data, tmp_path)
    assert "\n" not in str(told.value)


LARGE = {
    "frame": pd.DataFrame(np.ones((5000, 40)), columns=[f"c{i}" for i in range(40)]),
    "array": np.ones((300, 300)),
    "tensor": torch.ones(300, 300),
    "texts": ["word " * 50] * 5000,
    "mapping": {f"key {i}": "word " * 50 for i in range(5000)},
    "network": torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(300)]),
    "text": "word\n" * 5000,
}
"""Objects whose repr is long."""
PLACES: dict[str, Callable[[Any], Any]] = {
    "saes": lambda value: saeval.evaluate([value], "core", model="lab/world"),
    "text as data": lambda value: saeval.evaluate({"s": topk()}, "core", data=str(value)),
    "text as model": lambda value: saeval.evaluate({"s": topk()}, "core", model=str(value)),
    "tasks": lambda value: saeval.evaluate({"s": topk()}, [value], model="lab/world"),
    "model": lambda value: saeval.evaluate({"s": topk()}, "core", model=[value]),
    "field": lambda value: saeval.evaluate({"s": topk()}, "core", config={"core": {"rows": value}}),
    "limit": lambda value: request_of_keywords({"limit": value}),
    "k": lambda value: request_of_keywords({"k": value}),
    "device": lambda value: request_of_keywords({"device": value}),
    "seeds": lambda value: request_of_keywords({"seeds": [value]}),
    "probing": lambda value: saeval.evaluate(
        {"s": topk()}, "probing", config={"probing": {"data": {"train": {1: value}}}}
    ),
    "data": lambda value: saeval.evaluate({"s": topk()}, "core", data={value.__class__: value}),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_large_object_is_printed_whole(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever an object is refused, the message is one line of bounded length."""
    monkeypatch.chdir(tmp_path)
    for name, value in LARGE.items():
        with pytest.raises(SaevalError) as told:
            PLACES[place](value)
        assert "\n" not in str(told.value), (place, name)
        assert len(str(told.value)) < 700, (place, name)


def test_a_table_for_the_wrong_field_is_told(tmp_path: Path) -> None:
    """A field of a number that is given a table."""
    with pytest.raises(UsageError, match=r"core\.rows must be a whole number"):
        saeval.evaluate(
            {"s": topk()},
            "core",
            config={"core": {"rows": [1.5]}},
            model="lab/world",
            output_path=tmp_path,
        )
