"""Results in the form of SAEBench's files."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from saeval.errors import UsageError
from saeval.results.folder import slug
from saeval.results.interchange.saebench_format import (
    EVAL_OF_TASK,
    MISSING,
    PREFIX,
    category_of,
)
from saeval.results.interchange.stored import Stored
from saeval.results.score import Score


def saebench_files(results: Iterable[Stored]) -> dict[str, Any]:
    """File name -> content, one file an SAE, eval and seed.

    Only metrics under SAEBench's own definitions are written: those of imported results, and what
    `--compat saebench` adds. The same name with another definition would mislead.

    Raises:
        UsageError: if no result has any.
    """
    files: dict[str, Any] = {}
    for stored in results:
        content = saebench_object(stored)
        if content is not None:
            release, name = content["sae_lens_release_id"], content["sae_lens_id"]
            stem = f"{release}_{name}".replace("/", "_")
            place = f"{slug(content['eval_type_id'])}/{stem}_eval_results.json"
            # SAEBench's names tell neither seeds nor names with / and _ apart.
            if place in files:
                place = place.replace("_eval_results", f"_{stored.result.result_id}_eval_results")
            files[place] = content
    if not files:
        raise UsageError(
            "No result has a metric under SAEBench's definition. Score with --compat saebench, "
            "which adds them as saebench_*."
        )
    return files


def saebench_object(stored: Stored) -> dict[str, Any] | None:
    """One result; None if it has no metric under SAEBench's definition."""
    whole = [score for score in stored.result.scores if _is_saebench(score) and score.part is None]
    if not whole:
        return None
    if stored.is_imported:
        return _as_published(stored, whole)
    eval_type = EVAL_OF_TASK.get(stored.result.task, stored.result.task)
    metrics: dict[str, dict[str, Any]] = {}
    for score in whole:
        name = str(score.metric).removeprefix(PREFIX)
        metrics.setdefault(category_of(eval_type, name), {})[name] = score.value
    release, _, name = stored.label.rpartition("/")
    return {
        "eval_type_id": eval_type,
        "eval_config": {**_fields(stored), "random_seed": stored.result.seed},
        "eval_id": str(uuid.uuid5(uuid.NAMESPACE_OID, stored.result.result_id)),
        "datetime_epoch_millis": int(stored.created.timestamp() * 1000),
        "eval_result_metrics": metrics,
        "eval_result_details": _details(stored),
        "sae_bench_commit_hash": f"saeval {stored.version}",
        "sae_lens_id": name,
        "sae_lens_release_id": release or "saeval",
        "sae_lens_version": "none",
        "sae_cfg_dict": _config(stored),
        "eval_result_unstructured": None,
    }


def _is_saebench(score: Score) -> bool:
    return score.metric is not None and score.metric.startswith(PREFIX)


def _as_published(stored: Stored, scores: Iterable[Score]) -> dict[str, Any]:
    """The file from which it was imported, without what was left out then."""
    origin = stored.result.provenance["origin"]
    metrics: dict[str, dict[str, Any]] = {}
    for score in scores:
        name = str(score.metric).removeprefix(PREFIX)
        value = (
            -1 if score.reason == MISSING["-1"] else score.value
        )  # NaN becomes null: it is no JSON
        metrics.setdefault(origin["categories"][name], {})[name] = value
    content = {**origin["file"], "eval_result_metrics": metrics}
    if origin["details"]:
        content["eval_result_details"] = origin["details"]
    return content


def _fields(stored: Stored) -> Mapping[str, Any]:
    """Fields of the task, as plain values."""
    key = stored.result.provenance.get("key") or {}
    fields = key.get("fields") or {}
    return {name: value for name, value in fields.items() if isinstance(value, str | int | float)}


def _details(stored: Stored) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for score in stored.scored:
        if score.part is not None and _is_saebench(score):
            row = rows.setdefault(score.part, {"dataset_name": score.part})
            row[str(score.metric).removeprefix(PREFIX)] = score.value
    return list(rows.values())


def _config(stored: Stored) -> dict[str, Any]:
    sae = stored.sae
    return {
        "architecture": sae.get("architecture"),
        "model_name": stored.model,
        "hook_name": stored.site,
        "d_in": sae.get("d_in"),
        "d_sae": sae.get("d_sae"),
        "prepend_bos": sae.get("prepend_bos"),
        "metadata": {"saeval_content_hash": sae.get("hash"), "source": sae.get("source")},
    }
