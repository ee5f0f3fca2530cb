"""Tasks and loaders among the entry points of installed packages, checked when they load."""

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from saeval.errors import UsageError, shown, suggestion

logger = logging.getLogger(__name__)

TASKS = "saeval.tasks"
LOADERS = "saeval.loaders"


@dataclass(frozen=True)
class Plugin:
    """One entry point: a name, and where the task or loader of that name is defined."""

    name: str
    target: str
    """`module` or `module:attribute`."""
    distribution: str
    """Package that defines it, with its version."""

    @property
    def module(self) -> str:
        """Dotted name of the module."""
        return self.target.partition(":")[0]

    @property
    def attribute(self) -> str:
        """Name within the module, empty for the module itself."""
        return self.target.partition(":")[2]

    def __str__(self) -> str:
        return f"'{self.name}' ({self.target}, from {self.distribution})"


def find(group: str) -> dict[str, Plugin]:
    """All plugins of a group by name, in order of name. None is imported.

    Raises:
        UsageError: if two packages define different plugins under one name.
    """
    plugins: dict[str, Plugin] = {}
    for point in entry_points(group=group):
        plugin = Plugin(point.name, point.value, _distribution(point))
        earlier = plugins.setdefault(plugin.name, plugin)
        if earlier.target != plugin.target:
            raise UsageError(
                f"Two plugins of {group} share a name: {earlier} and {plugin}. "
                "Uninstall one of the two packages."
            )
    return dict(sorted(plugins.items()))


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"


def load_task(name: str) -> type:
    """The class of one task.

    Raises:
        UsageError: if no task has that name, or the plugin of that name is no task.
    """
    return _load_plugin(TASKS, name, check_task_class)


def load_loader(name: str) -> ModuleType:
    """The module of one loader.

    Raises:
        UsageError: if no loader has that name, or the plugin of that name is no loader.
    """
    return _load_plugin(LOADERS, name, check_loader_module)


def tasks() -> dict[str, type]:
    """All tasks that can be imported, by name; the others are logged and left out."""
    return _load_all(TASKS, load_task)


def loaders() -> dict[str, ModuleType]:
    """All loaders that can be imported, by name; the others are logged and left out."""
    return _load_all(LOADERS, load_loader)


def _load_plugin(group: str, name: str, check: Callable[[Plugin, Any], None]) -> Any:
    plugins = find(group)
    if name not in plugins:
        kind = group.removeprefix("saeval.").removesuffix("s")
        raise UsageError(f"No {kind} is called {shown(name)}.{suggestion(name[:80], plugins)}")
    plugin = plugins[name]
    try:
        content = EntryPoint(plugin.name, plugin.target, group).load()
    except Exception as error:
        raise UsageError(
            f"Plugin {plugin} cannot be imported: {type(error).__name__}: {error}. "
            "Reinstall or uninstall its package."
        ) from error
    check(plugin, content)
    return content


def _load_all(group: str, load: Callable[[str], Any]) -> dict[str, Any]:
    contents = {}
    for name in find(group):
        try:
            contents[name] = load(name)
        except UsageError as error:
            logger.warning("Left out: %s", error)
    return contents


def check_task_class(plugin: Plugin, task: Any) -> None:
    """Make sure that a class is a task, before any of its methods runs.

    Raises:
        UsageError: naming what is missing or wrong.
    """
    if not (inspect.isclass(task) and is_dataclass(task) and _is_frozen(task)):
        raise UsageError(f"Plugin {plugin} must be a frozen dataclass, but is {shown(task)}.")
    if getattr(task, "name", None) != plugin.name:
        raise UsageError(
            f"Plugin {plugin}: its `name` is {shown(getattr(task, 'name', None))}, "
            f"but must be '{plugin.name}', as its entry point says."
        )
    version = getattr(task, "version", None)
    if type(version) is not int or version < 1:
        raise UsageError(f"Plugin {plugin}: `version` must be an int from 1, not {shown(version)}.")
    single, group = hasattr(task, "score"), hasattr(task, "score_group")
    if single == group:
        raise UsageError(f"Plugin {plugin} must have either `score` or `score_group`.")
    _check_signature(plugin, task, "prepare", ["self", "source", "seed"])
    if single:
        _check_signature(plugin, task, "score", ["self", "sae", "prepared", "source", "seed"])
    else:
        _check_signature(plugin, task, "score_group", ["self", "members", "seed"])
    try:
        task()
    except Exception as error:
        raise UsageError(
            f"Plugin {plugin}: every field needs a default, but {task.__name__}() "
            f"fails: {type(error).__name__}: {error}."
        ) from error


def _is_frozen(task: Any) -> bool:
    return task.__dataclass_params__.frozen


def check_loader_module(plugin: Plugin, loader: Any) -> None:
    """Make sure that a module is a loader, before any of its functions runs.

    Raises:
        UsageError: naming what is missing or wrong.
    """
    if not isinstance(loader, ModuleType):
        raise UsageError(f"Plugin {plugin} must be a module, but is {shown(loader)}.")
    _check_signature(plugin, loader, "matches", ["folder"])
    _check_signature(plugin, loader, "load", ["folder", "entry"])
    declared = getattr(loader, "FORMAT", None)
    if not isinstance(declared, str) or not declared:
        raise UsageError(
            f"Plugin {plugin}: `FORMAT` must be one line naming the files it looks for, "
            f"not {shown(declared)}."
        )


def _check_signature(plugin: Plugin, owner: Any, method: str, expected: Sequence[str]) -> None:
    """Compare parameters, in their order. More may follow if they have defaults."""
    function = getattr(owner, method, None)
    definition = f"{method}({', '.join(expected)})"
    if not callable(function):
        raise UsageError(f"Plugin {plugin} lacks {definition}.")
    parameters = list(inspect.signature(function).parameters.values())
    more = parameters[len(expected) :]
    names = [parameter.name for parameter in parameters[: len(expected)]]
    if names != list(expected) or any(extra.default is extra.empty for extra in more):
        raise UsageError(
            f"Plugin {plugin} defines {method}{inspect.signature(function)}, "
            f"but it is called as {definition}."
        )
