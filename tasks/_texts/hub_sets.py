"""The data sets of SAEBench's sparse probing, as the Hugging Face hub lays them out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from saeval.errors import DataError
from saeval.registry.hub.cache import is_offline

from .data_set import Listed
from .label_cells import label_text

LONGER_THAN, DROPPED = 534, 150
"""Characters that a source file must have, and how many of its first, often a licence, go."""
LINES = 2501
"""First lines of each language."""


@dataclass(frozen=True)
class HubSet:
    """A data set in a repository. Test texts are split off where there is no file of them."""

    name: str
    repository: str
    text: str
    label: str
    labels: tuple[str, ...] | None
    """Labels that are probed; None: all."""
    files: tuple[str, ...]
    """Which files, under the repository's root; `{split}` stands for train or test."""
    edit: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table

    def patterns(self, split: str) -> list[str]:
        """Of the files with train, or test, texts."""
        return [pattern.format(split=split) for pattern in self.files]


def _code(table: pd.DataFrame) -> pd.DataFrame:
    """Programs long enough, without their first characters."""
    programs, languages = table["code"].tolist(), table["language"].tolist()
    kept = [i for i, program in enumerate(programs) if len(program) > LONGER_THAN]
    return pd.DataFrame(
        {
            "code": [programs[i][DROPPED:] for i in kept],
            "language": [languages[i] for i in kept],
        }
    )


def _of_language(table: pd.DataFrame) -> pd.DataFrame:
    """The first lines of the language that this pair of languages stands for."""
    language = _EUROPARL[tuple(table["translation"].iloc[0])]
    lines = [pair[language] for pair in table["translation"].iloc[:LINES]]
    return pd.DataFrame({"text": lines, "language": language})


_EUROPARL = {
    ("en", "fr"): "en",
    ("fr", "it"): "fr",
    ("de", "en"): "de",
    ("es", "fr"): "es",
    ("nl", "pt"): "nl",
}
"""Pair of languages -> the one that is read of it."""
_BIOS = ((0, 1, 2, 6, 9), (11, 13, 14, 18, 19), (20, 21, 22, 25, 26))
_REVIEWS = "canrager/amazon_reviews_mcauley_1and5"

HUB_SETS = (
    *(
        HubSet(
            f"bias_in_bios_{i}", "LabHC/bias_in_bios", "hard_text", "profession",
            tuple(map(str, labels)), ("data/{split}*.parquet",),
        )
        for i, labels in enumerate(_BIOS, 1)
    ),
    HubSet(
        "amazon_reviews", _REVIEWS, "text", "category", ("1", "2", "3", "5", "6"),
        ("**/*{split}*",),
    ),
    HubSet("amazon_reviews_sentiment", _REVIEWS, "text", "rating", ("1", "5"), ("**/*{split}*",)),
    HubSet(
        "github_code", "codeparrot/github-code", "code", "language",
        ("C", "Python", "HTML", "Java", "PHP"), ("data/train-00000-of-*.parquet",), _code,
    ),
    HubSet("ag_news", "fancyzhx/ag_news", "text", "label", None, ("data/{split}*.parquet",)),
    HubSet(
        "europarl", "Helsinki-NLP/europarl", "text", "language", None,
        tuple(f"{'-'.join(pair)}/train-00000-*.parquet" for pair in _EUROPARL), _of_language,
    ),
)  # fmt: skip
"""Source: the dataset table of SAEBench 0.6.0, sparse probing."""


def hub_sets(folder: Path) -> list[Listed]:
    """Data sets whose repositories lie in a folder as `org/name`."""
    found = []
    for one in HUB_SETS:
        root = folder / one.repository
        if root.is_dir():
            found.append(_listed(one, root))
    return found


def downloaded_sets() -> list[Listed]:
    """All data sets, downloaded where the cache lacks them.

    Raises:
        DataError: if one did not arrive.
    """
    commits = cached_revisions()
    return [_listed(one, _downloaded(one, commits[one.repository])) for one in HUB_SETS]


def _downloaded(one: HubSet, commit: str | None) -> Path:
    """Folder of a repository's files at a commit; None: the newest.

    Raises:
        DataError: if they did not arrive, with what to do instead.
    """
    from huggingface_hub import snapshot_download

    patterns = [*one.patterns("train"), *one.patterns("test")]
    place = {"repo_type": "dataset", "revision": commit, "allow_patterns": patterns}
    try:
        return Path(snapshot_download(one.repository, **place))
    except Exception as error:  # whose errors arrive depends on huggingface_hub
        why = f"did not arrive from the Hugging Face hub ({error})"
        if is_offline():
            why = "is not in the cache of the Hugging Face hub, and HF_HUB_OFFLINE forbids to ask"
        raise DataError(
            f"The data set {one.repository}, one of SAEBench's, {why}. Give labelled texts with "
            "--set probing.data=FILE.parquet (or .csv, .jsonl; columns text and label), the sets "
            "of an installed sae-probes with --set probing.data=sae_probes, or a folder that "
            "holds SAEBench's repositories as org/name with --set probing.data=FOLDER."
        ) from error


def cached_revisions() -> dict[str, str | None]:
    """Commit of each repository in the cache; None where it was never downloaded."""
    from huggingface_hub import constants

    found = {}
    for repository in dict.fromkeys(one.repository for one in HUB_SETS):
        folder = "--".join(["datasets", *repository.split("/")])
        commit = Path(constants.HF_HUB_CACHE) / folder / "refs" / "main"
        found[repository] = commit.read_text().strip() if commit.is_file() else None
    return found


def _listed(one: HubSet, root: Path) -> Listed:
    """A repository's files as a data set.

    Raises:
        DataError: if they are not there.
    """
    train, test = (_files(root, one.patterns(split)) for split in ("train", "test"))
    if not train:
        raise DataError(f"'{root}' has no file {one.patterns('train')[0]} of {one.name}.")
    apart = None if test in ((), train) else test
    return Listed(one.name, train, apart, one.text, one.label, partial(_kept, one))


def _files(root: Path, patterns: Iterable[str]) -> tuple[Path, ...]:
    endings = (".parquet", ".csv", ".jsonl")
    found = [path for pattern in patterns for path in sorted(root.glob(pattern))]
    return tuple(path for path in found if path.suffix in endings)


def _kept(one: HubSet, table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose labels are probed, edited as the set needs."""
    table = one.edit(table)
    for column in (one.text, one.label):
        if column not in table:
            raise DataError(
                f"{one.repository} has no column '{column}', only {', '.join(map(str, table))}: "
                "the repository has changed, or is another one."
            )
    if one.labels is None:
        return table
    kept = [i for i, label in enumerate(table[one.label]) if label_text(label) in one.labels]
    return table.iloc[kept]
