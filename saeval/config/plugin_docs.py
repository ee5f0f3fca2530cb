"""Descriptions of plugins, read from their source.

None of their code runs, nor that of their parent packages, so that `saeval ls` and `describe`
stay quick whatever a plugin imports.
"""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass

from saeval.config.metric_docs import MetricDescription, metrics_of
from saeval.config.module_source import assigned_value, find_class, parse
from saeval.config.plugins import LOADERS, TASKS, Plugin, find
from saeval.errors import UsageError


@dataclass(frozen=True)
class FieldDescription:
    """One configuration field of a task, as its source writes it."""

    name: str
    type: str
    default: str
    doc: str


@dataclass(frozen=True)
class Description:
    """A plugin as its source describes it. No code of it has been run."""

    plugin: Plugin
    doc: str
    """Docstring of the task's class or of the loader's module."""
    version: int | None = None
    """Of a task."""
    fields: tuple[FieldDescription, ...] = ()
    """Of a task."""
    metrics: tuple[MetricDescription, ...] = ()
    """Of a task: those it declares."""
    format: str = ""
    """Of a loader: the files it looks for."""
    broken: str = ""
    """Why it cannot be described, empty where it can."""

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.doc.partition("\n")[0]


def describe_tasks(name: str | None = None) -> list[Description]:
    """Every task as its source describes it; with a name, that one alone."""
    return _describe_all(TASKS, name, _describe_task)


def describe_loaders(name: str | None = None) -> list[Description]:
    """Every loader as its source describes it; with a name, that one alone."""
    return _describe_all(LOADERS, name, _describe_loader)


def declared_headline(task: str) -> tuple[str, ...]:
    """Metrics that an installed task names as its `headline`; empty if it names none."""
    plugin = find(TASKS).get(task)
    try:
        body = find_class(plugin.module, plugin.attribute)[1].body if plugin else []
        declared = assigned_value(body, "headline") or ()
    except (UsageError, OSError, SyntaxError, ValueError):
        return ()
    return tuple(name for name in declared if isinstance(name, str))


def _describe_all(
    group: str, name: str | None, describe: Callable[[Plugin], Description]
) -> list[Description]:
    plugins = find(group).values()
    return [
        _describe(plugin, describe) for plugin in plugins if name is None or plugin.name == name
    ]


def _describe(plugin: Plugin, describe: Callable[[Plugin], Description]) -> Description:
    try:
        return describe(plugin)
    except (UsageError, OSError, SyntaxError, ValueError) as error:
        return Description(plugin, doc="", broken=str(error))


def _describe_loader(plugin: Plugin) -> Description:
    tree = parse(plugin.module)
    declared = assigned_value(tree.body, "FORMAT")
    return Description(plugin, doc=ast.get_docstring(tree) or "", format=declared or "")


def _describe_task(plugin: Plugin) -> Description:
    tree = find_class(plugin.module, plugin.attribute)[1]
    fields = tuple(
        FieldDescription(
            name=node.target.id,
            type=ast.unparse(node.annotation),
            default=ast.unparse(_default(node.value)) if node.value else "",
            doc=_text_of(following),
        )
        for node, following in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not ast.unparse(node.annotation).startswith(("ClassVar", "typing.ClassVar"))
    )
    version = assigned_value(tree.body, "version")
    return Description(
        plugin,
        doc=ast.get_docstring(tree) or "",
        version=version,
        fields=fields,
        metrics=metrics_of(plugin),
    )


def _default(value: ast.expr) -> ast.expr:
    """The default value of a field: of `field(...)`, its `default` or the call of its factory."""
    if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("field"):
        for keyword in value.keywords:
            if keyword.arg == "default":
                return keyword.value
            if keyword.arg == "default_factory":
                factory = keyword.value
                return (
                    factory.body if isinstance(factory, ast.Lambda) else ast.Call(factory, [], [])
                )
    return value


def _text_of(node: ast.stmt) -> str:
    """The text of a statement that is only a string; empty for every other statement."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return inspect.cleandoc(node.value.value) if isinstance(node.value.value, str) else ""
    return ""
