"""Results that were published elsewhere as numbers, without evidence."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

NO_EVIDENCE = "published as a number, without evidence"
"""Why an imported score has no interval."""
HARNESSES = ("saebench",)
"""Harnesses whose results are imported."""


def is_imported(record: Mapping[str, Any]) -> bool:
    """Whether the content of a result.json was imported from another harness."""
    origin = record.get("provenance", {}).get("origin")
    return isinstance(origin, Mapping) and origin.get("harness") in HARNESSES


def import_faults(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What an imported result may not have: evidence, intervals, or names of saeval's own metrics.

    Args:
        record: Content of its result.json.
    """
    prefix = f"{record['provenance']['origin']['harness']}_"
    faults = []
    if record["tables"] or record["metrics"]:
        faults.append("it is said to be imported, but has evidence")
    names = Counter(score["metric"] for score in record["scores"] if score["part"] is None)
    faults += [f"it gives {name} twice" for name, count in names.items() if count > 1]
    for score in record["scores"]:
        name = f"{score['metric']} (part {score['part']})"
        if score["metric"] is not None and not score["metric"].startswith(prefix):
            faults.append(f"{name} is imported, so its name must begin with '{prefix}'")
        if any(score[end] is not None for end in ("stderr", "ci_low", "ci_high", "n")):
            faults.append(f"{name} is imported without evidence, but has an interval or n")
        if score["status"] == "scored" and score["reason"] != NO_EVIDENCE:
            faults.append(f"{name}: its reason is not '{NO_EVIDENCE}'")
    return tuple(faults)
