"""The submissions of a board: each with how far it is confirmed."""

import logging
from pathlib import Path

from saeval.leaderboard.bundles.check import Circumstances, check_bundle
from saeval.leaderboard.bundles.names import SUBMISSION
from saeval.leaderboard.bundles.tree import RESULTS
from saeval.leaderboard.sources import Source

logger = logging.getLogger(__name__)


def read_submissions(root: Path) -> list[Source]:
    """Every submission that is sound, in order of owner and name.

    Each is checked as `saeval validate` does, but results of earlier versions of a task are
    accepted: they were right when they came. One that is refused is left out with a warning.

    Args:
        root: The folder `leaderboards/submissions`.
    """
    sources = []
    for folder in sorted(path.parent for path in root.glob(f"*/*/{SUBMISSION}")):
        report = check_bundle(folder, Circumstances(older=True))
        if report.faults or report.manifest is None:
            logger.warning(
                "The submission '%s' is left out: %s. `saeval validate %s` says all.",
                folder.relative_to(root).as_posix(),
                (report.faults or ("it cannot be read",))[0],
                folder,
            )
            continue
        manifest = report.manifest
        sources.append(Source(folder / RESULTS, report.badge, manifest.owner, manifest.name))
    return sources
