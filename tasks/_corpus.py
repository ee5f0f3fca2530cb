"""The text that `core` reads: a file of yours, a sample of the Pile, or Python's own manual."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from saeval.errors import DataError

logger = logging.getLogger(__name__)

HUB_ID = "NeelNanda/pile-10k"
HUB_REVISION = "2fd62b965ad603787676f81cb23032397b97c63f"
HUB_FILE = "data/train-00000-of-00001-4746b8785c874cc7.parquet"
# The first 10,000 documents of the Pile in one file of 33 MB: small enough for a laptop, and what
# interpretability work commonly reads.
HUB_SECONDS = 5.0
# How long the hub may take to answer before the text at hand is taken.


@dataclass(frozen=True)
class Corpus:
    """Texts and what to call them."""

    name: str
    texts: Sequence[str]
    notice: str | None = None
    """What a reader of the scores must know about this choice; None: nothing."""


def read_texts(path: str | Path, column: str = "text") -> Corpus:
    """Texts of a file: .txt (one a line), .jsonl, .csv or .parquet (one a row of a column).

    Raises:
        DataError: if the file cannot be read, has no such column, or holds no text.
    """
    path = Path(path)
    try:
        texts = _read(path, column)
    except (OSError, ValueError, ImportError) as error:
        raise DataError(f"Cannot read texts from '{path}': {error}.") from error
    if not texts:
        raise DataError(f"'{path}' holds no text. Give a file with one text a line or row.")
    return Corpus(path.name, texts)


def _read(path: Path, column: str) -> list[str]:
    if path.suffix == ".txt":
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    readers = {
        ".jsonl": lambda: pd.read_json(path, lines=True),
        ".csv": lambda: pd.read_csv(path),
        ".parquet": lambda: pd.read_parquet(path),
    }
    if path.suffix not in readers:
        raise ValueError(f"its ending is none of .txt, {', '.join(readers)}")
    table = readers[path.suffix]()
    if column not in table:
        raise ValueError(f"it has no column '{column}', only {', '.join(map(str, table))}")
    values = table[column].tolist()
    wrong = next((i for i, value in enumerate(values) if not isinstance(value, str)), None)
    if wrong is not None:
        raise ValueError(f"row {wrong} of '{column}' is {values[wrong]!r}, no text")
    return values


def default_corpus() -> Corpus:
    """The Pile sample from the hub or its cache; where neither has it, Python's manual.

    Raises:
        DataError: if not even the manual is installed.
    """
    try:
        return _pile()
    except OSError as error:
        # All that huggingface_hub raises when it cannot be reached derives from OSError.
        logger.debug("%s is out of reach: %s", HUB_ID, error)
    corpus = _manual()
    logger.warning("%s", corpus.notice)
    return corpus


def _pile() -> Corpus:
    from huggingface_hub import hf_hub_download

    path = hf_hub_download(
        HUB_ID,
        HUB_FILE,
        repo_type="dataset",
        revision=HUB_REVISION,
        etag_timeout=HUB_SECONDS,
    )
    return Corpus(f"{HUB_ID}@{HUB_REVISION[:7]}", read_texts(path).texts)


def _manual() -> Corpus:
    """The language reference that `help()` shows: English prose, some code, in every Python."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError(
            f"No text to score on: the hub cannot be reached for {HUB_ID}, and this Python lacks "
            "pydoc_data. Pass a file with --set core.texts=FILE, or token rows with "
            "--set core.tokens=FILE.npy."
        ) from error
    notice = (
        f"{HUB_ID} is out of reach, so the text is the manual that ships with Python: good for a "
        "look, too small and too technical for figures to publish. Pass yours with "
        "--set core.texts=FILE."
    )
    return Corpus("pydoc topics", [topics[name] for name in sorted(topics)], notice)
