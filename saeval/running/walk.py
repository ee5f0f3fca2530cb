"""The order of a run: which SAEs are in memory together, and on which tasks they are scored.

`saeval run` and `saeval plan` visit the same items in the same order.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from saeval.registry.entries import EntrySet
from saeval.results.score import Labels
from saeval.running.jobs import Job
from saeval.running.named_saes import NamedSAE

T = TypeVar("T")

NO_SET = "It compares the members of a set, and no set was asked for: give --sae a set's name."


@dataclass(frozen=True)
class WorkItem:
    """SAEs that are loaded together, and the jobs that are done on them."""

    named_saes: tuple[NamedSAE, ...]
    """One SAE; the members of a set; or empty, if a task scores sets and the request has none."""
    jobs: tuple[Job, ...]
    group: EntrySet | None = None
    """The set whose name the user gave; None for an SAE named by itself."""
    is_set: bool = False
    """Whether the set is scored as a whole."""

    @property
    def label(self) -> str:
        """Its name in the progress display."""
        return str(self.group and self.group.name) if self.is_set else self.named_saes[0].label

    def labels(self, job: Job) -> Labels:
        """Labels of the result that a job gives here."""
        sae = None if self.is_set else self.named_saes[0].label
        name = self.group.name if self.group else None
        return Labels(sae, job.task.name, job.task.version, job.seed, set=name)


def work_items(named_saes: Sequence[NamedSAE], jobs: Sequence[Job]) -> list[WorkItem]:
    """All items in the order of the request: every SAE alone, then every set as a whole."""
    alone = tuple(job for job in jobs if not job.is_group)
    together = tuple(job for job in jobs if job.is_group)
    items = [WorkItem((named_sae,), alone, named_sae.group) for named_sae in named_saes if alone]
    if not together:
        return items
    sets = {named_sae.set: named_sae.group for named_sae in named_saes if named_sae.group}
    for name, group in sets.items():
        members = tuple(named_sae for named_sae in named_saes if named_sae.set == name)
        items.append(WorkItem(members, together, group, is_set=True))
    return items if sets else [*items, WorkItem((), together, is_set=True)]


def visit_all(items: Sequence[WorkItem], visit: Callable[[WorkItem], Iterable[T]]) -> list[T]:
    """Visit every item, and return what the visits yield, in the order of the items.

    SAEs of one model and site are visited one after the other, whatever their order in the request,
    so that each model is loaded once. Sets come last.
    """
    order = sorted(range(len(items)), key=lambda number: _neighbourhood(items[number]))
    values = {number: list(visit(items[number])) for number in order}
    return [value for number in range(len(items)) for value in values[number]]


def _neighbourhood(item: WorkItem) -> tuple[bool, str, str]:
    member = item.named_saes[0].member if item.named_saes else None
    model, site = getattr(member, "model", None), getattr(member, "site", None)
    return (item.is_set, "", "") if item.is_set else (False, model or "", site or "")
