"""What a submitted result says of its SAEs, source, cost and run: of the kinds that boards read."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from saeval.leaderboard.bundles.names import label_fault
from saeval.results.interchange.imported import is_imported

_TEXTS_OF_SAE = (
    *("id", "source", "revision", "sha256", "hash", "architecture", "loader", "model"),
    *("read_site", "write_site", "null"),
)
_WIDTHS = ("d_in", "d_out", "d_sae")
_TEXTS_OF_SOURCE = ("identity", "name", "model", "site", "write_site")
_TEXTS_OF_CLAIM = ("model", "read_site", "write_site")
_COSTS = ("seconds", "cpu_seconds", "peak_rss_mb")
_MOST_COST = 1e12


def provenance_faults(record: Mapping[str, Any]) -> Iterator[str]:
    """What is of another kind than saeval writes, among what is read of a result that is shown.

    Args:
        record: Content of result.json, whose provenance and run are objects.
    """
    provenance = record["provenance"]
    for sae in _objects(provenance, "saes"):
        if sae is None:
            yield "its provenance.saes is no list of objects"
            return
        if fault := label_fault(sae.get("label")):
            yield fault
        yield from _not_texts(sae, _TEXTS_OF_SAE, "provenance.saes")
        for name in _WIDTHS:
            if sae.get(name) is not None and type(sae[name]) is not int:
                yield f"its provenance.saes has {name} {sae[name]!a:.80}, which is no whole number"
    for claim in _objects(provenance, "claims"):
        if claim is None:
            yield "its provenance.claims is no list of objects"
            return
        yield from _not_texts(claim, _TEXTS_OF_CLAIM, "provenance.claims")
    yield from _source_faults(provenance)
    yield from _cost_faults(provenance.get("phases"))
    yield from _run_faults(record["run"])


def _objects(provenance: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any] | None]:
    """The objects of a list; None in the place of whatever is none."""
    found = provenance.get(name, [])
    for one in found if isinstance(found, list) else [None]:
        yield one if isinstance(one, dict) else None


def _not_texts(about: Mapping[str, Any], names: tuple[str, ...], place: str) -> Iterator[str]:
    for name in names:
        if not isinstance(about.get(name), str | None):
            yield f"its {place} has {name} {about[name]!a:.80}, which is no text"


def _source_faults(provenance: Mapping[str, Any]) -> Iterator[str]:
    source = provenance.get("source", {})
    if isinstance(source, dict):
        yield from _not_texts(source, _TEXTS_OF_SOURCE, "provenance.source")
    else:
        yield "its provenance.source is no object"
    if "origin" in provenance and not is_imported({"provenance": provenance}):
        origin = provenance["origin"]
        harness = origin.get("harness") if isinstance(origin, dict) else origin
        yield f"its origin is {harness!a:.80}, which is no harness that results are imported from"


def _cost_faults(phases: Any) -> Iterator[str]:
    """Seconds and memory: numbers that can be added up."""
    if phases is None:
        return
    if not isinstance(phases, dict):
        yield "its provenance.phases is no object"
        return
    for name, phase in phases.items():
        if not isinstance(phase, dict):
            yield f"its phase {name!a:.80} is no object"
            continue
        for cost in map(phase.get, _COSTS):
            if cost is not None and not _is_cost(cost):
                yield f"its phase {name!a:.80} cost {cost!a:.80}, which is no number of its kind"


def _is_cost(cost: Any) -> bool:
    is_number = isinstance(cost, int | float) and not isinstance(cost, bool)
    return is_number and math.isfinite(cost) and 0 <= cost <= _MOST_COST


def _run_faults(run: Mapping[str, Any]) -> Iterator[str]:
    """The configuration, from which a page makes the command that computes a result again."""
    tasks = run.get("tasks", {})
    if not isinstance(tasks, dict) or not all(isinstance(own, dict) for own in tasks.values()):
        yield "its run.tasks is no object of objects"
