"""Whether submitted evidence can be what it says, beside results of the same task.

It takes results of others to see what must be equal: which tables follow from the data alone, and
what the data was. Where there are none, nothing is found.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from saeval.evidence.unit_tables import LABELS
from saeval.leaderboard.bundles.peers import Peer, is_informative

_ENOUGH = 3
"""SAEs between which something must be equal, before it counts as independent of the SAE."""
_RECIPE = ("columns", "aggregator", "table")
_CLOSE = 1e-2
"""Relative difference that two machines may have in what does not depend on the SAE."""


def plausibility_faults(own: Sequence[Peer], known: Sequence[Peer]) -> tuple[str, ...]:
    """What contradicts results of the same task.

    Args:
        own: Results of the bundle.
        known: Results of others.
    """
    faults: list[str] = []
    for result in own:
        others = [peer for peer in (*known, *own) if peer.folder != result.folder]
        of_task = [peer for peer in others if peer.task == result.task]
        faults += _copy_faults(result, of_task)
        theirs = [peer for peer in known if peer.task == result.task]
        faults += _recipe_faults(result, theirs)
        alike = [peer for peer in theirs if peer.settings == result.settings]
        faults += _data_faults(result, alike)
        faults += _shared_faults(result, [peer for peer in alike if peer.data == result.data])
        faults += _conflict_faults(result, alike)
    return tuple(dict.fromkeys(faults))


def other_data_notes(own: Sequence[Peer], known: Sequence[Peer]) -> tuple[str, ...]:
    """Which results were measured on other data than those they would stand beside."""
    notes = []
    for result in own:
        beside = [peer for peer in known if peer.group == result.group]
        others = [peer for peer in beside if peer.data != result.data]
        if beside and len(others) == len(beside):
            notes.append(
                f"{result.folder.name} ({result.label}) was scored on other rows than the "
                f"{len(beside)} results that it would stand beside, for its settings are "
                "others (--limit, --set): it cannot be paired with them"
            )
    return tuple(notes)


def _name(result: Peer) -> str:
    return f"{result.folder.parent.name}/{result.folder.name}"


def _copy_faults(result: Peer, others: Sequence[Peer]) -> Iterator[str]:
    """Evidence that is another SAE's."""
    strangers = [peer for peer in others if peer.hashes != result.hashes]
    telling = {name for name, table in result.tables.items() if is_informative(table)}
    for peer in strangers:
        shared = telling & set(peer.tables)
        equal = {name for name in shared if peer.digests[name] == result.digests[name]}
        # Of one other SAE, only the whole tells: some tables follow from the data alone.
        varying = {name for name in equal if _varies(name, [result, *strangers])}
        if varying or (equal and equal == telling):
            tables = ", ".join(sorted(varying or equal))
            yield (
                f"{_name(result)}: its evidence ({tables}) is that of another SAE, "
                f"'{peer.label}', whose content is {peer.hashes[0][:12] if peer.hashes else '?'}"
            )
            return


def _varies(table: str, peers: Sequence[Peer]) -> bool:
    """Whether a table differs between SAEs on the same data, so that it tells them apart."""
    data = peers[0].data.get(table)
    found = [peer for peer in peers if table in peer.tables and peer.data.get(table) == data]
    return len({peer.digests[table] for peer in found}) > 1


def _recipe_faults(result: Peer, known: Sequence[Peer]) -> Iterator[str]:
    """Metrics that are computed in another way than others compute them."""
    usual: dict[tuple[str, str | None], list[dict[str, Any]]] = {}
    for peer in known:
        for metric in peer.record["metrics"]:
            recipe = {name: metric[name] for name in _RECIPE}
            usual.setdefault((metric["metric"], metric["part"]), []).append(recipe)
    for metric in result.record["metrics"]:
        expected = usual.get((metric["metric"], metric["part"]), [])
        stated = {name: metric[name] for name in _RECIPE}
        if _hides_its_interval(metric, known):
            yield (
                f"{_name(result)}: {metric['metric']} is said to have no interval "
                f"({metric['no_interval']!a:.80}), and has one everywhere else"
            )
        if expected and stated not in expected:
            yield (
                f"{_name(result)}: {metric['metric']} is computed from {stated}, elsewhere from "
                f"{expected[0]}"
            )


