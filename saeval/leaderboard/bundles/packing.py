"""A bundle made of results: packed beside its place, checked, and only then put there."""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval import __version__
from saeval.errors import BundleError, UsageError
from saeval.leaderboard.bundles.check import Circumstances, Report, check_bundle
from saeval.leaderboard.bundles.manifest import Manifest, listed_files, stated_saes
from saeval.leaderboard.bundles.names import RESULT, SUBMISSION, name_fault, owner_fault
from saeval.leaderboard.bundles.steps import known_roots
from saeval.leaderboard.bundles.tree import RESULTS
from saeval.results.folder import slug
from saeval.results.portable import portable
from saeval.results.reading import read_record
from saeval.results.verification import stored_results

TREE = "leaderboards"


@dataclass(frozen=True)
class Submission:
    """What a submitter says of it."""

    owner: str
    name: str
    description: str = ""
    url: str | None = None

    @property
    def place(self) -> str:
        """Its folder in a checkout."""
        return f"{TREE}/submissions/{self.owner}/{self.name}"


@dataclass(frozen=True)
class Packed:
    """A bundle that passed, and what was left out of it."""

    folder: Path
    report: Report
    left_out: tuple[str, ...]


@contextmanager
def packed(sources: Sequence[str], submission: Submission, checkout: Path) -> Iterator[Packed]:
    """A checked bundle in a temporary folder, to be moved or committed.

    Args:
        sources: Folders of results, of one SAE's results, or of one result.
        submission: Who submits, and under which name.
        checkout: The folder whose `leaderboards` has the results of others.

    Raises:
        UsageError: if names are not as they may be, or a source has no results.
        BundleError: if the bundle is refused, with every reason.
    """
    for fault in filter(None, (owner_fault(submission.owner), name_fault(submission.name))):
        raise UsageError(f"The submission cannot be named so: {fault}.")
    folders = _folders(sources)
    with tempfile.TemporaryDirectory(prefix="saeval-submit-") as scratch:
        folder = Path(scratch).resolve() / "submissions" / submission.owner / submission.name
        left_out = _copy(folders, folder / RESULTS)
        _write_manifest(folder, submission)
        known = known_roots(checkout / TREE, checkout / submission.place)
        report = check_bundle(folder, Circumstances(known=known))
        if report.faults:
            raise BundleError(_refusal(report))
        yield Packed(folder, report, left_out)


def write(bundle: Packed, submission: Submission, checkout: Path, *, replace: bool) -> Path:
    """Put a bundle in its place below a folder.

    Raises:
        BundleError: if one lies there already, and may not be replaced.
    """
    target = checkout / submission.place
    if target.exists() and not replace:
        raise BundleError(
            f"'{target}' exists. Choose another --name, or replace it with --replace."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as scratch:
        shutil.copytree(bundle.folder, Path(scratch) / "bundle")
        if target.exists():
            target.rename(Path(scratch) / "old")
        (Path(scratch) / "bundle").rename(target)
    return target


def _folders(sources: Sequence[str]) -> list[Path]:
    folders = []
    for source in sources:
        found = list(stored_results(Path(source).expanduser()))
        if not found:
            raise UsageError(
                f"'{source}' has no results. Give the folder that `saeval run --output-path` "
                "wrote, or one result's folder within it."
            )
        folders += found
    return list(dict.fromkeys(folder.resolve() for folder in folders))


def _copy(folders: Iterable[Path], root: Path) -> tuple[str, ...]:
    """Copy results and their evidence. Returns why some were left out."""
    left_out, seen = [], set()
    for folder in folders:
        _, record = read_record(folder)
        label = f"{record['sae'] or record['set']}, {record['task']}, seed {record['seed']}"
        if record["status"] == "failed":
            left_out.append(f"{label}: it failed")
        elif record["result_id"] not in seen:
            seen.add(record["result_id"])
            if portable(record) != record:
                raise BundleError(
                    f"'{folder / RESULT}' has a path of this machine. Score it again with --force: "
                    "results are written without."
                )
            place = root / slug(record["sae"] or record["set"] or "") / folder.name
            place.mkdir(parents=True)
            text = json.dumps(_impersonal(record), indent=1, ensure_ascii=False, allow_nan=False)
            (place / RESULT).write_text(text + "\n", encoding="utf-8", newline="\n")
            for name in record["tables"]:
                shutil.copyfile(folder / f"{name}.parquet", place / f"{name}.parquet")
    if not seen:
        raise BundleError("There is nothing to submit: every result failed.")
    return tuple(left_out)


def _impersonal(record: dict[str, Any]) -> dict[str, Any]:
    """A record without names of the submitter's folders, which its digest does not cover."""
    return {**record, "working_folder": None, "run": {**record["run"], "output_path": "results"}}


def _write_manifest(folder: Path, submission: Submission) -> None:
    records = [read_record(path)[1] for path in sorted(folder.glob(f"{RESULTS}/*/*"))]
    manifest = Manifest(
        **vars(submission),
        saeval=__version__,
        saes=stated_saes(records),
        files=listed_files(folder),
    )
    (folder / SUBMISSION).write_text(manifest.text(), encoding="utf-8", newline="\n")


def _refusal(report: Report) -> str:
    last = report.checks[-1]
    more = len(report.faults) - 5
    faults = "; ".join(report.faults[:5]) + (f"; and {more} more" if more > 0 else "")
    return f"The bundle would be refused, so it was not written. {last.name}: {faults}."
