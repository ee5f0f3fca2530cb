"""The checks of a bundle's folder, in order: each trusts what those before it have seen."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saeval.errors import BundleError
from saeval.leaderboard.bundles.declarations import declaration_faults, range_faults, task_faults
from saeval.leaderboard.bundles.limits import LIMITS, Limits
from saeval.leaderboard.bundles.manifest import (
    Manifest,
    bundle_digest,
    file_faults,
    read_manifest,
    stated_saes,
)
from saeval.leaderboard.bundles.names import RERUN, SUBMISSION
from saeval.leaderboard.bundles.peers import as_peers, peers_in
from saeval.leaderboard.bundles.plausibility import other_data_notes, plausibility_faults
from saeval.leaderboard.bundles.records import Submitted, across_faults, submitted_results
from saeval.leaderboard.bundles.rerun_record import confirms
from saeval.leaderboard.bundles.scores import score_faults
from saeval.leaderboard.bundles.table_files import table_faults
from saeval.leaderboard.bundles.tree import RESULTS, tree_faults
from saeval.leaderboard.sources import Badge


@dataclass(frozen=True)
class Check:
    """One check, and what it found."""

    name: str
    says: str = ""
    """What is so where nothing was found."""
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What the reader should know; no reason to refuse."""

    def row(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "kind": "check",
            "check": self.name,
            "ok": not self.faults,
            "says": self.says,
            "faults": list(self.faults),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Circumstances:
    """What a bundle is checked against, besides itself."""

    known: tuple[Path, ...] | None = None
    """Folders of results of others; None: those of the leaderboards tree in which it lies."""
    author: str | None = None
    """Who proposes it, where a pull request does: the owner must be the same, and only a
    maintainer adds a record of a re-run."""
    older: bool = False
    """Whether results of earlier versions of a task are accepted."""
    limits: Limits = LIMITS


@dataclass
class Reading:
    """A bundle, as far as it has been read."""

    folder: Path
    about: Circumstances
    from_archive: bool
    manifest: Manifest | None = None
    digest: str | None = None
    results: tuple[Submitted, ...] = ()
    badge: Badge = "self-reported"
    checks: list[Check] = field(default_factory=list)


Step = Callable[[Reading], Check | None]


def take_steps(reading: Reading) -> None:
    """Make every check, up to the first that finds something."""
    for step in STEPS:
        check = step(reading)
        if check is not None:
            reading.checks.append(check)
            if check.faults:
                return


def _files(reading: Reading) -> Check:
    says = "regular files, with names and sizes as they may be"
    return Check("files", says, tree_faults(reading.folder, reading.about.limits))


def _submission(reading: Reading) -> Check:
    try:
        reading.manifest = manifest = read_manifest(reading.folder, reading.about.limits)
    except BundleError as error:
        return Check("submission", faults=(_brief(error),))
    reading.digest = bundle_digest(reading.folder)
    return Check(
        "submission", f"{manifest.owner}/{manifest.name}", tuple(_place_faults(reading, manifest))
    )


def _place_faults(reading: Reading, manifest: Manifest) -> Iterable[str]:
    here, author = reading.folder.absolute(), reading.about.author
    in_tree = here.parent.parent.name == "submissions"
    if in_tree and (here.parent.name, here.name) != (manifest.owner, manifest.name):
        yield (
            f"it lies in {here.parent.name}/{here.name}, but is {manifest.owner}/{manifest.name}"
        )
    if author is not None and author.casefold() != manifest.owner.casefold():
        yield f"its owner is '{manifest.owner}', and {author!a} proposes it"
    if (here / RERUN).exists() and (reading.from_archive or author is not None):
        yield f"it brings {RERUN}, which only a maintainer writes; delete it"


def _hashes(reading: Reading) -> Check:
    assert reading.manifest is not None  # noqa: S101  the step before has read it
    says = f"{len(reading.manifest.files)} files, each the one that is listed"
    return Check("hashes", says, file_faults(reading.folder, reading.manifest))


def _results(reading: Reading) -> Check:
    assert reading.manifest is not None  # noqa: S101  an earlier step has read it
    folders = sorted({path.parent for path in reading.folder.glob(f"{RESULTS}/*/*/*")})
    reading.results, faults = submitted_results(folders, reading.about.limits)
    faults = faults or across_faults(reading.results) or _stated_faults(reading)
    return Check("results", f"{len(reading.results)}, with ids that follow from inputs", faults)


def _stated_faults(reading: Reading) -> tuple[str, ...]:
    if not reading.results:
        return ("it holds no result",)
    stated = stated_saes(result.record for result in reading.results)
    if reading.manifest is None or reading.manifest.saes != stated:
        return (f"{SUBMISSION} states other SAEs, or hashes of them, than its results do",)
    return ()


def _each(name: str, says: str, faults_of: Callable[[Submitted, Circumstances], Any]) -> Step:
    """A step that looks at one result after the other."""

    def step(reading: Reading) -> Check:
        found = [fault for one in reading.results for fault in faults_of(one, reading.about)]
        return Check(name, says, tuple(found))

    return step


def _tables(result: Submitted, about: Circumstances) -> tuple[str, ...]:
    stated = {table["file"]: table["rows"] for table in result.record["tables"].values()}
    present = {path.name for path in result.folder.glob("*.parquet")}
    faults = [f"its evidence '{name}' is missing" for name in sorted(stated.keys() - present)]
    faults += [f"'{name}' is no evidence of it" for name in sorted(present - stated.keys())]
    for name, rows in stated.items() if not faults else ():
        found = table_faults(result.folder / name, rows, about.limits)
        faults += [f"'{name}': {fault}" for fault in found]
    return tuple(f"{result.place}: {fault}" for fault in faults)


def _others(reading: Reading) -> Check:
    roots = reading.about.known
    roots = _roots_around(reading.folder) if roots is None else roots
    manifest = reading.manifest
    if manifest is not None:  # an earlier version of the same submission is no other
        same = (manifest.owner, manifest.name, RESULTS)
        roots = [root for root in roots if root.parts[-3:] != same]
    own = as_peers(reading.results)
    tasks = {peer.task for peer in own}
    known = [peer for peer in peers_in(roots) if peer.task in tasks and peer.is_readable]
    known = [peer for peer in known if not peer.folder.is_relative_to(reading.folder)]
    says = f"nothing contradicts {len(known)} known results of its tasks"
    if not known:
        says = "no results of its tasks are known, so it was compared with itself alone"
    return Check("others", says, plausibility_faults(own, known), other_data_notes(own, known))


def _roots_around(folder: Path) -> tuple[Path, ...]:
    """Folders of results of the leaderboards tree in which a bundle lies, without its own."""
    submissions = folder.absolute().parent.parent
    return known_roots(submissions.parent, folder) if submissions.name == "submissions" else ()


def known_roots(tree: Path, but: Path | None = None) -> tuple[Path, ...]:
    """Folders of results of a leaderboards tree.

    Args:
        tree: The folder `leaderboards`.
        but: A bundle that is left out.
    """
    own = but.resolve() if but else None
    bundles = [path for path in tree.glob("submissions/*/*") if path.resolve() != own]
    return (*sorted(tree.glob("results/*")), *sorted(path / RESULTS for path in bundles))


def _confirmed(reading: Reading) -> Check | None:
    """The badge, and what a maintainer's record says if there is one."""
    reading.badge = "imported" if any(r.is_imported for r in reading.results) else "recomputed"
    record = reading.folder / RERUN
    if not record.exists():
        return None
    try:
        confirms(record, str(reading.digest))
    except BundleError as error:
        return Check("re-run", "its record does not confirm it", notes=(_brief(error),))
    if reading.badge == "recomputed":
        reading.badge = "re-run"
    return Check("re-run", "a maintainer computed a part of it again, with the SAE itself")


def _brief(error: BundleError) -> str:
    return str(error).removesuffix(".")


STEPS: Sequence[Step] = (
    _files,
    _submission,
    _hashes,
    _results,
    _each("tasks", "known, in this version", lambda r, a: task_faults(r, older=a.older)),
    _each("tables", "numbers and texts alone, none too large", _tables),
    _each("metrics", "as their tasks declare them", lambda r, _: declaration_faults(r)),
    _each("scores", "each follows from its evidence, to 1e-9", lambda r, _: score_faults(r)),
    _each("ranges", "values within the bounds of their metrics", lambda r, _: range_faults(r)),
    _others,
    _confirmed,
)
