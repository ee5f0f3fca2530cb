"""What plugins say about themselves, read from their source.

None of their code runs, nor that of their parent packages, so that `saeval ls` and `describe`
stay quick whatever a plugin imports.
"""

import ast
import importlib.util
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

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
    """A plugin as its source describes it. None of it has been run."""

    plugin: Plugin
    doc: str
    """Docstring of the task's class or of the loader's module."""
    version: int | None = None
    """Of a task."""
    fields: tuple[FieldDescription, ...] = ()
    """Of a task."""
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
    return _described(TASKS, name, _describe_task)


def describe_loaders(name: str | None = None) -> list[Description]:
    """Every loader as its source describes it; with a name, that one alone."""
    return _described(LOADERS, name, _describe_loader)


def declared_headline(task: str) -> tuple[str, ...]:
    """Metrics that an installed task names as its `headline`; none where it names none."""
    plugin = find(TASKS).get(task)
    try:
        body = _class(plugin.module, plugin.attribute).body if plugin else []
        declared = _assigned(body, "headline") or ()
    except (UsageError, OSError, SyntaxError, ValueError):
        return ()
    return tuple(name for name in declared if isinstance(name, str))


def _described(
    group: str, name: str | None, describe: Callable[[Plugin], Description]
) -> list[Description]:
    plugins = find(group).values()
    return [_describe(one, describe) for one in plugins if name is None or one.name == name]


def _describe(plugin: Plugin, describe: Callable[[Plugin], Description]) -> Description:
    try:
        return describe(plugin)
    except (UsageError, OSError, SyntaxError, ValueError) as error:
        return Description(plugin, doc="", broken=str(error))


def _describe_loader(plugin: Plugin) -> Description:
    tree = _parse(plugin.module)
    declared = _assigned(tree.body, "FORMAT")
    return Description(plugin, doc=ast.get_docstring(tree) or "", format=declared or "")


def _describe_task(plugin: Plugin) -> Description:
    tree = _class(plugin.module, plugin.attribute)
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
    version = _assigned(tree.body, "version")
    return Description(plugin, doc=ast.get_docstring(tree) or "", version=version, fields=fields)


def _default(value: ast.expr) -> ast.expr:
    """The default that a field shows: within `field(...)`, its default or its factory's call."""
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
    """A string that stands alone as a statement, else nothing."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return inspect.cleandoc(node.value.value) if isinstance(node.value.value, str) else ""
    return ""


def _assigned(body: Sequence[ast.stmt], name: str) -> Any:
    """The literal assigned to a name, None if there is none."""
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if any(isinstance(target, ast.Name) and target.id == name for target in targets) and value:
            return ast.literal_eval(value)
    return None


def _class(module: str, name: str, hops: int = 3) -> ast.ClassDef:
    """A class's source, followed through so many `from x import name`."""
    for node in _parse(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom) and hops:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _class(_resolve(module, node), alias.name, hops - 1)
    raise UsageError(f"{module} defines no class '{name}'.")


def _resolve(module: str, node: ast.ImportFrom) -> str:
    package = module if _spec(module).submodule_search_locations else module.rpartition(".")[0]
    return importlib.util.resolve_name("." * node.level + (node.module or ""), package)


def _parse(module: str) -> ast.Module:
    origin = _spec(module).origin
    if origin is None or not origin.endswith(".py"):
        raise UsageError(f"{module} has no Python source to read its description from.")
    return ast.parse(Path(origin).read_text(encoding="utf-8"), origin)


def _spec(module: str) -> ModuleSpec:
    """Where a module lies, found without running its parent packages as `find_spec` would."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    name = top
    for part in rest:
        name = f"{name}.{part}"
        locations = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(name, locations) if locations else None
    if spec is None:
        raise UsageError(f"There is no module '{module}'.")
    return spec
