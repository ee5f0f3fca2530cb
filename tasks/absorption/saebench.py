"""SAEBench's own first-letter absorption, faults included, for comparison with its figures.

Source: SAEBench 0.6.0, evals/absorption, as read. Where it is unseeded, this is seeded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

from saeval.activations import ActivationSource
from saeval.evidence import Evidence, Metric, Missing, units
from saeval.sae import SAE

from .._draws import generator
from .._encoded import acts_of
from .._f1 import f1_score
from .._logistic import fit_logistic_each
from . import saebench_metrics as declared
from .letters import MOST_MAIN, SPLIT_GAIN
from .projections import (
    SHARE,
    SLIGHTLY_ALIGNED,
    Carried,
    absorption_fraction,
    carried_by_others,
    unit_projections,
)
from .saebench_probes import SPARSE, TRUTH, fit_probe
from .words import (
    LETTERS,
    activations_of,
    alphabetic_tokens,
    spelling_prompts,
    split_prompts,
)

TEMPLATE = "{word} has the first letter: {letter}"
EXAMPLES = 10
TRAIN_SHARE = 0.8
SILENT = 1e-8
"""Acts below this are silent."""


@dataclass(frozen=True)
class Reference:
    """Words, activations and probes: what does not depend on the SAE."""

    x: Float[np.ndarray, "words d_in"]
    letter: Int[np.ndarray, " words"]
    is_test: Bool[np.ndarray, " words"]
    weight: Float[np.ndarray, "letters d_in"]
    """Weights of the probe that stands for the truth."""
    f1: Float[np.ndarray, " letters"]
    """F1 of that probe on test words."""
    x_scored: Float[np.ndarray, "scored d_in"]
    """Test words that their probe recognises, of usable letters, in new prompts."""
    letter_scored: Int[np.ndarray, " scored"]

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "Reference":
        """The reference from the arrays that `arrays` gave."""
        return cls(**{name: arrays[f"saebench_{name}"] for name in cls.__dataclass_fields__})

    def arrays(self) -> dict[str, np.ndarray]:
        """All fields as arrays, by name."""
        return {f"saebench_{name}": getattr(self, name) for name in self.__dataclass_fields__}


def read(source: ActivationSource, tokenizer: Any, seed: int, min_f1: float) -> Reference:
    """Words, prompts, activations and the probe that stands for the truth.

    Words are all alphabetic tokens, those with a space before them and those without, however
    the model reads them within the prompt.
    """
    words = alphabetic_tokens(tokenizer)
    rank = generator(seed, "saebench split").permutation(len(words.text))
    letter, is_test = words.letter, rank >= round(TRAIN_SHARE * len(rank))
    rng = generator(seed, "saebench prompts")
    texts = split_prompts(words, is_test.astype(np.int64), TEMPLATE, EXAMPLES, rng)
    x = activations_of(source, source.tokenize(texts, name="spelling prompts"))
    is_letter = letter[:, None] == np.arange(len(LETTERS))
    rng = generator(seed, "saebench probe")
    weight, bias = fit_probe(x[~is_test], is_letter[~is_test], TRUTH, rng)
    yes = x @ weight.T + bias > 0
    f1 = f1_score(yes[is_test], is_letter[is_test])
    scored = np.flatnonzero(is_test & (yes & is_letter)[:, f1 > min_f1].any(1))
    x_scored = x[:0]
    if len(scored):
        scored_rng = generator(seed, "saebench scored prompts")
        texts = spelling_prompts(
            words.take(scored).text, words.text, TEMPLATE, EXAMPLES, scored_rng
        )
        x_scored = activations_of(source, source.tokenize(texts, name="scored prompts"))
    return Reference(x, letter, is_test, weight, f1, x_scored, letter[scored])


def score(
    sae: SAE, reference: Reference, seed: int, min_f1: float, min_letters: int
) -> Iterator[Evidence | Missing]:
    """SAEBench's three means, and the quality of the probes they rest on."""
    usable = np.flatnonzero(reference.f1 > min_f1)
    yield from _probe_evidence(reference, usable)
    if len(usable) < min_letters or not len(reference.letter_scored):
        reason = (
            f"SAEBench wants {min_letters} letters whose probe has F1 above {min_f1:g}; there are "
            f"{len(usable)}. Set absorption.min_letters or absorption.min_probe_f1."
        )
        for metric in MEANS.values():
            yield metric.missing(reason)
        return
    acts = acts_of(sae, np.concatenate([reference.x, reference.x_scored]))
    words, scored = acts[: len(reference.x)], acts[len(reference.x) :]
    main, k1 = _main_latents(words, reference, usable, sae.d_sae, seed)
    table = units(
        "saebench_one_latent",
        "letter of words",
        {"f1": k1, "words": _test_words(reference)},
        unit_id=LETTERS,
    )
    yield declared.SAE_K1_F1.evidence(table, {"num": "f1"})
    yield from _mean_evidence(
        {number: _letter_figures(sae, scored, reference, number, main[number]) for number in main}
    )


