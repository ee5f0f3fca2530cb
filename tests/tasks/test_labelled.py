"""Labelled texts come from files, folders of sae-probes, and the hub's repositories."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from saeval_tasks._texts import equal_texts
from saeval_tasks._texts.data_set import DataSetFiles, LabelledTexts
from saeval_tasks._texts.hub_sets import HUB_SETS
from saeval_tasks._texts.labelled import (
    data_identity,
    list_data_sets,
    read_data_set,
    select_by_name,
    split,
)
from saeval_tasks.probing import Probing, saebench
from saeval_tasks.probing.problems import permute_labels
from saeval_tasks.probing.rows import TextNumbers, draw_probe_set

from saeval.errors import DataError, UsageError


def test_split_is_stratified_and_seeded() -> None:
    """A quarter of each label is held out; no text is on both sides; the seed decides which."""
    texts = LabelledTexts(
        tuple(f"t{i} {i} {i * i}" for i in range(40)), tuple(("ab"[i % 4 == 0],) for i in range(40))
    )
    made = split("x", texts, 0)
    assert sorted(made.test.labels) == [("a",)] * 8 + [("b",)] * 2
    assert set(made.train.texts) | set(made.test.texts) == set(texts.texts)
    assert not set(made.train.texts) & set(made.test.texts)
    assert split("x", texts, 0) == made
    assert split("x", texts, 1) != made


def test_a_folder_of_sae_probes_is_read(tmp_path: Path) -> None:
    """Columns prompt and target; sets of quantities and repeated files are left out."""
    table = pd.DataFrame({"prompt": ["one", "two", "three"] * 4, "target": [0, 1, 1] * 4})
    for name in ("5_hist_fig_ismale", "8_nyc_lat", "38_arith_difficulty", "87_glue_cola"):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    found = list_data_sets(str(tmp_path))
    assert [one.name for one in found] == ["5_hist_fig_ismale", "87_glue_cola"]
    assert [one.name for one in select_by_name(found, ["*cola"])] == ["87_glue_cola"]
    assert set(read_data_set(found[0], 0).train.classes) == {"0", "1"}
    before = data_identity(str(tmp_path))
    table.tail(9).to_csv(tmp_path / "87_glue_cola.csv", index=False)
    assert data_identity(str(tmp_path)) != before


def written(path: Path, rows: Sequence[tuple[object, object]]) -> DataSetFiles:
    """Texts and labels as a file of the kind that its name says."""
    table = pd.DataFrame(rows, columns=["text", "label"])
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif ".jsonl" in path.suffixes:
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False)
    return list_data_sets(str(path))[0]


KINDS = ["csv", "csv.gz", "jsonl", "parquet"]


@pytest.mark.parametrize("kind", KINDS)
def test_words_for_nothing_are_words(tmp_path: Path, kind: str) -> None:
    """NA, null, None and 7 are texts and labels like any others; blank texts are left out."""
    words = ["NA", "null", "None", "7", "nan", "x"]
    rows = [(f"{word} {i}", word) for i in range(4) for word in words]
    found = read_data_set(
        written(tmp_path / f"t.{kind}", [*rows, *((a, a) for a in words), (" ", "x")]), 0
    )
    assert {*found.train.texts, *found.test.texts} == {*words, *(text for text, _ in rows)}
    assert {*found.train.classes, *found.test.classes} == set(words)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_are_labels_without_a_point(tmp_path: Path, kind: str) -> None:
    """1 and 1.0 are the label 1, and 0.5 stays what it is."""
    rows = [(f"t{i}", i % 3 / 2) for i in range(12)]
    data_set = read_data_set(written(tmp_path / f"t.{kind}", rows), 0)
    assert set(data_set.train.classes) == {"0", "0.5", "1"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gap", [None, " "])
def test_a_row_without_label_is_named(tmp_path: Path, kind: str, gap: str | None) -> None:
    """An empty label is an error, beside numbers too; so is null in the place of a text."""
    labels: list[object] = ["1", "0", gap] if gap else [1.0, 0.0, None]
    one = written(tmp_path / f"t.{kind}", [(f"t{i}", label) for i, label in enumerate(labels)])
    with pytest.raises(DataError, match=r"Row 2 of .* has no 'label'"):
        read_data_set(one, 0)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_null_is_no_text(tmp_path: Path, kind: str) -> None:
    """Where a file knows null, a row that has it in the place of its text is named."""
    one = written(tmp_path / f"t.{kind}", [("t", "a"), (None, "b")])
    with pytest.raises(DataError, match=r"Row 1 of .* in 'text', no text"):
        read_data_set(one, 0)


def test_texts_with_unquoted_commas_are_refused(tmp_path: Path) -> None:
    """Where every row has a field too many, columns would shift without a word."""
    path = tmp_path / "t.csv"
    path.write_text("text,label\nyes, it is,a\nno, it is not,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="quote texts with commas"):
        read_data_set(list_data_sets(str(path))[0], 0)


@pytest.mark.parametrize("name", ["t.xlsx", "t.txt", "t.parquet", "t.jsonl.gz"])
def test_files_that_are_no_table_are_refused(tmp_path: Path, name: str) -> None:
    """Another ending, no columns, or damage: told with the file's name before anything runs."""
    (tmp_path / name).write_text("x\n", encoding="utf-8")
    with pytest.raises((DataError, UsageError), match=name):
        list_data_sets(str(tmp_path / name))


