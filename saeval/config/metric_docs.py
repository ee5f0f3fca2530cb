"""Descriptions of metrics, read from the source of the `Metric(...)` records of tasks.

A task's records stand at the top level of the module that defines its class, or in files beside
it called `metrics.py` or `NAME_metrics.py`. None of this code runs.
"""

import ast
import fnmatch
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from saeval.config.module_source import find_assigned, find_class, line_of, parse, source_file
from saeval.config.plugins import TASKS, Plugin, find
from saeval.errors import UsageError

OPEN = "{k}"
"""Stands in a name for a number, as in `auc_top_{k}`."""
POPULATION = "POPULATION"
"""Constant of a module that says what the intervals of its metrics are about, where a metric does
not say it itself."""
THIS_SEED = "this seed"
"""Words of a population that depends on what a seed draws."""
_POSITIONAL = 3
# Fields of a record that may be given by position, as in the dataclass: name, unit and better.


@dataclass(frozen=True)
class MetricDescription:
    """One metric as its record declares it; the first fields are those of the record."""

    name: str
    unit: str
    better: str
    formula: str
    functions: tuple[str, ...] = ()
    distrust: str = ""
    floor: float | str | None = None
    ceiling: float | str | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    population: str = ""
    undefined: str = ""
    where: str = ""
    source: str = ""
    groups: str = ""
    task: str = ""
    """Name of the task that reports it."""
    declared_in: str = ""
    """`file:line` of the record."""

    def numbered(self, number: str) -> "MetricDescription":
        """The metric with a number in place of `{k}`, in its name and in all its texts."""
        texts = {
            item.name: getattr(self, item.name).replace(OPEN, number)
            for item in fields(self)
            if isinstance(getattr(self, item.name), str)
        }
        return replace(self, **texts)


_RECORD = tuple(item.name for item in fields(MetricDescription))[:-2]
"""Fields of a record, in their order."""


def metrics_of(plugin: Plugin) -> tuple[MetricDescription, ...]:
    """The metrics that a task declares, in the order of its source; empty if it declares none.

    Raises:
        UsageError: if a record is no literal, or the task's source cannot be read.
    """
    module = find_class(plugin.module, plugin.attribute)[0]
    return tuple(
        replace(metric, task=plugin.name)
        for neighbour in _modules_beside(module)
        for metric in _declared(neighbour)
    )


def find_metrics(name: str) -> list[MetricDescription]:
    """Metrics of any task under a name: one name, one with a number for `{k}`, or a glob.

    Tasks whose records cannot be read are left out.
    """
    return [match for metric in _all_metrics() for match in _match_name(metric, name)]


def chosen_by_seed(task: str, names: Collection[str]) -> set[str]:
    """Which of a task's metrics have an interval about units given what a seed chose."""
    plugin = find(TASKS).get(task)
    try:
        metrics = metrics_of(plugin) if plugin else ()
    except (UsageError, OSError, SyntaxError, ValueError):
        return set()
    seeded = [metric for metric in metrics if THIS_SEED in metric.population]
    return {name for name in names for metric in seeded if any(_match_name(metric, name))}


def metric_names() -> list[str]:
    """Names of all metrics that tasks declare, with 1 in place of `{k}`."""
    return [metric.name.replace(OPEN, "1") for metric in _all_metrics()]


def location(function: str) -> str:
    """`file:function (line n)` for `module:function`; unchanged if there is no such function."""
    module, _, name = function.partition(":")
    try:
        line = line_of(module, name)
        return f"{_display_path(source_file(module))}:{name} (line {line})" if line else function
    except (UsageError, OSError, SyntaxError):
        return function


def _all_metrics() -> Iterator[MetricDescription]:
    for plugin in find(TASKS).values():
        try:
            yield from metrics_of(plugin)
        except (UsageError, OSError, SyntaxError, ValueError):
            continue  # `describe TASK` says what is wrong with it


def _match_name(metric: MetricDescription, name: str) -> Iterator[MetricDescription]:
    if any(character in name for character in "*?["):
        if fnmatch.fnmatchcase(metric.name, name):
            yield metric
    elif name == metric.name:
        yield metric
    elif OPEN in metric.name:
        prefix, _, suffix = map(re.escape, metric.name.partition(OPEN))
        if match := re.fullmatch(rf"{prefix}(\d+){suffix}", name):
            yield metric.numbered(match[1])


def _modules_beside(module: str) -> list[str]:
    """A module, and the modules beside it that are named `metrics` or `*_metrics`."""
    package, _, module_stem = module.rpartition(".")
    if not package:
        return [module]
    folder = source_file(module).parent
    beside = sorted(path.stem for path in folder.glob("*metrics.py") if path.stem != module_stem)
    stems = [stem for stem in beside if stem == "metrics" or stem.endswith("_metrics")]
    return [module, *(f"{package}.{stem}" for stem in stems)]


