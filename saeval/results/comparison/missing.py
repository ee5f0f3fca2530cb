"""What a comparison lacks, and the run that would compute it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saeval.results.comparison.pool import Item, Pool

_OWN = ("saes", "tasks", "seeds", "output_path", "force", "model", "site", "batch_size", "device")
"""Options of a run that do not follow from the run that it is compared with."""


@dataclass(frozen=True)
class Missing:
    """Results of SAEs that are not there."""

    saes: tuple[str, ...]
    task: str | None
    """None: of any task."""
    run: Mapping[str, Any]
    """The configuration of a run that computes them, as a YAML file holds it."""


def missing_results(
    pool: Pool, saes: Sequence[str], tasks: Sequence[str], options: Mapping[str, Any]
) -> tuple[Missing, ...]:
    """What must be run so that all SAEs have all tasks, with the fields of those that are there.

    Args:
        pool: The results that are there.
        saes: SAEs to compare.
        tasks: Tasks to compare them on; empty: any.
        options: Options of the run that the user gives, such as `output_path` and `limit`.
    """
    runs: list[Missing] = []
    if not tasks and saes:
        absent = tuple(sae for sae in saes if sae not in pool.labels)
        return (Missing(absent, None, {"saes": [*absent], **options}),) if absent else ()
    for task in tasks:
        absent = tuple(sae for sae in saes if not pool.of_task(sae, task))
        if absent:
            known = [item for sae in saes for item in pool.of_task(sae, task)]
            runs.append(Missing(absent, task, _run_like(known, absent, task, options)))
    return tuple(runs)


def joined(runs: Sequence[Missing]) -> list[dict[str, Any]]:
    """Configurations of as few runs as compute all: those of the same SAEs and options are one."""
    together: list[dict[str, Any]] = []
    for missing in runs:
        run = dict(missing.run)
        tasks = run.pop("tasks", {})
        for other in together:
            if {name: value for name, value in other.items() if name != "tasks"} == run:
                other["tasks"] = {**other.get("tasks", {}), **tasks}
                break
        else:
            together.append({**run, **({"tasks": tasks} if tasks else {})})
    return together


def _run_like(
    known: Sequence[Item], saes: Sequence[str], task: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The run of these SAEs on a task, on the data and with the fields of a result that is there.

    Model and site are those that each SAE names.
    """
    run: dict[str, Any] = {"saes": [*saes], "tasks": {task: {}}}
    if known:
        given = known[-1].result.run
        run["tasks"] = {task: dict((given.get("tasks") or {}).get(task) or {})}
        run |= {n: value for n, value in given.items() if n not in _OWN and value not in (None, ())}
        run["seeds"] = sorted({item.result.seed for item in known})
    return {**run, **options}