def test_no_text_stands_twice_or_on_both_sides(tmp_path: Path) -> None:
    """Texts that files repeat count once, and those to be tested on train nothing."""
    for half, texts in (("train", "aabcdef"), ("test", "ffggh")):
        labels = [["yes", "no"][ord(text) % 2] for text in texts]
        table = pd.DataFrame({"text": list(texts), "label": labels})
        table.to_csv(tmp_path / f"{half}.csv", index=False)
    item = {"name": "x", "train": f"{tmp_path}/train.csv", "test": f"{tmp_path}/test.csv"}
    made = read_data_set(list_data_sets([item])[0], 0)
    assert made.train.texts == tuple("abcde")
    assert made.test.texts == tuple("fgh")
    with pytest.raises(DataError, match="held out"):
        read_data_set(list_data_sets([{**item, "train": item["test"]}])[0], 0)


def test_repositories_of_the_hub_are_read(tmp_path: Path) -> None:
    """News with a test file; ratings 1.0 and 5.0; long programs, cut; one side of translations."""
    news = tmp_path / "fancyzhx" / "ag_news" / "data"
    news.mkdir(parents=True)
    for part in ("train", "test"):
        table = pd.DataFrame({"text": [f"{part} {i}" for i in range(8)], "label": [0, 1] * 4})
        table.to_parquet(news / f"{part}-00000-of-00001.parquet")
    reviews = tmp_path / "canrager" / "amazon_reviews_mcauley_1and5"
    reviews.mkdir(parents=True)
    rated = {"text": ["good", "bad", "so"], "category": [1, 2, 9], "rating": [5.0, 1.0, 5.0]}
    pd.DataFrame(rated).to_csv(reviews / "train.csv")
    code = tmp_path / "codeparrot" / "github-code" / "data"
    code.mkdir(parents=True)
    programs = {"code": ["x" * 600, "y" * 700, "z"], "language": ["C", "PHP", "C"]}
    pd.DataFrame(programs).to_parquet(code / "train-00000-of-01126.parquet")
    for pair in ("en-fr", "de-en", "bg-cs"):
        lines = [{tongue: f"{tongue} {i}" for tongue in pair.split("-")} for i in range(8)]
        (tmp_path / "Helsinki-NLP" / "europarl" / pair).mkdir(parents=True)
        path = tmp_path / "Helsinki-NLP" / "europarl" / pair / "train-00000-of-00001.parquet"
        pd.DataFrame({"translation": lines}).to_parquet(path)
    sets = {one.name: read_data_set(one, 0) for one in list_data_sets(str(tmp_path))}
    reviews_too = ["amazon_reviews", "amazon_reviews_sentiment"]
    assert sorted(sets) == ["ag_news", *reviews_too, "europarl", "github_code"]
    assert set(sets["europarl"].train.classes) == {"en", "de"}
    assert {str(text)[:2] for text in sets["europarl"].train.texts} == {"en", "de"}
    assert sets["ag_news"].test.texts == tuple(f"test {i}" for i in range(8))
    assert set(sets["amazon_reviews_sentiment"].train.classes) == {"1", "5"}
    assert set(sets["amazon_reviews"].train.classes) == {"1", "2"}
    assert sorted(len(str(text)) for text in sets["github_code"].train.texts) == [450, 550]


