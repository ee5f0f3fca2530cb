"""The result.json files of a bundle: their form, names, identity, and what they say of the SAEs."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.errors import BundleError, ResultError
from saeval.leaderboard.bundles.limits import LIMITS, Limits
from saeval.leaderboard.bundles.names import (
    IDENTIFIER,
    METRIC,
    RESULT,
    label_fault,
    private_fault,
)
from saeval.leaderboard.bundles.provenance import provenance_faults
from saeval.leaderboard.bundles.strict_json import read_strict, texts_in
from saeval.results.digest import DIGEST
from saeval.results.folder import HEAD, SCHEMA
from saeval.results.interchange.imported import is_imported
from saeval.results.key import result_key

_KEYS = {
    *("schema", *HEAD, "working_folder", "run", "scores", "provenance", "interval"),
    *("tables", "metrics", DIGEST),
}
_METRIC_KEYS = {
    *("metric", "part", "columns", "aggregator", "parameters", "unit", "better", "floor"),
    *("ceiling", "no_interval", "bounds", "table"),
}
_TABLE_KEYS = {"file", "unit", "rows", "sha256", "data"}
_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_METRICS = 20_000
_ODD = (TypeError, ValueError, KeyError, AttributeError, OverflowError)
"""What reading a record of any wrong shape may raise."""


@dataclass(frozen=True)
class Submitted:
    """One result of a bundle."""

    folder: Path
    record: Mapping[str, Any]
    """Content of its result.json."""

    @property
    def place(self) -> str:
        """Its folder's name and that above it, for messages."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def is_imported(self) -> bool:
        """Whether it was published elsewhere as numbers, without evidence."""
        return is_imported(self.record)


def submitted_results(
    folders: Iterable[Path], limits: Limits = LIMITS
) -> tuple[tuple[Submitted, ...], tuple[str, ...]]:
    """Results whose form is sound, and the faults of all others."""
    sound, faults = [], []
    for folder in folders:
        try:
            result = Submitted(folder, read_strict(folder / RESULT, limits))
            found = _form_faults(result.record) or tuple(_identity_faults(result))
            if not found:
                sound.append(result)
        except BundleError as error:
            found = (str(error).removesuffix("."),)
        except (*_ODD, ResultError) as error:
            found = (f"result.json has a wrong form ({type(error).__name__}: {error!s:.200})",)
        faults += [f"{folder.parent.name}/{folder.name}: {fault}" for fault in found]
    return tuple(sound), tuple(faults)


def _form_faults(record: Mapping[str, Any]) -> tuple[str, ...]:
    if record.get("schema") != SCHEMA:
        return (f"its schema is {record.get('schema')!a}, this version accepts {SCHEMA}",)
    if DIGEST not in record:
        return ("result.json has no digest; results of this version have one",)
    if set(record) != _KEYS:
        strange = sorted(set(record) ^ _KEYS)
        return (f"result.json has other keys than it should: {', '.join(strange)[:200]!a}",)
    return (
        *(_head_faults(record) or provenance_faults(record)),
        *_table_form_faults(record),
        *_score_faults(record),
    )


def _head_faults(record: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_found_in_head(record))


def _found_in_head(record: Mapping[str, Any]) -> Iterator[str]:
    yield from _label_faults(record)
    if not (isinstance(record["task"], str) and IDENTIFIER.fullmatch(record["task"])):
        yield f"its task is {record['task']!a}"
    for name in ("task_version", "seed"):
        if type(record[name]) is not int or record[name] < 0:
            yield f"its {name} is {record[name]!a}"
    if record["status"] == "failed":
        yield "it failed, so there is nothing to show; leave it out"
    if not isinstance(record["provenance"], dict) or not isinstance(record["run"], dict):
        yield "its provenance or its run is no object"
    if record["working_folder"] is not None:
        yield f"its working folder is {record['working_folder']!a:.80}, which nobody need know"
    private = next(filter(None, map(private_fault, texts_in(record))), None)
    if private:
        yield private


def _label_faults(record: Mapping[str, Any]) -> Iterator[str]:
    for name in ("sae", "set"):
        if record[name] is not None and (fault := label_fault(record[name])):
            yield fault
    if record["sae"] is None and record["set"] is None:
        yield "it names neither an SAE nor a set"


