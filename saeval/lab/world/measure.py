"""How good the world's model is: loss against entropy, answers, probes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor
from transformers import GPTNeoXForCausalLM

from saeval.lab.world.documents import Documents
from saeval.lab.world.model import LENGTH
from saeval.lab.world.quiz import LETTERS, Question
from saeval.lab.world.vocabulary import BOS, EOS, PAD
from saeval.lab.world.world import World

BATCH = 100
"""Rows per forward pass."""
BlockEdit = Callable[[Float[Tensor, "rows seq d_model"], Int[Tensor, "rows seq"]], Tensor]
"""Changes a block's output, given the rows' token ids."""


@dataclass(frozen=True)
class LossAndEntropy:
    """Loss and entropy in nats per token, over the same tokens, ends of documents included."""

    loss: float
    entropy: float

    @property
    def gap(self) -> float:
        """Loss above entropy: what the model has not learned, or cannot know of the split."""
        return self.loss - self.entropy


def pad_rows(world: World, rows: Sequence[Sequence[int]]) -> Int[np.ndarray, "rows seq"]:
    """BOS and the tokens of each row, padded at the right."""
    padded = np.full((len(rows), 1 + max(map(len, rows))), world.vocabulary.ids[PAD])
    padded[:, 0] = world.vocabulary.ids[BOS]
    for i, row in enumerate(rows):
        padded[i, 1 : 1 + len(row)] = row
    return padded


def text_rows(world: World, texts: Sequence[str]) -> Int[np.ndarray, "rows seq"]:
    """Padded rows of texts."""
    ids = world.vocabulary.ids
    return pad_rows(world, [[ids[t] for t in text.split()] for text in texts])


@contextmanager
def edited(
    model: GPTNeoXForCausalLM, layer: int, ids: Tensor, edit: BlockEdit | None
) -> Iterator[None]:
    """While open, `edit` changes the output of block `layer`."""
    if edit is None:
        yield
        return

    def change(_module: object, _args: object, output: Tensor | tuple[Tensor, ...]) -> object:
        if isinstance(output, tuple):
            return (edit(output[0], ids), *output[1:])
        return edit(output, ids)

    handle = model.gpt_neox.layers[layer].register_forward_hook(change)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def losses_by_genre(
    world: World, model: GPTNeoXForCausalLM, documents: Documents
) -> Mapping[str, LossAndEntropy]:
    """Loss and entropy of each genre and of `all`, one document per row.

    Genres with a document longer than the rows of training are left out: the model saw only
    beginnings of such documents, and their entropy is known as a whole.
    """
    bounds = zip(documents.starts[:-1], documents.starts[1:], strict=True)
    eos = world.vocabulary.ids[EOS]
    tokens = np.diff(documents.starts) + 1
    rows = [[*documents.flat[a:b].tolist(), eos] for a, b in bounds]
    ids = torch.from_numpy(pad_rows(world, rows)[:, :LENGTH])
    loss = np.zeros(len(ids))
    for i in range(0, len(ids), BATCH):
        batch = ids[i : i + BATCH]
        logits = model(batch).logits[:, :-1].float()
        token_losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), batch[:, 1:], reduction="none",
            ignore_index=world.vocabulary.ids[PAD],
        )  # fmt: skip
        loss[i : i + BATCH] = token_losses.double().sum(1).numpy()
    groups = {name: documents.genre_of == g for g, name in enumerate(documents.genres)}
    groups = {name: rows for name, rows in groups.items() if tokens[rows].max(initial=0) < LENGTH}
    groups = {"all": np.logical_or.reduce([*groups.values()]), **groups}
    return {
        name: LossAndEntropy(
            float(loss[in_genre].sum() / tokens[in_genre].sum()),
            float(-documents.log_p[in_genre].sum() / tokens[in_genre].sum()),
        )
        for name, in_genre in groups.items()
        if in_genre.any()
    }


@torch.inference_mode()
def answers_right(
    world: World, model: GPTNeoXForCausalLM, questions: Sequence[Question],
    *, layer: int = 0, edit: BlockEdit | None = None,
) -> Bool[np.ndarray, " questions"]:  # fmt: skip
    """Whether the likeliest of the four letters is the right one, for each question."""
    ids = torch.from_numpy(text_rows(world, [q.prompt for q in questions]))
    letters = [world.vocabulary.ids[x] for x in LETTERS]
    correct = []
    for i in range(0, len(ids), BATCH):
        rows = ids[i : i + BATCH]
        with edited(model, layer, rows, edit):
            logits = model(rows).logits[:, -1]
        best = logits[:, letters].argmax(1).tolist()
        part = questions[i : i + BATCH]
        correct += [q.answer == LETTERS[b] for b, q in zip(best, part, strict=True)]
    return np.array(correct, bool)


def block_outputs(
    model: GPTNeoXForCausalLM, ids: Int[np.ndarray, "rows seq"]
) -> Iterator[tuple[slice, Float[Tensor, "layers rows seq d_model"]]]:
    """Outputs of all blocks, some rows at a time."""
    outputs: list[Tensor] = []

    def record(_module: object, _args: object, output: Tensor | tuple[Tensor, ...]) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    handles = [block.register_forward_hook(record) for block in model.gpt_neox.layers]
    try:
        for i in range(0, len(ids), BATCH):
            outputs.clear()
            with torch.inference_mode():
                model.gpt_neox(torch.from_numpy(ids[i : i + BATCH]))
            yield slice(i, min(i + BATCH, len(ids))), torch.stack(outputs)
    finally:
        for handle in handles:
            handle.remove()


def pooled(
    world: World, model: GPTNeoXForCausalLM, texts: Sequence[str]
) -> Float[np.ndarray, "layers texts d_model"]:
    """Mean of each block's output over a text's tokens, BOS left out.

    Texts are cut to the length of the rows of training.
    """
    ids = text_rows(world, texts)[:, :LENGTH]
    parts = []
    for rows, outputs in block_outputs(model, ids):
        mask = torch.from_numpy(ids[rows, 1:] != world.vocabulary.ids[PAD]).float()[..., None]
        parts.append(((outputs[:, :, 1:] * mask).sum(2) / mask.sum(1)).numpy())
    return np.concatenate(parts, axis=1)


def probe_auc(
    world: World, model: GPTNeoXForCausalLM, *, train: int = 100, test: int = 60, seed: int = 0
) -> Mapping[str, list[float]]:
    """Area under the ROC curve of logistic probes on mean-pooled outputs, one value per block.

    One probe for each label against the others of its set, one for a set of two; the mean of all.
    """
    scores = {}
    for group in world.label_sets(train=train, test=test, seed=seed):
        x, z = (pooled(world, model, half.texts) for half in (group.train, group.test))
        labels = sorted(set(group.train.labels))
        labels = labels[1:] if len(labels) == 2 else labels
        y, truth = (np.array(half.labels) for half in (group.train, group.test))
        scores[group.name] = [
            float(np.mean([_auc(x[i], y == v, z[i], truth == v) for v in labels]))
            for i in range(len(x))
        ]
    return scores


def _auc(x: np.ndarray, y: np.ndarray, z: np.ndarray, truth: np.ndarray) -> float:
    """AUC on `z` of a probe that was trained on `x`, both standardised by `x`."""
    mean, scale = x.mean(0), x.std(0) + 1e-6
    probe = LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced")
    probe.fit((x - mean) / scale, y)
    return float(roc_auc_score(truth, probe.decision_function((z - mean) / scale)))


def first_letter_f1(
    world: World, model: GPTNeoXForCausalLM, *, share: float = 1.0, seed: int = 0
) -> list[float]:
    """Weighted F1 of linear first-letter probes at a word's own position, one value per block.

    Each word stands after three spelled words. A fifth of the words tests the probe (the model was
    taught to spell them all). Initial letters of fewer than ten words are left out. With a `share`
    below 1 only that part of the words is used.
    """
    rng = np.random.default_rng([seed, 7])
    words = np.array(world.spelling_words())
    words = words[rng.permutation(len(words)) < max(200, share * len(words))]
    initial = np.array([w[0] for w in words])
    names, counts = np.unique(initial, return_counts=True)
    common = np.isin(initial, names[counts >= 10])
    words, initial = words[common], initial[common]
    shots = rng.choice(words, (len(words), 3))
    texts = [
        " ".join(f"{s} {s[0].upper()}" for s in row) + f" {word}"
        for row, word in zip(shots, words, strict=True)
    ]
    ids = text_rows(world, texts)
    x = np.concatenate([o[:, :, -1].numpy() for _, o in block_outputs(model, ids)], axis=1)
    is_test = rng.permutation(len(words)) < len(words) // 5
    scores = []
    for layer in x:
        mean, scale = layer[~is_test].mean(0), layer[~is_test].std(0) + 1e-6
        probe = LogisticRegression(C=1.0, max_iter=300)
        probe.fit((layer[~is_test] - mean) / scale, initial[~is_test])
        guess = probe.predict((layer[is_test] - mean) / scale)
        scores.append(float(f1_score(initial[is_test], guess, average="weighted")))
    return scores
