"""What an installed task declares, against what a result says of it. No task's code runs."""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from saeval.config.metric_docs import MetricDescription, find_metrics
from saeval.config.plugin_docs import Description, describe_tasks
from saeval.leaderboard.bundles.records import Submitted


@cache
def _description(task: str) -> Description | None:
    return next(iter(describe_tasks(task)), None)


@cache
def _declared(task: str, metric: str) -> MetricDescription | None:
    return next((found for found in find_metrics(metric) if found.task == task), None)


def task_faults(result: Submitted, *, older: bool) -> tuple[str, ...]:
    """Whether the task is known, in this version.

    Args:
        result: A result.
        older: Whether results of an earlier version are accepted, as those on a board are that
            were submitted before the version rose.
    """
    if result.is_imported:
        return ()
    task, version = result.record["task"], result.record["task_version"]
    known = _description(task)
    if known is None:
        return (f"{result.place}: no task is called '{task}' here",)
    if known.version is None or version == known.version or (older and version < known.version):
        return ()
    fault = (
        f"{result.place}: it was scored with version {version} of '{task}', version "
        f"{known.version} is compared; score it again with this version of saeval"
    )
    return (fault,)


def declaration_faults(result: Submitted) -> Iterator[str]:
    """Metrics that the task does not declare, or declares with another unit, direction or bound."""
    record = result.record
    known = _description(record["task"])
    if result.is_imported or known is None or record["task_version"] != known.version:
        return
    for metric in record["metrics"]:
        declared = _declared(record["task"], metric["metric"])
        name = f"{result.place}: {metric['metric']}"
        if declared is None:
            yield f"{name} is no metric of '{record['task']}'"
            continue
        stated = {
            "unit": declared.unit,
            "better": declared.better,
            "bounds": list(declared.bounds),
            **{
                anchor: value
                for anchor in ("floor", "ceiling")
                if not isinstance(value := getattr(declared, anchor), str)
            },
        }
        for field, value in stated.items():
            if metric[field] != value and not _is_of_a_part(metric, field):
                yield f"{name}: its {field} is {metric[field]!a}, the task declares {value!a}"


def _is_of_a_part(metric: Mapping[str, Any], field: str) -> bool:
    """Whether an anchor may be missing: what a null scores is measured for all data alone."""
    return field in ("floor", "ceiling") and metric["part"] is not None and metric[field] is None


def range_faults(result: Submitted) -> Iterator[str]:
    """Values outside of the bounds of their metric, and intervals that are none."""
    bounds = {(m["metric"], m["part"]): m["bounds"] for m in result.record["metrics"]}
    for score in result.record["scores"]:
        if score["status"] != "scored" or result.is_imported:
            continue
        name = f"{result.place}: {score['metric']} (part {score['part']})"
        low, high = bounds.get((score["metric"], score["part"]), (None, None))
        low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
        slack = 1e-9
        if not low - slack <= score["value"] <= high + slack:
            yield f"{name}: {score['value']} lies outside of its bounds, {low} to {high}"
        ends = score["ci_low"], score["ci_high"]
        if None not in ends and not ends[0] <= ends[1]:
            yield f"{name}: its interval runs from {ends[0]} to {ends[1]}"
