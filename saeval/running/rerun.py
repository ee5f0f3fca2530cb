"""A random part of a bundle's results, computed again with the SAE itself."""

import math
import random
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from saeval import __version__
from saeval.errors import UsageError
from saeval.leaderboard.bundles.agreement import Agreement, agreement
from saeval.leaderboard.bundles.check import Report
from saeval.leaderboard.bundles.names import RERUN
from saeval.leaderboard.bundles.peers import Peer
from saeval.leaderboard.bundles.records import Submitted
from saeval.leaderboard.bundles.rerun_record import rerun_text
from saeval.leaderboard.bundles.tree import RESULTS
from saeval.results.reading import read_record, result_folders
from saeval.running.run import evaluate

_FILE = re.compile(r"\.{1,2}/|/|~|elsewhere: |in memory: |file://|…")
"""Begins a value that names a file of the submitter's."""


@dataclass(frozen=True)
class Rerun:
    """What came of it."""

    bundle: str
    """Digest of the bundle."""
    share: float
    seed: int
    """That drew the results: it was not known to the submitter."""
    results: tuple[Agreement, ...]

    @property
    def agrees(self) -> bool:
        """Whether every result came out again."""
        return all(result.fault is None for result in self.results)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One record a result."""
        return [result.row() for result in self.results]

    @property
    def summary(self) -> str:
        """One line."""
        good = sum(result.fault is None for result in self.results)
        return (
            f"{good} of {len(self.results)} results came out again (drawn with seed {self.seed})."
        )

    def write(self, bundle: Path) -> Path:
        """Write the maintainer's record beside submission.json."""
        record = {
            "bundle": self.bundle,
            "saeval": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "share": self.share,
            "seed": self.seed,
            "agrees": self.agrees,
            "results": self.rows,
        }
        (bundle / RERUN).write_text(rerun_text(record), encoding="utf-8")
        return bundle / RERUN


def rerun(
    folder: Path,
    report: Report,
    saes: Sequence[str],
    share: float,
    *,
    device: str = "auto",
    seed: int | None = None,
) -> Rerun:
    """Compute a random part of a bundle's results again, and compare every unit.

    A result (an SAE, a task, a seed) is computed as a whole, since its aggregates need all of its
    units. Of the submitter's configuration only settings are used: no file that it names is read.

    Args:
        folder: The bundle, which passed every check.
        report: Of these checks.
        saes: `NAME=SAE`, where NAME stands in the bundle; or an SAE alone, of that name, or for the
            only one of the bundle.
        share: Of the results of these SAEs; at least one is computed.
        device: As for `saeval run`.
        seed: That draws the results; None: one that nobody could foresee.

    Raises:
        UsageError: if an SAE is not in the bundle, or nothing of it can be computed again.
    """
    given = _given(saes, report.results)
    usable = [one for one in report.results if _name(one) in given and not one.is_imported]
    usable = [one for one in usable if one.record["tables"] and _obstacle(one.record) is None]
    if not usable:
        reasons = {reason for one in report.results if (reason := _obstacle(one.record))}
        raise UsageError(
            "No result of these SAEs can be computed again: "
            f"{'; '.join(sorted(reasons)) or 'none has evidence'}."
        )
    seed = secrets.randbelow(2**31) if seed is None else seed
    count = min(len(usable), max(1, math.ceil(share * len(usable))))
    drawn = random.Random(seed).sample(usable, count)  # noqa: S311  drawn by a secret seed
    found = tuple(_again(one, _within(folder, one), given[_name(one)], device) for one in drawn)
    return Rerun(str(report.digest), share, seed, found)


def _within(folder: Path, result: Submitted) -> Path:
    """The result's folder in a bundle, which may have been unpacked anew since it was checked."""
    return folder / RESULTS / result.folder.parent.name / result.folder.name


def _name(result: Submitted) -> str:
    return str(result.record["sae"])


def _given(saes: Sequence[str], results: Sequence[Submitted]) -> dict[str, str]:
    """Name in the bundle -> SAE of the maintainer's."""
    names = list(dict.fromkeys(_name(result) for result in results if result.record["sae"]))
    if not saes:
        raise UsageError(
            f"--rerun needs the SAEs: --sae NAME=FOLDER for {', '.join(names)}. A name from the "
            "registry stands for itself: --sae NAME."
        )
    given = {}
    for text in saes:
        name, equals, source = text.partition("=")
        if not equals:
            name, source = (text if text in names or len(names) > 1 else names[0]), text
        if name not in names:
            raise UsageError(f"The bundle has no SAE '{name}'. It has {', '.join(names)}.")
        given[name] = source
    return given


def _obstacle(record: Mapping[str, Any]) -> str | None:
    """Why a result cannot be computed from its settings alone; None if it can."""
    run = record["run"]
    for value in _texts([run.get("model"), run.get("site"), run.get("data"), run.get("tasks")]):
        if _FILE.match(value):
            return f"it read '{value}', a file of the submitter's"
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _again(result: Submitted, folder: Path, sae: str, device: str) -> Agreement:
    run, record = result.record["run"], result.record
    fields = (run.get("tasks") or {}).get(record["task"]) or {}
    with tempfile.TemporaryDirectory(prefix="saeval-rerun-") as scratch:
        results = evaluate(
            sae,
            record["task"],
            model=run.get("model"),
            site=run.get("site"),
            seeds=record["seed"],
            config={record["task"]: fields},
            k=run.get("k"),
            dtype=run.get("dtype"),
            device=device,
            output_path=scratch,
        )
        (computed,) = results
        place = f"{result.folder.parent.name}/{result.folder.name}"
        if computed.status != "scored":
            reason = f"computed again, it is {computed.status}: {computed.reason}"
            return Agreement(place, record["result_id"], 0, 0, reason)
        (found,) = result_folders(scratch)
        return agreement(Peer(folder, record), Peer(found, read_record(found)[1]))
