"""SAEBench's sparse probing in its own form: balanced pairs, raw latents, epochs chosen on test."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.special import expit

from saeval.activations.memory import hand_back
from saeval.evidence import Evidence, units

from .._draws import generator
from .._logistic import fit_logistic_each
from .._texts.data_set import DataSet, LabelledTexts
from . import metrics as declared
from .rows import FIT, TEST, Numbers, ProbeSet, class_order, usable
from .scoring import is_right

TOP_K = (1, 2, 5)
SPARSE = {k: declared.SAEBENCH_SAE_TOP.numbered(k) for k in TOP_K}
"""On so many latents."""
SPARSE_LLM = {k: declared.SAEBENCH_LLM_TOP.numbered(k) for k in TOP_K}
"""On so many channels of the activation."""
SCORES = (*SPARSE.values(), declared.SAEBENCH_SAE)
"""What is reported of an SAE."""
RATE, DECAY, BETAS, EPSILON = 1e-2, 1e-2, (0.9, 0.999), 1e-8
"""AdamW's, decay and betas torch's defaults. Source: SAEBench 0.6.0, as the next line."""
ROWS, EPOCHS, PATIENCE = 250, 100, 10
DENSE_NUMBERS = 1 << 21
"""Up to so many numbers, texts are held densely; else they stay sparse."""


Matrix = csr_matrix | Float[np.ndarray, "rows features"]


@dataclass(frozen=True)
class Pair:
    """One label against the others, as many rows of each."""

    set: str
    label: str
    text: Int[np.ndarray, " rows"]
    y: Bool[np.ndarray, " rows"]
    test: Bool[np.ndarray, " rows"]


def drawn(
    sets: Sequence[DataSet], train: int, test: int, seed: int, number: Numbers
) -> dict[str, pd.DataFrame]:
    """Tables of what is drawn, and of what is not.

    Returns:
        `saebench`: all rows of `draw`, texts by number, and the set of each, where there are any;
        `saebench_refused`: columns part (`set/label`) and reason.
    """
    gone = [(f"{one.name}/{a}", why) for one in sets for a, why in refused(one).items()]
    tables = {"saebench_refused": pd.DataFrame(gone, columns=["part", "reason"], dtype=str)}
    rows = [pair.assign(set=one.name) for one in sets for pair in draw(one, train, test, seed)]
    if rows:
        pairs = pd.concat(rows, ignore_index=True)
        tables["saebench"] = pairs.assign(text=number(pairs["text"]))
    return tables


def draw(one: DataSet, train: int, test: int, seed: int) -> Iterator[pd.DataFrame]:
    """Rows of each label's pair: columns label, text (as the data set gives it), y, test.

    Half of the rows have the label; the others are drawn evenly from the other labels, more from
    the common ones where a rare one runs out. Labels of `refused` have none.
    """
    halves = []
    for texts, most, half in ((one.train, train, "train"), (one.test, test, "test")):
        orders = class_order(texts, seed, half).items()
        kept = {label: order[: most // 2].tolist() for label, order in orders}
        halves.append((texts, kept, half == "test"))
    for label in sorted(set(one.train.classes) - set(refused(one))):
        rng = generator(seed, f"saebench_negatives/{one.key}/{label}")
        parts = [
            _pair(texts, kept, label, rng).assign(test=is_test) for texts, kept, is_test in halves
        ]
        yield pd.concat(parts, ignore_index=True).assign(label=label)


def _pair(
    texts: LabelledTexts, kept: Mapping[str, Sequence[int]], label: str, rng: np.random.Generator
) -> pd.DataFrame:
    """As many rows of a label as of the others."""
    others = _others(texts, kept, label)
    size = min(len(kept[label]), sum(map(len, others)))
    each = -(-size // max(1, len(others)))
    while sum(min(each, len(rows)) for rows in others) < size:
        each += 1
    drawn = [rows[i] for rows in others for i in rng.permutation(len(rows))[:each]]
    no = [drawn[i] for i in rng.permutation(len(drawn))[:size]]
    text = [texts.texts[row] for row in (*kept[label][:size], *no)]
    return pd.DataFrame({"text": text, "y": [True] * size + [False] * size})


def _others(texts: LabelledTexts, kept: Mapping[str, Sequence[int]], label: str) -> list[list[int]]:
    """Texts that lack a label, by a label that they have; each stands once, however many it has."""
    seen: set[int] = set()
    others = []
    for other, rows in kept.items():
        lacking = [row for row in rows if label not in texts.labels[row] and row not in seen]
        seen.update(lacking)
        if other != label and lacking:
            others.append(lacking)
    return others


def refused(one: DataSet) -> dict[str, str]:
    """Labels that too few texts have, or lack, in either half; and why each is left out."""
    every = LabelledTexts(
        (*one.train.texts, *one.test.texts), (*one.train.labels, *one.test.labels)
    )
    role = np.repeat([FIT, TEST], [len(one.train.labels), len(one.test.labels)])
    number, y = np.arange(len(every.texts)), every.has(every.classes)
    return usable(ProbeSet(one.name, one.key, every.classes, number, y, role))[1]


def pairs(rows: pd.DataFrame) -> list[Pair]:
    """Pairs as `prepare` wrote them down."""
    return [
        Pair(
            str(own["set"].iloc[0]),
            str(own["label"].iloc[0]),
            own["text"].to_numpy(np.int64, copy=True),
            own["y"].to_numpy(bool, copy=True),
            own["test"].to_numpy(bool, copy=True),
        )
        for _, own in rows.groupby(["set", "label"], sort=False)
    ]


@dataclass(frozen=True)
class Features:
    """Features of texts in float32, dense where they fit."""

    matrix: csr_matrix | Float[np.ndarray, "texts features"]
    width: int
    """Number of features."""

    def rows(self, text: Int[np.ndarray, " rows"]) -> "Features":
        """Some texts, in dense form if they are few enough."""
        some = self.matrix[text]
        if isinstance(some, csr_matrix) and len(text) * self.width <= DENSE_NUMBERS:
            some = some.toarray()
        return Features(some, self.width)

    def columns(self, which: Int[np.ndarray, " k"]) -> Float[np.ndarray, "rows k"]:
        """Some features of all rows."""
        some = self.matrix[:, which]
        return some.toarray() if isinstance(some, csr_matrix) else some

    def mean(self, rows: Bool[np.ndarray, " rows"]) -> Float[np.ndarray, " features"]:
        """Mean of some rows."""
        return np.asarray(self.matrix[rows].mean(0), dtype=np.float64).ravel()


def verdicts(features: Features, found: Sequence[Pair], seed: int, subject: str) -> pd.DataFrame:
    """Which test rows each probe gets right: columns `top_{k}` and `all`, in the pairs' order."""
    parts = []
    for name in dict.fromkeys(one.set for one in found):
        own = [one for one in found if one.set == name]
        texts, place = np.unique(np.concatenate([one.text for one in own]), return_inverse=True)
        some = features.rows(texts)
        starts = np.cumsum([0, *(len(one.text) for one in own)])
        for one, start in zip(own, starts, strict=False):
            rows = some.rows(place[start : start + len(one.text)])
            columns = {f"top_{k}": _sparse(rows, one, k) for k in TOP_K if k <= some.width}
            rng = generator(seed, f"saebench_probe/{subject}/{one.set}/{one.label}")
            columns["all"] = trained(rows, one, rng)
            parts.append(pd.DataFrame(columns).astype(np.float64))
            hand_back()
    return pd.concat(parts, ignore_index=True)


