"""Tokens of the lab's world: does the best single latent fire at a concept, and only there?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_matrix, csr_matrix

from saeval.activations import ActivationSource, TokenRows, read_acts
from saeval.evidence import Evidence, Missing, units
from saeval.lab import document_part
from saeval.lab.text_worlds import text_world
from saeval.sae import SAE
from saeval.task import Prepared

from .._draws import generator
from .evidence import f1_evidence, missing_metrics
from .f1 import F1_METRICS, best_latents, f1_parts

SPLITS = ("valid", "test")
"""Documents that choose latents and thresholds, and documents that are scored."""
LEAST_DOCUMENTS = 10
"""Documents of each split in which a concept must occur to be scored."""
EXPECTED_DOCUMENTS = 20
"""Documents of each split in which a concept must be expected, to be asked about at all: with
fewer a draw would lack it every now and then, and another seed would ask about other concepts."""
REFERENCE_DOCUMENTS = 10_000
"""Documents of each split that tell in what share of them a concept occurs."""
SET = "concepts"
"""Name of the concepts as a data set, which stands before the slash in parts."""


@dataclass(frozen=True)
class Concepts:
    """Documents of the world, and the concepts of each of their tokens."""

    rows: TokenRows
    """A row per document: those that choose latents, then those that are scored."""
    scored: Bool[np.ndarray, " documents"]
    y: Bool[np.ndarray, "tokens concepts"]
    """Concepts of the tokens that count."""
    names: tuple[str, ...]
    lacking: Mapping[str, str]
    """Concepts that are asked about, but that too few of these documents have; and why not."""

    @property
    def document(self) -> Int[np.ndarray, " tokens"]:
        """Row of each token that counts."""
        return np.repeat(np.arange(len(self.rows)), self.rows.mask.sum(1))

    @classmethod
    def of(cls, prepared: Prepared) -> "Concepts":
        """The concepts from the rows, arrays and names that `prepare` gave."""
        scored, y = (prepared.arrays[f"{SET}_{name}"] for name in ("scored", "y"))
        facts = prepared.facts["concepts"]
        return cls(prepared.more_rows[SET], scored, y, tuple(facts["names"]), facts["lacking"])

    def arrays(self) -> dict[str, np.ndarray]:
        """What is an array, but for the rows."""
        return {f"{SET}_scored": self.scored, f"{SET}_y": self.y}

    def facts(self) -> dict[str, Any]:
        """What is no array."""
        return {"names": self.names, "lacking": self.lacking}


@cache
def common_concepts(part: str, documents: int, context: int) -> tuple[int, ...]:
    """Concepts that so many documents of each split are expected to hold often enough.

    Their shares are counted in a large draw that is always the same, so that the list follows from
    the world, whatever the seed. Of a document only what fits the context counts, BOS aside.

    Args:
        part: Of the lab, whose world it is.
        documents: Of each split.
        context: Tokens of a row at most.
    """
    world = text_world(part)
    enough = np.ones(len(world.concepts), bool)
    for split in SPLITS:
        corpus = world.documents(REFERENCE_DOCUMENTS, seed=0, split=split)
        place = np.arange(len(corpus.flat)) - np.repeat(corpus.starts[:-1], np.diff(corpus.starts))
        document = np.repeat(np.arange(len(corpus)), np.diff(corpus.starts))
        y = world.vocabulary.concept_table[corpus.flat] & (place < context - 1)[:, None]
        share = occurrences(y, document, len(corpus)).mean(0)
        enough &= share * documents >= EXPECTED_DOCUMENTS
    return tuple(np.flatnonzero(enough).tolist())


def occurrences(
    y: Bool[np.ndarray, "tokens concepts"], document: Int[np.ndarray, " tokens"], documents: int
) -> Bool[np.ndarray, "documents concepts"]:
    """Whether a concept occurs in a document, from its tokens, which stand document by document."""
    present, starts = np.unique(document, return_index=True)
    table = np.zeros((documents, y.shape[1]), bool)
    table[present] = np.logical_or.reduceat(y, starts, axis=0)
    return table


def read(source: ActivationSource, documents: int, seed: int) -> Concepts:
    """Draw so many documents of each split, with the concepts that such a draw should hold."""
    part = document_part(source.name) or "world"
    world, texts = text_world(part), []
    for split in SPLITS:
        documents_seed = int(generator(seed, f"concepts/{split}").integers(2**31))
        corpus = world.documents(documents, seed=documents_seed, split=split)
        texts += [corpus.text(i) for i in range(len(corpus))]
    rows = source.tokenize(texts, name="lab documents", overflow="truncate")
    scored = np.repeat([False, True], documents)
    common = np.array(common_concepts(part, documents, source.context), dtype=np.int64)
    y = world.vocabulary.concept_table[rows.ids[rows.mask]][:, common]
    names = [world.concepts[number].name for number in common]
    document = np.repeat(np.arange(len(rows)), rows.mask.sum(1))
    has = occurrences(y, document, len(rows))
    fewest = np.minimum(has[scored].sum(0), has[~scored].sum(0))
    enough = fewest >= LEAST_DOCUMENTS
    lacking = {
        name: f"Only {count} of the {documents} documents drawn of a split have this concept; at "
        f"least {LEAST_DOCUMENTS} are needed. Another seed or more documents may have it."
        for name, count in zip(names, fewest.tolist(), strict=True)
        if count < LEAST_DOCUMENTS
    }
    found = tuple(name for name in names if name not in lacking)
    return Concepts(rows, scored, y[:, enough], found, lacking)


def score(sae: SAE, source: ActivationSource, concepts: Concepts) -> Iterator[Evidence | Missing]:
    """F1 of the best latent of every concept: the mean over all of them, and one by one."""
    metrics = [f1.metric for f1 in F1_METRICS]
    if concepts.names:
        yield from f1_of_latents(read_acts(source, sae, concepts.rows), concepts)
    else:
        reason = (
            f"Of so few documents, {concepts.scored.sum()} of each split, none of the concepts of "
            f"the lab's words is expected in {EXPECTED_DOCUMENTS}. Read more of them."
        )
        yield from missing_metrics(metrics, reason)
    for name, reason in concepts.lacking.items():
        yield from missing_metrics(metrics, reason, f"{SET}/{name}")


def f1_of_latents(z: csr_matrix, concepts: Concepts) -> Iterator[Evidence]:
    """F1 of the best latents from acts [tokens, d_sae]. There must be at least one concept."""
    scored = concepts.scored[concepts.document]
    detectors, test = best_latents(z[~scored], concepts.y[~scored]), csc_matrix(z[scored])
    y, document = concepts.y[scored], concepts.document[scored] - (~concepts.scored).sum()
    sums = []
    for pair, label in zip(detectors, y.T, strict=True):
        predictions = dict(zip(F1_METRICS, (detector.says(test) for detector in pair), strict=True))
        parts = f1_parts(predictions, label)
        sums.append(
            {
                name: np.bincount(document, values, minlength=concepts.scored.sum())
                for name, values in parts.items()
            }
        )
    yield from _document_evidence(sums, concepts)


def _document_evidence(
    sums: Sequence[Mapping[str, Float[np.ndarray, " documents"]]],
    concepts: Concepts,
) -> Iterator[Evidence]:
    """Evidence with documents as units; all rows of a document, one per concept, are a cluster."""
    parts = [f"{SET}/{name}" for name in concepts.names]
    documents = np.tile(np.flatnonzero(concepts.scored), len(parts))
    table = units(
        "documents_of_concepts",
        "document x concept",
        {name: np.concatenate([columns[name] for columns in sums]) for name in sums[0]},
        part=np.repeat(parts, concepts.scored.sum()),
        unit_id=documents,
        cluster=documents,
    )
    for f1 in F1_METRICS:
        yield f1_evidence(table, f1)
        for part in parts:
            yield f1_evidence(table, f1, part)
