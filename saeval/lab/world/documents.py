"""Documents with their truth: text, tokens, labels and the concepts of every token."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from saeval.lab.world.vocabulary import Vocabulary


@dataclass(frozen=True)
class Document:
    """One document."""

    text: str
    """Tokens joined by blanks; the tokenizer splits it into exactly `ids`."""
    ids: tuple[int, ...]
    """Token ids without BOS and EOS."""
    genre: str
    labels: Mapping[str, str]
    concepts: tuple[frozenset[int], ...]
    """For each token, indices into the world's concept table."""
    log_p: float
    """Log-probability under the grammar in nats, the end of the document included."""


@dataclass(frozen=True)
class Documents(Sequence[Document]):
    """Many documents, kept as arrays; records are made on demand."""

    vocabulary: Vocabulary
    flat: Int[np.ndarray, " tokens"]
    starts: Int[np.ndarray, " documents_plus_one"]
    genres: tuple[str, ...]
    genre_of: Int[np.ndarray, " documents"]
    labels: Mapping[str, tuple[tuple[str, ...], Int[np.ndarray, " documents"]]]
    """Label name to its values and each document's index into them, -1 where it has none."""
    log_p: Float[np.ndarray, " documents"]

    def __len__(self) -> int:
        """Count the documents."""
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> Document:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make one record."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        ids = tuple(self.flat[self.starts[index] : self.starts[index + 1]].tolist())
        return Document(
            text=self.text(index),
            ids=ids,
            genre=self.genres[self.genre_of[index]],
            labels={
                name: values[code[index]]
                for name, (values, code) in self.labels.items()
                if code[index] >= 0
            },
            concepts=tuple(frozenset(self.vocabulary.of_token[i]) for i in ids),
            log_p=float(self.log_p[index]),
        )

    def __iter__(self) -> Iterator[Document]:
        """Make all records in turn."""
        return (self[i] for i in range(len(self)))

    def text(self, index: int) -> str:
        """Text of one document."""
        ids = self.flat[self.starts[index] : self.starts[index + 1]]
        return " ".join(self.vocabulary.tokens[i] for i in ids.tolist())

    def label(self, name: str) -> tuple[str | None, ...]:
        """One label of all documents, None where a document has none."""
        values, code = self.labels[name]
        return tuple(values[c] if c >= 0 else None for c in code.tolist())

    @property
    def entropy(self) -> float:
        """Estimated entropy in nats per token, the end of each document counted as a token."""
        return float(-self.log_p.sum() / (len(self.flat) + len(self)))
