"""`probing` under compat saebench draws balanced pairs, and a rare label is its own affair."""

from collections import Counter

import numpy as np
import pandas as pd
from saeval_tasks._texts.data_set import DataSet, LabelledTexts
from saeval_tasks.probing import saebench
from saeval_tasks.probing.rows import TextNumbers


def labelled(**counts: int) -> LabelledTexts:
    """So many texts of each label, whose first letter is the label."""
    texts = tuple(f"{label}{i}" for label, count in counts.items() for i in range(count))
    return LabelledTexts(texts, tuple((text[0],) for text in texts))


SETS = DataSet("s", labelled(a=90, b=90, c=20, d=5), labelled(a=40, b=40, c=12, e=20), "s")


def pair(label: str, *, test: bool) -> pd.DataFrame:
    """One half of a label's rows, of at most 100 and 40."""
    (found,) = [
        one for one in saebench.draw_pairs(SETS, 100, 40, 0) if one["label"].iloc[0] == label
    ]
    return found.loc[found["test"] == test]


def test_a_rare_label_shrinks_only_its_own_pair() -> None:
    """Common labels have all rows that were asked for; others stand in where a rare one runs out.

    Of 50 texts without b, 17 each are due from a, c and d; d has 5, so a and c give more.
    """
    for label, rows in (("a", 100), ("b", 100), ("c", 40)):
        half = pair(label, test=False)
        assert half["y"].tolist() == [True] * (rows // 2) + [False] * (rows // 2)
        assert half["text"].is_unique
        assert (half["text"].str[0] == label).tolist() == half["y"].tolist()
    without = pair("b", test=False).query("not y")["text"]
    assert Counter(without.str[0]) == {"a": 25, "c": 20, "d": 5}
    assert len(pair("c", test=True)) == 24
    scarce = DataSet("s", labelled(a=90, b=21), labelled(a=40, b=10), "s")
    assert [len(one) for one in saebench.draw_pairs(scarce, 100, 40, 0)] == [62, 62]


def test_labels_with_too_few_texts_are_told() -> None:
    """Label d has 5 train texts and no test text, e no train text: no rows, but a reason each."""
    tables = saebench.pair_tables([SETS], 100, 40, 0, TextNumbers())
    assert set(tables["saebench"]["label"]) == set("abc")
    told = dict(tables["saebench_refused"].to_numpy().tolist())
    assert told["s/d"] == "Only 5 train rows have this label; at least 20 are needed."
    assert told["s/e"] == "Only 0 train rows have this label; at least 20 are needed."
    few = DataSet("few", labelled(a=9, b=9), labelled(a=9, b=9), "few")
    tables = saebench.pair_tables([few], 100, 40, 0, TextNumbers())
    assert tables["saebench_refused"]["part"].tolist() == ["few/a", "few/b"]
    assert "saebench" not in tables


def test_huge_features_overflow_nowhere() -> None:
    """Log-odds beyond what exp can hold give probabilities of 0 and 1, and no warning."""
    y = np.arange(40) % 2 == 0
    x = np.where(y, 1e6, -1e6).astype(np.float32)[:, None]
    one = saebench.Pair("s", "a", np.arange(40), y, np.arange(40) >= 20)
    assert saebench.trained(saebench.Features(x, 1), one, np.random.default_rng(0)).all()
