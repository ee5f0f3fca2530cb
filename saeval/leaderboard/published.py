"""Published numbers with their evidence: folders, archives and addresses, read as data."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from saeval.errors import UsageError
from saeval.leaderboard.bundles.archives import is_archive, is_bundle, unpacked
from saeval.leaderboard.bundles.names import SUBMISSION
from saeval.results.verification import stored_results


@dataclass(frozen=True)
class Places:
    """What there is to verify."""

    bundles: Sequence[Path]
    results: Sequence[Path]
    """Folders of results that belong to no bundle."""


@contextmanager
def opened(source: str) -> Iterator[Path]:
    """A local folder of what a path or an address names; temporary unless it is a local folder.

    Raises:
        UsageError: if there is nothing, or the address is of no kind that is fetched.
        FetchError: if it cannot be fetched, or is too large.
        BundleError: if an archive is not safe.
    """
    if "://" in source:
        from saeval.leaderboard.download import fetched

        with fetched(source) as path, opened(str(path)) as folder:
            yield folder
        return
    path = Path(source).expanduser()
    if is_archive(path):
        with unpacked(path) as folder:
            yield folder
    elif path.exists():
        yield path
    else:
        raise UsageError(
            f"There is no '{source}'. Give a folder of results, a bundle, a leaderboards folder, "
            "or an https address."
        )


def places_in(folder: Path, source: str) -> Places:
    """The bundles and results that lie below a folder.

    Args:
        folder: The folder.
        source: What it was unpacked or fetched from, for messages.

    Raises:
        UsageError: if there are none.
    """
    bundles = [folder] if is_bundle(folder) else []
    bundles += [
        path.parent
        for pattern in (f"submissions/*/*/{SUBMISSION}", f"*/*/{SUBMISSION}", f"*/{SUBMISSION}")
        for path in sorted(folder.glob(pattern))
    ]
    bundles = list(dict.fromkeys(bundles))
    results = [] if bundles and bundles[0] == folder else list(stored_results(folder))
    results += [result for root in sorted(folder.glob("results/*")) for result in _below(root)]
    results += [result for root in sorted(folder.glob("*")) for result in _below(root)]
    outside = [
        path
        for path in dict.fromkeys(results)
        if not any(path.is_relative_to(bundle) for bundle in bundles)
    ]
    if not bundles and not outside:
        raise UsageError(
            f"'{source}' has no results with evidence: no result.json, and no {SUBMISSION}."
        )
    return Places(bundles, outside)


def _below(root: Path) -> list[Path]:
    return list(stored_results(root)) if root.is_dir() else []
