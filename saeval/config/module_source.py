"""The source of modules that must not be run: its file, and what it assigns and defines."""

import ast
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from saeval.errors import UsageError


def parse(module: str) -> ast.Module:
    """A module's source as a tree.

    Raises:
        UsageError: if there is no such module, or it has no Python source.
    """
    path = source_file(module)
    return _tree(path.read_text(encoding="utf-8"), str(path))


@lru_cache(maxsize=256)
def _tree(source: str, path: str) -> ast.Module:
    """A source as a tree, which must not be changed: to read one takes far longer than its file."""
    return ast.parse(source, path)


def source_file(module: str) -> Path:
    """File of a module's source.

    Raises:
        UsageError: if there is no such module, or it has no Python source.
    """
    origin = _spec(module).origin
    if origin is None or not origin.endswith(".py"):
        raise UsageError(f"{module} has no Python source to read its description from.")
    return Path(origin)


def find_class(module: str, name: str, hops: int = 3) -> tuple[str, ast.ClassDef]:
    """The module that defines a class, and its source, after at most `hops` imports of it.

    Raises:
        UsageError: if no such class is found.
    """
    for node in parse(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and hops:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return find_class(_resolve(module, node), alias.name, hops - 1)
    raise UsageError(f"{module} defines no class '{name}'.")


def find_assigned(module: str, name: str, hops: int = 3) -> ast.expr | None:
    """What a module assigns to a name, or the module that it imports the name from; None if none.

    Raises:
        UsageError: if a module on the way cannot be read.
    """
    for node in parse(module).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            return node.value
        if isinstance(node, ast.ImportFrom) and hops:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return find_assigned(_resolve(module, node), alias.name, hops - 1)
    return None


def line_of(module: str, name: str) -> int | None:
    """Line on which a module defines a function, class, or `Class.method`; None if it does not."""
    body: Sequence[ast.stmt] = parse(module).body
    line = None
    for part in name.split("."):
        defined = {
            node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        if part not in defined:
            return None
        body, line = defined[part].body, defined[part].lineno
    return line


def assigned_value(body: Sequence[ast.stmt], name: str) -> Any:
    """The literal assigned to a name; None if no statement assigns one."""
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if any(isinstance(target, ast.Name) and target.id == name for target in targets) and value:
            return ast.literal_eval(value)
    return None


def _resolve(module: str, node: ast.ImportFrom) -> str:
    package = module if _spec(module).submodule_search_locations else module.rpartition(".")[0]
    return importlib.util.resolve_name("." * node.level + (node.module or ""), package)


def _spec(module: str) -> ModuleSpec:
    """The spec of a module. `find_spec` would run its parent packages; this runs none."""
    top, *inner_names = module.split(".")
    spec = importlib.util.find_spec(top)
    name = top
    for part in inner_names:
        name = f"{name}.{part}"
        locations = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(name, locations) if locations else None
    if spec is None:
        raise UsageError(f"There is no module '{module}'.")
    return spec
