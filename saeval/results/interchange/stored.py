"""What exporters need of a stored result: scores, bounds, and what its SAE is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from saeval.errors import UsageError
from saeval.results.interchange.imported import is_imported
from saeval.results.reading import read_record, read_result
from saeval.results.score import Result, Score
from saeval.results.verification import stored_results


@dataclass(frozen=True)
class Stored:
    """A result of one SAE, with the content of its result.json."""

    folder: Path
    result: Result
    record: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Name of the SAE or of the set."""
        return str(self.result.sae or self.result.set)

    @property
    def sae(self) -> Mapping[str, Any]:
        """What the result says of its SAE, or of the first of a set."""
        members = self.result.provenance.get("saes") or [{}]
        return members[0]

    @property
    def source(self) -> Mapping[str, Any]:
        """What the SAE read."""
        source = self.result.provenance.get("source") or {}
        return source[0] if isinstance(source, list) else source

    @property
    def model(self) -> str:
        """Name of the base model, as the SAE or its source gives it."""
        return str(self.sae.get("model") or self.source.get("name") or "unknown")

    @property
    def site(self) -> str:
        """Where the SAE reads."""
        return str(self.sae.get("read_site") or self.source.get("site") or "unknown")

    @property
    def created(self) -> datetime:
        """When it was computed, or published."""
        return datetime.fromisoformat(str(self.result.provenance["created"]))

    @property
    def is_imported(self) -> bool:
        """Whether it was published elsewhere, without evidence."""
        return is_imported(self.record)

    @property
    def version(self) -> str:
        """Version of the harness that computed it."""
        if self.is_imported:
            return str(self.result.provenance["origin"].get("version", "unknown"))
        return str((self.result.provenance.get("saeval") or {}).get("version", "unknown"))

    @property
    def scored(self) -> tuple[Score, ...]:
        """The scores that have a value."""
        return tuple(score for score in self.result.scores if score.status == "scored")

    @cached_property
    def bounds(self) -> dict[tuple[str, str | None], tuple[float | None, float | None]]:
        """Metric and part -> smallest and largest possible value."""
        found = {}
        for metric in self.record["metrics"]:
            low, high = metric.get("bounds") or (None, None)
            found[metric["metric"], metric["part"]] = (low, high)
        return found


def stored(source: str | Path) -> list[Stored]:
    """Every result of a folder, in order of path; failed ones are left out.

    Raises:
        UsageError: if there is none.
        ResultError: if one cannot be read.
    """
    found = list(_read(Path(source).expanduser()))
    if not found:
        raise UsageError(
            f"'{source}' has no results. Give the folder that `saeval run --output-path` wrote."
        )
    return found


def _read(folder: Path) -> Iterator[Stored]:
    for path in stored_results(folder):
        result = read_result(path)
        if result.status != "failed":
            yield Stored(path, result, read_record(path)[1])