def _declared(module: str) -> Iterator[MetricDescription]:
    tree, path = parse(module), _display_path(source_file(module))
    names = _names_of_metric(tree)
    constants = _constants(tree) | _imported_constants(module, tree)
    population = _shared_population(constants)
    for statement in tree.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        for call in ast.walk(statement.value):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in names:
                place = f"{path}:{call.lineno}"
                record = {"population": population, **_arguments(call, constants, place)}
                yield MetricDescription(**record, declared_in=place)


def _names_of_metric(tree: ast.Module) -> set[str]:
    """Names under which a module imports saeval's `Metric`; other classes may share the name."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "saeval":
            for alias in node.names:
                local_name = alias.asname or alias.name
                names |= {local_name} if alias.name == "Metric" else {f"{local_name}.Metric"}
        if isinstance(node, ast.Import):
            names |= {f"{alias.asname or alias.name}.Metric" for alias in node.names}
    return names


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that the module gives to expressions, such as a unit that several metrics share."""
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _imported_constants(module: str, tree: ast.Module) -> dict[str, ast.expr]:
    """Constants that a module imports by name, such as `NULL_SAE`, and what they stand for."""
    names = [
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.isupper()
    ]
    found: dict[str, ast.expr | None] = {}
    for name in names:
        with suppress(UsageError):  # a module without Python source
            found[name] = find_assigned(module, name)
    return {name: value for name, value in found.items() if value is not None}


def _shared_population(constants: Mapping[str, ast.expr]) -> str:
    """The module's POPULATION; empty if it has none."""
    try:
        return str(ast.literal_eval(constants[POPULATION])) if POPULATION in constants else ""
    except ValueError:
        return ""


def _arguments(call: ast.Call, constants: Mapping[str, ast.expr], place: str) -> dict[str, Any]:
    """The record's fields.

    Raises:
        UsageError: naming the line and the field that is no literal, unknown or missing.
    """
    expressions: dict[str, ast.expr] = dict(zip(_RECORD[:_POSITIONAL], call.args, strict=False))
    expressions |= {str(keyword.arg): keyword.value for keyword in call.keywords}
    _check_fields(call, expressions, place)
    values = {}
    for name, expression in expressions.items():
        shared = constants.get(expression.id) if isinstance(expression, ast.Name) else None
        try:
            values[name] = ast.literal_eval(shared or expression)
        except ValueError as error:
            raise UsageError(
                f"The metric in {place} has '{ast.unparse(expression)}' as its {name}, which only "
                "running the code would tell. Write it as a literal, so that it can be described."
            ) from error
    return values


def _check_fields(call: ast.Call, expressions: Mapping[str, ast.expr], place: str) -> None:
    unknown = [name for name in expressions if name not in _RECORD]
    missing = [name for name in _RECORD[: _POSITIONAL + 1] if name not in expressions]
    if len(call.args) > _POSITIONAL:
        fault = f"more than {_POSITIONAL} fields without their names"
    elif unknown:
        fault = f"an unknown field '{unknown[0]}'"
    elif missing:
        fault = f"no {', '.join(missing)}"
    else:
        return
    raise UsageError(
        f"The metric in {place} has {fault}. A record is Metric(name, unit=..., better=..., "
        "formula=...), with more fields by name."
    )


def _display_path(path: Path) -> str:
    """A path relative to the working folder, if it lies below it."""
    working_folder = Path.cwd()
    return (
        str(path.relative_to(working_folder)) if path.is_relative_to(working_folder) else str(path)
    )


def rows_of_metrics(metrics: Sequence[MetricDescription]) -> list[dict[str, Any]]:
    """Rows of metrics for `describe TASK`."""
    columns = ("name", "unit", "better", "floor", "ceiling", "formula", "where")
    return [{name: getattr(metric, name) for name in columns} for metric in metrics]


def row_of_metric(metric: MetricDescription) -> dict[str, Any]:
    """The record of a metric for `describe METRIC`."""
    return {
        "metric": metric.name,
        "task": metric.task,
        "unit": metric.unit,
        "better": metric.better,
        "floor": metric.floor,
        "ceiling": metric.ceiling,
        "bounds": _bounds_text(metric.bounds),
        "interval_is_about": metric.population,
        "formula": metric.formula,
        "mean_over": metric.groups,
        "undefined_where": metric.undefined,
        "do_not_trust_it": metric.distrust,
        "only": metric.where,
        "computed_in": [location(function) for function in metric.functions],
        "declared_in": metric.declared_in,
        "definition_from": metric.source,
    }


def _bounds_text(bounds: tuple[float | None, float | None]) -> str | None:
    """`0 to 1`, `0 or more`, `1 or less`; None for a metric without bounds."""
    low, high = bounds
    if low is None:
        return None if high is None else f"{high:g} or less"
    return f"{low:g} or more" if high is None else f"{low:g} to {high:g}"