def _sparse(rows: Features, one: Pair, k: int) -> Bool[np.ndarray, " test_rows"]:
    """Right or wrong, by a logistic probe on the k features whose means differ most."""
    train = ~one.test
    gap = np.abs(rows.mean(train & one.y) - rows.mean(train & ~one.y))
    top = np.argsort(-gap, kind="stable")[:k]
    x, y = torch.tensor(rows.columns(top)), torch.from_numpy(one.y)
    learn = torch.from_numpy(train)
    scores = fit_logistic_each(x[None, learn], y[None, learn]).scores(x)[:, 0].numpy()
    return is_right(scores, one.y)[one.test]


def trained(rows: Features, one: Pair, rng: np.random.Generator) -> Bool[np.ndarray, " test_rows"]:
    """Right or wrong, by a probe on all features: the epoch with the best *test* accuracy.

    A linear layer as torch initialises it, AdamW in batches of 250, at most 100 epochs, until ten
    epochs bring nothing better.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.
    """
    train, test = np.flatnonzero(~one.test), np.flatnonzero(one.test)
    y = one.y.astype(np.float32)
    bound = 1 / np.sqrt(rows.width)
    w = rng.uniform(-bound, bound, rows.width + 1).astype(np.float32)
    first, second = np.zeros_like(w), np.zeros_like(w)
    best, waited, step = np.zeros(len(test), bool), 0, 0
    for _ in range(EPOCHS):
        order = rng.permutation(train)
        for start in range(0, len(order), ROWS):
            index, step = order[start : start + ROWS], step + 1
            gradient = _gradient(rows.matrix[index], y[index], w)
            first += (1 - BETAS[0]) * (gradient - first)
            second += (1 - BETAS[1]) * (gradient**2 - second)
            w *= 1 - RATE * DECAY
            spread = np.sqrt(second / (1 - BETAS[1] ** step)) + EPSILON
            w -= RATE / (1 - BETAS[0] ** step) * first / spread
        right = (_logits(rows.matrix[test], w) > 0) == one.y[test]
        better = right.sum() > best.sum()
        best, waited = (right, 0) if better else (best, waited + 1)
        if waited >= PATIENCE:
            break
    return best


