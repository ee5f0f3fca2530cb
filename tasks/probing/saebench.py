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
from .rows import FIT, TEST, ProbeSet, TextNumbers, class_order, with_usable_labels
from .scoring import is_right

TOP_K = (1, 2, 5)
SPARSE = {k: declared.SAEBENCH_SAE_TOP.numbered(k) for k in TOP_K}
"""Metrics of the probe on k latents, by k."""
SPARSE_LLM = {k: declared.SAEBENCH_LLM_TOP.numbered(k) for k in TOP_K}
"""Metrics of the probe on k channels of the activation, by k."""
SCORES = (*SPARSE.values(), declared.SAEBENCH_SAE)
"""All metrics that depend on the SAE."""
RATE, DECAY, BETAS, EPSILON = 1e-2, 1e-2, (0.9, 0.999), 1e-8
"""Parameters of AdamW; decay and betas are torch's defaults. Source, also of the next line:
SAEBench 0.6.0."""
ROWS, EPOCHS, PATIENCE = 250, 100, 10
DENSE_NUMBERS = 1 << 21
"""Texts with up to so many numbers become a dense matrix; larger ones stay sparse."""


Matrix = csr_matrix | Float[np.ndarray, "rows features"]


@dataclass(frozen=True)
class Pair:
    """One label against the others, with equally many rows of both."""

    set: str
    label: str
    text: Int[np.ndarray, " rows"]
    y: Bool[np.ndarray, " rows"]
    test: Bool[np.ndarray, " rows"]


def pair_tables(
    sets: Sequence[DataSet], train: int, test: int, seed: int, numbers: TextNumbers
) -> dict[str, pd.DataFrame]:
    """Tables of the pairs that are drawn, and of the labels that cannot have one.

    Returns:
        `saebench`: all rows of `draw_pairs` with the set of each, texts by number; absent if empty.
        `saebench_refused`: columns part (`set/label`) and reason.
    """
    refusals = [
        (f"{data_set.name}/{label}", reason)
        for data_set in sets
        for label, reason in refusal_reasons(data_set).items()
    ]
    tables = {"saebench_refused": pd.DataFrame(refusals, columns=["part", "reason"], dtype=str)}
    rows = [
        pair.assign(set=data_set.name)
        for data_set in sets
        for pair in draw_pairs(data_set, train, test, seed)
    ]
    if rows:
        pairs = pd.concat(rows, ignore_index=True)
        tables["saebench"] = pairs.assign(text=numbers(pairs["text"]))
    return tables


