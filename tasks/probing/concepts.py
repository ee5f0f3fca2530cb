"""Tokens of the lab's world: does the one best latent fire where a concept is, and only there?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_matrix, csr_matrix

from saeval.activations import ActivationSource, TokenRows, read_acts
from saeval.evidence import Evidence, Missing, units
from saeval.lab.world import World
from saeval.sae import SAE
from saeval.task import Prepared

from .._draws import generator
from .._f1 import always_yes_f1
from .evidence import f1_of, missing
from .f1 import F1S, best_latents, f1_parts

SPLITS = ("valid", "test")
"""Documents that choose latents and thresholds, and documents that are scored."""
LEAST = 20
"""Documents of a split in which a concept must be found."""
SET = "concepts"
"""What the concepts are called as a data set, before the slash."""


@dataclass(frozen=True)
class Concepts:
    """Documents of the world as they come, and what each token means."""

    rows: TokenRows
    """A document a row: those that choose, then those that are scored."""
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
        """As rows, `arrays` and names were written down."""
        scored, y = (prepared.arrays[f"{SET}_{name}"] for name in ("scored", "y"))
        return cls(prepared.more_rows[SET], scored, y, tuple(prepared.facts["concepts"]))

    def arrays(self) -> dict[str, np.ndarray]:
        """All but the rows and the names."""
        return {f"{SET}_scored": self.scored, f"{SET}_y": self.y}


def read(source: ActivationSource, documents: int, seed: int) -> Concepts:
    """Draw so many documents of each split, and keep the concepts that enough of them have."""
    world, texts = World(), []
    for split in SPLITS:
        drawn = int(generator(seed, f"concepts/{split}").integers(2**31))
        made = world.documents(documents, seed=drawn, split=split)
        texts += [made.text(i) for i in range(len(made))]
    rows = source.tokenize(texts, name="lab documents")
    scored = np.repeat([False, True], documents)
    y = world.vocabulary.concept_table[rows.ids[rows.mask]]
    every = Concepts(rows, scored, y, tuple(one.name for one in world.concepts))
    there = np.zeros((len(rows), y.shape[1]), bool)
    np.logical_or.at(there, every.document, y)
    enough = (there[scored].sum(0) >= LEAST) & (there[~scored].sum(0) >= LEAST)
    names = tuple(name for name, kept in zip(every.names, enough, strict=True) if kept)
    return Concepts(rows, scored, y[:, enough], names)


def score(sae: SAE, source: ActivationSource, known: Concepts) -> Iterator[Evidence | Missing]:
    """F1 of the best latent of every concept: the mean over all of them, and one by one."""
    if known.names:
        yield from f1_of_latents(read_acts(source, sae, known.rows), known)
        return
    reason = f"No concept of the lab's words is found in {LEAST} documents of each split."
    yield from missing([f1.metric for f1 in F1S], reason)


def f1_of_latents(z: csr_matrix, known: Concepts) -> Iterator[Evidence]:
    """The same from acts [tokens, d_sae]; at least one concept."""
    scored = known.scored[known.document]
    detectors, test = best_latents(z[~scored], known.y[~scored]), csc_matrix(z[scored])
    y, document = known.y[scored], known.document[scored] - (~known.scored).sum()
    sums = []
    for both, label in zip(detectors, y.T, strict=True):
        said = dict(zip(F1S, (one.says(test) for one in both), strict=True))
        parts = f1_parts(said, label)
        sums.append(
            {
                name: np.bincount(document, each, minlength=known.scored.sum())
                for name, each in parts.items()
            }
        )
    yield from _evidence(sums, always_yes_f1(y.mean(0)), known)


def _evidence(
    sums: Sequence[Mapping[str, Float[np.ndarray, " documents"]]],
    floors: Float[np.ndarray, " concepts"],
    known: Concepts,
) -> Iterator[Evidence]:
    """Documents are the units, and clusters across concepts."""
    parts = [f"{SET}/{name}" for name in known.names]
    documents = np.tile(np.flatnonzero(known.scored), len(parts))
    table = units(
        "documents_of_concepts",
        "document x concept",
        {name: np.concatenate([one[name] for one in sums]) for name in sums[0]},
        part=np.repeat(parts, known.scored.sum()),
        unit_id=documents,
        cluster=documents,
    )
    for f1 in F1S:
        yield f1_of(table, f1, float(floors.mean()))
        for part, floor in zip(parts, floors.tolist(), strict=True):
            yield f1_of(table, f1, floor, part)
