"""SAEBench's result files as results: numbers without evidence, marked as such."""

import hashlib
import json
import math
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from saeval.config.metric_docs import find_metrics
from saeval.errors import ResultError, UsageError
from saeval.results.interchange.imported import NO_EVIDENCE
from saeval.results.interchange.saebench_form import form_faults
from saeval.results.interchange.saebench_format import (
    HARNESS,
    HIGHER_IS_BETTER,
    IMPORTED_VERSION,
    LOWER_IS_BETTER,
    MISSING,
    PART_KEYS,
    PREFIX,
    TASK_OF_EVAL,
    USES_MINUS_ONE,
)
from saeval.results.key import result_key
from saeval.results.score import Labels, Result, Score
from saeval.results.writing import check_writable, write_result

_MOST_DETAILS = 200
"""Rows of details that are kept; those of core, one a latent, are more."""
_MOST_BYTES = 500_000_000
_LARGEST = sys.float_info.max


def import_saebench(source: Path, output_path: Path) -> list[Result]:
    """Import files, and write every result.

    Args:
        source: A file, or a folder whose `*.json` are read, in all folders below.
        output_path: Folder of results.

    Raises:
        UsageError: if there is no such file, or none of SAEBench's.
        ResultError: if a file is damaged.
    """
    objects = list(_objects(source))
    if not objects:
        raise UsageError(
            f"'{source}' has no result of SAEBench: a JSON file with 'eval_type_id' and "
            "'eval_result_metrics', or several such under names."
        )
    check_writable(output_path)
    try:
        results = [result_of(content) for content in objects]
    except RecursionError as error:
        raise ResultError(f"'{source}' is nested too deeply to be a result of SAEBench.") from error
    for result in results:
        write_result(output_path, result, [])
    return results


def _objects(source: Path) -> Iterator[dict[str, Any]]:
    """Results in files of both layouts: one in a file, or several under names."""
    if not source.exists():
        raise UsageError(f"There is no '{source}'.")
    for path in sorted(source.rglob("*.json")) if source.is_dir() else [source]:
        content = _read(path)
        if isinstance(content, dict) and "eval_type_id" in content:
            yield _checked(content, path)
        elif isinstance(content, dict):
            for inner in content.values():
                if isinstance(inner, dict) and "eval_type_id" in inner:
                    yield _checked(inner, path)


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ResultError(f"'{path}' has more than {_MOST_BYTES:,} bytes.")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(f"'{path}' cannot be read as JSON: {error}.") from error


def _checked(content: dict[str, Any], path: Path) -> dict[str, Any]:
    for fault in form_faults(content):
        raise ResultError(f"'{path}' is no whole result of SAEBench: {fault}.")
    return content


def result_of(content: Mapping[str, Any]) -> Result:
    """One of SAEBench's results as a result."""
    eval_type = str(content["eval_type_id"])
    config = content.get("eval_config") or {}
    seed = config.get("random_seed")
    key = {"harness": HARNESS, "sha256": _digest(content)}
    labels = Labels(
        _label(content),
        TASK_OF_EVAL.get(eval_type, eval_type),
        IMPORTED_VERSION,
        seed if type(seed) is int and seed >= 0 else 0,
        result_key(key),
    )
    millis = content.get("datetime_epoch_millis") or 0
    provenance = {
        "key": key,
        "origin": _origin(content),
        "created": datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds"),
        "saes": [_sae(content)],
    }
    run = {"saes": [labels.sae], "tasks": {labels.task: {}}}
    return Result.of(labels, tuple(_scores(content, labels)), provenance=provenance, run=run)


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _label(content: Mapping[str, Any]) -> str:
    release, name = str(content["sae_lens_release_id"]), str(content["sae_lens_id"])
    return release if name == "custom_sae" else f"{release}/{name}"


def _origin(content: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says besides its numbers, so that it can be written again."""
    details = content.get("eval_result_details") or []
    left_out = ["eval_result_unstructured"] if content.get("eval_result_unstructured") else []
    if len(details) > _MOST_DETAILS:
        left_out.append(f"eval_result_details ({len(details)} rows)")
        details = []
    kept = {
        name: field
        for name, field in content.items()
        if name not in ("eval_result_unstructured", "eval_result_details", "eval_result_metrics")
    }
    metrics = content["eval_result_metrics"]
    return {
        "harness": HARNESS,
        "version": str(content.get("sae_bench_commit_hash") or "unknown"),
        "file": _finite(kept),
        "categories": {name: c for c, inner in metrics.items() for name in inner or ()},
        "details": _finite(details),
        "left_out": left_out,
    }


def _finite(value: Any) -> Any:
    """JSON values whose numbers are finite: others become the text that names them."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return value


def _sae(content: Mapping[str, Any]) -> dict[str, Any]:
    config = content.get("sae_cfg_dict") or {}
    return {
        "label": _label(content),
        "id": _label(content),
        "source": None,
        "revision": None,
        "sha256": None,
        "architecture": config.get("architecture"),
        "loader": None,
        "model": config.get("model_name"),
        "read_site": config.get("hook_name"),
        "write_site": None,
        "d_in": config.get("d_in"),
        "d_sae": config.get("d_sae"),
    }


def _scores(content: Mapping[str, Any], labels: Labels) -> Iterator[Score]:
    eval_type = str(content["eval_type_id"])
    for metrics in content["eval_result_metrics"].values():
        for name, value in (metrics or {}).items():
            yield _score(labels, eval_type, name, value, None)
    for row in content.get("eval_result_details") or ():
        part = next((row[key] for key in PART_KEYS if isinstance(row.get(key), str)), None)
        for name, value in row.items() if part else ():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield _score(labels, eval_type, name, value, part)


def _score(labels: Labels, eval_type: str, name: str, value: Any, part: str | None) -> Score:
    metric = f"{PREFIX}{name}"
    declared = next(iter(find_metrics(metric)), None)
    columns = {
        "metric": metric,
        "part": part,
        "unit": declared.unit if declared else None,
        "better": declared.better if declared else _better(name),
    }
    text = "null" if value is None else json.dumps(value)
    text = "-1" if text == "-1.0" else text
    if text in MISSING and (text != "-1" or eval_type in USES_MINUS_ONE):
        return labels.score(**columns, status="not_applicable", reason=MISSING[text])
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _LARGEST:
        raise ResultError(f"{labels.sae}: {name} is {value!r:.80}, which is no number.")
    return labels.score(**columns, value=float(value), status="scored", reason=NO_EVIDENCE)


def _better(name: str) -> str:
    if name.startswith(HIGHER_IS_BETTER):
        return "higher"
    return "lower" if name.startswith(LOWER_IS_BETTER) else "none"
