"""Labelled texts come from files, folders of sae-probes, and the hub's repositories."""

from pathlib import Path

import pandas as pd
import pytest
from saeval_tasks._hub_sets import HUB_SETS
from saeval_tasks._labelled import Labelled, chosen, content, listed, read, split

from saeval.errors import DataError, UsageError


def test_split_is_stratified_and_seeded() -> None:
    """A quarter of each label is held out; no text is on both sides; the seed decides which."""
    texts = Labelled(tuple(f"t{i}" for i in range(40)), tuple("ab"[i % 4 == 0] for i in range(40)))
    made = split("x", texts, 0)
    assert sorted(made.test.labels) == ["a"] * 8 + ["b"] * 2
    assert set(made.train.texts) | set(made.test.texts) == set(texts.texts)
    assert not set(made.train.texts) & set(made.test.texts)
    assert split("x", texts, 0) == made
    assert split("x", texts, 1) != made


def test_a_folder_of_sae_probes_is_read(tmp_path: Path) -> None:
    """Columns prompt and target; sets of quantities and repeated files are left out."""
    table = pd.DataFrame({"prompt": ["one", "two", "three"] * 4, "target": [0, 1, 1] * 4})
    for name in ("5_hist_fig_ismale", "8_nyc_lat", "38_arith_difficulty", "87_glue_cola"):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    found = listed(str(tmp_path))
    assert [one.name for one in found] == ["5_hist_fig_ismale", "87_glue_cola"]
    assert [one.name for one in chosen(found, ["*cola"])] == ["87_glue_cola"]
    assert set(read(found[0], 0).train.labels) == {"0", "1"}
    before = content(str(tmp_path))
    table.tail(9).to_csv(tmp_path / "87_glue_cola.csv", index=False)
    assert content(str(tmp_path)) != before


def test_no_text_stands_twice_or_on_both_sides(tmp_path: Path) -> None:
    """Texts that files repeat count once, and those to be tested on train nothing."""
    for half, texts in (("train", "aabcdef"), ("test", "ffggh")):
        labels = (["yes", "no"] * 4)[: len(texts)]
        table = pd.DataFrame({"text": list(texts), "label": labels})
        table.to_csv(tmp_path / f"{half}.csv", index=False)
    item = {"name": "x", "train": f"{tmp_path}/train.csv", "test": f"{tmp_path}/test.csv"}
    made = read(listed([item])[0], 0)
    assert made.train.texts == tuple("abcde")
    assert made.test.texts == tuple("fgh")
    with pytest.raises(DataError, match="held out"):
        read(listed([{**item, "train": item["test"]}])[0], 0)


def test_repositories_of_the_hub_are_read(tmp_path: Path) -> None:
    """ag_news with its test file; ratings 1.0 and 5.0 of reviews; long programs, cut."""
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
    sets = {one.name: read(one, 0) for one in listed(str(tmp_path))}
    assert sorted(sets) == ["ag_news", "amazon_reviews", "amazon_reviews_sentiment", "github_code"]
    assert sets["ag_news"].test.texts == tuple(f"test {i}" for i in range(8))
    assert set(sets["amazon_reviews_sentiment"].train.labels) == {"1", "5"}
    assert set(sets["amazon_reviews"].train.labels) == {"1", "2"}
    assert sorted(len(str(text)) for text in sets["github_code"].train.texts) == [450, 550]


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
        listed([str(path), str(path)])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="holds no data set"):
        listed(str(empty))
