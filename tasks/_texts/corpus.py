"""The text that `core` reads: a file of yours, the lab's, the Pile's, or Python's own manual."""

import functools
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saeval import lab
from saeval.errors import DataError, shown
from saeval.registry.hub.cache import is_offline

from .tables import read_table

logger = logging.getLogger(__name__)

HUB_ID = "NeelNanda/pile-10k"
HUB_REVISION = "2fd62b965ad603787676f81cb23032397b97c63f"
HUB_FILE = "data/train-00000-of-00001-4746b8785c874cc7.parquet"
# The first 10,000 documents of the Pile in one file of 33 MB: small enough for a laptop, and what
# interpretability work commonly reads.
HUB_SECONDS = 5.0
# How long the hub may take to answer before Python's manual is read instead.
_CHARACTERS_PER_LAB_DOCUMENT = {"world": 200, "town": 150, "othello": 175}
# Low estimates, so that there is enough text: a document of the world has 236 on average, one of
# the town 179, a game 176.


@dataclass(frozen=True)
class Corpus:
    """Texts and the name to show for them."""

    name: str
    texts: Sequence[str]
    """At least one."""
    notice: str | None = None
    """What a reader of the scores must know about this choice; None: nothing."""
    texts_are_rows: bool = False
    """Whether each text makes a row of its own, cut at the row's end: the models that read it never
    saw a row that begins within a text. Else texts are packed."""


def read_texts(path: str | Path, column: str = "text") -> Corpus:
    """Texts of a file: .txt (one a line), .jsonl, .csv or .parquet (one a row of a column).

    Blank ones are left out.

    Raises:
        DataError: if the file cannot be read, has no such column, or holds no text.
    """
    path = Path(path)
    table = read_table(path)
    if column not in table:
        names = ", ".join(map(str, table))
        raise DataError(f"'{path}' has no column '{column}', only {names}.")
    texts = table[column].tolist()
    bad_row = next((row for row, text in enumerate(texts) if not isinstance(text, str)), None)
    if bad_row is not None:
        raise DataError(
            f"Row {bad_row} of '{path}' has {shown(texts[bad_row])} in '{column}', no text."
        )
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise DataError(f"'{path}' holds no text. Give a file with one text a line or row.")
    return Corpus(path.name, texts)


def lab_corpus(
    model: str, characters: int, documents: int | None = None, seed: int = 0
) -> Corpus | None:
    """Text for a model of the lab; None for any other model.

    Args:
        model: Name or folder of the model.
        characters: Length of the text at least, where no number of documents is given.
        documents: How many documents or games; None: as `characters` takes. The content of the
            world's documents depends on their number.
        seed: Seed of the draw.

    Raises:
        UsageError: if that part of the lab reads no text.
    """
    part = lab.part_of(model)
    if part is None:
        return None
    if documents is None:
        documents = 1 + characters // _CHARACTERS_PER_LAB_DOCUMENT.get(part, characters)
    texts = lab.text(part, documents=documents, seed=seed)
    return Corpus(f"lab/{part}", texts, texts_are_rows=True)


def default_corpus() -> Corpus:
    """The Pile sample where the hub or its cache has it, else Python's manual.

    Raises:
        DataError: if neither can be read.
    """
    return _read_pile() if is_pile_in_reach() else _read_manual()


def default_identity() -> str:
    """Identity of the text that `default_corpus` gives, without loading more than is needed."""
    if is_pile_in_reach():
        return f"{HUB_ID}@{HUB_REVISION}"
    return hashlib.sha256("\0".join(_read_manual().texts).encode()).hexdigest()


@functools.cache
def is_pile_in_reach() -> bool:
    """Whether the cache has the Pile sample, or the hub answers. Looked up once per process."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    options = {"repo_type": "dataset", "revision": HUB_REVISION}
    if isinstance(try_to_load_from_cache(HUB_ID, HUB_FILE, **options), str):
        return True
    if is_offline():
        return False
    try:
        get_hf_file_metadata(hf_hub_url(HUB_ID, HUB_FILE, **options), timeout=HUB_SECONDS)
    except Exception as error:  # noqa: BLE001  whose errors arrive depends on huggingface_hub
        logger.info("%s is out of reach: %s", HUB_ID, error)
        return False
    return True


def _read_pile() -> Corpus:
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(HUB_ID, HUB_FILE, repo_type="dataset", revision=HUB_REVISION)
    except Exception as error:
        raise DataError(
            f"The default text, {HUB_ID}, did not arrive: {error}. Try again, pass a file with "
            "--set core.texts=FILE, or set HF_HUB_OFFLINE=1 to do without."
        ) from error
    return Corpus(f"{HUB_ID}@{HUB_REVISION[:7]}", read_texts(path).texts)


def _read_manual() -> Corpus:
    """The language reference that `help()` shows: English prose and some code."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError(
            f"No text to score on: {HUB_ID} is out of reach, and this Python lacks pydoc_data. "
            "Pass a file with --set core.texts=FILE, or token rows with --set core.tokens=FILE."
        ) from error
    notice = (
        f"{HUB_ID} is out of reach, so the text is the manual that ships with Python: good for a "
        "look, too small and too technical for figures to publish. Pass yours with "
        "--set core.texts=FILE."
    )
    return Corpus("pydoc topics", [topics[name] for name in sorted(topics)], notice)
