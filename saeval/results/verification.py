"""Whether stored results are what was computed: by digests, and by computing them again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.errors import ResultError
from saeval.results.aliases import damaged_aliases
from saeval.results.digest import DIGEST, record_digest
from saeval.results.folder import FOLDER
from saeval.results.interchange.imported import import_faults, is_imported
from saeval.results.key import result_key
from saeval.results.reading import ADVICE, read_record, read_result, result_folders
from saeval.results.recompute import discrepancies, value_discrepancies
from saeval.results.score import Result

_MOST_FAULTS = 3
"""Faults that one line names at most."""


@dataclass(frozen=True)
class Finding:
    """What was found under a result id."""

    result: Result | None
    """The result, verified; None if there is none that verifies."""
    warnings: tuple[str, ...] = ()
    """One line for each folder of this id that does not verify."""


def find_verified(root: str | Path, result_id: str) -> Finding:
    """The result of an id, if one is stored that verifies.

    Digests are compared and values computed again from the evidence. Intervals, which take longer,
    are computed again only for results of older versions, which have no digest.
    """
    sound: list[Result] = []
    faults_by_folder: dict[Path, tuple[str, ...]] = {}
    for folder in result_folders(root, result_id):
        # Another process may have replaced the folder while it was read, hence the second look.
        faults = quick_faults(folder) and quick_faults(folder)
        try:
            if not faults:
                sound.append(read_result(folder))
        except ResultError as error:
            faults = (_short(error),)
        if faults and folder.exists():
            faults_by_folder[folder] = faults
    result = min(sound, key=lambda result: result.status == "failed", default=None)
    end = (
        "It counts as missing, and is computed anew."
        if result is None
        else "Another copy of it is used. Delete this one."
    )
    warnings = tuple(
        f"The result '{folder}' does not verify: {fault_line(faults)}. {end}"
        for folder, faults in faults_by_folder.items()
    )
    return Finding(result, warnings)


def faults_of(path: str | Path) -> tuple[str, ...]:
    """All that does not verify in a result's folder, everything computed again; empty if sound."""
    folder = Path(path).parent if Path(path).name == "result.json" else Path(path)
    damaged = [f"'{name}' holds no whole name" for name in damaged_aliases(folder)]
    return (*(seal_faults(folder) or _differences(folder, _compared)), *damaged)


def _compared(folder: Path) -> tuple[str, ...]:
    """Differences from the evidence; of a result that was imported, what it may not have."""
    record = read_record(folder)[1]
    return import_faults(record) if is_imported(record) else discrepancies(folder)


def quick_faults(folder: Path) -> tuple[str, ...]:
    """As `faults_of`, but intervals under a digest are believed."""
    faults = seal_faults(folder)
    if faults:
        return faults
    try:
        is_sealed = DIGEST in read_record(folder)[1]
    except ResultError as error:
        return (_short(error),)
    return _differences(folder, value_discrepancies if is_sealed else discrepancies)


def seal_faults(folder: Path) -> tuple[str, ...]:
    """What digests, labels and the key show to be changed. Nothing is computed again."""
    try:
        record = read_record(folder)[1]
        result = read_result(folder)
    except ResultError as error:
        return (_short(error),)
    faults = [*_file_faults(folder, record), *_label_faults(result), *_key_faults(result)]
    if DIGEST in record and record[DIGEST] != record_digest(record):
        # The digest shows that something was changed; what, the evidence may tell.
        faults += () if faults else _differences(folder, _compared)
        faults += () if faults else ("its result.json was changed after it was written",)
    return tuple(faults)


def _differences(folder: Path, compare: Callable[[Path], tuple[str, ...]]) -> tuple[str, ...]:
    """What a comparison with the evidence finds, also in a record of any wrong shape."""
    try:
        return compare(folder)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        return (f"its result.json has a wrong form ({type(error).__name__}: {error})",)


def fault_line(faults: tuple[str, ...]) -> str:
    """The first faults in one line."""
    more = len(faults) - _MOST_FAULTS
    text = "; ".join(faults[:_MOST_FAULTS]) + (f"; and {more} more" if more > 0 else "")
    return " ".join(text.split()).removesuffix(".")


def stored_results(path: Path) -> Iterator[Path]:
    """Folders of the results that a path means: all results, those of one SAE, or one result.

    None if the path is no place of results.
    """
    if path.name == "result.json" or (path / "result.json").is_file():
        yield path.parent if path.name == "result.json" else path
    elif FOLDER.fullmatch(path.absolute().name) and path.is_dir():
        yield path  # its result.json was deleted
    elif path.is_dir():
        yield from result_folders(path)
        yield from sorted(p for p in path.iterdir() if FOLDER.fullmatch(p.name) and p.is_dir())


def _file_faults(folder: Path, record: Mapping[str, Any]) -> Iterator[str]:
    """Evidence files that are missing, or not those that were written."""
    from saeval.results.evidence_files import table_sha256

    for about in record["tables"].values():
        path = folder / Path(str(about["file"])).name
        try:
            if table_sha256(path) != about.get("sha256"):
                yield f"its evidence '{path.name}' was changed after it was written"
        except FileNotFoundError:
            yield f"its evidence '{path.name}' is missing"
        except OSError as error:
            yield f"its evidence '{path.name}' cannot be read ({error.strerror or error})"


def _label_faults(result: Result) -> Iterator[str]:
    """Scores that are labelled as another result's."""
    for score in result.scores:
        for name in ("sae", "set", "task", "task_version", "seed", "result_id"):
            label, expected = getattr(score, name), getattr(result, name)
            if label != expected:
                yield f"{score.metric} (part {score.part}): {name} is {label!r}, not {expected!r}"


def _key_faults(result: Result) -> Iterator[str]:
    """Whether the recorded inputs give the result's id, where they are recorded as they were."""
    inputs = result.provenance.get("key")
    if not isinstance(inputs, Mapping) or _has_path(inputs):
        return
    try:
        is_right = result_key(inputs) == result.result_id
    except ResultError:
        is_right = False
    if not is_right:
        yield "the inputs in provenance.key do not give its id"


def _has_path(value: Any) -> bool:
    """Whether a text may have been made portable, after which it gives another key."""
    if isinstance(value, Mapping):
        return any(map(_has_path, value.values()))
    if isinstance(value, list):
        return any(map(_has_path, value))
    return isinstance(value, str) and ("./" in value or "…/" in value)


def _short(error: ResultError) -> str:
    return str(error).removesuffix(f" {ADVICE}").removesuffix(".")
