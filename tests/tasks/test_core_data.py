"""`core` reads the rows it is told to, and says what is wrong with those it cannot read."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from core_oracles import evidence_of, random_topk, tiny_source, values
from saeval_tasks._texts import corpus as corpora
from saeval_tasks.core import Core

from saeval import lab
from saeval.activations import ModelSource, model_source
from saeval.errors import DataError, NotApplicable, UsageError
from saeval.models import load_model
from saeval.task import Prepared

TEXTS = ["w1 w2 w3", "w4 w5 w6 w7", "w8 w9"]
ODD = ["NA", "", "7", "null"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """A tiny GPT-2, read after its second block."""
    return tiny_source(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def undecided() -> Iterator[None]:
    """Forget whether the hub was in reach, before and after."""
    forget = corpora.is_pile_in_reach.cache_clear
    forget()
    yield
    forget()


def prepared(source: ModelSource, **fields: object) -> Prepared:
    """What `core` prepares under these fields."""
    return Core(**{"context": 16, "ce_rows": 0, **fields}).prepare(source, 0)  # type: ignore[arg-type]


def written(folder: Path, kind: str, texts: list[str], column: str = "text") -> str:
    """The texts as a file of some kind."""
    path, table = folder / f"texts.{kind}", pd.DataFrame({column: texts})
    if kind == "txt":
        path.write_text("\n\n".join(texts), encoding="utf-8")
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True)
    elif kind == "csv":
        table.to_csv(path)
    else:
        table.to_parquet(path)
    return str(path)


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "parquet"])
def test_every_kind_of_file_gives_the_same_rows(
    source: ModelSource, tmp_path: Path, kind: str
) -> None:
    """One text a line or row becomes one row of tokens, whatever holds it."""
    found = prepared(source, texts=written(tmp_path, kind, TEXTS))
    assert found.facts["digest"] == source.tokenize(TEXTS, name="texts").digest
    assert found.facts["unit"] == "document"
    assert found.tables["site"]["tokens"].tolist() == [3, 4, 2]


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "parquet"])
def test_words_for_nothing_are_texts(tmp_path: Path, kind: str) -> None:
    """NA, null and a number are texts in every kind of file; an empty text is left out."""
    assert corpora.read_texts(written(tmp_path, kind, ODD)).texts == ["NA", "7", "null"]


def test_another_column_can_be_named(source: ModelSource, tmp_path: Path) -> None:
    """text_column says where the texts stand; a wrong one is answered with those there are."""
    path = written(tmp_path, "csv", TEXTS, column="body")
    assert len(prepared(source, texts=path, text_column="body").required_rows.ids) == 3
    with pytest.raises(DataError, match=r"no column 'text', only .*body"):
        prepared(source, texts=path)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("empty.txt", "\n \n", "holds no text"),
        ("texts.doc", "x", "its ending is none of .parquet, .csv, .jsonl, .txt"),
        ("texts.csv", 'text,n\n"",1\n', "holds no text"),
        ("texts.jsonl", '{"text": "w1"}\n{"text": 7.5}', "Row 1 .* has 7.5 in 'text', no text"),
        ("texts.jsonl", '{"text": "w1"}\n{"text": null}', "Row 1 .* no text"),
        ("texts.jsonl", "{", "cannot be read as .jsonl"),
        ("texts.parquet", "x", "cannot be read as .parquet"),
    ],
)
def test_unreadable_texts_are_one_clear_error(
    source: ModelSource, tmp_path: Path, name: str, content: str, message: str
) -> None:
    """Empty, foreign and damaged files are refused by name, with the reason."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        prepared(source, texts=str(tmp_path / name))
    assert name in str(caught.value)


