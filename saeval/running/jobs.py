"""The jobs of a run: every task, with its fields, under every seed."""

import dataclasses
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from saeval.config.configuration import configured, json_value
from saeval.config.field_types import conform
from saeval.config.options import Settings
from saeval.config.plugins import load_task
from saeval.errors import UsageError, shown, suggestion
from saeval.evidence import Evidence, Missing
from saeval.running.identity import declares_inputs, task_identity, task_inputs
from saeval.task import Member


@dataclass(frozen=True)
class Job:
    """One task under one seed."""

    task: Any
    """The configured task, a `Task` or a `GroupTask`."""
    seed: int
    identity: Mapping[str, Any]
    """All of the task that decides its scores, by content."""
    inputs: Callable[[str | None], Any]
    """Data that the task finds by itself for a model, looked up once; see `task_inputs`. Not to be
    called where the task does not declare it."""

    @property
    def declares_inputs(self) -> bool:
        """Whether the task tells what data it finds by itself.

        One that does not is prepared anew in every run, and what it prepared enters the key of
        its results: a stale answer is worse than a slow one.
        """
        return declares_inputs(self.task)

    @property
    def is_group(self) -> bool:
        """Whether the task scores whole sets."""
        return hasattr(self.task, "score_group")

    def score_members(self, members: Sequence[Member]) -> Iterable[Evidence | Missing]:
        """What the task yields for one SAE, or for all members of a set.

        Raises:
            NotApplicable: if it can say nothing about them.
        """
        if self.is_group:
            return self.task.score_group(members, self.seed)
        (member,) = members
        return self.task.score(member.sae, member.prepared, member.source, self.seed)

    @property
    def settings(self) -> dict[str, Any]:
        """Its fields that differ from their defaults, as plain values."""
        default = type(self.task)()
        return {
            item.name: json_value(getattr(self.task, item.name))
            for item in dataclasses.fields(self.task)
            if getattr(self.task, item.name) != getattr(default, item.name)
        }


def make_jobs(
    tasks: Any, settings: Settings, common: Mapping[str, Any], seeds: Sequence[int]
) -> list[Job]:
    """Every task under every seed.

    Args:
        tasks: Names (in a sequence, or one text with commas), or configured tasks.
        settings: Field values by task, for tasks given by name.
        common: Values for every task that has a field of that name and does not set it itself. A
            value of None leaves the field alone.
        seeds: Each task runs once under each.

    Raises:
        UsageError: for an unknown task, field or value, or settings of a task that does not run.
    """
    if isinstance(tasks, str):
        tasks = [name.strip() for name in tasks.split(",") if name.strip()]
    elif not isinstance(tasks, Sequence):
        tasks = [tasks]
    for task in tasks:
        _check_takes_share(load_task(task) if isinstance(task, str) else type(task), common)
    configured_tasks = [
        _configure_task(task, settings.get(task, {}), common)
        if isinstance(task, str)
        else _fill_fields(task, common)
        for task in tasks
    ]
    if not configured_tasks:
        raise UsageError("No task to run: give --tasks, such as --tasks core.")
    names = [task.name for task in configured_tasks]
    for name in settings:
        if name not in names:
            near = suggestion(name, names)
            raise UsageError(
                f"Fields are set of the task '{name}', which is not run.{near} A task that is to "
                "run is named with --tasks."
            )
    if len(set(names)) < len(names):
        raise UsageError(f"Each task runs once: {', '.join(names)}.")
    if common.get("texts") and not any(
        _has_field(type(task), "texts") for task in configured_tasks
    ):
        raise UsageError(f"None of {', '.join(names)} reads texts, so '--data' says nothing.")
    return [job for task in configured_tasks for job in _under_seeds(task, dict.fromkeys(seeds))]


def _under_seeds(task: Any, seeds: Iterable[int]) -> list[Job]:
    """One task under every seed."""
    identity, inputs = task_identity(task), cache(partial(task_inputs, task))
    return [Job(task, seed, identity, inputs) for seed in seeds]


def _configure_task(name: str, settings: Mapping[str, Any], common: Mapping[str, Any]) -> Any:
    cls = load_task(name)
    shared = {
        key: value for key, value in common.items() if value is not None and _has_field(cls, key)
    }
    return configured(cls, {**shared, **settings}, name)


def _fill_fields(task: Any, common: Mapping[str, Any]) -> Any:
    if not dataclasses.is_dataclass(task) or isinstance(task, type) or not hasattr(task, "name"):
        raise UsageError(f"{shown(task)} is no task: give a name, or a task with its fields.")
    changed = {
        key: value
        for key, value in common.items()
        if value is not None and _has_field(type(task), key) and getattr(task, key) is None
    }
    return dataclasses.replace(task, **changed)


def _check_takes_share(cls: type, common: Mapping[str, Any]) -> None:
    """Check that a task with a limit takes a share, if the user's limit is one.

    Raises:
        UsageError: if it takes whole numbers only.
    """
    limit = common.get("limit")
    is_task = isinstance(cls, type) and dataclasses.is_dataclass(cls)
    if not isinstance(limit, float) or not is_task or not _has_field(cls, "limit"):
        return
    try:
        conform(limit, typing.get_type_hints(cls)["limit"])
    except ValueError as error:
        name = getattr(cls, "name", cls.__name__)
        raise UsageError(
            f"The task '{name}' takes a whole number as its limit, not a share such as {limit}. "
            f"Give --limit a number of units, run '{name}' by itself, or ask its author for shares "
            "(saeval.config.counts.Limit)."
        ) from error


def _has_field(cls: type, field: str) -> bool:
    return any(item.name == field for item in dataclasses.fields(cls))
