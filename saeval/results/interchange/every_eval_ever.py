"""Results as Every Eval Ever's aggregate records, schema 0.3.0: one JSON file a result.

Its instance records describe questions and answers of a chat; units of evidence are neither, so
none are written: the record names the evidence files instead.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from saeval.results.folder import INTERVAL, slug
from saeval.results.interchange.stored import Stored
from saeval.results.score import Score

SCHEMA_VERSION = "0.3.0"
Relationship = Literal["first_party", "third_party", "collaborative", "other"]


@dataclass(frozen=True)
class Evaluator:
    """Who says so."""

    organization: str = "unknown"
    relationship: Relationship = "other"
    """Of the evaluator to whoever trained the SAE."""


def every_eval_ever_files(
    results: Iterable[Stored], evaluator: Evaluator | None = None
) -> dict[str, Any]:
    """File name -> content, one file a result that has scores."""
    who = evaluator or Evaluator()
    return {_place(stored): _record(stored, who) for stored in results if stored.scored}


def _place(stored: Stored) -> str:
    owner, _, name = _model_id(stored).partition("/")
    seed = hashlib.sha256(stored.result.result_id.encode()).digest()[:16]
    identifier = uuid.UUID(bytes=seed, version=4)  # its form is asked for; equal results keep it
    return f"data/saeval-{slug(stored.result.task)}/{slug(owner)}/{slug(name)}/{identifier}.json"


def _model_id(stored: Stored) -> str:
    """Owner and name, the form in which the hub names models."""
    source = str(stored.sae.get("source") or "")
    if source.startswith("hf://"):
        return "/".join(source.removeprefix("hf://").split("/")[:2])
    owner, _, name = stored.label.partition("/")
    return f"{slug(owner)}/{slug(name)}" if name else f"unknown/{slug(owner)}"


def _record(stored: Stored, who: Evaluator) -> dict[str, Any]:
    result, seconds = stored.result, str(int(stored.created.timestamp()))
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"saeval_{result.task}/{_model_id(stored)}/{result.result_id}/{seconds}",
        "evaluation_timestamp": seconds,
        "retrieved_timestamp": seconds,
        "source_metadata": {
            "source_name": "SAEBench" if stored.is_imported else "saeval",
            "source_type": "documentation" if stored.is_imported else "evaluation_run",
            "source_organization_name": who.organization,
            "evaluator_relationship": who.relationship,
            "additional_details": {"result_id": result.result_id, "seed": str(result.seed)},
        },
        "eval_library": {
            "name": "sae_bench" if stored.is_imported else "saeval",
            "version": stored.version,
            "additional_details": {"task": result.task, "task_version": str(result.task_version)},
        },
        "model_info": {
            "name": stored.label,
            "id": _model_id(stored),
            "additional_details": _model_details(stored),
        },
        "evaluation_results": [_metric(stored, score) for score in stored.scored],
    }


def _model_details(stored: Stored) -> dict[str, str]:
    open_source = str(stored.sae.get("source") or "").startswith(("hf://", "lab://"))
    details = {
        "deployment_type": "self_deployed",
        "model_availability": "open_weights" if open_source else "unknown",
        "kind": "sparse autoencoder",
        "base_model": stored.model,
        "site": stored.site,
        "content_hash": stored.sae.get("hash"),
        "architecture": stored.sae.get("architecture"),
        "d_in": stored.sae.get("d_in"),
        "d_sae": stored.sae.get("d_sae"),
    }
    return _texts(details)


def _metric(stored: Stored, score: Score) -> dict[str, Any]:
    result = stored.result
    name = f"{score.metric}/{score.part}" if score.part is not None else str(score.metric)
    low, high = stored.bounds.get((str(score.metric), score.part), (None, None))
    return {
        "evaluation_result_id": f"{result.result_id}/{name}",
        "evaluation_name": f"saeval.{result.task}",
        "source_data": {
            "dataset_name": _data_name(stored),
            "source_type": "other",
            "additional_details": _texts(_facts(stored)),
        },
        "metric_config": {
            "metric_id": f"saeval.{result.task}.{score.metric}",
            "metric_name": name,
            "metric_unit": score.unit or "unknown",
            "lower_is_better": score.better == "lower",
            "score_type": "continuous",
            "min_score": "-Infinity" if low is None else low,
            "max_score": "Infinity" if high is None else high,
            "additional_details": _texts(
                {"better": score.better, "floor": score.floor, "ceiling": score.ceiling}
            ),
        },
        "score_details": _score(score),
    }


def _score(score: Score) -> dict[str, Any]:
    details: dict[str, Any] = {
        "score": score.value,
        "details": _texts({"n": score.n, "unit_of_n": score.unit_of_n, "reason": score.reason}),
    }
    uncertainty: dict[str, Any] = {}
    if score.stderr is not None:
        uncertainty["standard_error"] = {"value": score.stderr, "method": "bootstrap"}
    if score.ci_low is not None and score.ci_high is not None:
        uncertainty["confidence_interval"] = {
            "lower": score.ci_low,
            "upper": score.ci_high,
            "confidence_level": INTERVAL["level"],
            "method": INTERVAL["method"],
        }
        uncertainty["num_bootstrap_samples"] = INTERVAL["replicates"]
    if score.n is not None:
        uncertainty["num_samples"] = score.n
    return {**details, "uncertainty": uncertainty} if uncertainty else details


def _facts(stored: Stored) -> Mapping[str, Any]:
    facts = stored.result.provenance.get("data") or {}
    return facts[0] if isinstance(facts, list) else facts


def _data_name(stored: Stored) -> str:
    name = _facts(stored).get("data")
    return name if isinstance(name, str) else f"data of saeval's task {stored.result.task}"


def _texts(details: Mapping[str, Any]) -> dict[str, str]:
    """The values as texts, which the schema asks for; those that are None are left out."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in details.items()
        if value is not None
    }