def _table_form_faults(record: Mapping[str, Any]) -> Iterator[str]:
    for name, about in record["tables"].items():
        if set(about) != _TABLE_KEYS or about["file"] != f"{name}.parquet":
            yield f"its table {name!a} is not {{{', '.join(sorted(_TABLE_KEYS))}}} of its own file"
        elif not IDENTIFIER.fullmatch(name) or not _HASH.fullmatch(about["sha256"]):
            yield f"its table {name!a} has a wrong name or hash"
        elif type(about["rows"]) is not int or about["rows"] < 1:
            yield f"its table '{name}' has {about['rows']!a} rows"
        elif not isinstance(about["data"], dict) or not about["data"]:
            yield f"its table '{name}' does not say what data it was measured on"
    if len(record["metrics"]) > _MOST_METRICS:
        yield f"it has {len(record['metrics']):,} metrics; at most {_MOST_METRICS:,}"
    for metric in record["metrics"]:
        if set(metric) != _METRIC_KEYS or not METRIC.fullmatch(metric["metric"]):
            yield f"its metric {metric.get('metric')!a} is not described as it should be"


def _score_faults(record: Mapping[str, Any]) -> Iterator[str]:
    if not record["scores"]:
        yield "it has no score; leave it out"
    # A score without a metric speaks for the whole task, and nothing else gives it a status.
    whole = next((score for score in record["scores"] if score["metric"] is None), None)
    stated = (whole["status"], whole["reason"]) if whole else ("scored", None)
    if (record["status"], record["reason"]) != stated:
        yield f"its status is {record['status']!a:.80}, and its scores say {stated[0]!a:.80}"
    for score in record["scores"]:
        metric, n = score["metric"], score["n"]
        if metric is not None and not METRIC.fullmatch(metric):
            yield f"a score is named {metric!a:.100}"
        if n is not None and (type(n) is not int or n < 1):
            yield f"{metric}: n is {n!a}; a score has at least one unit"
        if score["status"] == "scored" and n is None and not is_imported(record):
            yield f"{metric}: n is missing"


def _identity_faults(result: Submitted) -> Iterator[str]:
    """Whether id, key, labels and the SAEs' hashes say the same."""
    record, provenance = result.record, result.record["provenance"]
    key = provenance.get("key")
    if not isinstance(key, dict):
        yield "its provenance has no key, so its id cannot be confirmed"
        return
    if result_key(key) != record["result_id"]:
        yield "the inputs in provenance.key do not give its id"
    if not result.folder.name.endswith(f"-{record['result_id']}"):
        yield f"its folder is not that of result {record['result_id']!a}"
    if result.is_imported:
        return
    labels = {"task": key.get("task"), "task_version": key.get("version"), "seed": key.get("seed")}
    for name, stated in labels.items():
        if stated != record[name]:
            yield f"its {name} is {record[name]!a}, its key says {stated!a}"
    stated = [sae.get("hash") for sae in provenance.get("saes", ())]
    if not stated or stated != list(key.get("saes", ())):
        yield "its provenance names other SAEs than its key: their hashes differ"
    yield from _source_faults(key, provenance)


def _source_faults(key: Mapping[str, Any], provenance: Mapping[str, Any]) -> Iterator[str]:
    """Whether what was read, as provenance tells it, is what the key holds."""
    source = provenance.get("source")
    if isinstance(source, dict) and source.get("identity") != key.get("source"):
        yield "its provenance names another source than its key"


def across_faults(results: Sequence[Submitted]) -> tuple[str, ...]:
    """Names that stand for two SAEs, and ids that stand twice."""
    faults, contents, places = [], {}, {}
    for result in results:
        for sae in result.record["provenance"].get("saes", ()):
            known = contents.setdefault(sae.get("label"), sae.get("hash"))
            if known != sae.get("hash"):
                faults.append(f"{sae.get('label')!a} names two SAEs of different content")
        first = places.setdefault(result.record["result_id"], result.place)
        if first != result.place:
            faults.append(f"'{first}' and '{result.place}' are the same result")
    return tuple(dict.fromkeys(faults))