def test_long_texts_are_refused_cut_or_packed(source: ModelSource, tmp_path: Path) -> None:
    """Texts beyond the context are an error unless overflow says what to do with them."""
    path = written(tmp_path, "txt", [" ".join(f"w{i}" for i in range(30))] * 2)
    with pytest.raises(DataError, match=r"31 tokens, more than the 16 .* truncate or pack"):
        prepared(source, texts=path)
    cut = prepared(source, texts=path, overflow="truncate")
    assert cut.required_rows.ids.shape == (2, 16)
    packed = prepared(source, texts=path, overflow="pack")
    assert packed.required_rows.ids.shape == (4, 16)
    assert (cut.facts["unit"], packed.facts["unit"]) == ("document", "row")


def test_limits_only_ever_lower(source: ModelSource, tmp_path: Path) -> None:
    """The smaller of rows and limit counts, for texts, tokens and arrays alike."""
    path = written(tmp_path, "txt", TEXTS)
    assert len(prepared(source, texts=path, rows=2, limit=5).required_rows.ids) == 2
    assert len(prepared(source, texts=path, rows=5, limit=1).required_rows.ids) == 1
    np.save(tmp_path / "rows.npy", np.full((6, 8), 9, dtype=np.int32))
    tokens = str(tmp_path / "rows.npy")
    assert len(prepared(source, tokens=tokens).required_rows.ids) == 6
    assert len(prepared(source, tokens=tokens, limit=4).required_rows.ids) == 4


