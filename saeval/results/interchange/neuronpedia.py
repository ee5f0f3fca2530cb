"""Results as Neuronpedia's eval types and evals: a JSON schema a task, and a record a result."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from saeval.config.metric_docs import find_metrics
from saeval.config.plugin_docs import describe_tasks
from saeval.errors import UsageError
from saeval.results.folder import slug
from saeval.results.interchange.stored import Stored
from saeval.results.score import Score

_PLACE = re.compile(r"([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)")


def neuronpedia_content(
    results: Iterable[Stored], places: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """All eval types with their evals, as its list of evals has them.

    Args:
        results: Of SAEs.
        places: Name of an SAE -> `MODEL/SOURCE`, Neuronpedia's names of its model and of itself,
            such as `gpt2-small/0-res-jb`; without one, both are made of saeval's names.

    Raises:
        UsageError: if a place has another form, or its SAE no result.
    """
    of_task: dict[str, list[Stored]] = {}
    for stored in results:
        if stored.scored:
            of_task.setdefault(stored.result.task, []).append(stored)
    named = {stored.label for group in of_task.values() for stored in group}
    for name, place in (places or {}).items():
        if name not in named or not _PLACE.fullmatch(place):
            raise UsageError(
                f"'{name}={place}': write NAME=MODEL/SOURCE, with the name of an SAE of the "
                f"results ({', '.join(sorted(named)[:8])}), such as NAME=gpt2-small/0-res-jb."
            )
    return {"evalTypes": [_type(task, group, places or {}) for task, group in of_task.items()]}


def _type(task: str, results: list[Stored], places: Mapping[str, str]) -> dict[str, Any]:
    name = f"saeval_{task}"
    about = next(iter(describe_tasks(task)), None)
    summary = about.summary if about else f"Results of {task}."
    return {
        "name": name,
        "displayName": f"saeval {task}",
        "description": summary,
        "outputSchema": json.dumps(_schema(task, name, summary, results)),
        "url": None,
        "evals": [_eval(stored, name, places) for stored in results],
    }


def _schema(task: str, name: str, summary: str, results: list[Stored]) -> dict[str, Any]:
    """JSON schema of the output, with what is known of every metric."""
    metrics = {
        str(score.metric): _describe(score)
        for stored in results
        for score in stored.scored
        if score.part is None
    }
    text = {"type": "string"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "description": summary,
        "type": "object",
        "properties": {
            "eval_type_id": {"const": name},
            "eval_config": {"type": "object"},
            "eval_id": text,
            "datetime_epoch_millis": {"type": "integer"},
            "eval_result_metrics": {
                "type": "object",
                "properties": {
                    task: {
                        "type": "object",
                        "properties": metrics,
                        "additionalProperties": False,
                    }
                },
                "required": [task],
                "additionalProperties": False,
            },
            "sae_bench_commit_hash": text,
            "sae_lens_id": text,
            "sae_lens_release_id": text,
            "sae_lens_version": text,
            "sae_cfg_dict": {"type": "object"},
        },
        "required": ["eval_type_id", "eval_id", "eval_result_metrics", "datetime_epoch_millis"],
        "additionalProperties": False,
    }


def _describe(score: Score) -> dict[str, Any]:
    declared = next(iter(find_metrics(str(score.metric))), None)
    direction = {"higher": "Higher is better.", "lower": "Lower is better."}.get(
        score.better or "", "Neither direction is better."
    )
    formula = f"{declared.formula} " if declared else ""
    return {
        "type": ["number", "null"],
        "title": str(score.metric),
        "description": f"{formula}{direction} Unit: {score.unit or 'not told'}.",
    }


def _eval(stored: Stored, name: str, places: Mapping[str, str]) -> dict[str, Any]:
    result = stored.result
    model, source = _place(stored, places)
    whole = {str(s.metric): s.value for s in stored.scored if s.part is None}
    release, _, last = stored.label.rpartition("/")
    output = {
        "eval_type_id": name,
        "eval_config": {"task_version": result.task_version, "seed": result.seed},
        "eval_id": result.result_id,
        "datetime_epoch_millis": int(stored.created.timestamp() * 1000),
        "eval_result_metrics": {result.task: whole},
        "sae_bench_commit_hash": f"saeval {stored.version}",
        "sae_lens_id": last,
        "sae_lens_release_id": release or "saeval",
        "sae_lens_version": "none",
        "sae_cfg_dict": {
            "architecture": stored.sae.get("architecture"),
            "d_in": stored.sae.get("d_in"),
            "d_sae": stored.sae.get("d_sae"),
            "model_name": stored.model,
            "hook_name": stored.site,
            "saeval_content_hash": stored.sae.get("hash"),
        },
    }
    details = [_detail(score) for score in stored.scored]
    return {
        "id": result.result_id,
        "typeName": name,
        "modelId": model,
        "sourceId": source,
        "output": json.dumps(output, allow_nan=False),
        "detailedMetrics": json.dumps(details, allow_nan=False),
    }


def _place(stored: Stored, places: Mapping[str, str]) -> tuple[str, str]:
    if stored.label in places:
        model, _, source = places[stored.label].partition("/")
        return model, source
    model = stored.model.partition("://")[2] or stored.model
    return slug(model.rpartition("/")[2]), slug(stored.label)


def _detail(score: Score) -> dict[str, Any]:
    """Interval, n and anchors of one metric, which the output itself has no place for."""
    names = ("metric", "part", "value", "stderr", "ci_low", "ci_high", "n", "unit_of_n", "unit")
    return {name: getattr(score, name) for name in (*names, "better", "floor", "ceiling", "reason")}
