"""A board of all that a folder of results holds, where none was declared."""

from collections.abc import Sequence
from pathlib import Path

from saeval.errors import ResultError
from saeval.leaderboard.board import Board
from saeval.leaderboard.board_files import FOLDER
from saeval.leaderboard.sources import Source
from saeval.results.reading import read_results
from saeval.results.score import Result


def board_of_folders(folders: Sequence[Path]) -> Board:
    """All SAEs and tasks in some folders of results, each task in its newest version.

    Seeds are those that every SAE has; where there are none in common, the one that most have.
    Nulls are recognised by what results say of their SAEs.

    Raises:
        ResultError: if there is no result.
    """
    results = [result for folder in folders for result in read_results(folder)]
    if not results:
        names = ", ".join(map(str, folders))
        raise ResultError(
            f"There is no result in {names}. Give the folder that `saeval run --output-path` named."
        )
    versions: dict[str, int] = {}
    for result in results:
        versions[result.task] = max(result.task_version, versions.get(result.task, 0))
    title = f"Results in {', '.join(folder.name or str(folder) for folder in folders)}"
    name = folders[0].resolve().name or FOLDER
    tasks = dict(sorted(versions.items(), key=lambda item: (item[0] != "core", item[0])))
    return Board(
        name,
        title,
        _ABOUT,
        tasks=tasks,
        anchors=tuple(sorted({result.sae or "" for result in results if _is_oracle(result)})),
        seeds=_seeds(results),
        l0_groups=OCTAVES,
        required=False,
    )


OCTAVES = tuple((0.75 * 2**n, 1.5 * 2**n) for n in range(13))
"""Ranges of L0 around powers of 2: 0.75 to 1.5, 1.5 to 3, ... 3072 to 6144."""
_ABOUT = "All that was scored there, each task in its newest version. No null was asked for."


def _is_oracle(result: Result) -> bool:
    """Whether its SAE is an oracle of the lab, which knows the truth."""
    sources = [str(sae.get("source")) for sae in result.provenance.get("saes") or ()]
    return any(source.startswith("lab://") and source.endswith("/oracle") for source in sources)


def _seeds(results: Sequence[Result]) -> tuple[int, ...]:
    by_sae: dict[tuple[str, str], set[int]] = {}
    for result in results:
        by_sae.setdefault((str(result.sae or result.set), result.task), set()).add(result.seed)
    common = set.intersection(*by_sae.values())
    counts = [seed for seeds in by_sae.values() for seed in seeds]
    return tuple(sorted(common)) or (max(sorted(set(counts)), key=counts.count),)


def check_folders(folders: Sequence[Path]) -> None:
    """Check that folders of results exist.

    Raises:
        ResultError: naming the first that does not.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ResultError(
                f"There is no folder '{folder}'. Give the one that `saeval run --output-path` "
                "named."
            )


def sources_of(folders: Sequence[Path], submissions: Path | None) -> list[Source]:
    """Folders of the maintainers' own results, and every submission that is sound."""
    own = [Source(folder) for folder in folders]
    if submissions is None or not submissions.is_dir():
        return own
    from saeval.leaderboard.submissions import read_submissions

    return [*own, *read_submissions(submissions)]
