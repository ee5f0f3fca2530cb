"""The data sets of SAEBench's sparse probing, as the Hugging Face hub lays them out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from saeval.errors import DataError
from saeval.registry.hub.cache import is_offline

from .data_set import DataSetFiles
from .label_cells import label_text

LONGER_THAN, DROPPED_CHARACTERS = 534, 150
"""Least length of a source file, in characters, and how many of its first are dropped: often a
licence."""
LINES = 2501
"""First lines of each language that are read."""


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
    """Patterns of its files under the repository's root; `{split}` stands for train or test."""
    edit: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table

    def patterns(self, split: str) -> list[str]:
        """Patterns of the files with train, or test, texts."""
        return [pattern.format(split=split) for pattern in self.files]


def _long_programs(table: pd.DataFrame) -> pd.DataFrame:
    """Programs long enough, without their first characters."""
    programs, languages = table["code"].tolist(), table["language"].tolist()
    rows = [i for i, program in enumerate(programs) if len(program) > LONGER_THAN]
    return pd.DataFrame(
        {
            "code": [programs[i][DROPPED_CHARACTERS:] for i in rows],
            "language": [languages[i] for i in rows],
        }
    )


def _first_lines(table: pd.DataFrame) -> pd.DataFrame:
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
"""Pair of languages -> the language that is read from it."""
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
        ("C", "Python", "HTML", "Java", "PHP"), ("data/train-00000-of-*.parquet",), _long_programs,
    ),
    HubSet("ag_news", "fancyzhx/ag_news", "text", "label", None, ("data/{split}*.parquet",)),
    HubSet(
        "europarl", "Helsinki-NLP/europarl", "text", "language", None,
        tuple(f"{'-'.join(pair)}/train-00000-*.parquet" for pair in _EUROPARL), _first_lines,
    ),
)  # fmt: skip
"""Source: the dataset table of SAEBench 0.6.0, sparse probing."""


def hub_sets(folder: Path) -> list[DataSetFiles]:
    """Data sets whose repositories lie in a folder as `org/name`."""
    data_sets = []
    for hub_set in HUB_SETS:
        root = folder / hub_set.repository
        if root.is_dir():
            data_sets.append(_repository_files(hub_set, root))
    return data_sets


def downloaded_sets() -> list[DataSetFiles]:
    """All data sets, downloaded where the cache lacks them.

    Raises:
        DataError: if one did not arrive.
    """
    commits = cached_revisions()
    return [
        _repository_files(hub_set, _download(hub_set, commits[hub_set.repository]))
        for hub_set in HUB_SETS
    ]


def _download(hub_set: HubSet, commit: str | None) -> Path:
    """Folder of a repository's files at a commit; None: the newest.

    Raises:
        DataError: if they did not arrive, with what to do instead.
    """
    from huggingface_hub import snapshot_download

    patterns = [*hub_set.patterns("train"), *hub_set.patterns("test")]
    options = {"repo_type": "dataset", "revision": commit, "allow_patterns": patterns}
    try:
        return Path(snapshot_download(hub_set.repository, **options))
    except Exception as error:  # whose errors arrive depends on huggingface_hub
        reason = f"did not arrive from the Hugging Face hub ({error})"
        if is_offline():
            reason = (
                "is not in the cache of the Hugging Face hub, and HF_HUB_OFFLINE forbids asking"
            )
        raise DataError(
            f"The data set {hub_set.repository}, one of SAEBench's, {reason}. Give labelled texts "
            "with --set probing.data=FILE.parquet (or .csv, .jsonl; columns text and label), the "
            "sets of an installed sae-probes with --set probing.data=sae_probes, or a folder that "
            "holds SAEBench's repositories as org/name with --set probing.data=FOLDER."
        ) from error


def cached_revisions() -> dict[str, str | None]:
    """Commit of each repository in the cache; None where it was never downloaded."""
    from huggingface_hub import constants

    commits = {}
    for repository in dict.fromkeys(hub_set.repository for hub_set in HUB_SETS):
        folder = "--".join(["datasets", *repository.split("/")])
        ref = Path(constants.HF_HUB_CACHE) / folder / "refs" / "main"
        commits[repository] = ref.read_text().strip() if ref.is_file() else None
    return commits


def _repository_files(hub_set: HubSet, root: Path) -> DataSetFiles:
    """A repository's files as a data set.

    Raises:
        DataError: if they are not there.
    """
    train, test = (_matching_files(root, hub_set.patterns(split)) for split in ("train", "test"))
    if not train:
        raise DataError(f"'{root}' has no file {hub_set.patterns('train')[0]} of {hub_set.name}.")
    separate_test = None if test in ((), train) else test
    edit = partial(_probed_rows, hub_set)
    return DataSetFiles(hub_set.name, train, separate_test, hub_set.text, hub_set.label, edit)


def _matching_files(root: Path, patterns: Iterable[str]) -> tuple[Path, ...]:
    endings = (".parquet", ".csv", ".jsonl")
    paths = [path for pattern in patterns for path in sorted(root.glob(pattern))]
    return tuple(path for path in paths if path.suffix in endings)


def _probed_rows(hub_set: HubSet, table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose labels are probed, edited as the set needs."""
    table = hub_set.edit(table)
    for column in (hub_set.text, hub_set.label):
        if column not in table:
            raise DataError(
                f"{hub_set.repository} has no column '{column}', only "
                f"{', '.join(map(str, table))}: the repository has changed, or is another one."
            )
    if hub_set.labels is None:
        return table
    labels = enumerate(table[hub_set.label])
    rows = [i for i, label in labels if label_text(label) in hub_set.labels]
    return table.iloc[rows]
