"""Tokens of the lab's world: does the best single latent fire at a concept, and only there?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_matrix, csr_matrix

from saeval.activations import ActivationSource, TokenRows, read_acts
from saeval.evidence import Evidence, Missing, units
from saeval.lab.text_worlds import world_read_by
from saeval.sae import SAE
from saeval.task import Prepared

from .._draws import generator
from .._f1 import always_yes_f1
from .evidence import f1_evidence, missing_metrics
from .f1 import F1_METRICS, best_latents, f1_parts

SPLITS = ("valid", "test")
"""Documents that choose latents and thresholds, and documents that are scored."""
LEAST_DOCUMENTS = 20
"""Documents of each split in which a concept must occur."""
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

    @property
    def document(self) -> Int[np.ndarray, " tokens"]:
        """Row of each token that counts."""
        return np.repeat(np.arange(len(self.rows)), self.rows.mask.sum(1))

    @classmethod
    def of(cls, prepared: Prepared) -> "Concepts":
        """The concepts from the rows, arrays and names that `prepare` gave."""
        scored, y = (prepared.arrays[f"{SET}_{name}"] for name in ("scored", "y"))
        return cls(prepared.more_rows[SET], scored, y, tuple(prepared.facts["concepts"]))

    def arrays(self) -> dict[str, np.ndarray]:
        """All but the rows and the names."""
        return {f"{SET}_scored": self.scored, f"{SET}_y": self.y}


def read(source: ActivationSource, documents: int, seed: int) -> Concepts:
    """Draw so many documents of each split, and keep the concepts that enough of them have."""
    world, texts = world_read_by(source.name), []
    for split in SPLITS:
        documents_seed = int(generator(seed, f"concepts/{split}").integers(2**31))
        corpus = world.documents(documents, seed=documents_seed, split=split)
        texts += [corpus.text(i) for i in range(len(corpus))]
    rows = source.tokenize(texts, name="lab documents")
    scored = np.repeat([False, True], documents)
    y = world.vocabulary.concept_table[rows.ids[rows.mask]]
    all_concepts = Concepts(rows, scored, y, tuple(concept.name for concept in world.concepts))
    document_has = np.zeros((len(rows), y.shape[1]), bool)
    np.logical_or.at(document_has, all_concepts.document, y)
    enough = (document_has[scored].sum(0) >= LEAST_DOCUMENTS) & (
        document_has[~scored].sum(0) >= LEAST_DOCUMENTS
    )
    names = tuple(
        name for name, frequent in zip(all_concepts.names, enough, strict=True) if frequent
    )
    return Concepts(rows, scored, y[:, enough], names)


def score(sae: SAE, source: ActivationSource, concepts: Concepts) -> Iterator[Evidence | Missing]:
    """F1 of the best latent of every concept: the mean over all of them, and one by one."""
    if concepts.names:
        yield from f1_of_latents(read_acts(source, sae, concepts.rows), concepts)
        return
    reason = f"No concept of the lab's words is found in {LEAST_DOCUMENTS} documents of each split."
    yield from missing_metrics([f1.metric for f1 in F1_METRICS], reason)


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
    yield from _document_evidence(sums, always_yes_f1(y.mean(0)), concepts)


def _document_evidence(
    sums: Sequence[Mapping[str, Float[np.ndarray, " documents"]]],
    floors: Float[np.ndarray, " concepts"],
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
        yield f1_evidence(table, f1, float(floors.mean()))
        for part, floor in zip(parts, floors.tolist(), strict=True):
            yield f1_evidence(table, f1, floor, part)