MEANS: Mapping[str, Metric] = {
    "fraction": declared.MEAN_ABSORPTION_FRACTION,
    "full": declared.MEAN_FULL_ABSORPTION,
    "split": declared.MEAN_NUM_SPLIT_FEATURES,
}
"""Column of the letters' table -> metric."""


def _probe_evidence(reference: Reference, usable: Int[np.ndarray, " usable"]) -> Iterator[Evidence]:
    """Quality of the probes that stand for the truth."""
    table = units(
        "saebench_probes",
        "letter of words",
        {
            "f1": reference.f1,
            "usable": np.isin(np.arange(len(LETTERS)), usable),
            "share": np.full(len(LETTERS), 1 / len(LETTERS)),
            "words": _test_words(reference),
        },
        unit_id=LETTERS,
    )
    yield declared.PROBE_F1.evidence(table, {"num": "f1"})
    yield declared.LETTERS_ABOVE_MIN_F1.evidence(table, {"num": "usable", "den": "share"})


def _test_words(reference: Reference) -> Int[np.ndarray, " letters"]:
    """Number of test words of every letter."""
    return np.bincount(reference.letter[reference.is_test], minlength=len(LETTERS))


def _mean_evidence(rows: Mapping[int, Mapping[str, float]]) -> Iterator[Evidence]:
    """Means over letters of what `_letter_figures` gives for each."""
    table = units(
        "saebench_letters",
        "letter of words",
        {str(name): column.to_numpy() for name, column in pd.DataFrame([*rows.values()]).items()},
        unit_id=[LETTERS[letter] for letter in rows],
    )
    for column, metric in MEANS.items():
        yield metric.evidence(table, {"num": column})


def _main_latents(
    acts: csr_matrix,
    reference: Reference,
    usable: Int[np.ndarray, " usable"],
    d_sae: int,
    seed: int,
) -> tuple[dict[int, list[int]], Float[np.ndarray, " letters"]]:
    """Latents of each usable letter, and the F1 of every letter's first.

    Latents are ranked by their weight in one probe on all of them. Then each letter takes one more
    as long as a logistic probe on its latents so far gains in F1 on test words. Latents that are
    silent on all training words are left out: nothing but the penalty moves their weights.
    """
    train = acts[~reference.is_test]
    alive = np.unique(train.indices)
    is_letter = reference.letter[:, None] == np.arange(len(LETTERS))
    weight, _ = fit_probe(
        train[:, alive],
        is_letter[~reference.is_test],
        SPARSE,
        generator(seed, "saebench sparse probe"),
        fan_in=d_sae,
    )
    limit = min(MOST_MAIN, len(alive))
    ranked = alive[np.argsort(-weight, axis=1, kind="stable")[:, :limit]]
    columns = np.unique(ranked)
    column_acts = acts[:, columns].toarray()
    k1 = few_latents_f1(
        column_acts, np.searchsorted(columns, ranked[:, :1]), is_letter, reference.is_test
    )
    latent_counts, last_f1 = dict.fromkeys(usable.tolist(), 1), k1.copy()
    growing = usable
    for k in range(2, limit + 1):
        if not len(growing):
            break
        places = np.searchsorted(columns, ranked[growing, :k])
        f1 = few_latents_f1(column_acts, places, is_letter[:, growing], reference.is_test)
        gains = f1 > last_f1[growing] + SPLIT_GAIN
        growing = growing[gains]
        last_f1[growing] = f1[gains]
        latent_counts |= dict.fromkeys(growing.tolist(), k)
    return {letter: ranked[letter, :k].tolist() for letter, k in latent_counts.items()}, k1