def test_the_commit_in_the_cache_is_read_and_what_to_do_without_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was downloaded once is what is read on; offline without it, there are three ways out."""
    refs = tmp_path / "datasets--LabHC--bias_in_bios" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("c0ffee", encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    asked: list[object] = []

    def snapshot_download(repository: str, **place: object) -> str:
        asked.append((repository, place["revision"]))
        raise OSError("nowhere")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(DataError, match="HF_HUB_OFFLINE") as caught:
        list_data_sets("saebench")
    assert asked == [("LabHC/bias_in_bios", "c0ffee")]
    assert Probing().inputs("gpt2") == data_identity("saebench")
    assert "c0ffee" in str(Probing().inputs("gpt2"))
    assert Probing().inputs("lab/world") == Probing().inputs(None) == []
    for way in ("FILE.parquet", "sae_probes", "FOLDER"):
        assert f"--set probing.data={way}" in str(caught.value)


def test_all_of_saebenchs_sets_are_named() -> None:
    """Eight data sets, with the 36 problems that its paper counts where labels are listed."""
    assert len({one.name for one in HUB_SETS}) == len(HUB_SETS) == 8
    labels = sum(len(one.labels) for one in HUB_SETS if one.labels)
    assert labels + 4 + 5 == 36


def test_equal_names_and_empty_folders_are_refused(tmp_path: Path) -> None:
    """Two sets of one name, and a folder without any, are wrong usage."""
    path = tmp_path / "a.csv"
    pd.DataFrame({"text": ["x", "y"], "label": [0, 1]}).to_csv(path)
    with pytest.raises(UsageError, match="called 'a'"):
        list_data_sets([str(path), str(path)])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="holds no data set"):
        list_data_sets(str(empty))


def documents(count: int) -> list[str]:
    """Texts no two of which are alike, in words of their own."""
    return [f"about{i} says{i} that{i} the {i} and then number{i} ended{i}" for i in range(count)]


TOPICS = ["red", "blue", "green"]
MANY = [(text, [TOPICS[i % 3], *(["short"] * (i % 2))]) for i, text in enumerate(documents(120))]


def as_rows(many: Sequence[tuple[str, list[str]]]) -> list[tuple[object, object]]:
    """A row for each label of each text."""
    return [(text, label) for text, labels in many for label in labels]


@pytest.mark.parametrize("form", ["rows", "reversed", "lists", "mappings"])
def test_a_text_may_have_several_labels(tmp_path: Path, form: str) -> None:
    """As rows in any order, lists or mappings: one and the same multi-label set, each text once."""
    rows: dict[str, Sequence[tuple[object, object]]] = {
        "rows": as_rows(MANY),
        "reversed": as_rows(MANY)[::-1],
        "lists": [(text, labels) for text, labels in MANY],
        "mappings": [(text, dict.fromkeys(labels, True)) for text, labels in MANY],
    }
    made = read_data_set(written(tmp_path / "t.jsonl", rows[form]), 0)
    both = LabelledTexts(
        (*made.train.texts, *made.test.texts), (*made.train.labels, *made.test.labels)
    )
    assert dict(zip(both.texts, both.labels, strict=True)) == {
        text: tuple(sorted(labels)) for text, labels in MANY
    }
    assert made.test == read_data_set(written(tmp_path / "other.jsonl", as_rows(MANY)), 0).test
    one = draw_probe_set(made, 1000, 500, 0, TextNumbers())
    assert one.classes == ("blue", "green", "red", "short")
    assert one.y.sum(0).tolist() == [40, 40, 40, 60]
    assert abs(one.y[one.test].mean(0) - one.y.mean(0)).max() < 0.1


def test_saebenchs_pairs_hold_no_text_of_both_sides(tmp_path: Path) -> None:
    """Where texts have several labels, those without the label truly lack it, each once."""
    made = read_data_set(written(tmp_path / "t.jsonl", as_rows(MANY)), 0)
    has = dict(MANY)
    for pair in saebench.draw_pairs(made, 100, 100, 0):
        assert len(pair) > 0
        assert not pair["text"].duplicated().any()
        holds = [
            label in has[text] for text, label in zip(pair["text"], pair["label"], strict=True)
        ]
        assert holds == pair["y"].tolist()


@pytest.mark.parametrize("labels", [(0, 1), ("yes", "no"), (True, False), ("cat", "dog")])
def test_contradictions_are_counted(tmp_path: Path, labels: tuple[object, object]) -> None:
    """A text with both of two labels is left out and told; where all are, that is the error."""
    texts = documents(60)
    rows = [(text, labels[i % 2]) for i, text in enumerate(texts)]
    some = read_data_set(
        written(tmp_path / "t.jsonl", [*rows, *((text, labels[1]) for text in texts[:9])]), 0
    )
    assert not {*texts[:9:2]} & {*some.train.texts, *some.test.texts}
    assert {*texts[1:9:2]} <= {*some.train.texts, *some.test.texts}
    assert some.notices[0].startswith(
        "5 texts have two labels that exclude each other, such as rows"
    )
    assert "rows 0 and 60" in some.notices[0]
    with pytest.raises(DataError, match="60 texts have two labels that exclude each other"):
        read_data_set(
            written(
                tmp_path / "t.jsonl",
                [*rows, *((t, labels[1 - i % 2]) for i, t in enumerate(texts))],
            ),
            0,
        )


def test_a_label_that_another_row_denies_is_a_contradiction(tmp_path: Path) -> None:
    """Mappings say yes and no; the same text with both of one label is left out and told."""
    rows = [(text, {"a": i % 2 == 0, "b": i % 3 == 0}) for i, text in enumerate(documents(30))]
    made = read_data_set(written(tmp_path / "t.jsonl", [*rows, (rows[0][0], {"a": 0})]), 0)
    assert made.notices[0].startswith("1 text has")
    assert rows[0][0] not in {*made.train.texts, *made.test.texts}


@pytest.mark.parametrize(
    "yes,no",
    [
        ((True, 1, "1"), (False, 0, "0")),
        (("true", "1", "True"), ("false", "0", "False")),
        ((True, "true", 1.0), (False, "FALSE", 0.0)),
    ],
)
def test_one_label_written_in_several_ways_is_one(
    tmp_path: Path, yes: tuple[object, ...], no: tuple[object, ...]
) -> None:
    """true, 1 and "1" in one column are one class, and so are false, 0 and "0"."""
    rows = [(text, (yes if i % 2 else no)[i % 3]) for i, text in enumerate(documents(60))]
    assert read_data_set(written(tmp_path / "t.jsonl", rows), 0).train.classes == ("False", "True")


def test_truth_beside_other_labels_is_refused(tmp_path: Path) -> None:
    """True in a column of topics is a mistake, told with the label beside it."""
    rows = [(t, (True, False, "sports")[i % 3]) for i, t in enumerate(documents(30))]
    with pytest.raises(DataError, match="mixes true and false with other labels, such as 'sports'"):
        read_data_set(written(tmp_path / "t.jsonl", rows), 0)


WRITTEN = [
    lambda text: text.replace(" ", "  "),
    lambda text: f"\t{text} \n",
    lambda text: text.replace("e", "e\u200b"),
    lambda text: text.replace("é", "e\u0301"),
    lambda text: text.replace(" ", "\u00a0"),
]


@pytest.mark.parametrize("way", range(len(WRITTEN)))
def test_texts_written_otherwise_are_the_same(tmp_path: Path, way: int) -> None:
    """Blanks, Unicode forms and characters without width tell no two texts apart."""
    texts = [f"{text} café" for text in documents(40)]
    rows = [(text, i % 2) for i, text in enumerate(texts)]
    again = [(WRITTEN[way](text), label) for text, label in rows]
    assert again != rows
    made = read_data_set(written(tmp_path / "t.jsonl", [*rows, *again]), 0)
    assert len(made.train.texts) + len(made.test.texts) == 40


def test_near_duplicates_stay_on_one_side(tmp_path: Path) -> None:
    """A word changed or added makes no new text to test on; how many there are is told."""
    base = [" ".join(f"w{i}x{j}" for j in range(30)) for i in range(40)]
    near = [f"{text} added" for text in base] + [text.replace("x9 ", "x9y ") for text in base]
    rows = [(text, i % 2) for i, text in enumerate([*base, *near])]
    made = read_data_set(written(tmp_path / "t.jsonl", rows), 0)
    sides = [{text.split()[0] for text in map(str, half.texts)} for half in (made.train, made.test)]
    assert not sides[0] & sides[1]
    assert [len(made.train.texts), len(made.test.texts)] == [90, 30]
    assert "80 texts nearly repeat another" in made.notices[0]
    halves = {}
    for half, part in (("train", rows[:40]), ("test", rows[40:])):
        written(tmp_path / f"{half}.jsonl", part[:30] if half == "test" else part)
        halves[half] = str(tmp_path / f"{half}.jsonl")
    apart = read_data_set(list_data_sets([{"name": "x", **halves}])[0], 0)
    assert len(apart.train.texts) == 10
    assert "30 texts to train on are equal or nearly equal" in apart.notices[0]


def test_many_copies_of_a_template_are_no_near_duplicates() -> None:
    """Texts in one frame stay apart; 200 copies with a word of their own are one group."""
    frame = "the city of {} lies in the land of {} by the sea"
    different = [frame.format(f"a{i} b{i} c{i}", f"d{i} e{i} f{i}") for i in range(200)]
    assert len(set(equal_texts.groups(different).tolist())) == 200
    copies = [f"{different[0]} one two three four five six seven {i}" for i in range(200)]
    assert len(set(equal_texts.groups(copies).tolist())) == 1


def test_no_name_and_no_order_decides(tmp_path: Path) -> None:
    """The same rows in other files, folders and orders are split, drawn and permuted alike."""
    rows = [(text, TOPICS[i % 3]) for i, text in enumerate(documents(90))]
    (tmp_path / "deep").mkdir()
    names = ["a.jsonl", "b.csv", "deep/c.parquet"]
    drawn = []
    for turn, name in enumerate(names):
        made = read_data_set(written(tmp_path / name, rows if turn % 2 else rows[::-1]), 3)
        one = draw_probe_set(made, 40, 20, 3, TextNumbers())
        columns = permute_labels(one, 3)
        drawn.append((made.train, made.test, one.role.tolist(), columns.tolist()))
    assert drawn[0] == drawn[1] == drawn[2]


def test_an_empty_file_is_told_as_such(tmp_path: Path) -> None:
    """A failed export is named, whatever its ending, and not called a table without columns."""
    for name in ("zero.jsonl", "zero.csv", "zero.parquet"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(DataError, match=f"'.*{name}' is empty"):
            list_data_sets(str(tmp_path / name))


def test_text_in_another_encoding_says_what_to_do(tmp_path: Path) -> None:
    """latin-1 is no UTF-8: the line is named, and how to convert the file."""
    for name, body in (
        ("t.csv", "text,label\ncafé,a\n"),
        ("t.jsonl", '{"text": "café", "label": 1}\n'),
    ):
        (tmp_path / name).write_bytes(body.encode("latin-1"))
        with pytest.raises(DataError, match=r"is not UTF-8.*iconv -f latin1 -t utf-8"):
            read_data_set(list_data_sets(str(tmp_path / name))[0], 0)
