"""Whether evidence that was computed again, on another machine, is that of a bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from saeval.evidence.unit_tables import LABELS
from saeval.leaderboard.bundles.peers import Peer

_CLOSE = 1e-3
"""Relative to a statistic's largest size: what sums in another order change."""
_DEVIATING = 0.02
"""Share of units that may differ by more: a latent just at its threshold is on or off."""


@dataclass(frozen=True)
class Agreement:
    """One result that was computed again."""

    result: str
    """Folder and file name of the result."""
    result_id: str
    units: int
    """Units that were compared, each under its own name."""
    deviating: int
    """Of these, units that differ by more than rounding does."""
    fault: str | None
    """Why the two do not agree; None if they do."""

    def row(self) -> dict[str, Any]:
        """As one JSON object."""
        return {**vars(self), "agrees": self.fault is None}


def agreement(stated: Peer, again: Peer) -> Agreement:
    """Compare the units of all tables, and the values of all scores."""
    units = deviating = 0
    fault = _input_fault(stated, again)
    for name, table in stated.tables.items() if fault is None else ():
        other = again.tables.get(name)
        if other is None or stated.label_digests[name] != again.label_digests[name]:
            fault = f"'{name}' has other units"
            break
        columns = [column for column in table.columns if column not in LABELS]
        apart = _apart(table[columns].to_numpy(float), other[columns].to_numpy(float))
        units, deviating = units + len(table), deviating + int(apart.sum())
        if apart.mean() > _DEVIATING:
            fault = f"{int(apart.sum())} of {len(apart)} units of '{name}' differ"
            break
    fault = fault or _score_fault(stated.record, again.record)
    place = f"{stated.folder.parent.name}/{stated.folder.name}"
    return Agreement(place, stated.record["result_id"], units, deviating, fault)


def _input_fault(stated: Peer, again: Peer) -> str | None:
    if stated.hashes != again.hashes:
        return "the SAE given has another content than the one that is stated"
    if stated.settings != again.settings:
        return "it was computed again from other inputs (model, data or settings)"
    if set(stated.tables) != set(again.tables):
        return "it has other tables"
    return None


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which rows differ by more than rounding, in any column."""
    scale = np.maximum(np.abs(a).max(0), np.abs(b).max(0))
    return (np.abs(a - b) > _CLOSE * scale).any(1)


def _score_fault(stated: Mapping[str, Any], again: Mapping[str, Any]) -> str | None:
    values = {(s["metric"], s["part"]): s["value"] for s in again["scores"]}
    for score in stated["scores"]:
        value, other = score["value"], values.get((score["metric"], score["part"]))
        if (value is None) != (other is None):
            return f"{score['metric']} is {value}, and {other} when computed again"
        if value is None or other is None:
            continue
        slack = max(1e-2 * max(abs(value), abs(other)), (score["stderr"] or 0.0) / 4, 1e-4)
        if abs(value - other) > slack:
            return f"{score['metric']} is {value:.6g}, and {other:.6g} when computed again"
    return None