def few_latents_f1(
    acts: Float[np.ndarray, "words latents"],
    columns: Int[np.ndarray, "letters k"],
    is_letter: Bool[np.ndarray, "words letters"],
    is_test: Bool[np.ndarray, " words"],
) -> Float[np.ndarray, " letters"]:
    """F1 on test words of a class-balanced logistic probe on k latents, letter by letter."""
    f1 = np.zeros(len(columns))
    label = is_letter[~is_test].T
    varied = np.flatnonzero(label.any(1) & ~label.all(1))  # other letters leave nothing to fit
    if not len(varied):
        return f1
    x = torch.from_numpy(acts[:, columns[varied]]).movedim(1, 0)
    share = label[varied].mean(1, keepdims=True)
    balance = np.where(label[varied], 0.5 / share, 0.5 / (1 - share))
    train, test = torch.from_numpy(~is_test), torch.from_numpy(is_test)
    probes = fit_logistic_each(
        x[:, train], torch.from_numpy(label[varied]), rows=torch.from_numpy(balance)
    )
    logits = (x[:, test].double() @ probes.coef[..., None])[..., 0] + probes.intercept[:, None]
    f1[varied] = f1_score(logits.numpy().T > 0, is_letter[is_test][:, varied])
    return f1


def _letter_figures(
    sae: SAE, acts: csr_matrix, reference: Reference, letter: int, main: list[int]
) -> dict[str, float]:
    """Absorption of one letter, summed over its scored words and divided by their number."""
    words = np.flatnonzero(reference.letter_scored == letter)
    if not len(words):
        return {"fraction": 0.0, "full": 0.0, "split": float(len(main)), "words": 0.0}
    direction = reference.weight[letter] / np.linalg.norm(reference.weight[letter])
    total = reference.x_scored[words] @ direction
    main_index, active = np.array(main), acts[words]
    main_acts = active[:, main_index].toarray()
    _, cosine = unit_projections(sae, main_index, direction)
    carried = carried_by_others(sae, active, main_index, direction, unit_rows=True)
    fraction = absorption_fraction(main_acts @ cosine, carried.absorbing, total)
    is_whole = absorbed_whole_by_top((main_acts < SILENT).all(1), carried, total)
    return {
        "fraction": float(fraction.mean()),
        "full": float(is_whole.mean()),
        "split": float(len(main)),
        "words": float(len(words)),
    }


def absorbed_whole_by_top(
    silent: Bool[np.ndarray, " words"], carried: Carried, total: Float[np.ndarray, " words"]
) -> Bool[np.ndarray, " words"]:
    """Whether the one other latent that adds most stands in for all main latents.

    Args:
        silent: Whether all main latents are silent.
        carried: What the others add along the letter's direction.
        total: Projection of the activation on it.
    """
    top = np.arange(len(total)), carried.added.argmax(1)
    aligned = carried.cosine[top] >= SLIGHTLY_ALIGNED
    return silent & aligned & (total >= 0) & (carried.added[top] >= SHARE * total)
