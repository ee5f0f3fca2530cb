"""Where the results of a board come from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Badge = Literal["ours", "self-reported", "recomputed", "re-run", "imported"]
"""How far a result is confirmed.

ours: computed by the board's maintainers, with its evidence;
self-reported: stated by a submitter, and not checked yet;
recomputed: every score follows from the submitter's evidence;
re-run: a random part of the units was computed again with the SAE itself;
imported: published elsewhere as a number without evidence.
"""


@dataclass(frozen=True)
class Source:
    """A folder of results, and how far it is confirmed."""

    folder: Path
    """A results folder, as `saeval run --output-path` writes it."""
    badge: Badge = "ours"
    owner: str | None = None
    """Who submitted it; None for the maintainers' own."""
    name: str | None = None
    """Name of the submission."""
