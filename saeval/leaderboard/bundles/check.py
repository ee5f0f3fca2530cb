"""Whether a bundle may stand on a board: every check in turn, on data alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from saeval.errors import BundleError
from saeval.leaderboard.bundles.archives import is_archive, root_of, unpacked
from saeval.leaderboard.bundles.limits import LIMITS, Limits
from saeval.leaderboard.bundles.manifest import Manifest
from saeval.leaderboard.bundles.names import SUBMISSION
from saeval.leaderboard.bundles.records import Submitted
from saeval.leaderboard.bundles.steps import Check, Circumstances, Reading, take_steps
from saeval.leaderboard.bundles.table_files import limited_memory
from saeval.leaderboard.sources import Badge

__all__ = ["Check", "Circumstances", "Report", "check_bundle", "opened_bundle"]


@dataclass(frozen=True)
class Report:
    """All checks of a bundle that were made: the first that finds something is the last."""

    place: str
    checks: tuple[Check, ...]
    manifest: Manifest | None = None
    digest: str | None = None
    badge: Badge = "self-reported"
    results: tuple[Submitted, ...] = field(default=(), repr=False)

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything for which it is refused."""
        return tuple(fault for check in self.checks for fault in check.faults)


@contextmanager
def opened_bundle(path: Path, limits: Limits = LIMITS) -> Iterator[Path]:
    """The folder of a bundle, unpacked for the time being if it is an archive.

    Raises:
        BundleError: if there is none, or the archive is not safe.
    """
    if is_archive(path):
        with unpacked(path, limits) as folder:
            root = root_of(folder, SUBMISSION)
            strays = [path for path in folder.rglob("*") if not path.is_dir()]
            strays = [path for path in strays if not path.is_relative_to(root)]
            if strays:
                stray = strays[0].relative_to(folder).as_posix()
                raise BundleError(f"'{stray}' lies beside the bundle; pack its folder alone.")
            yield root
    elif path.is_symlink():
        raise BundleError(f"'{path}' is a link; give the folder or file that it leads to.")
    elif path.is_dir():
        yield path
    else:
        raise BundleError(f"'{path}' is neither the folder of a bundle nor a .zip or .tar.gz.")


def check_bundle(path: Path, circumstances: Circumstances | None = None) -> Report:
    """Check a bundle. Nothing of it is run, imported, unpickled or fetched.

    Args:
        path: A folder, or an archive.
        circumstances: What it is checked against.
    """
    about = circumstances or Circumstances()
    try:
        with opened_bundle(path, about.limits) as folder, limited_memory(about.limits):
            reading = Reading(folder, about, from_archive=folder != path)
            take_steps(reading)
    except BundleError as error:
        return Report(str(path), (Check("archive", faults=(str(error).removesuffix("."),)),))
    except MemoryError:
        fault = "it takes more memory than a bundle may"
        return Report(str(path), (Check("memory", faults=(fault,)),))
    checks = [_without(check, f"{folder}/") for check in reading.checks]
    return Report(
        str(path),
        tuple(checks),
        reading.manifest,
        reading.digest,
        reading.badge,
        reading.results,
    )


def _without(check: Check, folder: str) -> Check:
    """A check whose messages name paths within the bundle."""
    faults = tuple(fault.replace(folder, "") for fault in check.faults)
    return replace(check, faults=faults)