def _gradient(
    x: Matrix, y: Float[np.ndarray, " rows"], w: Float[np.ndarray, " features_plus_1"]
) -> Float[np.ndarray, " features_plus_1"]:
    """Of the mean binary cross-entropy; the bias comes last."""
    wrong = (expit(_logits(x, w)) - y) / np.float32(len(y))
    return np.append(x.T @ wrong, wrong.sum())


def _logits(x: Matrix, w: Float[np.ndarray, " features_plus_1"]) -> Float[np.ndarray, " rows"]:
    """Log-odds of rows."""
    return x @ w[:-1] + w[-1]


def evidence(found: Sequence[Pair], sae: pd.DataFrame, llm: pd.DataFrame) -> Iterator[Evidence]:
    """Accuracies under SAEBench's names: of all data sets, each counting the same, then of each.

    Within a data set every label counts the same.
    """
    columns = {
        **{metric: sae[f"top_{k}"] for k, metric in SPARSE.items() if f"top_{k}" in sae},
        **{metric: llm[f"top_{k}"] for k, metric in SPARSE_LLM.items() if f"top_{k}" in llm},
        declared.SAEBENCH_SAE: sae["all"],
        declared.SAEBENCH_LLM: llm["all"],
    }
    sizes = [int(one.test.sum()) for one in found]
    text = np.concatenate([one.text[one.test] for one in found])
    label = np.repeat([one.label for one in found], sizes)
    rank = np.concatenate([np.arange(size) for size in sizes])
    table = units(
        "saebench_rows",
        "test row in text",
        {metric.name: column.to_numpy() for metric, column in columns.items()},
        part=np.repeat([one.set for one in found], sizes),
        unit_id=[f"{a}/{b}" for a, b in zip(label, rank, strict=True)],
        cluster=text,
        weight=np.repeat([1 / size for size in sizes], sizes),
    )
    parts: Iterable[str | None] = [None, *dict.fromkeys(one.set for one in found)]
    for part in parts:
        for metric in columns:
            how = "ratio_of_sums/1" if part else "macro_average/1"
            yield metric.evidence(table, {"num": metric.name}, aggregator=how, part=part)