def _hides_its_interval(metric: Mapping[str, Any], known: Sequence[Peer]) -> bool:
    """Whether a metric that ranks has no interval here alone: without one it cannot be ranked low.

    What neither direction is better of may lack one for a reason of the SAE's, such as its width.
    """
    if not metric["no_interval"] or metric["better"] not in ("higher", "lower"):
        return False
    name = metric["metric"], metric["part"]
    theirs = [
        m for peer in known for m in peer.record["metrics"] if (m["metric"], m["part"]) == name
    ]
    return bool(theirs) and not any(other["no_interval"] for other in theirs)


def _data_faults(result: Peer, alike: Sequence[Peer]) -> Iterator[str]:
    """The same inputs, and other data."""
    for name, data in result.data.items():
        stated = [peer.data[name] for peer in alike if name in peer.data]
        if stated and data not in stated:
            yield (
                f"{_name(result)}: '{name}' was measured on other data ({data}) than with the same "
                f"task, settings, source and seed elsewhere ({stated[0]})"
            )


def _shared_faults(result: Peer, alike: Sequence[Peer]) -> Iterator[str]:
    """What is equal for all SAEs on this data, and other here: units and columns of the data."""
    for name, table in result.tables.items():
        peers = [peer for peer in alike if name in peer.tables]
        if len({peer.hashes for peer in peers}) < _ENOUGH:
            continue
        labels = {peer.label_digests[name] for peer in peers}
        if len(labels) > 1:
            continue
        if result.label_digests[name] not in labels:
            yield f"{_name(result)}: '{name}' has other units than for all other SAEs"
            continue
        for column in [one for one in table.columns if one not in LABELS]:
            if fault := _column_fault(table, [peer.tables[name] for peer in peers], column):
                yield f"{_name(result)}: '{name}' {fault}"


def _column_fault(table: pd.DataFrame, others: Sequence[pd.DataFrame], column: str) -> str | None:
    values = [other[column].to_numpy(float) for other in others if column in other]
    if len(values) < len(others) or len(np.unique(values[0])) < _ENOUGH:
        return None
    scale = float(np.abs(values[0]).max())
    if any(np.abs(one - values[0]).max() > _CLOSE * scale / 2 for one in values):
        return None  # it depends on the SAE
    apart = np.abs(table[column].to_numpy(float) - values[0])
    if apart.max() <= _CLOSE * scale:
        return None
    return (
        f"has another '{column}' than for all other SAEs, though it does not depend on the SAE "
        f"({int((apart > _CLOSE * scale).sum())} of {len(apart)} units)"
    )


def _conflict_faults(result: Peer, alike: Sequence[Peer]) -> Iterator[str]:
    """The same SAE with the same inputs, and other values; and other floors of the same null."""
    scores = {(s["metric"], s["part"]): s for s in result.record["scores"]}
    null = result.record["provenance"].get("null_floors")
    for peer in alike:
        is_same = peer.hashes == result.hashes
        same_null = null is not None and null == peer.record["provenance"].get("null_floors")
        for other in peer.record["scores"]:
            score = scores.get((other["metric"], other["part"]))
            for name in ("value",) * is_same + ("floor",) * same_null:
                if score and _differ(score[name], other[name], other["stderr"]):
                    yield (
                        f"{_name(result)}: the {name} of {score['metric']} is {score[name]}, and "
                        f"{other[name]} in '{_name(peer)}', from the same inputs"
                    )


def _differ(a: float | None, b: float | None, stderr: float | None) -> bool:
    if a is None or b is None:
        return False
    return abs(a - b) > max(_CLOSE * max(abs(a), abs(b)), (stderr or 0.0) / 2, 1e-3)
