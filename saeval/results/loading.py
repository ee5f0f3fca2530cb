"""`saeval.load_results`: all results of a folder."""

import logging
from pathlib import Path

from saeval.errors import ResultError
from saeval.results.reading import read_result, read_results, result_folders
from saeval.results.results import Results
from saeval.results.verification import fault_line, seal_faults

logger = logging.getLogger(__name__)


def load_results(folder: str | Path) -> Results:
    """Results in a folder that `saeval.evaluate` or `saeval run` wrote.

    Each stands once per name that it answers to; see `read_results`. What is not as it was written
    is shown as it lies there, and a warning names it: digests of results and of their evidence are
    compared. Nothing is computed again, so an edited score of a version without digests is found
    by `saeval validate FOLDER` alone.

    Args:
        folder: The folder of all results, that of `output_path`.

    Raises:
        ResultError: if there is no such folder.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ResultError(
            f"There is no folder '{folder}'. Give the one that --output-path named, by default "
            "'results'."
        )
    results = Results(read_results(root), root=root)
    for path in result_folders(root):
        try:
            read_result(path)
        except ResultError:  # it was skipped, with a warning of its own
            continue
        if faults := seal_faults(path):
            logger.warning(
                "The result '%s' does not verify: %s. It is shown as it is stored; the run that "
                "made it computes it anew.",
                path,
                fault_line(faults),
            )
    return results