def test_ready_rows_are_read_as_they_are(source: ModelSource, tmp_path: Path) -> None:
    """A .npy file's rows are the rows, named after the file, with special tokens masked."""
    ids = np.array([[1, 5, 6, 2, 7], [1, 8, 9, 10, 11]], dtype=np.int64)
    np.save(tmp_path / "rows.npy", ids)
    found = prepared(source, tokens=str(tmp_path / "rows.npy"))
    assert found.required_rows.ids.tolist() == ids.tolist()
    assert found.tables["site"]["tokens"].tolist() == [3, 4]
    assert (found.facts["data"], found.facts["unit"]) == ("rows.npy", "row")


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((2, 3)), "not token rows"),
        (np.zeros(4, dtype=int), "not token rows"),
        (np.array([[object()]]), "Cannot read token rows"),
        (np.full((2, 4), 999), "vocabulary of 64"),
        (np.full((2, 4), 1), "all are special tokens or padding"),
    ],
)
def test_unfit_token_rows_are_one_clear_error(
    source: ModelSource, tmp_path: Path, array: np.ndarray, message: str
) -> None:
    """Floats, one dimension, pickles, foreign ids, nothing that counts: all refused."""
    np.save(tmp_path / "rows.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        prepared(source, tokens=str(tmp_path / "rows.npy"))


def test_without_a_hub_the_manual_serves(source: ModelSource) -> None:
    """Offline, the default text is Python's own manual; the facts say so, and how to do better."""
    task = Core(context=16, rows=5, ce_rows=2)
    facts = task.prepare(source, 0).facts
    assert facts["data"] == "pydoc topics"
    assert "--set core.texts=FILE" in facts["notice"]
    assert len(str(task.inputs("gpt2"))) == 64
    assert values(evidence_of(task, random_topk(), source))["l0"] == 5


def test_a_cached_pile_serves_offline(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Pile sample is read from the hub's cache, and its commit is what a result depends on."""
    path = written(tmp_path, "parquet", ["w1 w2 w3 w4 w5 w6 w7 w8 w9"] * 9)
    folder = tmp_path / "datasets--NeelNanda--pile-10k" / "snapshots" / corpora.HUB_REVISION
    (folder / "data").mkdir(parents=True)
    Path(path).rename(folder / corpora.HUB_FILE)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    task = Core(context=16, ce_rows=0)
    facts = task.prepare(source, 0).facts
    assert (facts["data"], facts["notice"]) == (
        f"NeelNanda/pile-10k@{corpora.HUB_REVISION[:7]}",
        None,
    )
    assert task.inputs("gpt2") == f"NeelNanda/pile-10k@{corpora.HUB_REVISION}"


def test_a_hub_that_does_not_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Online but out of reach is as offline, and asked only once."""

    def unreachable(url: str, timeout: float) -> None:
        assert corpora.HUB_REVISION in url
        raise ConnectionError(f"nobody after {timeout} s")

    monkeypatch.setattr(corpora, "is_offline", lambda: False)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", unreachable)
    with caplog.at_level(logging.INFO, logger=corpora.__name__):
        assert not corpora.is_pile_in_reach()
        assert corpora.default_corpus().name == "pydoc topics"
    assert caplog.text.count("nobody after 5.0 s") == 1


def test_a_download_that_fails_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once the Pile was promised, no other text takes its place unasked."""

    def broken(*_: object, **__: object) -> None:
        raise OSError("connection lost")

    monkeypatch.setattr(corpora, "is_pile_in_reach", lambda: True)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", broken)
    with pytest.raises(DataError, match=r"did not arrive: connection lost\. .*HF_HUB_OFFLINE=1"):
        corpora.default_corpus()


def test_without_any_text_the_error_says_how_to_pass_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A Python without its manual gets told about core.texts and core.tokens."""
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataError, match=r"core\.texts=FILE, or .* core\.tokens=FILE"):
        corpora.default_corpus()


def test_lab_models_read_the_labs_text() -> None:
    """A model among the lab's weights reads its own world's held-out text; others do not."""
    weights = Path(lab.__file__).parent / "weights"
    corpus = corpora.lab_corpus(str(weights / "world" / "model"), 2000)
    assert corpus is not None
    assert corpus.name == "lab/world"
    assert sum(map(len, corpus.texts)) >= 2000
    assert corpora.lab_corpus("gpt2", 2000) is None
    games = corpora.lab_corpus("lab://othello/model", 2000)
    assert games is not None
    assert games.texts_are_rows
    assert sum(map(len, games.texts)) >= 2000
    with pytest.raises(UsageError, match="reads no text"):
        corpora.lab_corpus("lab/synthetic/base", 2000)


def test_no_more_games_are_played_than_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit bounds the games of lab/othello that are made, and they are the first of the seed."""
    played: list[tuple[int, int]] = []
    text = lab.text

    def counted(part: str, *, documents: int, seed: int) -> tuple[str, ...]:
        played.append((documents, seed))
        return text(part, documents=documents, seed=seed)

    monkeypatch.setattr(lab, "text", counted)
    few = corpora.lab_corpus("lab/othello", 2000, documents=3)
    many = corpora.lab_corpus("lab/othello", 2000)
    assert few is not None
    assert many is not None
    assert played == [(3, 0), (12, 0)]
    assert few.texts == many.texts[:3]
    source = model_source(load_model("lab/othello"), "layers.0")
    assert len(Core(limit=4)._read_rows(source, seed=5).rows) == 4
    assert played[2:] == [(4, 5)]


def test_identity_covers_only_text_that_no_field_names() -> None:
    """Files are told apart by their content elsewhere; the default text needs a name here."""
    assert Core(texts=__file__).inputs("gpt2") is None
    assert Core(tokens=__file__).inputs("gpt2") is None
    assert Core().inputs("gpt2") is not None
    assert Core().inputs("lab/world") is None
    assert Core().inputs(None) is None


@pytest.mark.parametrize("field", ["texts", "tokens"])
def test_a_file_that_is_not_there_is_refused_at_once(field: str) -> None:
    """A missing file is wrong usage, told before any source is opened."""
    with pytest.raises(UsageError, match=f"no file 'none.txt' for core.{field}"):
        Core(**{field: "none.txt"})  # type: ignore[arg-type]


def test_arrays_do_not_read_texts(tmp_path: Path) -> None:
    """Texts or tokens together with stored activations are answered, not ignored."""
    from saeval.activations import array_source

    stored = array_source(np.ones((4, 16), dtype=np.float32))
    path = written(tmp_path, "txt", TEXTS)
    with pytest.raises(NotApplicable):
        Core(texts=path).prepare(stored, 0)