def draw_pairs(data_set: DataSet, train: int, test: int, seed: int) -> Iterator[pd.DataFrame]:
    """Rows of each label's pair: columns label, text (as the data set gives it), y, test.

    Half of the rows have the label; the others are drawn evenly from the other labels, more from
    the common ones where a rare one runs out. Labels of `refusal_reasons` have none.
    """
    halves = []
    for texts, size, half in ((data_set.train, train, "train"), (data_set.test, test, "test")):
        orders = class_order(texts, seed, half).items()
        rows_by_label = {label: order[: size // 2].tolist() for label, order in orders}
        halves.append((texts, rows_by_label, half == "test"))
    for label in sorted(set(data_set.train.classes) - set(refusal_reasons(data_set))):
        rng = generator(seed, f"saebench_negatives/{data_set.key}/{label}")
        parts = [
            _draw_pair(texts, rows_by_label, label, rng).assign(test=is_test)
            for texts, rows_by_label, is_test in halves
        ]
        yield pd.concat(parts, ignore_index=True).assign(label=label)


def _draw_pair(
    texts: LabelledTexts,
    rows_by_label: Mapping[str, Sequence[int]],
    label: str,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Equally many rows with a label and without it."""
    others = _texts_by_other_label(texts, rows_by_label, label)
    size = min(len(rows_by_label[label]), sum(map(len, others)))
    per_label = -(-size // max(1, len(others)))
    while sum(min(per_label, len(rows)) for rows in others) < size:
        per_label += 1
    negatives = [rows[i] for rows in others for i in rng.permutation(len(rows))[:per_label]]
    sample = [negatives[i] for i in rng.permutation(len(negatives))[:size]]
    text = [texts.texts[row] for row in (*rows_by_label[label][:size], *sample)]
    return pd.DataFrame({"text": text, "y": [True] * size + [False] * size})


def _texts_by_other_label(
    texts: LabelledTexts, rows_by_label: Mapping[str, Sequence[int]], label: str
) -> list[list[int]]:
    """Texts without a label, grouped by a label that they have; each text is in one group only."""
    used: set[int] = set()
    others = []
    for other, rows in rows_by_label.items():
        new_rows = [row for row in rows if label not in texts.labels[row] and row not in used]
        used.update(new_rows)
        if other != label and new_rows:
            others.append(new_rows)
    return others


def refusal_reasons(data_set: DataSet) -> dict[str, str]:
    """Labels that too few texts have, or lack, in either half; and why each is left out."""
    all_texts = LabelledTexts(
        (*data_set.train.texts, *data_set.test.texts),
        (*data_set.train.labels, *data_set.test.labels),
    )
    role = np.repeat([FIT, TEST], [len(data_set.train.labels), len(data_set.test.labels)])
    number, y = np.arange(len(all_texts.texts)), all_texts.has(all_texts.classes)
    return with_usable_labels(
        ProbeSet(data_set.name, data_set.key, all_texts.classes, number, y, role)
    )[1]


def read_pairs(rows: pd.DataFrame) -> list[Pair]:
    """Pairs from the table that `prepare` gave."""
    return [
        Pair(
            str(pair_rows["set"].iloc[0]),
            str(pair_rows["label"].iloc[0]),
            pair_rows["text"].to_numpy(np.int64, copy=True),
            pair_rows["y"].to_numpy(bool, copy=True),
            pair_rows["test"].to_numpy(bool, copy=True),
        )
        for _, pair_rows in rows.groupby(["set", "label"], sort=False)
    ]


@dataclass(frozen=True)
class Features:
    """Features of texts in float32, dense where they fit."""

    matrix: csr_matrix | Float[np.ndarray, "texts features"]
    width: int
    """Number of features."""

    def rows(self, text: Int[np.ndarray, " rows"]) -> "Features":
        """Some texts, in dense form if they are few enough."""
        selection = self.matrix[text]
        if isinstance(selection, csr_matrix) and len(text) * self.width <= DENSE_NUMBERS:
            selection = selection.toarray()
        return Features(selection, self.width)

    def columns(self, index: Int[np.ndarray, " k"]) -> Float[np.ndarray, "rows k"]:
        """Some features of all rows, in dense form."""
        selection = self.matrix[:, index]
        return selection.toarray() if isinstance(selection, csr_matrix) else selection

    def mean(self, rows: Bool[np.ndarray, " rows"]) -> Float[np.ndarray, " features"]:
        """Mean of some rows."""
        return np.asarray(self.matrix[rows].mean(0), dtype=np.float64).ravel()


def verdicts(features: Features, pairs: Sequence[Pair], seed: int, origin: str) -> pd.DataFrame:
    """Test rows that each probe gets right: columns `top_{k}` and `all`, in the pairs' order."""
    parts = []
    for name in dict.fromkeys(pair.set for pair in pairs):
        set_pairs = [pair for pair in pairs if pair.set == name]
        texts, text_index = np.unique(
            np.concatenate([pair.text for pair in set_pairs]), return_inverse=True
        )
        set_features = features.rows(texts)
        starts = np.cumsum([0, *(len(pair.text) for pair in set_pairs)])
        for pair, start in zip(set_pairs, starts, strict=False):
            rows = set_features.rows(text_index[start : start + len(pair.text)])
            columns = {
                f"top_{k}": _sparse_verdicts(rows, pair, k)
                for k in TOP_K
                if k <= set_features.width
            }
            rng = generator(seed, f"saebench_probe/{origin}/{pair.set}/{pair.label}")
            columns["all"] = trained(rows, pair, rng)
            parts.append(pd.DataFrame(columns).astype(np.float64))
            hand_back()
    return pd.concat(parts, ignore_index=True)


def _sparse_verdicts(rows: Features, pair: Pair, k: int) -> Bool[np.ndarray, " test_rows"]:
    """Right or wrong, by a logistic probe on the k features whose means differ most."""
    train = ~pair.test
    gap = np.abs(rows.mean(train & pair.y) - rows.mean(train & ~pair.y))
    top = np.argsort(-gap, kind="stable")[:k]
    x, y = torch.tensor(rows.columns(top)), torch.from_numpy(pair.y)
    train_index = torch.from_numpy(train)
    scores = fit_logistic_each(x[None, train_index], y[None, train_index]).scores(x)[:, 0].numpy()
    return is_right(scores, pair.y)[pair.test]


def trained(rows: Features, pair: Pair, rng: np.random.Generator) -> Bool[np.ndarray, " test_rows"]:
    """Right or wrong, by a probe on all features: the epoch with the best *test* accuracy.

    A linear layer as torch initialises it, AdamW in batches of 250, at most 100 epochs, until ten
    epochs bring nothing better.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.
    """
    train, test = np.flatnonzero(~pair.test), np.flatnonzero(pair.test)
    y = pair.y.astype(np.float32)
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
        right = (_logits(rows.matrix[test], w) > 0) == pair.y[test]
        better = right.sum() > best.sum()
        best, waited = (right, 0) if better else (best, waited + 1)
        if waited >= PATIENCE:
            break
    return best


def _gradient(
    x: Matrix, y: Float[np.ndarray, " rows"], w: Float[np.ndarray, " features_plus_1"]
) -> Float[np.ndarray, " features_plus_1"]:
    """Gradient of the mean binary cross-entropy; the bias comes last."""
    wrong = (expit(_logits(x, w)) - y) / np.float32(len(y))
    return np.append(x.T @ wrong, wrong.sum())


def _logits(x: Matrix, w: Float[np.ndarray, " features_plus_1"]) -> Float[np.ndarray, " rows"]:
    """Log-odds of rows."""
    return x @ w[:-1] + w[-1]


def accuracy_evidence(
    pairs: Sequence[Pair], sae: pd.DataFrame, llm: pd.DataFrame
) -> Iterator[Evidence]:
    """Accuracies under SAEBench's names: of all data sets, each counting the same, then of each.

    Within a data set every label counts the same.
    """
    columns = {
        **{metric: sae[f"top_{k}"] for k, metric in SPARSE.items() if f"top_{k}" in sae},
        **{metric: llm[f"top_{k}"] for k, metric in SPARSE_LLM.items() if f"top_{k}" in llm},
        declared.SAEBENCH_SAE: sae["all"],
        declared.SAEBENCH_LLM: llm["all"],
    }
    sizes = [int(pair.test.sum()) for pair in pairs]
    text = np.concatenate([pair.text[pair.test] for pair in pairs])
    label = np.repeat([pair.label for pair in pairs], sizes)
    rank = np.concatenate([np.arange(size) for size in sizes])
    table = units(
        "saebench_rows",
        "test row in text",
        {metric.name: column.to_numpy() for metric, column in columns.items()},
        part=np.repeat([pair.set for pair in pairs], sizes),
        unit_id=[f"{a}/{b}" for a, b in zip(label, rank, strict=True)],
        cluster=text,
        weight=np.repeat([1 / size for size in sizes], sizes),
    )
    parts: Iterable[str | None] = [None, *dict.fromkeys(pair.set for pair in pairs)]
    for part in parts:
        for metric in columns:
            aggregator = "ratio_of_sums/1" if part else "macro_average/1"
            yield metric.evidence(table, {"num": metric.name}, aggregator=aggregator, part=part)
