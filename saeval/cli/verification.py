"""`saeval validate RESULTS`: what it says of stored results."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from saeval.cli.printing import print_json
from saeval.results.tables.cells import count_text
from saeval.results.text import one_line
from saeval.results.verification import fault_line, faults_of


def print_verification(
    folders: Sequence[Path], *, as_json: bool, name: Callable[[Path], str] = str
) -> bool:
    """Verify results; write a line for each that does not verify, and a summary.

    Args:
        folders: Folders of results.
        as_json: Whether lines are JSON.
        name: How a folder is called.

    Returns:
        Whether all verify.
    """
    failed = 0
    for folder in folders:
        if faults := faults_of(folder):
            failed += 1
            row: dict[str, Any] = {"kind": "result", "folder": name(folder), "faults": list(faults)}
            line = f"{name(folder)}: {fault_line(faults)}"
            print_json([row]) if as_json else click.echo(one_line(line))
    counts = {"results": len(folders), "verified": len(folders) - failed, "not_verified": failed}
    if as_json:
        print_json([{"kind": "summary", **counts}])
    else:
        verified = f"{len(folders) - failed} verify, {failed} do not."
        click.echo(f"{count_text(len(folders), 'result')}: {verified}")
    return not failed
